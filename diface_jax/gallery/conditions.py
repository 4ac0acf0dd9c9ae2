"""Conditions that choose entries of a gallery: NAME=PATTERN, all of which must hold."""

import fnmatch
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from diface_jax.runtime.terminal import printable

Conditions = tuple[tuple[str, str], ...]
# As users write them in Python: by name, with one pattern or several each; or as pairs.
Where = Mapping[str, str | Sequence[str]] | Iterable[tuple[str, str]]
# What conditions are about: an entry's person, photo, date ('taken'), name, number ('entry'), tags.
Values = Mapping[str, str | None]

# Conditions that bound the date instead of fitting a pattern, by a date or a part of one.
SINCE, UNTIL = 'since', 'until'
RESERVED = ('person', 'photo', 'name', 'entry', 'taken', SINCE, UNTIL)
_DATE = re.compile(r'\d{4}(-\d\d(-\d\d(T\d\d(:\d\d(:\d\d)?)?)?)?)?')


def parse_conditions(arguments: Iterable[str]) -> Conditions:
    """Conditions from 'NAME=PATTERN' each; a name may come several times.

    Raises:
      ValueError: an argument is not of this form.
    """
    pairs = [argument.partition('=') for argument in arguments]
    for name, equals, _ in pairs:
        if not name or not equals:
            raise ValueError(f'{name!r} is not of the form NAME=VALUE')
    return tuple((name, value) for name, _, value in pairs)


def parse_tags(arguments: Iterable[str]) -> dict[str, str]:
    """Tags from 'NAME=VALUE' each.

    Raises:
      ValueError: an argument is not of this form, a name comes twice, or --where could not tell
        the tag from what every entry has.
    """
    tags: dict[str, str] = {}
    for name, value in parse_conditions(arguments):
        if name in tags:
            raise ValueError(f'the tag {name!r} is given twice: give it once')
        if name in RESERVED:
            raise ValueError(
                f'a tag cannot be called {name!r}: --where={name}= means another thing'
            )
        tags[name] = value
    return tags


def conditions_of(where: Where) -> Conditions:
    """Conditions as pairs, however they were written.

    Raises:
      ValueError: a name or a pattern is not a string, or a bound is not a date.
    """
    if isinstance(where, Mapping):
        where = [
            (name, pattern)
            for name, patterns in where.items()
            for pattern in (patterns if isinstance(patterns, list | tuple) else [patterns])
        ]
    pairs = tuple(where)
    for pair in pairs:
        if not isinstance(pair, tuple) or [type(part) for part in pair] != [str, str]:
            raise ValueError(f'a condition is a name and a pattern, both strings, not {pair!r}')
        if pair[0] in (SINCE, UNTIL) and not _DATE.fullmatch(pair[1]):
            raise ValueError(f'{pair[0]}={pair[1]} is no date such as 2019-07-14')
    return pairs


def conditions_to_json(conditions: Conditions) -> dict[str, str | list[str]]:
    """Patterns by name: a string, or a list of strings where a name has several."""
    patterns: dict[str, list[str]] = {}
    for name, pattern in conditions:
        patterns.setdefault(name, []).append(pattern)
    return {name: values[0] if len(values) == 1 else values for name, values in patterns.items()}


def matcher(conditions: Conditions, candidates: Iterable[Values]) -> Callable[[Values], bool]:
    """Tells which candidates fit all conditions.

    `*` stands for any characters and `?` for one; everything else, brackets too, stands for itself.
    `since` and `until` bound `taken`; a candidate without a date does not fit them.
    A pattern that is a candidate's value, as it is or as it is printed, fits only that value: the
    path that a search printed never means another photo.
    """
    exact = {
        (name, pattern)
        for values in candidates
        for name, pattern in conditions
        if fits_value(values.get(name), pattern, is_exact=True)
    }
    tests = [
        _bounds(name, pattern)
        if name in (SINCE, UNTIL)
        else _fits(name, pattern, (name, pattern) in exact)
        for name, pattern in conditions
    ]
    return lambda values: all(test(values) for test in tests)


def _bounds(name: str, date: str) -> Callable[[Values], bool]:
    """Whether a photo was taken at a date, a part of one, or on the right side of it."""

    def fits(values: Values) -> bool:
        taken = values.get('taken')
        if taken is None:
            return False
        # Dates sort as texts, and July's begin with '2019-07'.
        return taken >= date if name == SINCE else taken[: len(date)] <= date

    return fits


def _fits(name: str, pattern: str, is_exact: bool) -> Callable[[Values], bool]:
    return lambda values: fits_value(values.get(name), pattern, is_exact)


def fits_value(value: str | None, pattern: str, is_exact: bool) -> bool:
    """Whether a value, as it is or as it is printed, fits a pattern.

    Args:
      value: of an entry; None fits nothing.
      pattern: with `*` and `?`.
      is_exact: whether the pattern stands for itself alone.
    """
    if value is None:
        return False
    spellings = value, printable(value)
    return pattern in spellings if is_exact else any(map(_expression(pattern).match, spellings))


def has_wildcards(pattern: str) -> bool:
    """Whether a pattern may fit other texts than itself."""
    return '*' in pattern or '?' in pattern


@functools.lru_cache
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern.replace('[', '[[]')))
