"""Search in a gallery on a server: the database scans the features, and nothing is kept here.

For few probes the database orders the features by their inner product with the probe, in float32,
as `gallery/exact_search.py` has devices do. So it only nominates candidates, which are scored again
in float64. There are enough when the worst of them is below the k-th best by more than the rounding
error of float32, so the result is that of a gallery in a folder. Many probes would be as many
scans: their features come here once, block by block. With an HNSW index the database nominates
approximately, and more are asked for; that is the user's choice.

Why not read all features once and keep them, as of a folder? A search would have to read them all
again after each change, and programs on several machines change a gallery all the time; memory
would set the size; and conditions could not spare the database rows.
"""

from typing import NamedTuple

import numpy as np
from jax.sharding import Mesh

from diface_jax.gallery import exact_search, postgres_features, row_checks, sql_conditions
from diface_jax.gallery.conditions import Conditions
from diface_jax.gallery.database import Server
from diface_jax.gallery.exact_search import ExactIndex
from diface_jax.gallery.feature_rows import unpack_features
from diface_jax.gallery.nearest import Nearest, RankedFaces
from diface_jax.gallery.postgres_features import HALF, HNSW, TYPES, Layout
from diface_jax.gallery.row_checks import RESTORE, GalleryError
from diface_jax.gallery.search_options import SearchOptions
from diface_jax.gallery.sql_conditions import SqlCondition
from diface_jax.gallery.store import Store

_SPARE = 16  # candidates in addition to the k
_HNSW_TIMES = 4  # candidates of an index, for each that is wanted
_LARGEST_EF = 1000  # of pgvector
_SCANS = 8  # probes for which the database scans the features one by one
_ROUNDING = float(np.finfo(np.float32).eps)
_LONGEST = 1.001  # feature


class ServerGallery:
    """A gallery at one `state` of its store; how many entries it has is counted once.

    Args:
      store: the gallery.
      mesh: the devices.
    """

    def __init__(self, store: Store, mesh: Mesh) -> None:
        self.state, self._mesh = store.state(), mesh
        self._counts: dict[str, int] | None = None
        self._searched: dict[Conditions, dict[str, int]] = {}

    def nearest(
        self, store: Store, f_QxF: np.ndarray, search: SearchOptions, least: int
    ) -> Nearest:
        """As of `LoadedGallery`."""
        chosen = None
        if search.where:
            chosen = sql_conditions.chosen_entries(store.database, search.where)
        counts = self._count(store, search.where, chosen)
        scan = _Scan(store.database, f_QxF, chosen, self._mesh)
        wanted = min(max(search.k, least), counts['entries_searched'])
        if not wanted:
            return Nearest([scan.nothing] * len(f_QxF), counts)
        best = _best(scan, wanted, search.people)
        _check_lengths(store.database, best)
        return Nearest(best, counts)

    def _count(
        self, store: Store, where: Conditions, chosen: SqlCondition | None
    ) -> dict[str, int]:
        if self._counts is None:
            self._counts = store.count()
            entries, people = self._counts['entries'], self._counts['people']
            self._searched[()] = {'entries_searched': entries, 'people_searched': people}
        if where not in self._searched:
            self._searched[where] = _searched(store.database, chosen)
        return {**self._counts, **self._searched[where]}


def _check_lengths(database: Server, best: list[RankedFaces]) -> None:
    """Raises GalleryError where a feature is not of length 1."""
    for faces in best:
        wrong_B = row_checks.rows_not_unit_length(faces.f_KxF)
        if len(wrong_B):
            raise GalleryError(
                f'{database.source}, entry {faces.id_K[wrong_B[0]]} is damaged: the length of its '
                f'feature is not 1. {RESTORE}'
            )


def _searched(database: Server, chosen: SqlCondition) -> dict[str, int]:
    """Numbers of the entries, and of the people, that a search may return."""
    entries, named, people = database.execute(
        'SELECT count(*), count(person), count(DISTINCT person) FROM entry'
        f' WHERE id IN ({chosen.sql})',
        chosen.values,
    ).fetchone()
    return {'entries_searched': entries, 'people_searched': entries - named + people}


def _best(scan: '_Scan', wanted: int, people: bool) -> list[RankedFaces]:
    """The best faces of each probe, or the best face of each of the best people."""
    count = wanted
    while True:
        best = scan.best(count)
        is_all = [len(faces.id_K) < count for faces in best]
        if people:
            best = scan.first_of_each_person(best)
        enough = [len(faces.id_K) >= wanted for faces in best]
        if not people or all(map(max, enough, is_all)):
            return [RankedFaces(faces.id_K[:wanted], faces.f_KxF[:wanted]) for faces in best]
        count *= 4


class _Nominees(NamedTuple):
    """Candidates of a probe, and the worst of their scores in float32."""

    faces: RankedFaces
    worst: float


class _Scan(NamedTuple):
    """The features that a search reads: all, or those of the chosen entries."""

    database: Server
    f_QxF: np.ndarray
    chosen: SqlCondition | None
    mesh: Mesh

    @property
    def nothing(self) -> RankedFaces:
        """No entries."""
        width = self.f_QxF.shape[1]
        return RankedFaces(np.zeros(0, np.int64), np.zeros((0, width), np.float32))

    def best(self, count: int) -> list[RankedFaces]:
        """The best `count` entries of each probe."""
        layout = postgres_features.layout_of(self.database)
        if layout.index == HNSW:
            nominated = (self._nominate(layout, f_F, count * _HNSW_TIMES) for f_F in self.f_QxF)
            pairs = zip(self.f_QxF, nominated, strict=True)
            return [_best_of(f_F, nominees.faces, count)[0] for f_F, nominees in pairs]
        if len(self.f_QxF) > _SCANS:
            return self._best_of_blocks(layout, count)
        return [self._best_of_one(layout, f_F, count) for f_F in self.f_QxF]

    def _best_of_one(self, layout: Layout, f_F: np.ndarray, count: int) -> RankedFaces:
        # A dot product of F terms errs by at most F roundings of its longest terms (doubled, since
        # two scores are compared), and that of a rounded probe by the length of what it lost.
        length, lost_F = np.linalg.norm(f_F), f_F - _rounded(f_F, layout).astype(np.float64)
        error = 2 * (len(f_F) + 1) * _ROUNDING * length + np.linalg.norm(lost_F)
        asked = count + _SPARE
        while True:
            nominees = self._nominate(layout, f_F, asked)
            best, last_score = _best_of(f_F, nominees.faces, count)
            is_all = len(nominees.faces.id_K) < asked
            if is_all or nominees.worst + error * _LONGEST < last_score:
                return best
            asked *= 4

    def _nominate(self, layout: Layout, f_F: np.ndarray, count: int) -> _Nominees:
        """The best entries by their scores in float32, with the probe as features are stored."""
        if layout.index == HNSW:
            self.database.execute(f'SET LOCAL hnsw.ef_search = {min(count, _LARGEST_EF)}')
            self.database.execute('SET LOCAL hnsw.iterative_scan = strict_order')
        # Features are joined to the nominees alone: sorting would copy, and widen, all of them.
        rows = self.database.execute(
            'SELECT entry, feature::vector, distance FROM ('
            f' SELECT entry, feature <#> ?::vector::{TYPES[layout.storage]} AS distance'
            f' FROM {layout.name} {self._where} ORDER BY distance LIMIT {count}'
            f') AS nominees JOIN {layout.name} USING (entry)',
            (_rounded(f_F, layout), *(self.chosen.values if self.chosen else ())),
            binary=True,
        ).fetchall()
        if not rows:
            return _Nominees(self.nothing, -np.inf)
        ids, features, distances = zip(*rows, strict=True)
        f_NxF = np.stack([feature.to_numpy() for feature in features]).astype(np.float32)
        return _Nominees(RankedFaces(np.array(ids, np.int64), f_NxF), -max(distances))

    @property
    def _where(self) -> str:
        return f'WHERE entry IN ({self.chosen.sql})' if self.chosen else ''

    def _best_of_blocks(self, layout: Layout, count: int) -> list[RankedFaces]:
        rows = self.database.copy_out(
            f'SELECT entry, feature FROM {layout.name} {self._where}',
            self.chosen.values if self.chosen else (),
        )
        best = [self.nothing] * len(self.f_QxF)
        blocks = unpack_features(rows, self.f_QxF.shape[1], layout.storage, exact_search.BLOCK)
        for id_B, f_BxF in blocks:
            in_order_B = np.argsort(id_B)  # of equal scores the first is taken
            id_B, f_BxF = id_B[in_order_B], f_BxF[in_order_B]
            row_QxK = ExactIndex(f_BxF, self.mesh).search(self.f_QxF, count).row_PxK
            for probe, row_K in enumerate(row_QxK):
                row_K = row_K[row_K >= 0]
                both = RankedFaces(
                    np.concatenate([best[probe].id_K, id_B[row_K]]),
                    np.concatenate([best[probe].f_KxF, f_BxF[row_K]]),
                )
                best[probe] = _best_of(self.f_QxF[probe], both, count)[0]
        return best

    def first_of_each_person(self, best: list[RankedFaces]) -> list[RankedFaces]:
        """The best face of each person; an entry without a person is a person of its own."""
        ids = np.unique(np.concatenate([faces.id_K for faces in best])).tolist()
        rows = self.database.execute('SELECT id, person FROM entry WHERE id = ANY(?)', (ids,))
        person_of = {number: number if person is None else person for number, person in rows}
        firsts = []
        for faces in best:
            people = [person_of[number] for number in faces.id_K.tolist()]
            first_of = {person: row for row, person in reversed([*enumerate(people)])}
            row_K = sorted(first_of.values())
            firsts.append(RankedFaces(faces.id_K[row_K], faces.f_KxF[row_K]))
        return firsts


def _rounded(f_F: np.ndarray, layout: Layout) -> np.ndarray:
    """A probe in the precision of the features, in float32."""
    return f_F.astype(np.float16 if layout.storage == HALF else np.float32).astype(np.float32)


def _best_of(f_F: np.ndarray, faces: RankedFaces, count: int) -> tuple[RankedFaces, float]:
    """The best of some faces, and the score of the last, in float64; equal ones by number."""
    f_NxF = faces.f_KxF.astype(np.float64)
    score_N = np.einsum('f,nf->n', f_F.astype(np.float64), f_NxF)
    best_K = np.lexsort((faces.id_K, -score_N))[:count]
    last = float(score_N[best_K[-1]]) if len(best_K) else -np.inf
    return RankedFaces(faces.id_K[best_K], faces.f_KxF[best_K]), last
