"""A gallery on disk: faces, their embeddings, and the files they are from, in one folder.

The store is SQLite, which Python brings along. A change is one transaction, so that a kill at any
moment leaves the gallery as it was before or after it; the write-ahead log lets somebody search
while somebody enrols; `secure_delete` overwrites what is removed with zeros. Searching needs no
vector index in the store, since it is exact and reads all features once
(`gallery/exact_search.py`).
Stores made for approximate search (LanceDB and the like) keep removed rows until compacted.

GALLERY/gallery.sqlite3 is all of it once no program has it open; beside it lie SQLite's -wal and
-shm while one has. Folder and files are for their owner alone.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from absl import logging

from diface_jax.gallery import conditions, row_checks
from diface_jax.gallery.row_checks import GalleryError

FILE = 'gallery.sqlite3'
_APPLICATION = 0x44694661  # 'DiFa', in SQLite's header
_VERSION = 3
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
_STATE = 'state'
_DETECTOR = 'detector'
_OVERWRITE_BYTES = 1 << 20  # at a time
_FEATURE = 'feature'
_RESTORE = 'Restore the gallery from a copy, or enrol its photographs in a new one'

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
}


# Left, top, right, bottom in pixels of the upright photo.
Box = tuple[int, int, int, int]


class PhotoFile(NamedTuple):
    """A file with a photo: its path as bytes, and what tells that it has changed."""

    path: bytes
    size: int
    modified_ns: int


class EnrolledFace(NamedTuple):
    """A face to be enrolled.

    Attributes:
      box: left, top, right, bottom in pixels of its upright photo; None when imported.
      picture: a small JPEG of its upright chip, or None.
      embedding_D: its raw embedding by E.
      feature_F: its feature f, which searches compare.
      wide_picture: a JPEG of the face with its surroundings, as they are in the photo; or None.
    """

    box: Box | None
    picture: bytes | None
    embedding_D: np.ndarray
    feature_F: np.ndarray
    wide_picture: bytes | None = None


class PhotoLabel(NamedTuple):
    """Labels of a photo: the person its largest face shows, and tags by name."""

    person: str | None = None
    tags: Mapping[str, str] = {}


@dataclasses.dataclass(frozen=True)
class GalleryEntry:
    """A face in the gallery.

    Attributes:
      id: its number, which no later entry gets.
      person: the person's name, if known.
      photo: where its photo is (the first of its copies, by name); None when imported.
      name: the id an imported embedding came with.
      box: left, top, right, bottom in pixels of the upright photo.
      tags: its tags by name.
      other_people: further people that copies of the photo are labelled with.
      taken: local time of the camera when it took the photo, such as '2019-07-14T12:30:05'; None
          where the photo does not say.
    """

    id: int
    person: str | None
    photo: str | None
    name: str | None
    box: Box | None
    tags: dict[str, str]
    other_people: tuple[str, ...] = ()
    taken: str | None = None


class Store:
    """An open gallery. Use it as a context manager.

    Args:
      folder: of the gallery.
      create: creates the gallery if it does not exist.

    A gallery that may not be written to (its folder or file, or what they lie on) is opened for
    reading.

    Raises:
      GalleryError: there is no gallery, or the folder holds something else; says what to do. All
        methods that read raise it for a damaged row, with the file and the row.
    """

    def __init__(self, folder: pathlib.Path, create: bool = False) -> None:
        self.folder, self._path = folder, folder / FILE
        if not self._path.is_file():
            _make(folder, create)
        self.read_only = not (os.access(folder, os.W_OK) and os.access(self._path, os.W_OK))
        try:
            self._database = _read_only(self._path) if self.read_only else _connect(str(self._path))
        except sqlite3.Error as error:
            raise GalleryError(f'{self._path} cannot be read as a gallery: {error}') from error
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise

    def _set_up(self) -> None:
        try:
            self._database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, row_checks.MAX_BYTES)
            self._prepare()
        except _READING_ERRORS as error:
            raise GalleryError(f'{self._path} cannot be read as a gallery: {error}') from error

    def _prepare(self) -> None:
        """Sets the connection up, makes the tables in an empty file, and checks the others."""
        run = self._database.execute
        run('PRAGMA foreign_keys = ON')
        run('PRAGMA secure_delete = ON')
        run('PRAGMA synchronous = FULL')
        run('PRAGMA trusted_schema = OFF')
        if self._is_empty() and not self.read_only:
            run('PRAGMA journal_mode = WAL')  # for good; it is in the file
            with self._transaction():
                if self._is_empty():  # still: another program may have been quicker
                    for statement in _SCHEMA.strip().split(';')[:-1]:
                        run(statement)
        application, version = self._kind()
        if application == _APPLICATION and version in _MIGRATIONS:
            self._migrate()
        kind = self._kind()
        if kind != (_APPLICATION, _VERSION):
            raise GalleryError(
                f'{self.folder / FILE} is not a gallery that this version reads (kind {kind[0]:#x},'
                f' version {kind[1]}, not {_VERSION}): use another --gallery'
            )
        if strange := self._rows(
            "SELECT name FROM sqlite_master WHERE type IN ('view', 'trigger')"
        ):
            raise GalleryError(f'{self._path} is damaged: {strange[0][0]!r} is not of a gallery')

    def _kind(self) -> tuple[int, int]:
        return self._number('PRAGMA application_id'), self._number('PRAGMA user_version')

    def _migrate(self) -> None:
        """Brings a gallery of an older version to this version, in place."""
        try:
            with self._transaction():
                # Read again: another program may have been quicker.
                for version in range(self._kind()[1], _VERSION):
                    for statement in _MIGRATIONS[version]:
                        self._database.execute(statement)
                self._database.execute(f'PRAGMA user_version = {_VERSION}')
        except (sqlite3.OperationalError, GalleryError) as error:
            raise GalleryError(
                f'{self.folder} was made by an older version and cannot be updated ({error}): open '
                'it once where it can be written, such as with --mode=search'
            ) from error

    def _is_empty(self) -> bool:
        return not self._number('SELECT count(*) FROM sqlite_master')

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes it; the last to close folds the log into the one file."""
        self._database.close()

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """A transaction: all changes within it are made, or none."""
        with self._transaction():
            before = self._database.total_changes
            yield
            if self._database.total_changes > before:
                self.bind(**{_STATE: secrets.token_hex(8)})

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """A snapshot of the gallery, without changes that others make meanwhile."""
        with self._transaction('DEFERRED'):
            yield

    @contextlib.contextmanager
    def _transaction(self, kind: str = 'IMMEDIATE') -> Iterator[None]:
        if self.read_only and kind == 'IMMEDIATE':
            raise GalleryError(f'{self.folder} is read-only: it can be searched, but not changed')
        self._database.execute(f'BEGIN {kind}')
        try:
            yield
        except sqlite3.DatabaseError as error:
            self._roll_back()
            if _is_passing(error):
                raise
            raise GalleryError(f'{self._path} is damaged: {error}. {_RESTORE}') from error
        except BaseException:
            self._roll_back()
            raise
        self._database.execute('COMMIT')

    def _roll_back(self) -> None:
        if self._database.in_transaction:  # SQLite ends it by itself after some errors
            self._database.execute('ROLLBACK')

    def state(self) -> str:
        """A string that differs after every change, by any program."""
        return str(self._about().get(_STATE, ''))

    # --- the model of the gallery ---

    def made_with(self) -> dict[str, Any]:
        """The encoder and the model of the gallery, as given to `bind`; empty for a new gallery."""
        return {
            name: value for name, value in self._about().items() if name not in (_STATE, _DETECTOR)
        }

    def _about(self) -> dict[str, Any]:
        try:
            return {
                name: row_checks.check_json(value, name)
                for name, value in self._each('SELECT name, value FROM about')
            }
        except ValueError as error:
            raise GalleryError(f'{self._path} is damaged: {error}') from error

    def bind(self, **made_with: Any) -> None:
        """Stores values by name, such as the encoder and the model of the gallery."""
        self._database.executemany(
            'INSERT OR REPLACE INTO about VALUES (?, ?)',
            [(name, json.dumps(value)) for name, value in made_with.items()],
        )

    # --- enrolling ---

    def use_detector(self, version: int) -> None:
        """Forgets, after a change of the face detector, which files had no usable face.

        So they count as new when they are enrolled next, and are searched for faces again.

        Args:
          version: of the face detector.
        """
        if self._about().get(_DETECTOR) == version:
            return
        with self.changing():
            self._database.execute(
                'DELETE FROM file WHERE photo IN (SELECT id FROM photo WHERE problem IS NOT NULL)'
            )
            self.drop_photos_without_files()
            self.bind(**{_DETECTOR: version})

    def files(self) -> dict[bytes, PhotoFile]:
        """Returns all enrolled files by path, those without a face too.

        Raises:
          GalleryError: a path is damaged.
        """
        files = [PhotoFile(*row) for row in self._rows('SELECT path, size, modified_ns FROM file')]
        if not all(isinstance(file.path, bytes) for file in files):
            raise GalleryError(
                f'{self.folder / FILE} is damaged: a path in it is not stored as bytes. Restore '
                'the gallery from a copy, or enrol its photographs in a new one'
            )
        return {file.path: file for file in files}

    def file_photos(self) -> dict[bytes, int]:
        """Returns the number of the photo that each enrolled file holds, by path."""
        return dict(self._rows('SELECT path, photo FROM file'))

    def copies(self, photo: int) -> list[PhotoFile]:
        """Returns the files that hold a photo, in order of their paths."""
        query = 'SELECT path, size, modified_ns FROM file WHERE photo = ? ORDER BY path'
        return [PhotoFile(*row) for row in self._rows(query, photo)]

    def conflicts(self) -> dict[int, dict[bytes, str]]:
        """Finds photos whose copies are labelled with different people.

        Returns:
          By the photo's number, the person by path.
        """
        rows = self._rows(
            "SELECT photo, path, person_label FROM file WHERE typeof(person_label) = 'text'"
            ' AND photo IN (SELECT photo FROM file GROUP BY photo'
            ' HAVING count(DISTINCT person_label) > 1)'
            ' AND photo IN (SELECT photo FROM entry WHERE face = 0) ORDER BY path'
        )
        people: dict[int, dict[bytes, str]] = {}
        for photo, path, person in rows:
            people.setdefault(photo, {})[path] = person
        return people

    def problems(self) -> dict[bytes, str]:
        """Why files have no entries, by path, of those that have none."""
        query = 'SELECT photo, path, problem FROM file JOIN photo ON photo.id = photo'
        return {
            self._checked('photo', photo, row_checks.check_path, path): problem
            for photo, path, problem in self._each(f'{query} WHERE problem IS NOT NULL')
        }

    def photo(self, sha256: bytes) -> int | None:
        """Returns the number of the photo with this hash; None where the gallery has none."""
        rows = self._rows('SELECT id FROM photo WHERE sha256 = ?', sha256)
        return rows[0][0] if rows else None

    def holds(self, path: bytes) -> bool:
        """Whether a file holds a photo with entries."""
        query = (
            'SELECT 1 FROM file JOIN photo ON photo.id = photo WHERE path = ? AND problem IS NULL'
        )
        return bool(self._rows(query, path))

    def problem(self, photo: int) -> str | None:
        """Why a photo has no entries; None where it has."""
        return self._rows('SELECT problem FROM photo WHERE id = ?', photo)[0][0]

    def add_photo(
        self,
        sha256: bytes,
        faces: Sequence[EnrolledFace],
        label: PhotoLabel,
        problem: str | None,
        taken: str | None = None,
    ) -> int:
        """Adds a photo with its faces, the largest first, or with the reason why it has none.

        Args:
          sha256: of its bytes.
          faces: its faces.
          label: its person and tags.
          problem: why it has no faces; None where it has.
          taken: when it was taken, as in `GalleryEntry`.

        Returns:
          The photo's number.
        """
        photo = self._database.execute(
            'INSERT INTO photo (sha256, problem, taken) VALUES (?, ?, ?)', (sha256, problem, taken)
        ).lastrowid
        for number, face in enumerate(faces):
            person = label.person if number == 0 else None
            self._add(photo, None, number, face, PhotoLabel(person, label.tags))
        return photo

    def add_embedding(self, name: str, face: EnrolledFace, label: PhotoLabel) -> None:
        """Adds an imported embedding; one of the same name is replaced."""
        self._database.execute('DELETE FROM entry WHERE name = ?', (name,))
        self._add(None, name, 0, face, label)

    def _add(
        self,
        photo: int | None,
        name: str | None,
        number: int,
        face: EnrolledFace,
        label: PhotoLabel,
    ) -> None:
        self._database.execute(
            'INSERT INTO entry (photo, name, face, box, person, tags, picture, embedding, feature,'
            ' wide_picture) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
            (
                photo,
                name,
                number,
                json.dumps(face.box) if face.box else None,
                label.person,
                json.dumps(dict(label.tags), sort_keys=True),
                face.picture,
                _blob(face.embedding_D),
                _blob(face.feature_F),
                face.wide_picture,
            ),
        )

    def place(self, file: PhotoFile, photo: int) -> None:
        """Records that a file holds a photo, in place of what it held before.

        Call `drop_photos_without_files` once all files of a change are placed: a photo whose file
        was replaced may have moved to another file.
        """
        replaced = self._photo_of(file.path)
        self._database.execute(
            'INSERT INTO file (path, photo, size, modified_ns) VALUES (?, ?, ?, ?)'
            ' ON CONFLICT (path) DO UPDATE SET photo = excluded.photo, size = excluded.size,'
            ' modified_ns = excluded.modified_ns,'
            # The label was of what the file held before.
            ' person_label = CASE WHEN photo = excluded.photo THEN person_label END',
            (file.path, photo, file.size, file.modified_ns),
        )
        if replaced not in (None, photo):
            self._choose_person(replaced)

    def drop_path(self, path: bytes, heir: bytes | None = None) -> bool:
        """Forgets a path whose photo has another one; its faces stay.

        Args:
          path: of the file.
          heir: another path of the photo, which takes over the person if it has no label yet.

        Returns:
          Whether it was dropped; the last path of a photo is not.
        """
        photo = self._photo_of(path)
        if photo is None or len(self.copies(photo)) < 2:
            return False
        self._database.execute(
            'UPDATE file SET person_label = (SELECT person_label FROM file WHERE path = ?)'
            ' WHERE path = ? AND photo = ? AND person_label IS NULL',
            (path, heir, photo),
        )
        self._database.execute('DELETE FROM file WHERE path = ?', (path,))
        self._choose_person(photo)
        return True

    def _photo_of(self, path: bytes) -> int | None:
        rows = self._rows('SELECT photo FROM file WHERE path = ?', path)
        return rows[0][0] if rows else None

    def label(self, path: bytes, label: PhotoLabel) -> bool:
        """Labels an enrolled file with a person and its photo with tags, where they are given.

        The largest face of the photo keeps the first person that its files are labelled with;
        `where` finds it by each of them.

        Returns:
          Whether the person or a tag is new.
        """
        new_person = label.person is not None and self._label_person(path, label.person)
        new_tags = bool(label.tags) and self._add_tags(path, label.tags)
        return new_person or new_tags

    def _label_person(self, path: bytes, person: str) -> bool:
        changed = self._database.execute(
            'UPDATE file SET person_label = ? WHERE path = ? AND person_label IS NOT ?',
            (person, path, person),
        ).rowcount
        if changed:
            self._choose_person(self._photo_of(path))
        return changed > 0

    def _add_tags(self, path: bytes, tags: Mapping[str, str]) -> bool:
        patch = json.dumps(dict(tags), sort_keys=True)
        changed = self._database.execute(
            'UPDATE entry SET tags = json_patch(tags, ?) WHERE'
            ' photo = (SELECT photo FROM file WHERE path = ?) AND json_patch(tags, ?) != tags',
            (patch, path, patch),
        ).rowcount
        return changed > 0

    def _choose_person(self, photo: int) -> None:
        """Names the largest face of a photo by its files' labels: as now, if one still says so."""
        rows = self._rows(
            'SELECT person_label FROM file WHERE photo = ? AND person_label IS NOT NULL'
            ' ORDER BY path',
            photo,
        )
        people = [person for (person,) in rows]
        now = self._rows('SELECT person FROM entry WHERE photo = ? AND face = 0', photo)
        if people and now and now[0][0] not in people:
            self._database.execute(
                'UPDATE entry SET person = ? WHERE photo = ? AND face = 0', (people[0], photo)
            )

    def faces_without_wide_picture(self) -> dict[int, dict[int, Box]]:
        """Boxes by entry, by photo, of faces that an older version enrolled."""
        boxes: dict[int, dict[int, Box]] = {}
        for entry, photo, box in self._each(
            'SELECT id, photo, box FROM entry WHERE wide_picture IS NULL'
            ' AND box IS NOT NULL AND photo IS NOT NULL'
        ):
            box = self._checked('entry', entry, row_checks.check_box, box)
            boxes.setdefault(photo, {})[entry] = box
        return boxes

    def add_wide_pictures(
        self, photo: int, pictures: Mapping[int, bytes], taken: str | None
    ) -> None:
        """Stores JPEGs by entry, and when their photo was taken, within a transaction."""
        self._database.execute('UPDATE photo SET taken = ? WHERE id = ?', (taken, photo))
        self._database.executemany(
            'UPDATE entry SET wide_picture = ? WHERE id = ?',
            [(picture, entry) for entry, picture in pictures.items()],
        )

    def replace_features(self, refine: Any, rows: int = 4096) -> Iterator[int]:
        """Computes all features again from the stored embeddings, within a transaction.

        Args:
          refine: from embedding_NxD to feature_NxF.
          rows: how many are computed in one call of `refine`.

        Yields:
          The number of rows of each call.
        """
        last, width = -1, None
        while batch := self._rows(
            'SELECT id, embedding FROM entry WHERE id > ? ORDER BY id LIMIT ?', last, rows
        ):
            width = width or len(self._embedding(*batch[0], None))
            f_NxF = refine(np.stack([self._embedding(*row, width) for row in batch]))
            self._database.executemany(
                'UPDATE entry SET feature = ? WHERE id = ?',
                [(_blob(f_F), number) for (number, _), f_F in zip(batch, f_NxF, strict=True)],
            )
            last = batch[-1][0]
            yield len(batch)

    def _embedding(self, number: int, embedding: Any, width: int | None) -> np.ndarray:
        return self._checked('entry', number, row_checks.check_embedding, embedding, width)

    # --- searching ---

    def count(self) -> dict[str, int]:
        """How many entries, people (an entry without a name is one), photos and files there are."""
        entries, named, people = next(
            self._each('SELECT count(*), count(person), count(DISTINCT person) FROM entry')
        )
        return {
            'entries': entries,
            'people': entries - named + people,
            'photos': self._number('SELECT count(*) FROM photo WHERE problem IS NULL'),
            'files': self._number('SELECT count(*) FROM file'),
        }

    def features(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All entries in the order of their numbers: id_G, f_GxF, and person_G.

        `person_G` numbers people from 0; an entry without a name is a person of its own. To be
        called within `reading` where others may write.
        """
        entries, width = self._number('SELECT count(*) FROM entry'), self._feature_width()
        f_GxF = np.empty((entries, width), np.float32)
        id_G, person_G, people = np.empty(entries, np.int64), np.empty(entries, np.int64), {}
        rows = self._each('SELECT id, person, feature FROM entry ORDER BY id')
        for row, (number, person, feature) in zip(range(entries), rows, strict=False):
            person = self._checked('entry', number, row_checks.check_text, person, 'person')
            id_G[row] = number
            person_G[row] = people.setdefault(person if person is not None else number, len(people))
            f_GxF[row] = self._checked(
                'entry', number, row_checks.check_vector, feature, _FEATURE, width
            )
        bad_B = row_checks.rows_not_unit_length(f_GxF)
        if len(bad_B):
            raise self._damaged(
                'entry', int(id_G[bad_B[0]]), f'the length of its {_FEATURE} is not 1'
            )
        return id_G, f_GxF, person_G

    def _feature_width(self) -> int:
        """How many numbers the first feature has; 0 in an empty gallery."""
        first = next(self._each('SELECT id, feature FROM entry ORDER BY id LIMIT 1'), None)
        if first is None:
            return 0
        number, feature = first
        return len(self._checked('entry', number, row_checks.check_vector, feature, _FEATURE))

    def entries(self, ids: Iterable[int]) -> list[GalleryEntry]:
        """Entries by number, in the order asked for."""
        return [
            dataclasses.replace(self._entry(number), other_people=self._other_people(number))
            for number in ids
        ]

    def _other_people(self, number: int) -> tuple[str, ...]:
        rows = self._rows(
            'SELECT DISTINCT person_label FROM file JOIN entry ON entry.photo = file.photo'
            ' WHERE entry.id = ? AND face = 0 AND person_label != person'
            " AND typeof(person_label) = 'text' ORDER BY person_label",
            int(number),
        )
        return tuple(person for (person,) in rows)

    def _entry(self, number: int) -> GalleryEntry:
        row = self._by_number(
            'SELECT person, (SELECT min(path) FROM file WHERE file.photo = entry.photo), name, box,'
            ' tags, (SELECT taken FROM photo WHERE photo.id = entry.photo) FROM entry WHERE id = ?',
            number,
        )
        if row is None:
            raise GalleryError(f'there is no entry {number} in {self.folder}')
        return self._checked('entry', number, _entry_of, number, *row)

    def picture(self, number: int) -> bytes | None:
        """The small JPEG of an entry's upright chip; None where there is none."""
        return self._jpeg('picture', number)

    def wide_picture(self, number: int) -> bytes | None:
        """The JPEG of an entry's face with its hair, or else of its chip; or None."""
        return self._jpeg('coalesce(wide_picture, picture)', number)

    def photo_of(self, number: int) -> tuple[bytes, list[bytes]]:
        """The SHA-256 of the photo that an entry's face is from, and the paths of its copies.

        Raises:
          GalleryError: there is no such entry, or it was imported without a photo.
        """
        row = self._by_number(
            'SELECT photo.id, sha256 FROM entry JOIN photo ON photo.id = photo WHERE entry.id = ?',
            number,
        )
        if row is None:
            raise GalleryError(f'entry {number} has no photo in {self.folder}')
        return row[1], [file.path for file in self.copies(row[0])]

    def _jpeg(self, column: str, number: int) -> bytes | None:
        row = self._by_number(f'SELECT {column} FROM entry WHERE id = ?', number)
        return (
            None
            if row is None
            else self._checked('entry', number, row_checks.check_picture, row[0])
        )

    def _by_number(self, query: str, number: int) -> tuple | None:
        """The row of an entry; None where there is none, as of a number beyond SQLite's 64 bits."""
        if not 0 <= number < 1 << 63:
            return None
        return next(self._each(query, int(number)), None)

    def where(self, chosen: conditions.Where) -> np.ndarray:
        """Numbers of the entries that fit all conditions, in order; [M].

        Args:
          chosen: conditions by `entry` (a number), `person`, `photo` (a path), `taken` (as in
            `GalleryEntry`), `name` or a tag: a pattern with `*` and `?`, or an exact value; case
            counts.
        """
        return self._chosen(chosen)[0]

    def unusable_where(self, chosen: conditions.Where) -> list[bytes]:
        """Paths of the files without a face that fit all conditions.

        They have a `photo` (their path), and a `person` where their folder is named like that.
        """
        return self._chosen(chosen)[1]

    def _chosen(self, chosen: conditions.Where) -> tuple[np.ndarray, list[bytes]]:
        """Numbers of the entries, and paths of the files without a face, that fit."""
        described, unusable = list(self.described()), list(self._unusable())
        candidates = [values for _, values in (*described, *unusable)]
        fits = conditions.matcher(conditions.conditions_of(chosen), candidates)
        ids = [number for number, values in described if fits(values)]
        paths = [path for path, values in unusable if fits(values)]
        return np.unique(np.array(ids, np.int64)), paths

    def described(self) -> Iterator[tuple[int, conditions.Values]]:
        """What conditions are about, of each entry and each copy of its photo."""
        rows = self._each(
            'SELECT entry.id, CASE face WHEN 0 THEN coalesce(person_label, person) ELSE person END,'
            ' name, tags, path, taken FROM entry'
            ' LEFT JOIN file ON file.photo = entry.photo'
            ' LEFT JOIN photo ON photo.id = entry.photo ORDER BY entry.id'
        )
        for number, *columns in rows:
            yield number, self._checked('entry', number, _values, number, *columns)

    def _unusable(self) -> Iterator[tuple[bytes, conditions.Values]]:
        for path in self.problems():
            folder = path_text(os.path.basename(os.path.dirname(path)))
            yield path, {'photo': path_text(path), 'person': folder}

    # --- reading what may be damaged ---

    def _each(self, query: str, *values: Any) -> Iterator[tuple]:
        """Rows one by one."""
        last = None
        try:
            for row in self._database.execute(query, values):
                yield row
                last = row[0]
        except _READING_ERRORS as error:
            if _is_passing(error):
                raise
            after = '' if last is None else f', after row {last}'
            raise GalleryError(f'{self._path}{after} is damaged: {error}. {_RESTORE}') from error

    def _checked(self, kind: str, number: int, check: Callable[..., Any], *values: Any) -> Any:
        """What a check makes of values; GalleryError, which names the row, where it refuses."""
        try:
            return check(*values)
        except ValueError as error:
            raise self._damaged(kind, number, str(error)) from error

    def _damaged(self, kind: str, number: int, why: str) -> GalleryError:
        return GalleryError(f'{self._path}, {kind} {number} is damaged: {why}. {_RESTORE}')

    # --- removing ---

    def remove(self, chosen: conditions.Where) -> int:
        """Deletes the entries that fit all conditions (as in `where`), for good.

        With the last entry of a photo go its hash and its files' paths, and so do those of files
        without a face: by `photo`, and by `person` where a folder is named like that.

        Returns:
          How many entries went. A face that is labelled with other people too is counted, but it
          stays under their names: only the label and the path that carried it go.
        """
        with self.changing():
            ids, paths = self._chosen(chosen)
            for path in paths:
                self._database.execute('DELETE FROM file WHERE path = ?', (path,))
            self.drop_photos_without_files()
            ids = ids.tolist()
            renamed = set(self._drop_labels(ids, chosen))
            if renamed:
                logging.info(
                    '%d faces stay under the other people they are labelled with', len(renamed)
                )
            return len(renamed) + self._remove([number for number in ids if number not in renamed])

    def _drop_labels(self, ids: Sequence[int], chosen: conditions.Where) -> list[int]:
        """Takes the people that fit from faces that are labelled with other people too.

        Returns:
          The numbers of these faces, which stay.
        """
        people = [pair for pair in conditions.conditions_of(chosen) if pair[0] == 'person']
        renamed = []
        for number in ids if people else ():
            files = self._rows(
                'SELECT path, person_label FROM file JOIN entry ON entry.photo = file.photo'
                ' WHERE entry.id = ? AND face = 0 AND person_label IS NOT NULL',
                number,
            )
            fits = conditions.matcher(people, [{'person': label} for _, label in files])
            fit = [path for path, label in files if fits({'person': label})]
            if len(fit) < len(files):
                renamed.append(number)
                for path in fit:
                    self.drop_path(path)
        return renamed

    def remove_photos(self, photos: Iterable[int]) -> int:
        """Deletes photos for good, with their faces and paths; returns how many faces went."""
        faces = 0
        for photo in photos:
            faces += self._database.execute('DELETE FROM entry WHERE photo = ?', (photo,)).rowcount
            self._database.execute('DELETE FROM file WHERE photo = ?', (photo,))
        self.drop_photos_without_files()
        return faces

    def _remove(self, ids: Sequence[int]) -> int:
        run = self._database.execute
        photos = {
            photo
            for number in ids
            for (photo,) in self._rows('SELECT photo FROM entry WHERE id = ?', number)
        }
        gone = sum(run('DELETE FROM entry WHERE id = ?', (number,)).rowcount for number in ids)
        for photo in photos - {None}:
            if not self._rows('SELECT 1 FROM entry WHERE photo = ? LIMIT 1', photo):
                run('DELETE FROM file WHERE photo = ?', (photo,))
                run('DELETE FROM photo WHERE id = ?', (photo,))
        return gone

    def forget(self) -> bool:
        """Empties the log of what was removed; False while another program is reading the gallery.

        To be called after `remove_entries`: until then, the log may still hold removed bytes.
        """
        return self._rows('PRAGMA wal_checkpoint(TRUNCATE)')[0][0] == 0

    def drop_photos_without_files(self) -> None:
        """Deletes the photos, with their faces, that no file holds any more."""
        self._database.execute('DELETE FROM photo WHERE id NOT IN (SELECT photo FROM file)')

    def _rows(self, query: str, *values: Any) -> list[tuple]:
        return self._database.execute(query, values).fetchall()

    def _number(self, query: str) -> int:
        return next(self._each(query))[0]


def delete_gallery(folder: pathlib.Path) -> None:
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


def remove_entries(folder: pathlib.Path, where: conditions.Where) -> int:
    """Deletes entries of a gallery for good; it needs no model.

    Args:
      folder: of the gallery.
      where: which, as for a search; `entry` is a number. A photo that stays in its folder comes
        back when the folder is enrolled again.

    Returns:
      The number of entries removed.

    Raises:
      GalleryError: there is no gallery; or another program has it open, which keeps bytes on disk.
    """
    with Store(folder) as store:
        gone = store.remove(where)
        if not store.forget():
            raise GalleryError(
                f'{gone} entries were removed, but another program has the gallery open, so their '
                'bytes may be on disk until it closes it'
            )
    return gone


def path_text(path: bytes) -> str:
    """A path as text that can be printed; bytes that are no text are escaped."""
    return path.decode('utf-8', 'backslashreplace')


def sha256_of_bytes(data: bytes) -> bytes:
    """The hash by which photos are identified."""
    return hashlib.sha256(data).digest()


def _make(folder: pathlib.Path, create: bool) -> None:
    """Makes an empty file that only its owner may read; SQLite gives its log the same mode."""
    if not create:
        raise GalleryError(f'no gallery in {folder}: make one with --mode=enroll --photos=FOLDER')
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise GalleryError(f'{folder} exists already and is not a gallery: give another --gallery')
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    os.close(os.open(folder / FILE, os.O_CREAT | os.O_WRONLY, 0o600))


def _blob(values_W: np.ndarray) -> bytes:
    return np.ascontiguousarray(values_W, np.float32).tobytes()


def _entry_of(
    number: int, person: Any, path: Any, name: Any, box: Any, tags: Any, taken: Any
) -> GalleryEntry:
    """An entry from a row of the table; ValueError where a value cannot be one of an entry."""
    path = row_checks.check_path(path)
    return GalleryEntry(
        id=number,
        person=row_checks.check_text(person, 'person'),
        photo=None if path is None else path_text(path),
        name=row_checks.check_text(name, 'name'),
        box=row_checks.check_box(box),
        tags=row_checks.check_tags(tags),
        taken=row_checks.check_text(taken, 'date'),
    )


def _values(
    number: int, person: Any, name: Any, tags: Any, path: Any, taken: Any
) -> conditions.Values:
    """What conditions are about, from a row of the tables; ValueError where it cannot be that."""
    path = row_checks.check_path(path)
    return {
        **row_checks.check_tags(tags),
        'person': row_checks.check_text(person, 'person'),
        'name': row_checks.check_text(name, 'name'),
        'entry': str(number),
        'photo': None if path is None else path_text(path),
        'taken': row_checks.check_text(taken, 'date'),
    }


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
