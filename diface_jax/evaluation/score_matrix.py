"""Scores of all texts and photos of a split, for a method that has no features."""

from typing import NamedTuple, Self

import numpy as np

from diface_jax.models.features import Features


class ScoreMatrix(NamedTuple):
    """Scores of T texts and N photos; only their order matters in a ranking.

    Attributes:
      score_TxN: the scores.
      order_TxN: their place among the distinct scores of the matrix, from 0, float32. Scores of
        any scale, such as probabilities near 0, are ranked by it: equal scores tie and no others
        (up to 2^24 distinct ones).
    """

    score_TxN: np.ndarray
    order_TxN: np.ndarray

    @classmethod
    def of(cls, score_TxN: np.ndarray) -> Self:
        """The matrix of these scores, which are finite."""
        _, order_TxN = np.unique(score_TxN, return_inverse=True)
        return cls(score_TxN, order_TxN.reshape(score_TxN.shape).astype(np.float32))

    def scores(self, text_P: np.ndarray, photo_P: np.ndarray) -> np.ndarray:
        """The score of each pair of a text and a photo, by row; [P]."""
        return self.score_TxN[text_P, photo_P]


def ranked_rows(
    method: Features | ScoreMatrix, text_P: np.ndarray, photo_G: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """What `ranking.rank_mates` needs of a method: features, or scores and None.

    Args:
      method: features or scores of a split.
      text_P: rows of the probe texts.
      photo_G: rows of the gallery's photos.
    """
    if isinstance(method, ScoreMatrix):
        return method.order_TxN[np.ix_(text_P, photo_G)], None
    return method.text_TxF[text_P], method.photo_NxF[photo_G]
