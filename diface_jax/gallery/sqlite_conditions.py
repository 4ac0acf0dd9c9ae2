"""How SQLite compares what a gallery holds with conditions.

It compares by itself what is printed as it is. The rest (and SQLite takes a text for ended at its
first NUL) goes through functions of Python, as does JSON: SQLite's versions read escapes and NULs
in it differently. Damaged values fit nothing or as they are; they are refused where they are read.
"""

import functools
import json
import os
import sqlite3
from typing import Any

from diface_jax.gallery.conditions import fits_value
from diface_jax.gallery.dialect import Each, Meant, SqlCondition
from diface_jax.gallery.entries import path_text
from diface_jax.gallery.row_checks import check_tags

_LONGEST = 10_000  # characters of a pattern for SQLite; it allows 50,000 bytes


class SqliteDialect:
    """A `Dialect`."""

    path = 'file.path'
    folder = 'folder_of(file.path)'

    def odd_values(self, each: Each, name: str, pattern: str) -> tuple[str, ...]:
        """None: SQLite can tell, by functions of Python."""
        del each, name, pattern
        return ()

    def fits(self, column: str, test: Meant) -> SqlCondition:
        """Whether a column fits."""
        pattern = test.pattern
        if not _is_storable(pattern):
            return SqlCondition('false', ())
        if test.is_exact and '\\' not in pattern:  # so it is not how another value is printed
            stored = pattern.encode() if column == self.path else pattern
            return SqlCondition(f'{column} = ?', (stored,))
        by_python = SqlCondition(f'fits({column}, ?, ?)', (pattern, test.is_exact))
        if test.is_exact or len(pattern) > _LONGEST or '\0' in pattern:
            return by_python
        return SqlCondition(
            f'CASE WHEN is_plain({column}) THEN CAST({column} AS TEXT) GLOB ?'
            f' ELSE {by_python.sql} END',
            (pattern.replace('[', '[[]'), *by_python.values),
        )

    def tag_fits(self, test: Meant) -> SqlCondition:
        """Whether a tag of the table `entry` fits."""
        # As JSON, which has halves of surrogate pairs too.
        condition = json.dumps([test.name, test.pattern, test.is_exact])
        by_python = SqlCondition('tag_fits(entry.tags, ?)', (condition,))
        if not test.is_exact or '\\' in test.pattern:
            return by_python
        # Reading JSON takes longer than looking whether the value is in it.
        return SqlCondition(
            f'instr(entry.tags, ?) AND {by_python.sql}', (json.dumps(test.pattern), condition)
        )


def add_functions(connection: sqlite3.Connection) -> None:
    """Lets a connection use the functions of `SqliteDialect`."""
    for name, arguments, function in (
        *(('is_plain', 1, _is_plain), ('fits', 3, _fits)),
        *(('tag_fits', 2, _tag_fits), ('folder_of', 1, _folder_of)),
    ):
        connection.create_function(name, arguments, function, deterministic=True)


def _is_storable(text: str) -> bool:
    """Whether a text is none with halves of surrogate pairs, such as a name that is no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(value: Any) -> str | None:
    """A value as conditions see it; None of what is neither a text nor a path."""
    if isinstance(value, bytes):
        return path_text(value)
    return value if isinstance(value, str) else None


def _is_plain(value: Any) -> bool:
    """Whether a value is printed as it is."""
    try:
        text = value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return False
    return isinstance(text, str) and text.isprintable()


def _fits(value: Any, pattern: str, is_exact: int) -> bool:
    return fits_value(_text(value), pattern, bool(is_exact))


@functools.lru_cache(64)  # an index brings equal tags one after the other
def _tag_fits(tags: Any, condition: str) -> bool:
    name, pattern, is_exact = json.loads(condition)
    try:
        return fits_value(check_tags(tags).get(name), pattern, is_exact)
    except ValueError:
        return False


def _folder_of(path: Any) -> str | None:
    return path_text(os.path.basename(os.path.dirname(path))) if isinstance(path, bytes) else None
