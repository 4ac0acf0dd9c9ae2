"""Normalises embeddings of E to x0, the embedding that D and R work on."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Normalisation(NamedTuple):
    """x0 = sqrt(width) unit(embedding - mean) of each encoder's part.

    Every part has a weight proportional to its width, and x0 has unit variance.

    Attributes:
      mean_D: mean embedding of the training photos.
      widths: width of each encoder's part.
    """

    mean_D: np.ndarray
    widths: tuple[int, ...]

    @classmethod
    def fit(cls, embedding_NxD: np.ndarray, widths: Sequence[int]) -> 'Normalisation':
        """The normalisation of training embeddings, which are parts of these widths in a row."""
        if sum(widths) != embedding_NxD.shape[1]:
            raise ValueError(f'embeddings of width {embedding_NxD.shape[1]} in parts of {widths}')
        return cls(embedding_NxD.mean(axis=0), tuple(widths))

    def __call__(self, embedding_NxD: np.ndarray) -> np.ndarray:
        """x0_NxD of raw embeddings; ValueError if a part is not finite or is the mean itself."""
        ends = np.cumsum(self.widths)[:-1]
        parts = np.split(embedding_NxD - self.mean_D, ends, axis=1)
        return np.concatenate([_scaled(part_NxW) for part_NxW in parts], axis=1)


def _scaled(part_NxW: np.ndarray) -> np.ndarray:
    length_Nx1 = np.linalg.norm(part_NxW, axis=1, keepdims=True)
    good_N = (np.isfinite(length_Nx1) & (length_Nx1 > 0)).ravel()
    if not good_N.all():
        bad = np.flatnonzero(~good_N)
        raise ValueError(f'embeddings of rows {bad[:10].tolist()} cannot be normalised')
    return np.sqrt(part_NxW.shape[1]) * part_NxW / length_Nx1
