"""Which tensors of a model can be stored in float16: those with which its scores stay the same.

A probe is a sentence; its scores against photographs are computed with the exact tensors and with
the rounded ones. Vectors (biases, means, scales) stay in float32, since they weigh little. The
appearance components take part through feature maps of training photographs, which `prepare` keeps
in its cache; without them they stay in float32.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

Arrays = Mapping[str, np.ndarray]

TOLERANCE = 1e-3  # of a score, which is a cosine
_BEST = 10


class Parity(NamedTuple):
    """How scores with rounded tensors compare with the exact ones.

    Attributes:
      probes: number of sentences.
      photos: number of photographs.
      largest: the largest difference of a score.
      same_first: share of probes with the same first photograph.
      same_best: share of the ten best photographs that are among the ten best of before.
    """

    probes: int
    photos: int
    largest: float
    same_first: float
    same_best: float

    def __str__(self) -> str:
        return (
            f'scores of {self.probes:,} sentences and {self.photos:,} photographs differ by '
            f'{self.largest:.1e} at most; the first photograph is the same for '
            f'{self.same_first:.1%} of the sentences, and {self.same_best:.1%} of the ten best '
            'photographs are'
        )


def compare_scores(exact_TxN: np.ndarray, rounded_TxN: np.ndarray) -> Parity:
    """Compares scores of T sentences against N photographs."""
    best = min(_BEST, exact_TxN.shape[1])
    before, after = (
        np.argsort(-score_TxN, axis=1, kind='stable')[:, :best]
        for score_TxN in (exact_TxN, rounded_TxN)
    )
    shared = [len(np.intersect1d(*rows)) for rows in zip(before, after, strict=True)]
    return Parity(
        *exact_TxN.shape,
        largest=float(np.abs(exact_TxN - rounded_TxN).max()),
        same_first=float((before[:, 0] == after[:, 0]).mean()),
        same_best=float(np.mean(shared) / best),
    )


def round_tensors(
    exact: Arrays, scores: Callable[[Arrays], np.ndarray], keep: Sequence[str] = ()
) -> tuple[dict[str, np.ndarray], Parity]:
    """Rounds matrices to float16, as far as no score changes by more than TOLERANCE.

    Where it does, the smallest of the rounded matrices is stored in float32 too, until it does
    not.

    Args:
      exact: float32 arrays by name.
      scores: the scores of the probes, from arrays in float32.
      keep: names of arrays that are not rounded, unless float16 holds them as they are.

    Returns:
      The arrays, in float16 or float32, and how their scores compare with the exact ones.
    """
    exact_TxN = scores(exact)
    matrices = [
        name
        for name, array in exact.items()
        if array.ndim > 1 and (name not in keep or np.array_equal(array, array.astype(np.float16)))
    ]
    matrices.sort(key=lambda name: exact[name].size)
    while True:
        stored = {
            name: array.astype(np.float16) if name in matrices else array
            for name, array in exact.items()
        }
        widened = {name: array.astype(np.float32) for name, array in stored.items()}
        parity = compare_scores(exact_TxN, scores(widened))
        if parity.largest <= TOLERANCE or not matrices:
            return stored, parity
        del matrices[0]
