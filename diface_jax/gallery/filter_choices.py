"""What the faces of a gallery can be filtered by: people, tags and dates."""

from collections.abc import Iterable
from typing import Any

from diface_jax.gallery.conditions import RESERVED, Values

_MOST_PEOPLE = 500
_MOST_VALUES = 50  # of a tag; one with more describes each photo, and is nothing to choose from


def filter_choices(described: Iterable[Values]) -> dict[str, Any]:
    """The choices that a page offers.

    Args:
      described: what conditions are about, of each face (see `Store.values`).

    Returns:
      `people` (names, at most 500), `tags` (values by name, of tags with few values), both in
      order, and `first_taken` and `last_taken`, dates or None.
    """
    people, tags, dates = set(), {}, set()
    for values in described:
        people.add(values.get('person'))
        dates.add(values.get('taken'))
        for name, value in values.items():
            if name not in RESERVED:
                tags.setdefault(name, set()).add(value)
    taken = sorted(date[:10] for date in dates - {None})
    return {
        'people': sorted(people - {None})[:_MOST_PEOPLE],
        'tags': {
            name: sorted(values)
            for name, values in sorted(tags.items())
            if len(values) <= _MOST_VALUES
        },
        'first_taken': taken[0] if taken else None,
        'last_taken': taken[-1] if taken else None,
    }
