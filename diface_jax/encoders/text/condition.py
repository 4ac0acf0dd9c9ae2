"""From a sentence to the condition c: a frozen text encoder's vectors, standardised.

Hidden states have a few numbers that are large in every sentence and drown the rest, so each is
told by how far it is from its mean over training sentences, in their standard deviations.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from diface_jax.encoders import arrays
from diface_jax.encoders.text import bert


class Standardisation(NamedTuple):
    """c = (vector - mean) / scale, so that a pool's part has length 1 on average."""

    mean_C: np.ndarray
    scale_C: np.ndarray

    @classmethod
    def fit(cls, vector_TxC: np.ndarray, pools: int) -> Self:
        """The standardisation of training texts' vectors, made of this many pools."""
        spread_C = vector_TxC.std(axis=0, dtype=np.float64) + 1e-4
        scale_C = spread_C * np.sqrt(vector_TxC.shape[1] / pools)
        mean_C = vector_TxC.mean(axis=0, dtype=np.float64)
        return cls(mean_C.astype(np.float32), scale_C.astype(np.float32))

    def __call__(self, vector_TxC: np.ndarray) -> np.ndarray:
        """Conditions c_TxC, float32."""
        return (vector_TxC.astype(np.float32) - self.mean_C) / self.scale_C


@dataclasses.dataclass(frozen=True, eq=False)
class ConditionEncoder:
    """Sentences to conditions.

    Attributes:
      encoder: the frozen text encoder.
      standard: of its vectors, or of its sentence vectors alone: whichever it was fitted on.
    """

    encoder: bert.TextEncoder
    standard: Standardisation

    @property
    def about(self) -> dict[str, Any]:
        """Name, hashes and width, for data cards and checkpoints."""
        hashes = {'sha256': self.encoder.sha256, 'standardisation': arrays.sha256(self.standard)}
        width = len(self.standard.mean_C)
        sizes = {'width': width, 'pools': width // self.encoder.width}
        return {'name': self.encoder.name} | sizes | hashes

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """Conditions c_TxC, float32. Raises ValueError for an empty sentence, naming it."""
        return self.of_vectors(self.encoder.encode(sentences))

    def of_vectors(self, pool_TxP: np.ndarray) -> np.ndarray:
        """Conditions c_TxC of what `bert.TextEncoder.encode` returned."""
        every_depth = len(self.standard.mean_C) == pool_TxP.shape[1]
        return self.standard(pool_TxP if every_depth else sentence_vectors(pool_TxP))


def sentence_vectors(pool_TxP: np.ndarray) -> np.ndarray:
    """The one pool that the text encoder was tuned for, of what it returned; [T, width]."""
    width = pool_TxP.shape[1] // bert.POOLS
    return pool_TxP[:, width * bert.SENTENCE_POOL : width * (bert.SENTENCE_POOL + 1)]
