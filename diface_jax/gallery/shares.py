"""How much words and photograph each contributed to the features of a probe that has both."""

from typing import NamedTuple

import numpy as np


class Shares(NamedTuple):
    """Shares of the words and of the photograph in a probe; their sum is 1."""

    text: float
    photo: float

    def sentence(self, size: str) -> str:
        """The shares in words, with the size of the photo's face, such as '12 pixels wide'."""
        photo = round(100 * self.photo)
        words = 100 - photo
        return f'The photo counts for about {photo}%, the words for {words}%: its face is {size}.'


def shares_of(f_F: np.ndarray, text_F: np.ndarray, photo_F: np.ndarray) -> Shares:
    """The weights with which text and photo alone come nearest to both together, as shares.

    Least squares with weights of at least 0: f = a text + b photo.

    Args:
      f_F: features of text and photo together.
      text_F: those of the text alone.
      photo_F: those of the photo alone.
    """
    from scipy.optimize import nnls  # slow to import, as all of scipy

    weight_2, _ = nnls(np.stack([text_F, photo_F], axis=1).astype(float), f_F.astype(float))
    total = weight_2.sum()
    # Features that resemble neither say nothing about the shares.
    return Shares(*(weight_2 / total).tolist()) if total else Shares(0.5, 0.5)
