"""A gallery: faces, their embeddings, and the files they are from.

It is kept in a folder (`sqlite_database`), or on a server (`postgres_database`). What the two have
in common is here, with its SQL; `?` stands for a value in both.
"""

import contextlib
import dataclasses
import itertools
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
from absl import logging

from diface_jax.gallery import address, conditions, row_checks, sql_conditions, sqlite_database
from diface_jax.gallery.database import Database
from diface_jax.gallery.entries import (
    Box,
    EnrolledFace,
    GalleryEntry,
    PhotoFile,
    PhotoLabel,
    as_blob,
    path_text,
)
from diface_jax.gallery.row_checks import RESTORE, GalleryError

MODEL = 'model'  # its hash, in `about`
_STATE = 'state'
_DETECTOR = 'detector'
_INTERNAL = (_STATE, _DETECTOR, 'features', 'next_features')  # of `about`
_FEATURE = 'feature'
# Names of values, the tables that messages about them name, and queries for them.
_VALUES = (
    ('person', 'entry', 'SELECT min(id), person FROM entry GROUP BY person'),
    (
        *('person', 'photo'),
        'SELECT min(photo), person_label FROM file'
        ' WHERE photo IN (SELECT photo FROM entry) GROUP BY person_label',
    ),
    ('taken', 'photo', 'SELECT min(id), taken FROM photo WHERE problem IS NULL GROUP BY taken'),
)
_AT_ONCE = 500  # entries that a query asks for
_BATCH = 64  # rows of features that are checked at once; more leave the processor's cache


class Store:
    """An open gallery. Use it as a context manager.

    Args:
      gallery: its folder, or the URL of its database.
      create: creates the gallery if it does not exist.

    A gallery that may not be written to is opened for reading.

    Attributes:
      address: of the gallery; opens it again.
      location: the address to be shown, without a password.
      read_only: whether it cannot be changed.
      is_server: whether a server searches it.
      database: where it is kept.

    Raises:
      GalleryError: there is no gallery, or something else is there; says what to do. All methods
        that read raise it for a damaged row, with the file and the row.
      ImportError, OSError: a database cannot be reached.
    """

    def __init__(self, gallery: address.Gallery, create: bool = False) -> None:
        self.address = address.gallery_address(gallery)
        self.database = _open_database(self.address, create)
        self.location = self.database.location
        self.read_only, self.is_server = self.database.read_only, self.database.is_server
        self._loose: set[int] = set()  # photos that have lost a file
        self._model: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes it."""
        self.database.close()

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """A transaction: all changes within it are made, or none.

        Raises:
          GalleryError: the gallery is read-only, or no longer of the model of `keep_to_model`.
        """
        with self.database.transaction():
            if self._model not in (None, self._about().get(MODEL)):
                raise GalleryError(
                    f'{self.location} was brought to another model meanwhile: give the command '
                    'again with that model'
                )
            before = self.database.total_changes
            yield
            if self.database.total_changes > before:
                self.bind(**{_STATE: secrets.token_hex(8)})

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """A snapshot of the gallery, without changes that others make meanwhile."""
        with self.database.transaction(read=True):
            yield

    def state(self) -> str:
        """A string that differs after every change, by any program."""
        return str(self._about().get(_STATE, ''))

    # --- the model of the gallery ---

    def made_with(self) -> dict[str, Any]:
        """The encoder and the model of the gallery, as given to `bind`; empty for a new gallery."""
        return {name: value for name, value in self._about().items() if name not in _INTERNAL}

    def keep_to_model(self, model: str) -> None:
        """From now on, changes are refused when the gallery is brought to another model."""
        self._model = model

    def _about(self) -> dict[str, Any]:
        try:
            return {
                name: row_checks.check_json(value, name)
                for name, value in self._each('SELECT name, value FROM about')
            }
        except ValueError as error:
            raise GalleryError(f'{self.database.source} is damaged: {error}') from error

    def bind(self, **made_with: Any) -> None:
        """Stores values by name, such as the encoder and the model of the gallery."""
        self.database.executemany(
            'INSERT INTO about (name, value) VALUES (?, ?)'
            ' ON CONFLICT (name) DO UPDATE SET value = excluded.value',
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
            self._drop_files('photo IN (SELECT id FROM photo WHERE problem IS NOT NULL)')
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
                f'{self.database.source} is damaged: a path in it is not stored as bytes. {RESTORE}'
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
            'SELECT photo, path, person_label FROM file WHERE person_label IS NOT NULL'
            ' AND photo IN (SELECT photo FROM file GROUP BY photo'
            ' HAVING count(DISTINCT person_label) > 1)'
            ' AND photo IN (SELECT photo FROM entry WHERE face = 0) ORDER BY path'
        )
        people: dict[int, dict[bytes, str]] = {}
        for photo, path, person in rows:
            if isinstance(person, str):  # a damaged one names nobody
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
        ((photo,),) = self._rows(
            'INSERT INTO photo (sha256, problem, taken) VALUES (?, ?, ?) RETURNING id',
            *(sha256, problem, taken),
        )
        people = [label.person, *[None] * len(faces)]  # of the largest face alone
        rows = [
            _face_row(face, label.tags, photo=photo, face=number, person=people[number])
            for number, face in enumerate(faces)
        ]
        self._insert(rows, faces)
        return photo

    def add_embeddings(
        self, names: Sequence[str], faces: Sequence[EnrolledFace], labels: Sequence[PhotoLabel]
    ) -> None:
        """Adds imported embeddings by name; those of the same names are replaced."""
        self.database.executemany('DELETE FROM entry WHERE name = ?', [(name,) for name in names])
        each = zip(names, faces, labels, strict=True)
        rows = [
            _face_row(face, label.tags, name=name, face=0, person=label.person)
            for name, face, label in each
        ]
        self._insert(rows, faces)

    def _insert(self, rows: Sequence[Mapping[str, Any]], faces: Sequence[EnrolledFace]) -> None:
        if rows:
            self.database.insert_faces(rows, [face.feature_F for face in faces])

    def place(self, file: PhotoFile, photo: int) -> None:
        """Records that a file holds a photo, in place of what it held before.

        Call `drop_photos_without_files` once all files of a change are placed: a photo whose file
        was replaced may have moved to another file.
        """
        replaced = self._photo_of(file.path)
        columns = {
            **{'path': file.path, 'photo': photo, 'size': file.size},
            **{'modified_ns': file.modified_ns, **self.database.file_columns(file.path)},
        }
        if replaced is None:
            marks = ', '.join('?' * len(columns))
            query = f'INSERT INTO file ({", ".join(columns)}) VALUES ({marks})'
            self.database.execute(query, tuple(columns.values()))
        else:
            self.database.execute(
                # The label was of what the file held before.
                'UPDATE file SET person_label = CASE WHEN photo = ? THEN person_label END,'
                ' photo = ?, size = ?, modified_ns = ? WHERE path = ?',
                (photo, photo, file.size, file.modified_ns, file.path),
            )
        if replaced not in (None, photo):
            self._loose.add(replaced)
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
        self.database.execute(
            'UPDATE file SET person_label = (SELECT person_label FROM file WHERE path = ?)'
            ' WHERE path = ? AND photo = ? AND person_label IS NULL',
            (path, heir, photo),
        )
        self.database.execute('DELETE FROM file WHERE path = ?', (path,))
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
        changed = self.database.execute(
            'UPDATE file SET person_label = ? WHERE path = ?'
            ' AND (person_label IS NULL OR person_label != ?)',
            (person, path, person),
        ).rowcount
        if changed:
            self._choose_person(self._photo_of(path))
        return changed > 0

    def _add_tags(self, path: bytes, tags: Mapping[str, str]) -> bool:
        faces = self._rows(
            'SELECT id, tags FROM entry WHERE photo = (SELECT photo FROM file WHERE path = ?)', path
        )
        changed = False
        for number, stored in faces:
            before = self._checked('entry', number, row_checks.check_tags, stored)
            if before != (after := {**before, **tags}):
                self.database.execute(
                    'UPDATE entry SET tags = ? WHERE id = ?', (_tags_json(after), number)
                )
                changed = True
        return changed

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
            self.database.execute(
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
        self.database.execute('UPDATE photo SET taken = ? WHERE id = ?', (taken, photo))
        self.database.executemany(
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
            self.database.executemany(
                'UPDATE entry SET feature = ? WHERE id = ?',
                [(as_blob(f_F), number) for (number, _), f_F in zip(batch, f_NxF, strict=True)],
            )
            last = batch[-1][0]
            yield len(batch)

    def refresh(
        self,
        refine: Any,
        made_with: Mapping[str, Any],
        index: str | None = None,
        storage: str | None = None,
    ) -> Iterator[int]:
        """Brings the gallery to another model, or on a server to another index or storage.

        Args:
          refine: from embedding_NxD to feature_NxF.
          made_with: the model, as for `bind`.
          index: as of `Model.refresh`.
          storage: as of `Model.refresh`.

        Yields:
          The number of rows of each call of `refine`.
        """
        if self.is_server:
            from diface_jax.gallery.postgres_features import Refresh

            yield from Refresh(self, refine, made_with, index, storage).run()
            return
        if index or storage:
            raise GalleryError(f'{self.location} is a folder: it has no index and no storage')
        with self.changing():
            yield from self.replace_features(refine)
            self.bind(**made_with)

    def _embedding(self, number: int, embedding: Any, width: int | None) -> np.ndarray:
        return self._checked('entry', number, row_checks.check_embedding, embedding, width)

    # --- several programs ---

    def claim(self, keys: Iterable[bytes]) -> set[bytes]:
        """Which photos, by hash, this program may embed now; other programs embed the rest.

        A claim ends with `release`, or when this program ends, however it ends. In a folder a
        program may embed all.
        """
        return self.database.claim(keys)

    def release(self, keys: Iterable[bytes]) -> None:
        """Ends claims."""
        self.database.release(keys)

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
        rows, end = self._each('SELECT id, person, feature FROM entry ORDER BY id'), 0
        while batch := list(itertools.islice(rows, min(_BATCH, entries - end))):
            ids, names, features = zip(*batch, strict=True)
            if not row_checks.are_sound(names, features, width):
                self._refuse(batch, width)
            start, end = end, end + len(batch)
            id_G[start:end] = ids
            f_GxF[start:end] = np.frombuffer(b''.join(features), np.float32).reshape(-1, width)
            person_G[start:end] = [
                people.setdefault(number if name is None else name, len(people))
                for number, name in zip(ids, names, strict=True)
            ]
        bad_B = row_checks.rows_not_unit_length(f_GxF)
        if len(bad_B):
            raise self._damaged(
                'entry', int(id_G[bad_B[0]]), f'the length of its {_FEATURE} is not 1'
            )
        return id_G, f_GxF, person_G

    def _refuse(self, batch: Iterable[tuple], width: int) -> None:
        """Raises GalleryError for the first damaged row of `features`."""
        for number, person, feature in batch:
            self._checked('entry', number, row_checks.check_text, person, 'person')
            self._checked('entry', number, row_checks.check_vector, feature, _FEATURE, width)

    def _feature_width(self) -> int:
        """How many numbers the first feature has; 0 in an empty gallery."""
        first = next(self._each('SELECT id, feature FROM entry ORDER BY id LIMIT 1'), None)
        if first is None:
            return 0
        number, feature = first
        return len(self._checked('entry', number, row_checks.check_vector, feature, _FEATURE))

    def entries(self, ids: Iterable[int]) -> list[GalleryEntry]:
        """Entries by number, in the order asked for."""
        ids = list(ids)
        known = [number for number in ids if 0 <= number < 1 << 63]
        rows = {
            number: columns
            for number, *columns in self._of_entries(
                'SELECT id, person, (SELECT path FROM file WHERE file.photo = entry.photo'
                ' ORDER BY path LIMIT 1), name, box, tags,'
                ' (SELECT taken FROM photo WHERE photo.id = entry.photo) FROM entry WHERE id IN {}',
                known,
            )
        }
        other_people: dict[int, list[str]] = {}
        for number, person in self._of_entries(
            'SELECT DISTINCT entry.id, person_label FROM file'
            ' JOIN entry ON entry.photo = file.photo'
            ' WHERE face = 0 AND person_label != person AND entry.id IN {} ORDER BY person_label',
            known,
        ):
            if isinstance(person, str):  # a damaged one names nobody
                other_people.setdefault(number, []).append(person)
        return [
            dataclasses.replace(
                self._entry(number, rows.get(number)),
                other_people=tuple(other_people.get(number, ())),
            )
            for number in ids
        ]

    def _of_entries(self, query: str, ids: Sequence[int]) -> Iterator[tuple]:
        """Rows of entries, for whose numbers `{}` stands in the query."""
        for start in range(0, len(ids), _AT_ONCE):
            some_ids = ids[start : start + _AT_ONCE]
            yield from self._each(query.format(f'({", ".join("?" * len(some_ids))})'), *some_ids)

    def _entry(self, number: int, row: Sequence[Any] | None) -> GalleryEntry:
        if row is None:
            raise GalleryError(f'there is no entry {number} in {self.location}')
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
            raise GalleryError(f'entry {number} has no photo in {self.location}')
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
        query = sql_conditions.chosen_entries(self.database, conditions.conditions_of(chosen))
        ids = [number for (number,) in self._each(query.sql, *query.values)]
        return np.unique(np.array(ids, np.int64))

    def unusable_where(self, chosen: conditions.Where) -> list[bytes]:
        """Paths of the files without a face that fit all conditions.

        They have a `photo` (their path), and a `person` where their folder is named like that.
        """
        query = sql_conditions.chosen_files(self.database, conditions.conditions_of(chosen))
        return [
            self._checked('photo', photo, row_checks.check_path, path)
            for photo, path in self._each(query.sql, *query.values)
        ]

    def values(self) -> Iterator[conditions.Values]:
        """What conditions are about, but for paths and names: each value at least once."""
        for name, kind, query in _VALUES:
            for number, value in self._each(query):
                yield {name: self._checked(kind, number, row_checks.check_text, value, name)}
        for number, tags in self._each('SELECT min(id), tags FROM entry GROUP BY tags'):
            yield self._checked('entry', number, row_checks.check_tags, tags)

    # --- reading what may be damaged ---

    def _each(self, query: str, *values: Any) -> Iterator[tuple]:
        """Rows one by one; GalleryError where the database is damaged."""
        return self.database.each(query, values)

    def _checked(self, kind: str, number: int, check: Callable[..., Any], *values: Any) -> Any:
        """What a check makes of values; GalleryError, which names the row, where it refuses."""
        try:
            return check(*values)
        except ValueError as error:
            raise self._damaged(kind, number, str(error)) from error

    def _damaged(self, kind: str, number: int, why: str) -> GalleryError:
        return GalleryError(f'{self.database.source}, {kind} {number} is damaged: {why}. {RESTORE}')

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
            ids, paths = self.where(chosen), self.unusable_where(chosen)
            for path in paths:
                self._drop_files('path = ?', path)
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
            faces += self.database.execute('DELETE FROM entry WHERE photo = ?', (photo,)).rowcount
            self._drop_files('photo = ?', photo)
        self.drop_photos_without_files()
        return faces

    def _remove(self, ids: Sequence[int]) -> int:
        run = self.database.execute
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

    def forget(self) -> str | None:
        """Makes sure that no removed bytes are left on the disk; says why some may be, or None.

        To be called after `remove` or `remove_photos`.
        """
        return self.database.forget()

    def _drop_files(self, condition: str, *values: Any) -> None:
        dropped = self._rows(f'DELETE FROM file WHERE {condition} RETURNING photo', *values)
        self._loose.update(photo for (photo,) in dropped)

    def drop_photos_without_files(self) -> None:
        """Deletes the photos, with their faces, whose last file was dropped or holds another."""
        self.database.executemany(
            'DELETE FROM photo WHERE id = ?'
            ' AND NOT EXISTS (SELECT 1 FROM file WHERE file.photo = photo.id)',
            [(photo,) for photo in self._loose],
        )
        self._loose.clear()

    def _rows(self, query: str, *values: Any) -> list[tuple]:
        return self.database.execute(query, values).fetchall()

    def _number(self, query: str) -> int:
        return next(self._each(query))[0]


def _open_database(gallery: address.Gallery, create: bool) -> Database:
    if not address.is_database(gallery):
        return sqlite_database.SqliteDatabase(gallery, create)
    # Imported here: it needs the extra [postgres].
    from diface_jax.gallery import postgres_database

    return postgres_database.PostgresDatabase(gallery, create)


def delete_gallery(gallery: address.Gallery) -> None:
    """Deletes a whole gallery; see `delete_folder` and `drop_gallery` of the two databases.

    Raises:
      GalleryError: there is no gallery.
      OSError: a file cannot be written, or the server cannot be reached; nothing is deleted then.
    """
    gallery = address.gallery_address(gallery)
    if address.is_database(gallery):
        from diface_jax.gallery import postgres_database

        postgres_database.drop_gallery(gallery)
    else:
        sqlite_database.delete_folder(gallery)


def remove_entries(gallery: address.Gallery, where: conditions.Where) -> int:
    """Deletes entries of a gallery for good; it needs no model.

    Args:
      gallery: its folder, or the URL of its database.
      where: which, as for a search; `entry` is a number. A photo that stays in its folder comes
        back when the folder is enrolled again.

    Returns:
      The number of entries removed.

    Raises:
      GalleryError: there is no gallery; or bytes stay on the disk, such as where another program
        has it open.
    """
    with Store(gallery) as store:
        gone = store.remove(where)
        if why := store.forget():
            raise GalleryError(f'{gone} entries were removed, but {why}')
    return gone


def _face_row(enrolled: EnrolledFace, tags: Mapping[str, str], **columns: Any) -> dict[str, Any]:
    """The columns of a face, but for its feature."""
    return {
        **columns,
        'box': json.dumps(enrolled.box) if enrolled.box else None,
        'tags': _tags_json(tags),
        'picture': enrolled.picture,
        'embedding': as_blob(enrolled.embedding_D),
        'wide_picture': enrolled.wide_picture,
    }


def _tags_json(tags: Mapping[str, str]) -> str:
    return json.dumps(dict(tags), sort_keys=True)


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
