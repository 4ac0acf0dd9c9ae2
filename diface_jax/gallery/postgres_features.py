"""The features of a gallery in PostgreSQL: which table is searched, and how it becomes another.

A gallery is brought to another model in the background. The new features go into the table that is
not searched, batch by batch, so that a program that is killed goes on where it was; searches go on
with the old ones until, in one transaction, the tables change places.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from diface_jax.gallery import row_checks
from diface_jax.gallery.database import Changing, Server
from diface_jax.gallery.feature_rows import pack_features
from diface_jax.gallery.postgres_index import build_index
from diface_jax.gallery.row_checks import GalleryError

EXACT, HNSW = INDEXES = ('exact', 'hnsw')
FULL, HALF = STORAGES = ('full', 'half')
TYPES = {FULL: 'vector', HALF: 'halfvec'}
LAYOUT, NEXT = 'features', 'next_features'  # rows of the table `about`
_ROWS = 4096  # refined at a time


class Layout(NamedTuple):
    """How features are stored: in feature_0 or feature_1, with which index, in which precision."""

    table: int = 0
    index: str = EXACT
    storage: str = FULL

    @property
    def name(self) -> str:
        """Of the table."""
        return f'feature_{self.table}'


def layout_of(database: Server) -> Layout:
    """The features that are searched."""
    stored = _value(database, LAYOUT)
    return Layout(**stored) if stored else Layout()


def _value(database: Server, name: str) -> Any:
    row = database.execute('SELECT value FROM about WHERE name = ?', (name,)).fetchone()
    return json.loads(row[0]) if row else None


def insert_faces(
    database: Server,
    rows: Sequence[Mapping[str, Any]],
    features: Sequence[np.ndarray],
) -> None:
    """Adds rows of the table `entry`, all with the same columns, each with its feature."""
    numbers = database.execute(
        "SELECT nextval(pg_get_serial_sequence('entry', 'id')) FROM generate_series(1, ?)",
        (len(rows),),
    ).fetchall()
    ids = [number for (number,) in numbers]
    columns = ['id', *rows[0]]
    faces = zip(ids, rows, strict=True)
    database.copy_rows('entry', columns, [(number, *row.values()) for number, row in faces])
    write_features(database, layout_of(database), ids, features)


def write_features(
    database: Server,
    layout: Layout,
    ids: Sequence[int],
    features: Sequence[np.ndarray],
) -> None:
    """Adds a feature of each of these entries."""
    if ids:
        data = pack_features(ids, np.stack(features), layout.storage)
        database.copy_in(f'{layout.name} (entry, feature)', data)


class Refresh:
    """Brings a gallery to another model, or to another layout.

    Args:
      store: the gallery.
      refine: from embedding_NxD to feature_NxF.
      made_with: the model, as the store binds it.
      index: EXACT or HNSW; None: as now.
      storage: FULL (float32) or HALF (float16); None: as now.
    """

    def __init__(
        self,
        store: Changing,
        refine: Callable[[np.ndarray], np.ndarray],
        made_with: Mapping[str, Any],
        index: str | None,
        storage: str | None,
    ) -> None:
        database, now = store.database, layout_of(store.database)
        self._store, self._database, self._refine = store, database, refine
        self._made_with = made_with
        self._next = Layout(1 - now.table, index or now.index, storage or now.storage)
        self._last = -1

    def run(self) -> Iterator[int]:
        """Yields the number of rows of each batch.

        Raises:
          GalleryError: another program does the same.
        """
        with self._database.refreshing():
            is_ready = self._go_on()
            while batch := self._read():
                f_NxF = self._refined(batch)
                if not is_ready:
                    self._start(f_NxF.shape[1])
                    is_ready = True
                yield self._write(batch, f_NxF)
            if is_ready and self._next.index == HNSW:
                build_index(self._database, self._next.name, TYPES[self._next.storage])
            elif not is_ready and self._next[1:] != layout_of(self._database)[1:]:
                raise GalleryError(
                    f'{self._database.location} is empty: enrol faces before you choose an index'
                    ' or a storage'
                )
            self._change_places(is_ready)

    def _change_places(self, is_ready: bool) -> None:
        now = layout_of(self._database)
        with self._store.changing():
            for batch in iter(self._read, []):  # enrolled meanwhile
                self._insert(batch, self._refined(batch))
            layout = (self._next if is_ready else now)._asdict()
            self._store.bind(**self._made_with, **{LAYOUT: layout, NEXT: None})
        if is_ready:
            try:  # searches that still read the old features are waited for
                self._database.execute(f'TRUNCATE {now.name}')
            except GalleryError as error:
                logging.warning('the old features stay until the next change of model: %s', error)

    def _target(self) -> dict[str, Any]:
        return {'model': self._made_with, 'layout': self._next._asdict()}

    def _go_on(self) -> bool:
        """Goes on with what a program that was killed has left; False where there is nothing."""
        if _value(self._database, NEXT) != json.loads(json.dumps(self._target())):
            return False
        rows = self._database.execute(f'SELECT coalesce(max(entry), -1) FROM {self._next.name}')
        self._last = rows.fetchone()[0]
        return True

    def _start(self, width: int) -> None:
        """Makes the table ready for features of a width."""
        name, kind = self._next.name, TYPES[self._next.storage]
        with self._database.transaction():
            self._database.execute(f'TRUNCATE {name}')
            self._database.execute(f'DROP INDEX IF EXISTS {name}_hnsw')
            self._database.execute(
                f'ALTER TABLE {name} ALTER COLUMN feature TYPE {kind}({width})'
                f' USING feature::text::{kind}, ALTER COLUMN feature SET STORAGE PLAIN'
            )
            self._store.bind(**{NEXT: self._target()})

    def _read(self) -> list[tuple[int, bytes]]:
        """Numbers and embeddings of entries without a new feature."""
        rows = self._database.execute(
            'SELECT id, embedding FROM entry WHERE id > ? ORDER BY id LIMIT ?', (self._last, _ROWS)
        )
        return rows.fetchall()

    def _refined(self, batch: Sequence[tuple[int, bytes]]) -> np.ndarray:
        try:
            width = len(batch[0][1]) // 4
            rows = [row_checks.check_embedding(embedding, width) for _, embedding in batch]
        except ValueError as error:
            raise GalleryError(
                f'{self._database.source}: among entries {batch[0][0]} to {batch[-1][0]}: {error}'
            ) from error
        return self._refine(np.stack(rows))

    def _write(self, batch: Sequence[tuple[int, bytes]], f_NxF: np.ndarray) -> int:
        with self._database.transaction():
            self._insert(batch, f_NxF)
        return len(batch)

    def _insert(self, batch: Sequence[tuple[int, bytes]], f_NxF: np.ndarray) -> None:
        ids = [number for number, _ in batch]
        # An entry may have been removed since it was read.
        kept = self._database.execute('SELECT id FROM entry WHERE id = ANY(?)', (ids,)).fetchall()
        feature_of = dict(zip(ids, f_NxF, strict=True))
        ids_kept = [number for (number,) in kept]
        features = [feature_of[number] for number in ids_kept]
        write_features(self._database, self._next, ids_kept, features)
        self._last = batch[-1][0]
