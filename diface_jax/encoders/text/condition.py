"""Encodes sentences as conditions c: the vectors of a frozen text encoder, standardised.

A few dimensions of the hidden states are large in every sentence and would dominate the others.
Each dimension is therefore standardised by its mean and standard deviation over the training
sentences. A few are the same in every sentence ([CLS] has the maximum): their condition is 0.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from diface_jax.encoders import arrays
from diface_jax.encoders.text import pooling
from diface_jax.encoders.text.encoder import TextEncoder

_COLUMNS = 64  # whose moments are computed at a time


class Standardisation(NamedTuple):
    """c = (vector - mean) / scale, so that each pool of c has a mean squared length of 1."""

    mean_C: np.ndarray
    scale_C: np.ndarray

    @classmethod
    def fit(cls, vector_TxC: np.ndarray, pools: int) -> Self:
        """Fits mean and scale on vectors of training texts; each concatenates `pools` pools.

        A constant dimension gets the scale infinity, hence the condition 0.
        """
        # Few columns at a time: all in float64 are 17 GB for the sentences of all of CelebA.
        parts = [
            vector_TxC[:, at : at + _COLUMNS] for at in range(0, vector_TxC.shape[1], _COLUMNS)
        ]
        spread_C = np.concatenate([part_TxC.std(axis=0, dtype=np.float64) for part_TxC in parts])
        mean_C = np.concatenate([part_TxC.mean(axis=0, dtype=np.float64) for part_TxC in parts])
        # Prepared vectors are float16, those of a search float32. Divided by a spread of rounding
        # errors, the difference of the two would outweigh everything that a sentence says.
        resolution_C = np.spacing(np.abs(mean_C).astype(np.float16)).astype(np.float64)
        spread_C[spread_C <= np.maximum(resolution_C, 1e-4)] = np.inf
        scale_C = spread_C * np.sqrt(vector_TxC.shape[1] / pools)
        return cls(mean_C.astype(np.float32), scale_C.astype(np.float32))

    def __call__(self, vector_TxC: np.ndarray) -> np.ndarray:
        """Conditions c_TxC, float32."""
        return (vector_TxC.astype(np.float32) - self.mean_C) / self.scale_C


@dataclasses.dataclass(frozen=True, eq=False)
class ConditionEncoder:
    """Encodes sentences as conditions.

    Attributes:
      encoder: the text encoder.
      standard: the standardisation, fitted either on all pools or on the sentence vector alone.
    """

    encoder: TextEncoder
    standard: Standardisation

    @property
    def description(self) -> dict[str, Any]:
        """Name, hashes, width and unusual reading, for data cards and checkpoints."""
        width = len(self.standard.mean_C)
        adapted = {'frozen_sha256': self.encoder.frozen['sha256']} if self.encoder.adapters else {}
        return {
            'name': self.encoder.name,
            'width': width,
            'pools': width // self.encoder.width,
            'sha256': self.encoder.sha256,
            **adapted,
            **self.encoder.unusual_reading,
            'standardisation': arrays.sha256_of_arrays(self.standard),
        }

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """Conditions c_TxC, float32. Raises ValueError for an empty sentence, with its index."""
        return self.of_vectors(self.encoder.encode(sentences))

    def of_vectors(self, pool_TxP: np.ndarray) -> np.ndarray:
        """Conditions c_TxC, float32, of vectors that `TextEncoder.encode` returned."""
        uses_all_pools = len(self.standard.mean_C) == pool_TxP.shape[1]
        return self.standard(pool_TxP if uses_all_pools else sentence_vectors(pool_TxP))


def sentence_vectors(pool_TxP: np.ndarray) -> np.ndarray:
    """The sentence vectors among all pools: the pool the encoder was tuned for; [T, width]."""
    width = pool_TxP.shape[1] // pooling.POOLS
    return pool_TxP[:, width * pooling.SENTENCE_POOL : width * (pooling.SENTENCE_POOL + 1)]
