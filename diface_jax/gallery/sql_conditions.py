"""Conditions on entries (see `conditions`) as SQL of PostgreSQL."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from diface_jax.gallery.conditions import SINCE, UNTIL, Conditions, fits_pattern
from diface_jax.gallery.database import Server
from diface_jax.gallery.postgres_schema import PATH_START
from diface_jax.runtime.terminal import printable

# An entry, and each copy of its photo: the rows that conditions are about.
_ENTRIES = (
    'entry LEFT JOIN file ON file.photo = entry.photo LEFT JOIN photo ON photo.id = entry.photo'
)
_ENTRY = {
    'person': 'CASE face WHEN 0 THEN coalesce(person_label, person) ELSE person END',
    'photo': 'file.path_text',
    'name': 'entry.name',
    'entry': 'entry.id::text',
    'taken': 'photo.taken',
}
# Files without a face: they have a path, and a person where their folder is named like that.
_UNUSABLE = 'file JOIN photo ON photo.id = file.photo AND problem IS NOT NULL'
_FILE = {'person': "split_part(path_text, '/', -2)", 'photo': 'path_text'}
# By index; the person of a row is chosen from two tables, where no index helps.
_OF_PERSON = (
    'entry.id IN (SELECT id FROM entry WHERE person {0} UNION ALL SELECT entry.id FROM entry'
    ' JOIN file ON file.photo = entry.photo WHERE person_label {0})'
)


class SqlCondition(NamedTuple):
    """A condition: SQL with `?`, and the values."""

    sql: str
    values: tuple[Any, ...]


ALWAYS = SqlCondition('true', ())


def chosen_entries(database: Server, conditions: Conditions) -> SqlCondition:
    """A query for the numbers of the entries that fit all conditions."""
    fits = _all(_exact(database, conditions), _ENTRY)
    return SqlCondition(f'SELECT entry.id FROM {_ENTRIES} WHERE {fits.sql}', fits.values)


def chosen_files(database: Server, conditions: Conditions) -> SqlCondition:
    """A query for the paths of the files without a face that fit all conditions."""
    fits = _all(_exact(database, conditions), _FILE)
    return SqlCondition(f'SELECT file.path FROM {_UNUSABLE} WHERE {fits.sql}', fits.values)


class _Test(NamedTuple):
    """A condition, and what it means in this gallery.

    Attributes:
      name: of what it is about.
      pattern: with * and ?.
      is_exact: whether the pattern is a value of the gallery, and means only that.
      printed: values that fit by the way in which they are printed.
    """

    name: str
    pattern: str
    is_exact: bool
    printed: tuple[str, ...]


def _exact(database: Server, conditions: Conditions) -> list[_Test]:
    return [
        _Test(name, pattern, True, ()) if name in (SINCE, UNTIL) else _test(database, name, pattern)
        for name, pattern in conditions
    ]


def _test(database: Server, name: str, pattern: str) -> _Test:
    # Only what is printed differently has a backslash, so a pattern without one need not look.
    odd = list(_printed_differently(database, name)) if '\\' in pattern else []
    is_exact = pattern in map(printable, odd)
    if not is_exact and ('*' in pattern or '?' in pattern):
        exact = _Test(name, pattern, True, ())
        is_exact = any(
            _exists(database, rows, _all([exact], columns))
            for rows, columns in ((_ENTRIES, _ENTRY), (_UNUSABLE, _FILE))
        )
    printed = (
        value
        for value in odd
        if (pattern == printable(value) if is_exact else fits_pattern(pattern, printable(value)))
    )
    return _Test(name, pattern, is_exact, tuple(printed))


def _exists(database: Server, rows: str, fits: SqlCondition) -> bool:
    query = f'SELECT EXISTS (SELECT 1 FROM {rows} WHERE {fits.sql})'
    return database.execute(query, fits.values).fetchone()[0]


def _printed_differently(database: Server, name: str) -> Iterator[str]:
    """Values of the gallery that are not printed as they are."""
    for rows, columns in ((_ENTRIES, _ENTRY), (_UNUSABLE, _FILE)):
        value = _value(name, columns)
        # The first test leaves out most of them.
        query = f"SELECT DISTINCT {value.sql} FROM {rows} WHERE {value.sql} ~ '[^ -~]'"
        for (text,) in database.execute(query, value.values * 2):
            if printable(text) != text:
                yield text


def _value(name: str, columns: Mapping[str, str]) -> SqlCondition:
    if name in columns:
        return SqlCondition(columns[name], ())
    if name in _ENTRY or columns is _FILE:
        return SqlCondition('NULL::text', ())
    return SqlCondition('(entry.tags ->> ?)', (name,))


def _all(tests: Sequence[_Test], columns: Mapping[str, str]) -> SqlCondition:
    each = [_fits(test, columns) for test in tests] or [ALWAYS]
    sql = ' AND '.join(f'({part.sql})' for part in each)
    return SqlCondition(sql, tuple(value for part in each for value in part.values))


def _fits(test: _Test, columns: Mapping[str, str]) -> SqlCondition:
    if test.name in (SINCE, UNTIL):
        return _bounds(test, columns.get('taken', 'NULL::text'))
    value = _value(test.name, columns)
    has_wildcards = not test.is_exact and ('*' in test.pattern or '?' in test.pattern)
    comparison = 'LIKE ?' if has_wildcards else '= ?'
    pattern = _like(test.pattern) if has_wildcards else test.pattern
    sql, values = f'{value.sql} {comparison}', (*value.values, pattern)
    if test.printed:
        sql, values = f'{sql} OR {value.sql} = ANY(?)', (*values, *value.values, list(test.printed))
    elif test.name == 'photo':
        start = f'left({value.sql}, {PATH_START})'  # which has an index
        sql, values = (
            f'{sql} AND {start} {comparison}',
            (*values, _path_start(test.pattern, has_wildcards)),
        )
    elif columns is _ENTRY and test.name == 'person':
        sql, values = f'{sql} AND {_OF_PERSON.format(comparison)}', (*values, pattern, pattern)
    elif columns is _ENTRY and value.values and not has_wildcards:
        tag = json.dumps({test.name: test.pattern})
        sql, values = 'entry.tags @> ?::jsonb', (tag,)
    return SqlCondition(sql, values)


def _path_start(pattern: str, has_wildcards: bool) -> str:
    """What the start of a path is compared with: it, or the pattern up to the first wildcard."""
    if not has_wildcards:
        return pattern[:PATH_START]
    return _like(re.split('[*?]', pattern)[0][:PATH_START]) + '%'


def _bounds(test: _Test, taken: str) -> SqlCondition:
    if test.name == SINCE:
        return SqlCondition(f'{taken} >= ?', (test.pattern,))
    return SqlCondition(f'left({taken}, {len(test.pattern)}) <= ?', (test.pattern,))


def _like(pattern: str) -> str:
    """A pattern of LIKE, where % stands for any characters, _ for one, and \\ for what follows."""
    plain = pattern.replace('\\', r'\\').replace('%', r'\%').replace('_', r'\_')
    return plain.replace('*', '%').replace('?', '_')
