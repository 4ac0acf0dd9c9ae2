"""Photos grouped by identity, to draw another photo of a person in constant time."""

import numpy as np


class IdentityIndex:
    """The photos of each identity: sorted once, so that a draw of B photos costs O(B).

    Args:
      identity_N: identity of each photo.
    """

    def __init__(self, identity_N: np.ndarray) -> None:
        self._photo_by_place_N = np.argsort(identity_N, kind='stable')
        self._place_N = np.empty_like(self._photo_by_place_N)
        self._place_N[self._photo_by_place_N] = np.arange(len(identity_N))
        _, index_N, counts_I = np.unique(identity_N, return_inverse=True, return_counts=True)
        self._first_place_N = (np.cumsum(counts_I) - counts_I)[index_N]
        self._count_N = counts_I[index_N]

    def another_photo(self, rng: np.random.Generator, photo_P: np.ndarray) -> np.ndarray:
        """For each photo, another one of the same identity, uniformly drawn; -1 if none exists."""
        first, count = self._first_place_N[photo_P], self._count_N[photo_P]
        # Skip 1 to count - 1 places, cyclically, among the person's photos.
        skip = 1 + (rng.random(len(photo_P)) * np.maximum(count - 1, 0)).astype(int)
        place = first + (self._place_N[photo_P] - first + skip) % np.maximum(count, 1)
        return np.where(count > 1, self._photo_by_place_N[place], -1)

    def has_another_photo(self, photo_P: np.ndarray) -> np.ndarray:
        """For each photo, whether there is another one of the same identity."""
        return self._count_N[photo_P] > 1
