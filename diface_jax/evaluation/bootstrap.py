"""The bootstrap over identities: how much a number would vary with other people.

People are drawn with replacement, and each brings all of their rows (Efron & Tibshirani 1993,
chapter 13). The number itself is that of one more resample, in which everybody counts once.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
import scipy.sparse

Draw = TypeVar('Draw', bound=tuple)


def resample_counts(num_people: int, resamples: int, seed: int) -> np.ndarray:
    """How often each of I people is drawn in each of R resamples; [R, I] float."""
    rng = np.random.default_rng((seed, resamples))
    share_I = np.full(num_people, 1.0 / num_people)
    return rng.multinomial(num_people, share_I, size=resamples).astype(float)


def concatenate_draws(draws: Sequence[Draw]) -> Draw:
    """Concatenates draws, each a named tuple of arrays, field by field."""
    return type(draws[0])(*map(np.concatenate, zip(*draws, strict=True)))


def draws_with_rows(draws: Sequence[Draw], rows: int) -> Draw:
    """Concatenates as many of the first draws as fit into `rows` rows, at least one draw."""
    return concatenate_draws(draws[: max(1, rows // max(1, len(draws[0][0])))])


def percentile_interval(spread_RxK: np.ndarray) -> np.ndarray:
    """The 95% percentile interval of K numbers over R resamples, low and high; [K, 2].

    Resamples without any probe (nan) are ignored.
    """
    return np.nanpercentile(spread_RxK, (2.5, 97.5), axis=0).T


def resampled_means(
    value_PxK: np.ndarray, person_P: np.ndarray, resample_counts_RxI: np.ndarray
) -> np.ndarray:
    """Means of K columns in each resample.

    Args:
      value_PxK: the values.
      person_P: the person each row belongs to.
      resample_counts_RxI: from `resample_counts`.

    Returns:
      [R, K]; nan in a resample that contains no row.
    """
    num_people, num_rows = resample_counts_RxI.shape[1], len(person_P)
    belongs_IxP = scipy.sparse.csr_array(
        (np.ones(num_rows), (person_P, np.arange(num_rows))), (num_people, num_rows)
    )
    sum_RxK = resample_counts_RxI @ (belongs_IxP @ value_PxK)
    total_Rx1 = resample_counts_RxI @ belongs_IxP.sum(axis=1)[:, None]
    return np.divide(sum_RxK, total_Rx1, out=np.full(sum_RxK.shape, np.nan), where=total_Rx1 > 0)


def resampled_quantiles(
    value_P: np.ndarray, share: float, person_P: np.ndarray, resample_counts_RxI: np.ndarray
) -> np.ndarray:
    """The least value that at least a share of the rows does not exceed, in each resample.

    Args:
      value_P: the values.
      share: of the rows, in [0, 1].
      person_P: the person each row belongs to.
      resample_counts_RxI: from `resample_counts`.

    Returns:
      [R]; nan in a resample that contains no row.
    """
    order = np.argsort(value_P, kind='stable')
    value_P, person_P = value_P[order], person_P[order]
    quantile_R = np.full(len(resample_counts_RxI), np.nan)
    for r, count_I in enumerate(resample_counts_RxI):
        rows_up_to_P = np.cumsum(count_I[person_P])
        if rows_up_to_P[-1] > 0:
            quantile_R[r] = value_P[np.searchsorted(rows_up_to_P, share * rows_up_to_P[-1])]
    return quantile_R


def accepted_share(
    impostor_P: np.ndarray,
    genuine_Q: np.ndarray,
    weights: Iterable[tuple[np.ndarray, np.ndarray]],
    false_F: Sequence[float],
    hit_KxQ: np.ndarray,
) -> np.ndarray:
    """Share of genuine scores above the threshold that accepts a given share of impostors at most.

    With pairs this is the true accept rate at a false accept rate, with searches the detection and
    identification rate at a false positive identification rate.

    Args:
      impostor_P: scores that should be below the threshold.
      genuine_Q: scores that should be above it.
      weights: in each of R resamples, the weights of the impostors [P] and of the genuine [Q].
      false_F: shares of impostors to accept.
      hit_KxQ: K criteria; a genuine score counts as accepted only where its criterion is True.

    Returns:
      [R, K, F]; nan in a resample without impostors or without genuine scores.
    """
    strictest_P, strictest_Q = np.argsort(-impostor_P), np.argsort(-genuine_Q)
    # Genuine scores above each impostor: the threshold is the first impostor to reject, if any.
    passing = np.searchsorted(-genuine_Q[strictest_Q], -impostor_P[strictest_P], 'left')
    passing = np.append(passing, len(genuine_Q))
    hit_KxQ = hit_KxQ[:, strictest_Q]
    accepted_weight = np.zeros((len(hit_KxQ), len(genuine_Q) + 1))
    rates = []
    for weight_P, weight_Q in weights:
        accepted_P = np.cumsum(weight_P[strictest_P], dtype=float)
        total_P, total_Q = accepted_P[-1] if len(accepted_P) else 0.0, weight_Q.sum()
        if total_P > 0 and total_Q > 0:
            first_rejected_F = np.searchsorted(accepted_P / total_P, false_F, 'right')
            np.cumsum(weight_Q[strictest_Q] * hit_KxQ, axis=1, out=accepted_weight[:, 1:])
            rates.append(accepted_weight[:, passing[first_rejected_F]] / total_Q)
        else:
            rates.append(np.full((len(hit_KxQ), len(false_F)), np.nan))
    return np.stack(rates)
