"""A gallery in SQLite, which Python brings along: one file in a folder.

A change is one transaction, so that a kill at any moment leaves the gallery as it was before or
after it; the write-ahead log lets somebody search while somebody enrols; `secure_delete`
overwrites what is removed with zeros. Searching needs no vector index in the database, since it is
exact and reads all features once (`gallery/exact_search.py`).
Databases made for approximate search (LanceDB and the like) keep removed rows until compacted.

GALLERY/gallery.sqlite3 is all of it once no program has it open; beside it lie SQLite's -wal and
-shm while one has. Folder and files are for their owner alone.
"""

import contextlib
import os
import pathlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from diface_jax.gallery import row_checks, sqlite_conditions
from diface_jax.gallery.entries import as_blob
from diface_jax.gallery.row_checks import RESTORE, GalleryError
from diface_jax.gallery.sqlite_conditions import SqliteDialect

FILE = 'gallery.sqlite3'
_APPLICATION = 0x44694661  # 'DiFa', in SQLite's header
_VERSION = 4
_BUSY_SECONDS = 30
_PASSING = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_CONSTRAINT,
)
# The second is what SQLite's messages about damaged text raise.
_READING_ERRORS = (sqlite3.DatabaseError, UnicodeDecodeError)
_OVERWRITE_BYTES = 1 << 20  # at a time

# A photo is its bytes, wherever they lie: copies are rows of `file`, and entries belong to a photo.
# `person_label` is whom this path names; `entry.person` is the first of a photo's labels.
_SCHEMA = f"""
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_VERSION};
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE photo (
  id INTEGER PRIMARY KEY,
  sha256 BLOB NOT NULL UNIQUE,
  problem TEXT,
  taken TEXT
);
CREATE TABLE file (
  path BLOB PRIMARY KEY,
  photo INTEGER NOT NULL REFERENCES photo (id),
  size INTEGER NOT NULL,
  modified_ns INTEGER NOT NULL,
  person_label TEXT
);
CREATE INDEX file_of_photo ON file (photo);
CREATE INDEX file_of_person ON file (person_label, photo);
CREATE TABLE entry (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  photo INTEGER REFERENCES photo (id) ON DELETE CASCADE,
  name TEXT UNIQUE,
  face INTEGER NOT NULL,
  box TEXT,
  person TEXT,
  tags TEXT NOT NULL,
  picture BLOB,
  embedding BLOB NOT NULL,
  feature BLOB NOT NULL,
  wide_picture BLOB
);
CREATE INDEX entry_of_photo ON entry (photo);
CREATE INDEX entry_of_person ON entry (person);
CREATE INDEX entry_of_tags ON entry (tags);
"""
# What brings a gallery of each older version to the next one.
_MIGRATIONS = {
    # Version 1 kept one person for all copies of a photo.
    1: (
        'ALTER TABLE file ADD COLUMN person_label TEXT',
        'UPDATE file SET person_label ='
        ' (SELECT person FROM entry WHERE entry.photo = file.photo AND face = 0)',
    ),
    # Version 2 kept neither wide pictures nor dates. Enrolling the folder again adds them.
    2: (
        'ALTER TABLE photo ADD COLUMN taken TEXT',
        'ALTER TABLE entry ADD COLUMN wide_picture BLOB',
    ),
    # Version 3 read all entries to find those of a tag.
    3: (
        'CREATE INDEX file_of_person ON file (person_label, photo)',
        'CREATE INDEX entry_of_tags ON entry (tags)',
    ),
}


class SqliteDatabase:
    """An open gallery in a folder. One that may not be written to is opened for reading.

    Args:
      folder: of the gallery.
      create: creates the gallery if it does not exist.

    Attributes:
      location: the folder, for messages.
      source: the file, for messages about what it holds.
      read_only: whether it cannot be changed.

    Raises:
      GalleryError: there is no gallery, or the folder holds something else; says what to do.
    """

    is_server, dialect = False, SqliteDialect()

    def __init__(self, folder: pathlib.Path, create: bool = False) -> None:
        self.address, self.location = folder, str(folder)
        self._path = folder / FILE
        self.source = str(self._path)
        if not self._path.is_file():
            _make(folder, create)
        self.read_only = not (os.access(folder, os.W_OK) and os.access(self._path, os.W_OK))
        try:
            self._connection = (
                _read_only(self._path) if self.read_only else _connect(str(self._path))
            )
        except sqlite3.Error as error:
            raise GalleryError(f'{self._path} cannot be read as a gallery: {error}') from error
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise

    def _set_up(self) -> None:
        try:
            self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, row_checks.MAX_BYTES)
            sqlite_conditions.add_functions(self._connection)
            self._prepare()
        except _READING_ERRORS as error:
            raise GalleryError(f'{self._path} cannot be read as a gallery: {error}') from error

    def _prepare(self) -> None:
        """Sets the connection up, makes the tables in an empty file, and checks the others."""
        run = self.execute
        run('PRAGMA foreign_keys = ON')
        run('PRAGMA secure_delete = ON')
        run('PRAGMA synchronous = FULL')
        run('PRAGMA trusted_schema = OFF')
        if self._is_empty() and not self.read_only:
            run('PRAGMA journal_mode = WAL')  # for good; it is in the file
            with self.transaction():
                if self._is_empty():  # still: another program may have been quicker
                    for statement in _SCHEMA.strip().split(';')[:-1]:
                        run(statement)
        application, version = self._kind()
        if application == _APPLICATION and version in _MIGRATIONS:
            self._migrate()
        kind = self._kind()
        if kind != (_APPLICATION, _VERSION):
            raise GalleryError(
                f'{self._path} is not a gallery that this version reads (kind {kind[0]:#x},'
                f' version {kind[1]}, not {_VERSION}): use another --gallery'
            )
        views = "SELECT name FROM sqlite_master WHERE type IN ('view', 'trigger')"
        if strange := self.execute(views).fetchall():
            raise GalleryError(f'{self._path} is damaged: {strange[0][0]!r} is not of a gallery')

    def _kind(self) -> tuple[int, int]:
        return self._number('PRAGMA application_id'), self._number('PRAGMA user_version')

    def _migrate(self) -> None:
        """Brings a gallery of an older version to this version, in place."""
        try:
            with self.transaction():
                # Read again: another program may have been quicker.
                for version in range(self._kind()[1], _VERSION):
                    for statement in _MIGRATIONS[version]:
                        self.execute(statement)
                self.execute(f'PRAGMA user_version = {_VERSION}')
        except (sqlite3.OperationalError, GalleryError) as error:
            raise GalleryError(
                f'{self.location} was made by an older version and cannot be updated ({error}): '
                'open it once where it can be written, such as with --mode=search'
            ) from error

    def _is_empty(self) -> bool:
        return not self._number('SELECT count(*) FROM sqlite_master')

    def _number(self, query: str) -> int:
        return next(self.each(query))[0]

    def close(self) -> None:
        """Closes it; the last to close folds the log into the one file."""
        self._connection.close()

    def execute(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Runs a statement with a value for each `?`."""
        return self._connection.execute(query, values)

    def executemany(self, query: str, rows: Iterable[Sequence[Any]]) -> None:
        """Runs a statement for each row of values."""
        self._connection.executemany(query, rows)

    def each(self, query: str, values: Sequence[Any] = ()) -> Iterator[tuple]:
        """Rows one by one; raises GalleryError where the file is damaged."""
        last = None
        try:
            for row in self.execute(query, values):
                yield row
                last = row[0]
        except _READING_ERRORS as error:
            if _is_passing(error):
                raise
            after = '' if last is None else f', after row {last}'
            raise GalleryError(f'{self._path}{after} is damaged: {error}. {RESTORE}') from error

    @property
    def total_changes(self) -> int:
        """How many rows were changed since it was opened."""
        return self._connection.total_changes

    @contextlib.contextmanager
    def transaction(self, read: bool = False) -> Iterator[None]:
        """All changes within it are made, or none; nobody else changes the gallery meanwhile.

        Args:
          read: it changes nothing, and sees nothing that others change meanwhile.
        """
        if self.read_only and not read:
            raise GalleryError(f'{self.location} is read-only: it can be searched, but not changed')
        self.execute('BEGIN DEFERRED' if read else 'BEGIN IMMEDIATE')
        try:
            yield
        except sqlite3.DatabaseError as error:
            self._roll_back()
            if _is_passing(error):
                raise
            raise GalleryError(f'{self._path} is damaged: {error}. {RESTORE}') from error
        except BaseException:
            self._roll_back()
            raise
        self.execute('COMMIT')

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # SQLite ends it by itself after some errors
            self.execute('ROLLBACK')

    def file_columns(self, path: bytes) -> dict[str, Any]:
        """Further columns of a file's row."""
        del path
        return {}

    def insert_faces(
        self, rows: Sequence[Mapping[str, Any]], features: Sequence[np.ndarray]
    ) -> None:
        """Adds rows of the table `entry`, all with the same columns, each with its feature."""
        columns = [*rows[0], 'feature']
        marks = ', '.join('?' * len(columns))
        self.executemany(
            f'INSERT INTO entry ({", ".join(columns)}) VALUES ({marks})',
            [(*row.values(), as_blob(f_F)) for row, f_F in zip(rows, features, strict=True)],
        )

    def claim(self, keys: Iterable[bytes]) -> set[bytes]:
        """Which photos, by hash, this program may embed: all."""
        return set(keys)

    def release(self, keys: Iterable[bytes]) -> None:
        """Ends claims."""

    def forget(self) -> str | None:
        """Empties the log of what was removed; why that could not be done, or None."""
        if self.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchall()[0][0]:
            return (
                'another program has the gallery open, so their bytes may be on disk until it '
                'closes it'
            )
        return None


def delete_folder(folder: pathlib.Path) -> None:
    """Deletes a whole gallery: its files, and the folder when nothing else is in it.

    The files' bytes are overwritten with zeros first. That cannot reach the copies that SSDs,
    copy-on-write file systems, snapshots and backups keep, the log that SQLite deleted when the
    gallery was last closed, nor what a program that has it open writes afterwards.

    Raises:
      GalleryError: there is no gallery.
      OSError: a file cannot be written; none is deleted then.
    """
    path = folder / FILE
    if not path.is_file() or _is_other_database(path):
        raise GalleryError(f'no gallery in {folder}')
    parts = [folder / f'{FILE}{suffix}' for suffix in ('-wal', '-shm', '-journal', '')]
    parts = [part for part in parts if part.exists()]
    for part in parts:
        _overwrite(part)
    for part in parts:
        part.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def _is_other_database(path: pathlib.Path) -> bool:
    """Whether it is a whole SQLite database of another program; a damaged gallery is not."""
    with open(path, 'rb') as file:
        header = file.read(100)
    application = int.from_bytes(header[68:72], 'big')
    # The mark of a new gallery is still in its log.
    is_new = application == 0 and path.with_name(f'{path.name}-wal').exists()
    is_whole = len(header) == 100 and header.startswith(b'SQLite format 3')
    return is_whole and application != _APPLICATION and not is_new


def _overwrite(path: pathlib.Path) -> None:
    """Overwrites a file with zeros where it lies on the disk."""
    with open(path, 'r+b', buffering=0) as file:
        left = os.fstat(file.fileno()).st_size
        while left > 0:
            left -= file.write(bytes(min(left, _OVERWRITE_BYTES)))
        os.fsync(file.fileno())


def _make(folder: pathlib.Path, create: bool) -> None:
    """Makes an empty file that only its owner may read; SQLite gives its log the same mode."""
    if not create:
        raise GalleryError(f'no gallery in {folder}: make one with --mode=enroll --photos=FOLDER')
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise GalleryError(f'{folder} exists already and is not a gallery: give another --gallery')
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    os.close(os.open(folder / FILE, os.O_CREAT | os.O_WRONLY, 0o600))


def _is_passing(error: Exception) -> bool:
    """Whether an error is of the moment (a lock, a full disk), not of what the file holds."""
    return getattr(error, 'sqlite_errorcode', 0) & 0xFF in _PASSING


def _connect(address: str, uri: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(
        address, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=uri
    )


def _read_only(path: pathlib.Path) -> sqlite3.Connection:
    """A gallery that cannot be written to, opened for reading.

    SQLite keeps files beside it even to read. Where they cannot be made, it is told that nobody
    changes the gallery; but not where changes wait in its log, which it would pass over.

    Raises:
      sqlite3.Error: it cannot be read.
      GalleryError: its log cannot be read.
    """
    database = _connect(f'{path.resolve().as_uri()}?mode=ro', uri=True)
    try:
        database.execute('SELECT count(*) FROM sqlite_master').fetchone()
        return database
    except sqlite3.OperationalError as error:
        database.close()
        log = path.with_name(f'{path.name}-wal')
        if log.is_file() and log.stat().st_size:
            raise GalleryError(
                f'{path} is read-only, and its last changes are still in {log.name}: open it once '
                'where it can be written, such as with --mode=search, or copy its whole folder'
            ) from error
    return _connect(f'{path.resolve().as_uri()}?immutable=1', uri=True)
