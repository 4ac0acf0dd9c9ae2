"""Types of what the report reads from `evaluation.json`."""

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]
"""A row of a section, such as one number of one method."""

Content = Mapping[str, Any]
"""The whole file: sections by name; optional ones may be None."""
