"""Conditions on entries (see `conditions`) as SQL, which reads only what the conditions name.

What the two databases write differently is in `sqlite_conditions` and `postgres_conditions`.
"""

from collections.abc import Iterable

from diface_jax.gallery.conditions import SINCE, UNTIL, Conditions, has_wildcards
from diface_jax.gallery.database import Database
from diface_jax.gallery.dialect import Dialect, Meant, SqlCondition

_OF_ENTRY = {'name': 'entry.name', 'entry': 'CAST(entry.id AS TEXT)'}
_DATED = ('taken', SINCE, UNTIL)
# Of an entry and a file of its photo: copies may be labelled with different people.
_PERSON = 'CASE face WHEN 0 THEN coalesce(person_label, person) ELSE person END'
_FILES = 'entry LEFT JOIN file ON file.photo = entry.photo'
# The same by index; no index helps with a person that is chosen from two tables.
_NAMED = (
    'entry.id IN (SELECT id FROM entry WHERE {} UNION ALL'
    ' SELECT id FROM entry WHERE photo IN (SELECT photo FROM file WHERE {}))'
)
_UNUSABLE = 'file JOIN photo ON photo.id = file.photo AND problem IS NOT NULL'
_NEVER = SqlCondition('false', ())


def chosen_entries(database: Database, conditions: Conditions) -> SqlCondition:
    """A query for the numbers of the entries that fit all conditions."""
    return _entries(database.dialect, [_meant(database, *pair) for pair in conditions])


def chosen_files(database: Database, conditions: Conditions) -> SqlCondition:
    """A query for photo and path of the files without a face that fit all conditions."""
    return _files(database.dialect, [_meant(database, *pair) for pair in conditions])


def _meant(database: Database, name: str, pattern: str) -> Meant:
    """A condition, and whether its pattern is a value of the gallery, and means only that."""
    odd = database.dialect.odd_values(database.each, name, pattern)
    exact = Meant(name, pattern, True, odd)
    if name in (SINCE, UNTIL) or not has_wildcards(pattern):
        return exact
    queries = _entries(database.dialect, [exact]), _files(database.dialect, [exact])
    is_exact = any(
        next(database.each(f'SELECT EXISTS ({query.sql})', query.values))[0] for query in queries
    )
    return exact._replace(is_exact=bool(is_exact))


def _entries(dialect: Dialect, tests: Iterable[Meant]) -> SqlCondition:
    by_name: dict[str, list[Meant]] = {}
    for test in tests:
        by_name.setdefault('taken' if test.name in _DATED else test.name, []).append(test)
    people, photos = by_name.pop('person', []), by_name.pop('photo', [])
    dates = [_of_date(dialect, test) for test in by_name.pop('taken', [])]
    in_file = [dialect.fits(dialect.path, test) for test in photos]
    fits = [
        dialect.fits(_OF_ENTRY[test.name], test)
        if test.name in _OF_ENTRY
        else dialect.tag_fits(test)
        for tests_of_name in by_name.values()
        for test in tests_of_name
    ]
    if dates:
        fits.append(_filled('entry.photo IN (SELECT id FROM photo WHERE {})', _all(dates)))
    if people:  # of the copy that fits the conditions on its path
        fits += [*in_file, *(_of_person(dialect, test) for test in people)]
    elif photos:
        fits.append(_filled('entry.photo IN (SELECT photo FROM file WHERE {})', _all(in_file)))
    rows = _FILES if people else 'entry'
    return _filled(f'SELECT entry.id FROM {rows} WHERE {{}}', _all(fits))


def _of_person(dialect: Dialect, test: Meant) -> SqlCondition:
    columns = 'person', 'person_label'
    by_index = _filled(_NAMED, *(dialect.fits(column, test) for column in columns))
    return _all([dialect.fits(_PERSON, test), by_index])


def _of_date(dialect: Dialect, test: Meant) -> SqlCondition:
    if test.name == SINCE:
        return SqlCondition('taken >= ?', (test.pattern,))
    if test.name == UNTIL:
        return SqlCondition(f'substr(taken, 1, {len(test.pattern)}) <= ?', (test.pattern,))
    return dialect.fits('taken', test)


def _files(dialect: Dialect, tests: Iterable[Meant]) -> SqlCondition:
    """Files without a face have a path, and a person where their folder is named like that."""
    columns = {'photo': dialect.path, 'person': dialect.folder}
    fits = [
        dialect.fits(columns[test.name], test) if test.name in columns else _NEVER for test in tests
    ]
    return _filled(f'SELECT file.photo, file.path FROM {_UNUSABLE} WHERE {{}}', _all(fits))


def _all(conditions: Iterable[SqlCondition]) -> SqlCondition:
    each = [*conditions] or [SqlCondition('true', ())]
    return _filled(' AND '.join(['({})'] * len(each)), *each)


def _filled(sql: str, *parts: SqlCondition) -> SqlCondition:
    """SQL with a condition for each `{}`."""
    values = tuple(value for part in parts for value in part.values)
    return SqlCondition(sql.format(*(part.sql for part in parts)), values)
