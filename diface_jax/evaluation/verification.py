"""Verification: is this the person the text describes? Pairs, thresholds and error rates.

Scores are "higher is more alike". A pair at the threshold counts half, so that a scorer that says
the same of everybody gets 0.5 in accuracy, AUC and EER.
"""

from typing import NamedTuple

import numpy as np

from diface_jax.data.prepared import another_photo

PROTOCOLS = ('cross', 'same')
IMPOSTORS = ('random', 'same_gender')


class VerificationPairs(NamedTuple):
    """Pairs of a text and a photo, by row, and whether each is genuine."""

    text_P: np.ndarray
    photo_P: np.ndarray
    genuine_P: np.ndarray


def draw_pairs(
    rng: np.random.Generator,
    photo_of_text_T: np.ndarray,
    identity_N: np.ndarray,
    protocol: str,
    gender_N: np.ndarray | None = None,
) -> VerificationPairs:
    """One genuine and one impostor pair for each text that can have both.

    Args:
      rng: source of the draw.
      photo_of_text_T: the photo each text describes.
      identity_N: who is in each photo.
      protocol: 'same' pairs a text with the photo it describes, 'cross' with another photo of that
        person (a text of somebody with one photo is left out).
      gender_N: when given, impostors share the gender label of the described photo.

    Returns:
      The pairs, genuine ones first.

    Raises:
      ValueError: no text can be paired, or the protocol is unknown.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f'unknown protocol {protocol!r}: choose from {PROTOCOLS}')
    mates = (
        photo_of_text_T if protocol == 'same' else another_photo(rng, identity_N, photo_of_text_T)
    )
    group_N = np.zeros_like(identity_N) if gender_N is None else np.asarray(gender_N)
    strangers = _strangers(rng, photo_of_text_T, identity_N, group_N)
    texts = np.flatnonzero((mates >= 0) & (strangers >= 0))
    if not len(texts):
        raise ValueError(_no_pairs(photo_of_text_T, identity_N, protocol, gender_N is not None))
    return VerificationPairs(
        np.concatenate([texts, texts]),
        np.concatenate([mates[texts], strangers[texts]]),
        np.repeat([True, False], len(texts)),
    )


def _no_pairs(
    photo_of_text_T: np.ndarray, identity_N: np.ndarray, protocol: str, same_gender: bool
) -> str:
    people, described = len(np.unique(identity_N)), len(np.unique(photo_of_text_T))
    return (
        f'no text can be paired in the protocol {protocol!r} among {people} people with '
        f'{len(identity_N)} photos, {described} of them described: it needs two people'
        + (' of the same gender' if same_gender else '')
        + (', one of them with a second photo' if protocol == 'cross' else '')
        + '. Give data.shares a larger share for validation and test, or more people'
    )


def _strangers(
    rng: np.random.Generator, photo_T: np.ndarray, identity_N: np.ndarray, group_N: np.ndarray
) -> np.ndarray:
    """For each photo, one of somebody else in the same group; -1 where nobody is found."""
    drawn = np.full(len(photo_T), -1)
    for group in np.unique(group_N[photo_T]):
        members = np.flatnonzero(group_N == group)
        if len(np.unique(identity_N[members])) < 2:
            continue
        waiting = np.flatnonzero(group_N[photo_T] == group)
        while len(waiting):
            drawn[waiting] = rng.choice(members, len(waiting))
            same = identity_N[drawn[waiting]] == identity_N[photo_T[waiting]]
            waiting = waiting[same]
    return drawn


class RocCurve(NamedTuple):
    """False and true accept rates, from 0 to 1, at each threshold, the strictest first."""

    far: np.ndarray
    tar: np.ndarray
    threshold: np.ndarray


def roc_curve(
    score_P: np.ndarray, genuine_P: np.ndarray, weight_P: np.ndarray | None = None
) -> RocCurve:
    """The ROC curve: "accept when score >= threshold" for each distinct score.

    Args:
      score_P: scores of pairs.
      genuine_P: whether each is genuine.
      weight_P: how much each counts (bootstrap); 1 each when not given.

    Returns:
      The curve, its first point (0, 0) at threshold infinity.

    Raises:
      ValueError: a score is not a number, or there are no genuine or no impostor pairs.
    """
    score_P = np.asarray(score_P, np.float64)
    if not np.isfinite(score_P).all():
        raise ValueError(f'{np.sum(~np.isfinite(score_P))} of {len(score_P)} scores are not finite')
    weight_P = np.ones(len(score_P)) if weight_P is None else weight_P
    order = np.argsort(-score_P, kind='stable')
    score, weight, genuine = score_P[order], weight_P[order], np.asarray(genuine_P)[order]
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    tar = np.append(0.0, np.cumsum(weight * genuine)[last])
    far = np.append(0.0, np.cumsum(weight * ~genuine)[last])
    if tar[-1] <= 0 or far[-1] <= 0:
        raise ValueError('a ROC curve needs genuine and impostor pairs')
    return RocCurve(far / far[-1], tar / tar[-1], np.append(np.inf, score[last]))


def auc(curve: RocCurve) -> float:
    """Area under the ROC curve: how often a genuine pair outscores an impostor; ties half."""
    return float(np.trapezoid(curve.tar, curve.far))


def equal_error_rate(curve: RocCurve) -> float:
    """The error rate where false accepts equal false rejects, between points by a straight line."""
    gap = curve.far - (1.0 - curve.tar)
    i = int(np.searchsorted(gap, 0.0))
    if gap[i] == 0.0:
        return float(curve.far[i])
    share = -gap[i - 1] / (gap[i] - gap[i - 1])
    return float(curve.far[i - 1] + share * (curve.far[i] - curve.far[i - 1]))


def tar_at_far(curve: RocCurve, far: float) -> float:
    """The largest true accept rate at a threshold whose false accept rate is `far` at most."""
    return float(curve.tar[np.searchsorted(curve.far, far, 'right') - 1])


def best_balanced_threshold(curve: RocCurve) -> float:
    """The threshold s with the best balanced accuracy, half way to the next score below it.

    To be called on validation pairs only. Of equals, the strictest.
    """
    best = int(np.argmax(curve.tar - curve.far))
    below = curve.threshold[min(best + 1, len(curve.threshold) - 1)]
    at = curve.threshold[best]
    return float(below if np.isinf(at) else 0.5 * (at + below))


def accuracy(
    score_P: np.ndarray,
    genuine_P: np.ndarray,
    threshold: float,
    weight_P: np.ndarray | None = None,
) -> float:
    """Share of right decisions at a threshold, genuine and impostor pairs weighing the same.

    Args:
      score_P: scores.
      genuine_P: whether each is genuine.
      threshold: s; accepted above, rejected below, at it half of each.
      weight_P: how much each counts; 1 each when not given.

    Returns:
      Balanced accuracy in [0, 1].
    """
    genuine_P = np.asarray(genuine_P)
    weight_P = np.ones(len(genuine_P)) if weight_P is None else weight_P
    accepted = 0.5 * (1.0 + np.sign(np.asarray(score_P) - threshold))
    right = np.where(genuine_P, accepted, 1.0 - accepted)
    return 0.5 * float(
        np.average(right[genuine_P], weights=weight_P[genuine_P])
        + np.average(right[~genuine_P], weights=weight_P[~genuine_P])
    )
