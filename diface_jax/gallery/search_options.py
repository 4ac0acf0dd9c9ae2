"""The settings of a search."""

import dataclasses
import math

import numpy as np

from diface_jax.gallery.calibration import prior_probability
from diface_jax.gallery.conditions import Where, conditions_of

DEFAULT_ENROLLED = 0.5
DEFAULT_FALSE_MATCHES = 1.0
DEFAULT_K = 10


@dataclasses.dataclass(frozen=True)
class SearchOptions:
    """Settings of a search.

    Attributes:
      k: how many results.
      where: only entries that fit all conditions: patterns (`*` and `?`) by `person`, `photo`,
        `name`, `entry` or tag, one or several each; or (name, pattern) pairs.
      enrolled: prior probability that the person described is in the gallery.
      false_matches: a match may score as high by chance at most this often in a gallery of this
        size.
      people: results are people, each by their best face; an entry without a person counts as a
        person of its own.

    Raises:
      ValueError: a setting is impossible; says which.
    """

    k: int = DEFAULT_K
    where: Where = ()
    enrolled: float = DEFAULT_ENROLLED
    false_matches: float = DEFAULT_FALSE_MATCHES
    people: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int | np.integer):
            raise ValueError(f'k must be a whole number, not {self.k!r}')
        if self.k < 1:
            raise ValueError(f'k must be 1 or more, not {self.k}')
        if not 0 < self.false_matches < math.inf:
            raise ValueError(f'false_matches must be a number above 0, not {self.false_matches}')
        prior_probability(1, self.enrolled)
        object.__setattr__(self, 'where', conditions_of(self.where))
