"""A gallery in PostgreSQL with pgvector: for many faces, and several people and machines at once.

Who changes the gallery holds an advisory lock, as SQLite's writers do, so that changes come one
after the other and a photo is enrolled once; what takes long (finding and embedding faces) is done
before. The server ends the transaction and the locks of a program that is killed. Readers wait for
nobody.
"""

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from diface_jax.gallery import kept_connections, postgres_features, postgres_schema
from diface_jax.gallery.address import shown_address
from diface_jax.gallery.entries import path_text
from diface_jax.gallery.kept_connections import Session
from diface_jax.gallery.postgres_client import connect, explained, postgres_module
from diface_jax.gallery.postgres_conditions import PostgresDialect
from diface_jax.gallery.row_checks import GalleryError

# A program that does nothing within a transaction, and one that waits for another, give up.
_SETTINGS = {
    'idle_in_transaction_session_timeout': '60s',
    'lock_timeout': '60s',
    'jit': 'off',  # it takes longer than a search
    'plan_cache_mode': 'force_custom_plan',  # which index helps depends on the values
}
# Whether the gallery is as it was when its connection was kept, and whether this user may write.
_RESUME = (
    "SELECT set_config('idle_session_timeout', '0', false), version, NOT pg_is_in_recovery()"
    """ AND has_table_privilege('entry', 'INSERT') FROM "{schema}".diface_gallery"""
)
_CHANGE, _REFRESH = 0x44694661, 0x44694662  # kinds of locks
_REWRITE_BYTES = 2 << 30  # of tables that are rewritten after each deletion
_ELSEWHERE = (
    "the server's write-ahead log, its replicas and backups keep removed bytes until they are "
    'recycled (docs/postgres.md)'
)


class PostgresDatabase:
    """An open gallery on a server. Without rights to change it, it is opened for reading.

    Args:
      url: postgresql://USER@HOST/DATABASE; see `postgres_client.connect`.
      create: creates the gallery if it does not exist, in an empty database or schema.

    Attributes:
      address: as given.
      location: the address without user and password, for messages.
      source: the same.
      read_only: whether it cannot be changed.
      total_changes: how many rows were changed since it was opened.

    Raises:
      GalleryError: there is no gallery, or something else; says what to do. Every method raises it.
      OSError: the server cannot be reached, or is gone. Every method raises it.
    """

    is_server, dialect = True, PostgresDialect()

    def __init__(self, url: str, create: bool = False) -> None:
        self.address = url
        self.location = self.source = shown_address(url)
        self.total_changes = 0
        if self._resume():
            return
        self._connection = connect(url, autocommit=True, application_name='diface')
        try:
            self._set_up(create)
        except BaseException:
            self._connection.close()
            raise

    def _resume(self) -> bool:
        """Goes on with a connection that was kept, unless its server or its gallery is gone."""
        while session := kept_connections.take(self.address):
            self._connection, self._schema = session
            with contextlib.suppress(GalleryError, OSError):
                query = _RESUME.format(schema=self._schema)
                _, version, may_write = self.execute(query).fetchone()
                if version == postgres_schema.VERSION:
                    self.read_only = not may_write
                    return True
            self._connection.close()
        return False

    def _set_up(self, create: bool) -> None:
        settings = ', '.join(['set_config(?, ?, false)'] * len(_SETTINGS))
        self.execute(f'SELECT {settings}', tuple(itertools.chain(*_SETTINGS.items())))
        self._schema, vector_schema = self._schemas(create)
        path = f'"{self._schema}", "{vector_schema}"'
        self.execute("SELECT set_config('search_path', ?, false)", (path,))
        register_vector = postgres_module('pgvector.psycopg').register_vector
        with explained(self.location):
            register_vector(self._connection)
            # Tags are read as the text that SQLite keeps.
            text_loader = postgres_module('psycopg.types.string').TextLoader
            self._connection.adapters.register_loader('jsonb', text_loader)
        postgres_schema.prepare_schema(self, create)
        ((may_write,),) = self.execute(
            "SELECT NOT pg_is_in_recovery() AND has_table_privilege('entry', 'INSERT')"
        )
        self.read_only = not may_write

    def _schemas(self, create: bool) -> tuple[str, str]:
        """The schemas of the gallery, and of the extension vector."""
        query = (
            'SELECT current_schema(), (SELECT nspname FROM pg_extension'
            " JOIN pg_namespace ON extnamespace = pg_namespace.oid WHERE extname = 'vector')"
        )
        schema, vector_schema = self.execute(query).fetchone()
        if schema is None:
            raise GalleryError(f'{self.location}: there is no schema of its search_path: make it')
        if vector_schema is None and create:
            with contextlib.suppress(GalleryError):
                self.execute('CREATE EXTENSION vector')
            vector_schema = self.execute(query).fetchone()[1]
        if vector_schema is None:
            raise GalleryError(
                f'{self.location} has no extension "vector": install pgvector on the server, and '
                'have an administrator run CREATE EXTENSION vector in this database'
            )
        return schema, vector_schema

    def close(self) -> None:
        """Closes it; its claims end. The connection is kept for the next one of its address."""
        kept_connections.keep(self.address, Session(self._connection, self._schema))

    # --- statements ---

    def execute(self, query: str, values: Sequence[Any] = (), binary: bool = False) -> Any:
        """Runs a statement with a value for each `?`; returns a cursor of psycopg.

        Args:
          query: the statement.
          values: for each `?`.
          binary: the server sends binary values, which is much faster for vectors.
        """
        with explained(self.location):
            query = query.replace('?', '%s')
            cursor = self._connection.execute(query, values or None, binary=binary)
        self._count_changes(cursor)
        return cursor

    def executemany(self, query: str, rows: Iterable[Sequence[Any]]) -> None:
        """Runs a statement for each row of values."""
        with explained(self.location), self._connection.cursor() as cursor:
            cursor.executemany(query.replace('?', '%s'), rows)
            self._count_changes(cursor)

    def copy_rows(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Adds rows to a table; faster than a statement for each."""
        with self._copying(f'COPY {table} ({", ".join(columns)}) FROM STDIN', ()) as copy:
            for row in rows:
                copy.write_row(row)
        self.total_changes += len(rows)

    def copy_in(self, columns: str, data: bytes) -> None:
        """Adds rows to columns of a table, as `pack_features` gives them."""
        with self._copying(f'COPY {columns} FROM STDIN (FORMAT BINARY)', ()) as copy:
            copy.write(data)
        self.total_changes += 1

    def copy_out(self, query: str, values: Sequence[Any]) -> Iterator[bytes]:
        """The rows of a query, one by one, for `unpack_features`."""
        with self._copying(f'COPY ({query}) TO STDOUT (FORMAT BINARY)', values) as copy:
            yield from copy

    @contextlib.contextmanager
    def _copying(self, query: str, values: Sequence[Any]) -> Iterator[Any]:
        with (
            explained(self.location),
            self._connection.cursor() as cursor,
            cursor.copy(query.replace('?', '%s'), values or None) as copy,
        ):
            yield copy

    def _count_changes(self, cursor: Any) -> None:
        if (cursor.statusmessage or '').startswith(('INSERT', 'UPDATE', 'DELETE')):
            self.total_changes += cursor.rowcount

    def each(self, query: str, values: Sequence[Any] = ()) -> Iterator[tuple]:
        """Rows one by one."""
        return iter(self.execute(query, values))

    @contextlib.contextmanager
    def transaction(self, read: bool = False) -> Iterator[None]:
        """As of `SqliteDatabase`."""
        if not read:
            if self.read_only:
                raise GalleryError(
                    f'{self.location} is read-only: it can be searched, but not changed'
                )
            with self.alone():
                yield
            return
        with self._begun('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY'):
            # Before the snapshot is taken, so that no table is emptied that it would still read.
            self.execute('LOCK TABLE feature_0, feature_1 IN ACCESS SHARE MODE')
            yield

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """A transaction during which nobody else changes the gallery."""
        with self._begun('BEGIN'):
            self.execute('SELECT pg_advisory_xact_lock(?, hashtext(current_schema()))', (_CHANGE,))
            yield

    @contextlib.contextmanager
    def unlocked(self) -> Iterator[None]:
        """A transaction during which others may change the gallery."""
        with self._begun('BEGIN'):
            yield

    @contextlib.contextmanager
    def _begun(self, begin: str) -> Iterator[None]:
        self.execute(begin)
        try:
            yield
        except BaseException:
            with contextlib.suppress(OSError):  # a server that is gone has rolled back
                self.execute('ROLLBACK')
            raise
        self.execute('COMMIT')

    # --- rows that differ from SQLite's ---

    def file_columns(self, path: bytes) -> dict[str, Any]:
        """Further columns of a file's row."""
        return {'path_text': path_text(path)}

    def insert_faces(
        self, rows: Sequence[Mapping[str, Any]], features: Sequence[np.ndarray]
    ) -> None:
        """Adds rows of the table `entry`, all with the same columns, each with its feature."""
        postgres_features.insert_faces(self, rows, features)

    # --- several programs ---

    def claim(self, keys: Iterable[bytes]) -> set[bytes]:
        """Which photos, by hash, this program may embed; others embed the rest right now.

        A claim ends with `release`, or when this program ends, however it ends.
        """
        numbers = {_claim_number(key): key for key in keys}
        rows = self.execute(
            'SELECT number, pg_try_advisory_lock(number) FROM unnest(?::bigint[]) AS number',
            (list(numbers),),
        )
        return {numbers[number] for number, is_mine in rows if is_mine}

    def release(self, keys: Iterable[bytes]) -> None:
        """Ends claims."""
        self.execute(
            'SELECT pg_advisory_unlock(number) FROM unnest(?::bigint[]) AS number',
            (list(map(_claim_number, keys)),),
        )

    @contextlib.contextmanager
    def refreshing(self) -> Iterator[None]:
        """Raises GalleryError where another program brings the gallery to a model."""
        lock = (_REFRESH,)
        key = '(?, hashtext(current_schema()))'
        if not self.execute(f'SELECT pg_try_advisory_lock{key}', lock).fetchone()[0]:
            raise GalleryError(f'{self.location}: another program is bringing it to a model')
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # a server that is gone has ended it
                self.execute(f'SELECT pg_advisory_unlock{key}', lock)

    # --- deleting ---

    def forget(self) -> str | None:
        """Frees what was removed from the tables' files; says why bytes may be left, or None.

        Small tables are rewritten, so that no file of them holds removed bytes. VACUUM alone,
        which large ones get, makes room that later rows overwrite.
        """
        logging.info('%s', _ELSEWHERE)
        names = ', '.join(f"'{table}'" for table in postgres_schema.TABLES)
        size, is_owner = self.execute(
            'SELECT sum(coalesce((SELECT sum(pg_total_relation_size(relid)) FROM'
            ' pg_partition_tree(oid)), pg_total_relation_size(oid)))::bigint,'
            " bool_and(pg_has_role(relowner, 'USAGE'))"
            f' FROM pg_class WHERE relnamespace = current_schema()::regnamespace'
            f' AND relname IN ({names})'
        ).fetchone()
        if not is_owner:
            return 'their bytes stay on disk until the owner of the tables runs VACUUM FULL'
        is_small = size <= _REWRITE_BYTES
        how = 'FULL, ANALYZE' if is_small else 'ANALYZE'
        try:
            self.execute(f'VACUUM ({how}) {", ".join(postgres_schema.TABLES)}')
        except GalleryError as error:  # such as a long search by somebody else
            return f'their bytes stay on disk until VACUUM FULL: {error}'
        if not is_small:
            return (
                f'the tables have {size / 2**30:.1f} GiB and were not rewritten: their bytes stay '
                'in free space until later rows overwrite them, or until VACUUM FULL'
            )
        return None


def drop_gallery(url: str) -> None:
    """Deletes a whole gallery: its tables. Other tables of the database stay.

    Raises:
      GalleryError: there is no gallery, or this user does not own it.
    """
    database = PostgresDatabase(url)
    try:
        with database.alone():
            for table in ('feature_1', 'feature_0', 'entry', 'file', 'photo', 'about'):
                database.execute(f'DROP TABLE {table}')
            database.execute('DROP TABLE diface_gallery')
        logging.info('%s', _ELSEWHERE)
    finally:
        database.close()


def _claim_number(key: bytes) -> int:
    return int.from_bytes(key[:8], 'big', signed=True)
