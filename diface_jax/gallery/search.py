"""A gallery in memory, and its best matches of a description."""

from typing import NamedTuple

import numpy as np
from jax.sharding import Mesh

from diface_jax.gallery.exact_search import ExactIndex
from diface_jax.gallery.nearest import Nearest, RankedFaces
from diface_jax.gallery.row_checks import RESTORE, GalleryError
from diface_jax.gallery.search_options import SearchOptions
from diface_jax.gallery.store import Store


class LoadedGallery(NamedTuple):
    """A gallery at one `state` of its store: numbers, features and person of each entry.

    Attributes:
      counts: those of `Store.count`, which reads every row.
    """

    state: str
    id_G: np.ndarray
    f_GxF: np.ndarray
    person_G: np.ndarray
    index: ExactIndex
    counts: dict[str, int]

    @classmethod
    def read(cls, store: Store, mesh: Mesh) -> 'LoadedGallery':
        """Reads all entries of a gallery."""
        state = store.state()
        id_G, f_GxF, person_G = store.features()
        return cls(state, id_G, f_GxF, person_G, ExactIndex(f_GxF, mesh), store.count())

    def nearest(
        self, store: Store, f_QxF: np.ndarray, search: SearchOptions, least: int
    ) -> Nearest:
        """The best faces of each probe, at least `least` where the gallery has as many.

        Raises:
          GalleryError: features of the gallery are of another width than the probes.
        """
        _check_width(store.location, self.f_GxF, f_QxF.shape[1])
        allowed_G = self.allowed(store, search)
        best = [
            RankedFaces(self.id_G[row_K], self.f_GxF[row_K])
            for row_K in self.best(f_QxF, search, allowed_G, least)
        ]
        return Nearest(best, {**self.counts, **self.searched(allowed_G)})

    def best(
        self, f_QxF: np.ndarray, search: SearchOptions, allowed_G: np.ndarray | None, least: int
    ) -> list[np.ndarray]:
        """Rows of each query's best, at least `least` where the gallery has as many.

        For people, more faces are fetched until they show enough different people.
        """
        wanted = count = max(1, min(max(search.k, least), len(self.id_G)))
        while True:
            row_QxK = self.index.search(f_QxF, count, allowed_G).row_PxK
            rows = [row_K[row_K >= 0] for row_K in row_QxK]
            if search.people:
                rows = [self._first_of_each(row_K) for row_K in rows]
            enough = all(len(row_K) >= wanted for row_K in rows)
            if not search.people or enough or count >= len(self.id_G):
                return [row_K[:wanted] for row_K in rows]
            count *= 4

    def _first_of_each(self, row_K: np.ndarray) -> np.ndarray:
        return row_K[np.sort(np.unique(self.person_G[row_K], return_index=True)[1])]

    def searched(self, allowed_G: np.ndarray | None) -> dict[str, int]:
        """Numbers of the entries, and of the people, that a search may return."""
        if allowed_G is None:
            return {
                'entries_searched': self.counts['entries'],
                'people_searched': self.counts['people'],
            }
        person_A = self.person_G[allowed_G]
        people = int(np.count_nonzero(np.bincount(person_A)))
        return {'entries_searched': len(person_A), 'people_searched': people}

    def allowed(self, store: Store, search: SearchOptions) -> np.ndarray | None:
        """Mask of the entries that a search may return; None: all."""
        return np.isin(self.id_G, store.where(search.where)) if search.where else None


def _check_width(location: str, f_GxF: np.ndarray, width: int) -> None:
    if len(f_GxF) and f_GxF.shape[1] != width:
        raise GalleryError(
            f'{location} is damaged: its features have {f_GxF.shape[1]} numbers, and those of this '
            f'model {width}. {RESTORE}'
        )
