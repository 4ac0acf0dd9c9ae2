"""The scored test pairs of one verification condition, shared by `fairness` and `failure_cases`."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from diface_jax.data.prepared import Split
from diface_jax.evaluation import bootstrap, protocols
from diface_jax.evaluation.protocols import Condition, ResultRow
from diface_jax.evaluation.verification import VerificationPairs
from diface_jax.models.features import Features


@dataclasses.dataclass(frozen=True, eq=False)
class ScoredCondition:
    """The pairs of one condition, with their scores and the threshold that decides them.

    Attributes:
      features: unit features of all texts and photos of the split.
      split: the split that is measured.
      attributes: names of the columns of `split.label_NxA`.
      draws: pairs of the condition, by draw.
      condition: track, protocol and impostors.
      threshold: s of the method under this condition, chosen on validation pairs.
    """

    features: Features
    split: Split
    attributes: Sequence[str]
    draws: Sequence[VerificationPairs]
    condition: Condition
    threshold: float

    @functools.cached_property
    def pairs(self) -> VerificationPairs:
        """The pairs of all draws, end to end."""
        return bootstrap.concatenate_draws(self.draws)

    @functools.cached_property
    def score_P(self) -> np.ndarray:
        """The score of each of `pairs`; [P]."""
        return protocols.pair_scores(self.features, self.pairs)

    @property
    def header(self) -> ResultRow:
        """The fields that all result rows of this condition share."""
        return {'track': self.condition.track, 'protocol': self.condition.protocol}
