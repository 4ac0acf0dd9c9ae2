"""A gallery on disk: faces, their embeddings, and the files they are from, in one folder.

The store is SQLite, which Python brings along. A change is one transaction, so that a kill at any
moment leaves the gallery as it was before or after it; the write-ahead log lets somebody search
while somebody enrols; `secure_delete` overwrites what is removed with zeros. Searching needs no
vector index in the store, since it is exact and reads all features once (`recognition/nearest.py`).
Stores made for approximate search (LanceDB and the like) keep removed rows until compacted.

GALLERY/gallery.sqlite3 is all of it once no program has it open; beside it lie SQLite's -wal and
-shm while one has. Folder and files are for their owner alone.
"""

import contextlib
import dataclasses
import fnmatch
import hashlib
import json
import os
import pathlib
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from absl import logging

FILE = 'gallery.sqlite3'
_APPLICATION = 0x44694661  # 'DiFa', in SQLite's header
_VERSION = 2
_BUSY_SECONDS = 30
_STATE = 'state'
_OVERWRITE_BYTES = 1 << 20  # at a time

# A photo is its bytes, wherever they lie: copies are rows of `file`, and entries belong to a photo.
# `person_label` is whom this path names; `entry.person` is the first of a photo's labels.
_SCHEMA = f"""
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_VERSION};
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE photo (id INTEGER PRIMARY KEY, sha256 BLOB NOT NULL UNIQUE, problem TEXT);
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
  feature BLOB NOT NULL
);
CREATE INDEX entry_of_photo ON entry (photo);
CREATE INDEX entry_of_person ON entry (person);
"""
# Version 1 kept one person for all copies of a photo.
_FROM_VERSION_1 = (
    'ALTER TABLE file ADD COLUMN person_label TEXT',
    'UPDATE file SET person_label ='
    ' (SELECT person FROM entry WHERE entry.photo = file.photo AND face = 0)',
    f'PRAGMA user_version = {_VERSION}',
)


class GalleryError(ValueError):
    """The gallery cannot be used as it was asked for; says what to do."""


class File(NamedTuple):
    """A file with a photo: its path as bytes, and what tells that it has changed."""

    path: bytes
    size: int
    modified_ns: int


class Face(NamedTuple):
    """A face to be enrolled.

    Attributes:
      box: left, top, right, bottom in pixels of its upright photo; None when imported.
      picture: a small JPEG of it, or None.
      embedding_D: what E makes of it, raw.
      feature_F: what it is matched by.
    """

    box: tuple[int, int, int, int] | None
    picture: bytes | None
    embedding_D: np.ndarray
    feature_F: np.ndarray


class Label(NamedTuple):
    """What is said of a photo: who it shows (its largest face), and anything by name."""

    person: str | None = None
    tags: Mapping[str, str] = {}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A face in the gallery.

    Attributes:
      id: its number, never used again.
      person: who it is, where that is known.
      photo: where its photo is (the first of its copies, by name); None when imported.
      name: the id an imported embedding came with.
      box: left, top, right, bottom in pixels of the upright photo.
      tags: what was said of it by name.
      other_people: further people that copies of the photo are labelled with.
    """

    id: int
    person: str | None
    photo: str | None
    name: str | None
    box: tuple[int, int, int, int] | None
    tags: dict[str, str]
    other_people: tuple[str, ...] = ()


class Store:
    """An open gallery. Use it as a context manager.

    Args:
      folder: of the gallery.
      create: makes a gallery where there is none.

    Raises:
      GalleryError: there is none, or what is there is none; says what to do.
    """

    def __init__(self, folder: pathlib.Path, create: bool = False) -> None:
        self.folder = folder
        path = folder / FILE
        if not path.is_file():
            _make(folder, create)
        try:
            self._database = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._set_up()
        except sqlite3.DatabaseError as error:
            raise GalleryError(f'{path} cannot be read as a gallery: {error}') from error

    def _set_up(self) -> None:
        run = self._database.execute
        run('PRAGMA foreign_keys = ON')
        run('PRAGMA secure_delete = ON')
        run('PRAGMA synchronous = FULL')
        if self._is_empty():
            run('PRAGMA journal_mode = WAL')  # for good; it is in the file
            with self._transaction():
                if self._is_empty():  # still: another program may have been quicker
                    for statement in _SCHEMA.strip().split(';')[:-1]:
                        run(statement)
        if self._kind() == (_APPLICATION, 1):
            self._migrate()
        kind = self._kind()
        if kind != (_APPLICATION, _VERSION):
            raise GalleryError(
                f'{self.folder / FILE} is not a gallery that this version reads (kind {kind[0]:#x},'
                f' version {kind[1]}, not {_VERSION}): use another --gallery'
            )

    def _kind(self) -> tuple[int, int]:
        return self._number('PRAGMA application_id'), self._number('PRAGMA user_version')

    def _migrate(self) -> None:
        """Brings a gallery of version 1 to this version, in place."""
        try:
            with self._transaction():
                if self._kind()[1] == 1:  # still: another program may have been quicker
                    for statement in _FROM_VERSION_1:
                        self._database.execute(statement)
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
        """A transaction: all that is changed within it, or nothing."""
        with self._transaction():
            before = self._database.total_changes
            yield
            if self._database.total_changes > before:
                self.bind(**{_STATE: secrets.token_hex(8)})

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """A moment of the gallery: what others change meanwhile is not seen."""
        with self._transaction('DEFERRED'):
            yield

    @contextlib.contextmanager
    def _transaction(self, kind: str = 'IMMEDIATE') -> Iterator[None]:
        self._database.execute(f'BEGIN {kind}')
        try:
            yield
        except BaseException:
            self._database.execute('ROLLBACK')
            raise
        self._database.execute('COMMIT')

    def state(self) -> str:
        """Another one after every change, whoever made it."""
        return self._about().get(_STATE, '')

    # --- what the gallery was made with ---

    def made_with(self) -> dict[str, Any]:
        """What `bind` was told; empty for a new gallery."""
        return {name: value for name, value in self._about().items() if name != _STATE}

    def _about(self) -> dict[str, Any]:
        return {name: json.loads(value) for name, value in self._rows('SELECT * FROM about')}

    def bind(self, **made_with: Any) -> None:
        """Writes down what the gallery is made with."""
        self._database.executemany(
            'INSERT OR REPLACE INTO about VALUES (?, ?)',
            [(name, json.dumps(value)) for name, value in made_with.items()],
        )

    # --- enrolling ---

    def files(self) -> dict[bytes, File]:
        """Returns all enrolled files by path, those without a face too.

        Raises:
          GalleryError: a path is damaged.
        """
        files = [File(*row) for row in self._rows('SELECT path, size, modified_ns FROM file')]
        if not all(isinstance(file.path, bytes) for file in files):
            raise GalleryError(
                f'{self.folder / FILE} is damaged: a path in it is not stored as bytes. Restore '
                'the gallery from a copy, or enrol its photographs in a new one'
            )
        return {file.path: file for file in files}

    def file_photos(self) -> dict[bytes, int]:
        """Returns the number of the photo that each enrolled file holds, by path."""
        return dict(self._rows('SELECT path, photo FROM file'))

    def copies(self, photo: int) -> list[File]:
        """Returns the files that hold a photo, in order of their paths."""
        query = 'SELECT path, size, modified_ns FROM file WHERE photo = ? ORDER BY path'
        return [File(*row) for row in self._rows(query, photo)]

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
        query = 'SELECT path, problem FROM file JOIN photo ON photo.id = photo'
        return dict(self._rows(f'{query} WHERE problem IS NOT NULL'))

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
        self, sha256: bytes, faces: Sequence[Face], label: Label, problem: str | None
    ) -> int:
        """Adds a photo with its faces, the largest first, or with the reason why it has none.

        Returns:
          The photo's number.
        """
        photo = self._database.execute(
            'INSERT INTO photo (sha256, problem) VALUES (?, ?)', (sha256, problem)
        ).lastrowid
        for number, face in enumerate(faces):
            person = label.person if number == 0 else None
            self._add(photo, None, number, face, Label(person, label.tags))
        return photo

    def add_embedding(self, name: str, face: Face, label: Label) -> None:
        """Adds an imported embedding; one of the same name is replaced."""
        self._database.execute('DELETE FROM entry WHERE name = ?', (name,))
        self._add(None, name, 0, face, label)

    def _add(
        self, photo: int | None, name: str | None, number: int, face: Face, label: Label
    ) -> None:
        self._database.execute(
            'INSERT INTO entry (photo, name, face, box, person, tags, picture, embedding, feature)'
            ' VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
            (
                *(photo, name, number, json.dumps(face.box) if face.box else None),
                *(label.person, json.dumps(dict(label.tags), sort_keys=True), face.picture),
                *(_blob(face.embedding_D), _blob(face.feature_F)),
            ),
        )

    def place(self, file: File, photo: int) -> None:
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

    def label(self, path: bytes, label: Label) -> bool:
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

    def replace_features(self, refine: Any, rows: int = 4096) -> Iterator[int]:
        """Makes all features anew from the embeddings that are kept, within a transaction.

        Args:
          refine: from embedding_NxD to feature_NxF.
          rows: of a call.

        Yields:
          How many are done.
        """
        last = -1
        while found := self._rows(
            'SELECT id, embedding FROM entry WHERE id > ? ORDER BY id LIMIT ?', last, rows
        ):
            f_NxF = refine(_array([embedding for _, embedding in found]))
            self._database.executemany(
                'UPDATE entry SET feature = ? WHERE id = ?',
                [(_blob(f_F), number) for (number, _), f_F in zip(found, f_NxF, strict=True)],
            )
            last = found[-1][0]
            yield len(found)

    # --- searching ---

    def count(self) -> dict[str, int]:
        """How many entries, people (an entry without a name is one), photos and files there are."""
        entries, named, people = self._rows(
            'SELECT count(*), count(person), count(DISTINCT person) FROM entry'
        )[0]
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
        entries = self._number('SELECT count(*) FROM entry')
        blob = self._rows('SELECT feature FROM entry LIMIT 1')
        f_GxF = np.empty((entries, len(blob[0][0]) // 4 if blob else 0), np.float32)
        id_G, person_G, people = np.empty(entries, np.int64), np.empty(entries, np.int64), {}
        rows = self._database.execute('SELECT id, person, feature FROM entry ORDER BY id')
        for row, (number, person, feature) in enumerate(rows):
            id_G[row] = number
            person_G[row] = people.setdefault(person if person is not None else number, len(people))
            f_GxF[row] = np.frombuffer(feature, np.float32)
        return id_G, f_GxF, person_G

    def entries(self, ids: Iterable[int]) -> list[Entry]:
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

    def _entry(self, number: int) -> Entry:
        row = self._rows(
            'SELECT id, person, (SELECT min(path) FROM file WHERE file.photo = entry.photo), name,'
            ' box, tags FROM entry WHERE id = ?',
            int(number),
        )
        if not row:
            raise GalleryError(f'there is no entry {number} in {self.folder}')
        number, person, path, name, box, tags = row[0]
        box = tuple(json.loads(box)) if box else None
        return Entry(number, person, shown(path) if path else None, name, box, json.loads(tags))

    def picture(self, number: int) -> bytes | None:
        """The small JPEG of an entry's face; None where there is none."""
        found = self._rows('SELECT picture FROM entry WHERE id = ?', int(number))
        return found[0][0] if found else None

    def where(self, conditions: Mapping[str, str]) -> np.ndarray:
        """Numbers of the entries that fit all conditions, in order; [M].

        Args:
          conditions: by `entry` (a number), `person`, `photo` (a path), `name` or a tag: a pattern
            as in a shell (* ? [abc]); case counts.
        """
        found = []
        rows = self._database.execute(
            'SELECT entry.id, CASE face WHEN 0 THEN coalesce(person_label, person) ELSE person END,'
            ' name, tags, path FROM entry'
            ' LEFT JOIN file ON file.photo = entry.photo ORDER BY entry.id'
        )
        for number, person, name, tags, path in rows:
            values = {**json.loads(tags), 'person': person, 'name': name, 'entry': str(number)}
            values['photo'] = shown(path) if path else None
            if _fits(values, conditions):
                found.append(number)
        return np.unique(np.array(found, np.int64))

    # --- removing ---

    def remove(self, conditions: Mapping[str, str]) -> int:
        """Deletes the entries that fit all conditions (as in `where`), for good.

        With the last entry of a photo go its hash and its files' paths, and so do those of files
        without a face: by `photo`, and by `person` where a folder is named like that.

        Returns:
          How many entries went. A face that is labelled with other people too is counted, but it
          stays under their names: only the label and the path that carried it go.
        """
        with self.changing():
            for path in self.problems():
                folder = shown(os.path.basename(os.path.dirname(path)))
                if _fits({'photo': shown(path), 'person': folder}, conditions):
                    self._database.execute('DELETE FROM file WHERE path = ?', (path,))
            self.drop_photos_without_files()
            ids = self.where(conditions).tolist()
            renamed = set(self._drop_labels(ids, conditions))
            if renamed:
                logging.info(
                    '%d faces stay under the other people they are labelled with', len(renamed)
                )
            return len(renamed) + self._remove([number for number in ids if number not in renamed])

    def _drop_labels(self, ids: Sequence[int], conditions: Mapping[str, str]) -> list[int]:
        """Takes the people that fit from faces that are labelled with other people too.

        Returns:
          The numbers of these faces, which stay.
        """
        renamed = []
        for number in ids if 'person' in conditions else ():
            files = self._rows(
                'SELECT path, person_label FROM file JOIN entry ON entry.photo = file.photo'
                ' WHERE entry.id = ? AND face = 0 AND person_label IS NOT NULL',
                number,
            )
            person = {'person': conditions['person']}
            fit = [path for path, label in files if _fits({'person': label}, person)]
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

        To be called after `remove`: until then, the log may still hold removed bytes.
        """
        return self._rows('PRAGMA wal_checkpoint(TRUNCATE)')[0][0] == 0

    def drop_photos_without_files(self) -> None:
        """Deletes the photos, with their faces, that no file holds any more."""
        self._database.execute('DELETE FROM photo WHERE id NOT IN (SELECT photo FROM file)')

    def _rows(self, query: str, *values: Any) -> list[tuple]:
        return self._database.execute(query, values).fetchall()

    def _number(self, query: str) -> int:
        return self._rows(query)[0][0]


def delete(folder: pathlib.Path) -> None:
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


def remove(folder: pathlib.Path, where: Mapping[str, str]) -> int:
    """Deletes entries of a gallery for good; it needs no model.

    Args:
      folder: of the gallery.
      where: which, as for a search; `entry` is a number. A photo that stays in its folder comes
        back when the folder is enrolled again.

    Returns:
      How many are gone.

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


def shown(path: bytes) -> str:
    """A path as text that can be printed; bytes that are no text are escaped."""
    return path.decode('utf-8', 'backslashreplace')


def sha256(data: bytes) -> bytes:
    """What tells photos apart."""
    return hashlib.sha256(data).digest()


def _make(folder: pathlib.Path, create: bool) -> None:
    """Makes an empty file that only its owner may read; SQLite gives its log the same mode."""
    if not create:
        raise GalleryError(f'no gallery in {folder}: make one with --mode=enroll --photos=FOLDER')
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise GalleryError(
            f'{folder} is there already and is not a gallery: give another --gallery'
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    os.close(os.open(folder / FILE, os.O_CREAT | os.O_WRONLY, 0o600))


def _blob(values_W: np.ndarray) -> bytes:
    return np.ascontiguousarray(values_W, np.float32).tobytes()


def _array(blobs: Sequence[bytes]) -> np.ndarray:
    return np.frombuffer(b''.join(blobs), np.float32).reshape(len(blobs), -1)


def _fits(values: Mapping[str, str | None], conditions: Mapping[str, str]) -> bool:
    return all(
        (value := values.get(key)) is not None and fnmatch.fnmatchcase(value, pattern)
        for key, pattern in conditions.items()
    )
