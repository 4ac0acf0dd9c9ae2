"""Fixtures shared with the tests of galleries."""

from tests.gallery.conftest import command, model  # noqa: F401
