"""The bootstrap over identities: how much a number would vary with other people.

People are drawn with replacement, and with a person all that is theirs (Efron & Tibshirani 1993,
chapter 13). The number itself is that of one more resample, in which everybody counts once.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
import scipy.sparse

Draw = TypeVar('Draw', bound=tuple)


def resample_counts(num_people: int, resamples: int, seed: int) -> np.ndarray:
    """How often each person is in each resample; [R, I]."""
    rng = np.random.default_rng((seed, resamples))
    share_I = np.full(num_people, 1.0 / num_people)
    return rng.multinomial(num_people, share_I, size=resamples).astype(float)


def concatenate_draws(draws: Sequence[Draw]) -> Draw:
    """Draws, each a named tuple of arrays, end to end."""
    return type(draws[0])(*map(np.concatenate, zip(*draws, strict=True)))


def draws_with_rows(draws: Sequence[Draw], rows: int) -> Draw:
    """The first draws end to end, as many as make about so many rows."""
    return concatenate_draws(draws[: max(1, rows // max(1, len(draws[0][0])))])


def percentile_interval(spread_RxK: np.ndarray) -> np.ndarray:
    """The 95% percentile interval of numbers in R resamples, low and high; [K, 2].

    A resample in which nobody could be asked (nan) is passed over.
    """
    return np.nanpercentile(spread_RxK, (2.5, 97.5), axis=0).T


def resampled_means(value_PxK: np.ndarray, who_P: np.ndarray, times_RxI: np.ndarray) -> np.ndarray:
    """Means of K columns in each resample, given whose the rows are; [R, K], nan where none is."""
    one_P, rows = np.ones(len(who_P)), np.arange(len(who_P))
    is_of_IxP = scipy.sparse.csr_array((one_P, (who_P, rows)), (times_RxI.shape[1], len(who_P)))
    sum_RxK = times_RxI @ (is_of_IxP @ value_PxK)
    total_Rx1 = times_RxI @ is_of_IxP.sum(axis=1)[:, None]
    return np.divide(sum_RxK, total_Rx1, out=np.full(sum_RxK.shape, np.nan), where=total_Rx1 > 0)


def resampled_quantiles(
    value_P: np.ndarray, share: float, who_P: np.ndarray, times_RxI: np.ndarray
) -> np.ndarray:
    """The least value that a share of the rows does not exceed, in each resample; [R]."""
    order = np.argsort(value_P, kind='stable')
    value_P, who_P = value_P[order], who_P[order]
    found = np.full(len(times_RxI), np.nan)
    for r, times_I in enumerate(times_RxI):
        below_P = np.cumsum(times_I[who_P])
        if below_P[-1] > 0:
            found[r] = value_P[np.searchsorted(below_P, share * below_P[-1])]
    return found


def accepted_share(
    stranger_P: np.ndarray,
    mate_Q: np.ndarray,
    weights: Iterable[tuple[np.ndarray, np.ndarray]],
    false_F: Sequence[float],
    hit_KxQ: np.ndarray,
) -> np.ndarray:
    """Share of mates above the threshold that lets in a given share of strangers at most.

    With pairs this is the true accept rate at a false accept rate, with searches the detection and
    identification rate at a false positive identification rate.

    Args:
      stranger_P: scores that should be below the threshold.
      mate_Q: scores that should be above it.
      weights: in each of R resamples, how much each stranger and each mate counts, [P] and [Q].
      false_F: shares of strangers.
      hit_KxQ: K ways to be right; a mate that is not right is not counted as accepted.

    Returns:
      [R, K, F]; nan in a resample without strangers or mates.
    """
    strictest_P, strictest_Q = np.argsort(-stranger_P), np.argsort(-mate_Q)
    # Mates above each stranger: the threshold is the first stranger to keep out, if any.
    passing = np.searchsorted(-mate_Q[strictest_Q], -stranger_P[strictest_P], 'left')
    passing = np.append(passing, len(mate_Q))
    hit_KxQ = hit_KxQ[:, strictest_Q]
    right = np.zeros((len(hit_KxQ), len(mate_Q) + 1))
    found = []
    for weight_P, weight_Q in weights:
        let_in = np.cumsum(weight_P[strictest_P], dtype=float)
        all_in, total = let_in[-1] if len(let_in) else 0.0, weight_Q.sum()
        if all_in > 0 and total > 0:
            first_out_F = np.searchsorted(let_in / all_in, false_F, 'right')
            np.cumsum(weight_Q[strictest_Q] * hit_KxQ, axis=1, out=right[:, 1:])
            found.append(right[:, passing[first_out_F]] / total)
        else:
            found.append(np.full((len(hit_KxQ), len(false_F)), np.nan))
    return np.stack(found)
