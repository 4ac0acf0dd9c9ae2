"""From what E returns to x0, the embedding that D and R work on."""

from typing import NamedTuple

import numpy as np


class Normalisation(NamedTuple):
    """x0 = sqrt(D) unit(embedding - mean), where the mean is that of training embeddings."""

    mean_D: np.ndarray

    @classmethod
    def fit(cls, embedding_NxD: np.ndarray) -> 'Normalisation':
        """The normalisation of training embeddings."""
        return cls(embedding_NxD.mean(axis=0))

    def __call__(self, embedding_NxD: np.ndarray) -> np.ndarray:
        """x0_NxD of raw embeddings; ValueError if one is not finite or is the mean itself."""
        centred = embedding_NxD - self.mean_D
        length_Nx1 = np.linalg.norm(centred, axis=1, keepdims=True)
        if not np.all(np.isfinite(length_Nx1) & (length_Nx1 > 0)):
            bad = np.flatnonzero(~(np.isfinite(length_Nx1) & (length_Nx1 > 0)).ravel())
            raise ValueError(f'embeddings of rows {bad[:10].tolist()} cannot be normalised')
        return np.sqrt(centred.shape[1]) * centred / length_Nx1
