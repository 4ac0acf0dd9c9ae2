"""How PostgreSQL compares what a gallery holds with conditions."""

import json
import re

from diface_jax.gallery.conditions import fits_value, has_wildcards
from diface_jax.gallery.dialect import Each, Meant, SqlCondition
from diface_jax.gallery.postgres_schema import PATH_START
from diface_jax.runtime.terminal import printable

_SOURCES = {
    'person': (('entry', 'person'), ('file', 'person_label')),
    'photo': (('file', 'path_text'),),
    'name': (('entry', 'name'),),
    'entry': (),
    'taken': (('photo', 'taken'),),
}


class PostgresDialect:
    """A `Dialect`."""

    path = 'file.path_text'
    folder = "split_part(path_text, '/', -2)"

    def odd_values(self, each: Each, name: str, pattern: str) -> tuple[str, ...]:
        """Values that are printed otherwise than they are.

        Only those have a backslash in print, so a pattern without one need not look.
        """
        if '\\' not in pattern:
            return ()
        values: set[str] = set()
        for rows, column in _SOURCES.get(name, (('entry', '(tags ->> ?)'),)):
            of_tag = () if name in _SOURCES else (name,)
            # The condition leaves out most of them.
            query = f"SELECT DISTINCT {column} FROM {rows} WHERE {column} ~ '[^ -~]'"
            values.update(text for (text,) in each(query, of_tag * 2))
        if name == 'person':
            paths = self.odd_values(each, 'photo', pattern)
            values.update(path.split('/')[-2] for path in paths if '/' in path)
        return tuple(value for value in values if printable(value) != value)

    def fits(self, column: str, test: Meant) -> SqlCondition:
        """Whether a column fits."""
        return _fits(SqlCondition(column, ()), test)

    def tag_fits(self, test: Meant) -> SqlCondition:
        """Whether a tag of the table `entry` fits."""
        if test.is_exact and not test.odd:
            return SqlCondition('entry.tags @> ?::jsonb', (json.dumps({test.name: test.pattern}),))
        return _fits(SqlCondition('(entry.tags ->> ?)', (test.name,)), test)


def _fits(value: SqlCondition, test: Meant) -> SqlCondition:
    is_like = not test.is_exact and has_wildcards(test.pattern)
    sql = f'{value.sql} LIKE ?' if is_like else f'{value.sql} = ?'
    values = (*value.values, _like(test.pattern) if is_like else test.pattern)
    odd = [text for text in test.odd if fits_value(text, test.pattern, test.is_exact)]
    if odd:
        return SqlCondition(f'{sql} OR {value.sql} = ANY(?)', (*values, *value.values, odd))
    if value.sql == PostgresDialect.path:
        start = f'left({value.sql}, {PATH_START})'  # which has an index
        sql = f'{sql} AND {start} LIKE ?' if is_like else f'{sql} AND {start} = ?'
        values = (*values, _path_start(test.pattern, is_like))
    return SqlCondition(sql, values)


def _path_start(pattern: str, is_like: bool) -> str:
    """What the start of a path is compared with: it, or the pattern up to the first wildcard."""
    if not is_like:
        return pattern[:PATH_START]
    return _like(re.split('[*?]', pattern)[0][:PATH_START]) + '%'


def _like(pattern: str) -> str:
    """A pattern of LIKE, where % stands for any characters, _ for one, and \\ for what follows."""
    plain = pattern.replace('\\', r'\\').replace('%', r'\%').replace('_', r'\_')
    return plain.replace('*', '%').replace('?', '_')
