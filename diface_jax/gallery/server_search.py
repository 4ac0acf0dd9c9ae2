"""Search in a gallery on a server: the database scans the features, and nothing is kept here.

The database orders features by their inner product with the probe, in float32, as
`gallery/exact_search.py` has devices do. So it only nominates candidates, which are scored again
in float64. There are enough when the worst of them is below the k-th best by more than the rounding
error of float32, so the result is that of a gallery in a folder. With an HNSW index the database
nominates approximately, and more are asked for; that is the user's choice.

Why not read all features once, as from a folder? A search would have to read them all again after
each change, and programs on several machines change a gallery all the time; memory would set the
size; and conditions could not spare the database rows.
"""

from typing import NamedTuple

import numpy as np

from diface_jax.gallery import postgres_features, sql_conditions
from diface_jax.gallery.conditions import Conditions
from diface_jax.gallery.nearest import Faces, Nearest
from diface_jax.gallery.postgres_database import PostgresDatabase
from diface_jax.gallery.postgres_features import HNSW, TYPES, Layout
from diface_jax.gallery.search_options import SearchOptions
from diface_jax.gallery.sql_conditions import SqlCondition
from diface_jax.gallery.store import Store

_SPARE = 16  # candidates in addition to the k
_HNSW_TIMES = 4  # candidates of an index, for each that is wanted
_LARGEST_EF = 1000  # of pgvector
_ROUNDING = float(np.finfo(np.float32).eps)
_LONGEST = 1.001  # feature


class _Candidates(NamedTuple):
    """The best entries of a probe, best first; `are_all`: there are no others."""

    faces: Faces
    people: list[str | int]  # an entry without a person is a person of its own: its number
    are_all: bool


class ServerGallery:
    """A gallery at one `state` of its store; how many entries were counted is kept."""

    def __init__(self, store: Store) -> None:
        self.state = store.state()
        self._counts: dict[str, int] | None = None
        self._searched: dict[Conditions, dict[str, int]] = {}

    def nearest(
        self, store: Store, f_QxF: np.ndarray, search: SearchOptions, least: int
    ) -> Nearest:
        """As of `LoadedGallery`."""
        chosen = sql_conditions.chosen_entries(store.database, search.where)
        if self._counts is None:
            self._counts = store.count()
        if search.where not in self._searched:
            self._searched[search.where] = _searched(store.database, chosen)
        counts = {**self._counts, **self._searched[search.where]}
        wanted = min(max(search.k, least), counts['entries_searched'])
        chosen = chosen if search.where else None
        best = [_best(store.database, f_F, wanted, chosen, search.people) for f_F in f_QxF]
        return Nearest(best, counts)


def _searched(database: PostgresDatabase, chosen: SqlCondition) -> dict[str, int]:
    """Numbers of the entries, and of the people, that a search may return."""
    entries, named, people = database.execute(
        'SELECT count(*), count(person), count(DISTINCT person) FROM entry'
        f' WHERE id IN ({chosen.sql})',
        chosen.values,
    ).fetchone()
    return {'entries_searched': entries, 'people_searched': entries - named + people}


def _best(
    database: PostgresDatabase,
    f_F: np.ndarray,
    wanted: int,
    chosen: SqlCondition | None,
    people: bool,
) -> Faces:
    """The best faces, or the best face of each of the best people."""
    if not wanted:
        return Faces(np.zeros(0, np.int64), np.zeros((0, len(f_F)), np.float32))
    count = wanted
    while True:
        candidates = _candidates(database, f_F, count, chosen)
        faces = candidates.faces
        if people:
            first_of = {person: row for row, person in reversed([*enumerate(candidates.people)])}
            firsts = sorted(first_of.values())
            faces = Faces(faces.id_K[firsts], faces.f_KxF[firsts])
        if not people or len(faces.id_K) >= wanted or candidates.are_all:
            return Faces(faces.id_K[:wanted], faces.f_KxF[:wanted])
        count *= 4


def _candidates(
    database: PostgresDatabase, f_F: np.ndarray, count: int, chosen: SqlCondition | None
) -> _Candidates:
    """The best `count` entries."""
    layout = postgres_features.layout_of(database)
    is_exact = layout.index == postgres_features.EXACT
    # A dot product of F terms errs by at most F roundings of its longest terms; doubled, since two
    # scores are compared.
    error = 2 * (len(f_F) + 1) * _ROUNDING * float(np.linalg.norm(f_F)) * _LONGEST
    nominees = count + _SPARE if is_exact else count * _HNSW_TIMES
    while True:
        rows = _nominate(database, layout, f_F, nominees, chosen)
        id_N, people, features, distances = zip(*rows, strict=True) if rows else [()] * 4
        f_NxF = np.array([feature.to_numpy() for feature in features], np.float32)
        f_NxF = f_NxF.reshape(-1, len(f_F))
        score_N = np.einsum('f,nf->n', f_F.astype(np.float64), f_NxF.astype(np.float64))
        best_K = np.lexsort((id_N, -score_N))[:count]
        are_all = len(rows) < nominees
        if not is_exact or are_all or error - max(distances) < score_N[best_K[-1]]:
            faces = Faces(np.array(id_N, np.int64)[best_K], f_NxF[best_K])
            named = [id_N[row] if people[row] is None else people[row] for row in best_K]
            return _Candidates(faces, named, are_all)
        nominees *= 4


def _nominate(
    database: PostgresDatabase,
    layout: Layout,
    f_F: np.ndarray,
    count: int,
    chosen: SqlCondition | None,
) -> list[tuple]:
    """Number, person, feature and negative score of the best entries, in float32."""
    if layout.index == HNSW:
        database.execute(f'SET LOCAL hnsw.ef_search = {min(count, _LARGEST_EF)}')
        database.execute('SET LOCAL hnsw.iterative_scan = strict_order')
        distance = f'feature <#> ?::vector::{TYPES[layout.storage]}'
    else:
        distance = 'feature::vector <#> ?::vector'  # the probe is not rounded to half precision
    where = f'WHERE entry IN ({chosen.sql})' if chosen else ''
    return database.execute(
        f'SELECT best.entry, person, feature::vector, distance FROM (SELECT entry, feature,'
        f' {distance} AS distance FROM {layout.name} {where} ORDER BY distance LIMIT {count})'
        ' AS best JOIN entry ON entry.id = best.entry ORDER BY distance',
        (np.asarray(f_F, np.float32), *(chosen.values if chosen else ())),
    ).fetchall()
