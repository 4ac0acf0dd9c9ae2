"""A gallery in memory, and whom it holds that fits a description."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jax.sharding import Mesh

from diface_jax.gallery.store import Store
from diface_jax.recognition.calibration import prior_of
from diface_jax.recognition.nearest import Index

ENROLLED = 0.5
FALSE_MATCHES = 1.0
RESULTS = 10


@dataclasses.dataclass(frozen=True)
class Search:
    """What is asked besides the description.

    Attributes:
      k: how many results.
      where: only entries whose `person`, `photo`, `name` or tag fits a pattern each (* ? [abc]).
      enrolled: the probability, before looking, that the person described is among them.
      false_matches: a match must be expected by chance no more often than this.
      people: results are people, each by their best face; an entry without a name is a person.

    Raises:
      ValueError: one of them cannot be.
    """

    k: int = RESULTS
    where: Mapping[str, str] = dataclasses.field(default_factory=dict)
    enrolled: float = ENROLLED
    false_matches: float = FALSE_MATCHES
    people: bool = False

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f'how many to find must be 1 or more, not {self.k}')
        if not self.false_matches > 0:
            raise ValueError(f'the false matches allowed must be above 0, not {self.false_matches}')
        prior_of(1, self.enrolled)


class Faces(NamedTuple):
    """A gallery as it was at `state`: entries' numbers, features, and who they are, by number."""

    state: str
    id_G: np.ndarray
    f_GxF: np.ndarray
    person_G: np.ndarray
    index: Index

    @classmethod
    def read(cls, store: Store, mesh: Mesh) -> 'Faces':
        """All of a gallery."""
        state = store.state()
        id_G, f_GxF, person_G = store.features()
        return cls(state, id_G, f_GxF, person_G, Index(f_GxF, mesh))

    def best(
        self, f_QxF: np.ndarray, search: Search, allowed_G: np.ndarray | None, least: int
    ) -> list[np.ndarray]:
        """Rows of each query's best, at least `least` where there are so many.

        For people, more faces are asked for until they are of enough different people.
        """
        wanted = asked = max(search.k, least)
        while True:
            row_QxK = self.index.search(f_QxF, asked, allowed_G).row_PxK
            found = [row_K[row_K >= 0] for row_K in row_QxK]
            if search.people:
                found = [self._first_of_each(row_K) for row_K in found]
            enough = all(len(row_K) >= wanted for row_K in found)
            if not search.people or enough or asked >= len(self.id_G):
                return [row_K[:wanted] for row_K in found]
            asked *= 4

    def _first_of_each(self, row_K: np.ndarray) -> np.ndarray:
        return row_K[np.sort(np.unique(self.person_G[row_K], return_index=True)[1])]

    def searched(self, allowed_G: np.ndarray | None) -> dict[str, int]:
        """How many entries, and people in them, a search may find."""
        some = self.person_G if allowed_G is None else self.person_G[allowed_G]
        return {'entries_searched': len(some), 'people_searched': len(np.unique(some))}

    def allowed(self, store: Store, search: Search) -> np.ndarray | None:
        """Which entries a search may find; None: all."""
        return np.isin(self.id_G, store.where(search.where)) if search.where else None


def named(conditions: Sequence[str]) -> dict[str, str]:
    """'KEY=PATTERN' as a condition each.

    Raises:
      ValueError: one is not of this form; says which.
    """
    pairs = [condition.partition('=') for condition in conditions]
    for key, equals, _ in pairs:
        if not key or not equals:
            raise ValueError(f'{key!r} is not of the form NAME=VALUE')
    return {key: value for key, _, value in pairs}
