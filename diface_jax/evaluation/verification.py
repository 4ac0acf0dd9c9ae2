"""Verification: is this the person the text describes? Pairs, thresholds and error rates.

A higher score means more alike. A pair at the threshold counts half, so that a scorer that gives
every pair the same score gets 0.5 in accuracy, AUC and EER.
"""

import functools
from concurrent import futures
from typing import NamedTuple

import numpy as np

from diface_jax.data.prepared import another_photo
from diface_jax.runtime.batch_threads import usable_cores

PROTOCOLS = ('cross', 'same')
IMPOSTORS = ('random', 'same_gender')
# Pairs for each genuine one, up to which a ROC curve has a point at every score.
_FEW = 8
# Scores that are sorted at a time: those that fit a core's cache are sorted twice as fast.
_PART = 1 << 17


class VerificationPairs(NamedTuple):
    """Pairs of a text and a photo, given by their rows, and whether each pair is genuine."""

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
    """Draws a genuine and an impostor pair for each text that can have both.

    Args:
      rng: source of the draw.
      photo_of_text_T: row of the photo that each text describes.
      identity_N: identity of the person in each photo.
      protocol: 'same' pairs a text with the photo it describes, 'cross' with another photo of the
        same person (texts about people with a single photo are left out).
      gender_N: if given, impostors have the gender label of the described photo.

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
    impostors = _impostors(rng, photo_of_text_T, identity_N, group_N)
    texts = np.flatnonzero((mates >= 0) & (impostors >= 0))
    if not len(texts):
        raise ValueError(_no_pairs(photo_of_text_T, identity_N, protocol, gender_N is not None))
    return VerificationPairs(
        np.concatenate([texts, texts]),
        np.concatenate([mates[texts], impostors[texts]]),
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


def _impostors(
    rng: np.random.Generator, photo_T: np.ndarray, identity_N: np.ndarray, group_N: np.ndarray
) -> np.ndarray:
    """For each photo, a photo of another person of the same group; -1 where there is none."""
    drawn = np.full(len(photo_T), -1)
    for group in np.unique(group_N[photo_T]):
        members = np.flatnonzero(group_N == group)
        if len(np.unique(identity_N[members])) < 2:
            continue
        undrawn = np.flatnonzero(group_N[photo_T] == group)
        while len(undrawn):
            drawn[undrawn] = rng.choice(members, len(undrawn))
            is_same_person = identity_N[drawn[undrawn]] == identity_N[photo_T[undrawn]]
            undrawn = undrawn[is_same_person]
    return drawn


class RocCurve(NamedTuple):
    """False and true accept rates, in [0, 1], at each threshold, strictest first."""

    far: np.ndarray
    tar: np.ndarray
    threshold: np.ndarray


def roc_curve(
    score_P: np.ndarray, genuine_P: np.ndarray, weight_P: np.ndarray | None = None
) -> RocCurve:
    """The ROC curve: "accept when score >= threshold" for each distinct score.

    With far more impostors than genuine pairs, points inside a line of the same true accept rate
    are left out: 25 million scores of 5,000 genuine pairs give 15,000 points.

    Args:
      score_P: scores of pairs.
      genuine_P: whether each is genuine.
      weight_P: weight of each pair (bootstrap); None: 1 each.

    Returns:
      The curve; its first point is (0, 0), at threshold infinity.

    Raises:
      ValueError: a score is not finite, or genuine or impostor pairs are missing.
    """
    score_P, genuine_P = np.asarray(score_P), np.asarray(genuine_P)
    if not np.isfinite(score_P).all():
        raise ValueError(f'{np.sum(~np.isfinite(score_P))} of {len(score_P)} scores are not finite')
    if weight_P is None:
        score_P, genuine_P, weight_P = _merge_impostors(score_P, genuine_P)
    score_P = score_P.astype(np.float64)
    order = np.argsort(-score_P, kind='stable')
    score, weight, genuine = score_P[order], weight_P[order], genuine_P[order]
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    tar = np.append(0.0, np.cumsum(weight * genuine)[last])
    far = np.append(0.0, np.cumsum(weight * ~genuine)[last])
    if tar[-1] <= 0 or far[-1] <= 0:
        raise ValueError('a ROC curve needs genuine and impostor pairs')
    return RocCurve(far / far[-1], tar / tar[-1], np.append(np.inf, score[last]))


def _merge_impostors(
    score_P: np.ndarray, genuine_P: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, kinds and weights of fewer pairs with the same ROC curve, where impostors abound.

    Only impostors with the scores next to a genuine one, and with the highest and lowest, remain.
    Each stands also for those above it, up to the next that remains.
    """
    genuine_G = score_P[genuine_P]
    if len(score_P) <= _FEW * max(1, len(genuine_G)):
        return score_P, genuine_P, np.ones(len(score_P))
    genuine_G = np.sort(genuine_G)  # looked up faster in order
    impostor_N = score_P[~genuine_P]
    parts = [impostor_N[start : start + _PART] for start in range(0, len(impostor_N), _PART)]
    with futures.ThreadPoolExecutor(usable_cores()) as pool:
        list(pool.map(np.ndarray.sort, parts))
        near = list(pool.map(functools.partial(_neighbours, genuine_G), parts))
        below_G, least_G, above_G = map(np.stack, zip(*near, strict=True))
        ends = [min(part[0] for part in parts), max(part[-1] for part in parts)]
        remaining = np.concatenate([below_G.max(0), least_G.min(0), above_G.min(0), ends])
        remaining = np.unique(remaining[np.isfinite(remaining)])
        # The first of equal scores, so that it stands for all of them.
        first = sum(pool.map(functools.partial(np.searchsorted, v=remaining), parts))
    weight = np.concatenate([np.ones(len(genuine_G)), np.diff(first, append=len(impostor_N))])
    is_genuine = np.arange(len(weight)) < len(genuine_G)
    return np.concatenate([genuine_G, remaining]), is_genuine, weight


def _neighbours(score_G: np.ndarray, part_N: np.ndarray) -> tuple[np.ndarray, ...]:
    """The highest of sorted scores below each of G, the least not below it, and the least above."""
    last = len(part_N) - 1
    start_G, end_G = (np.searchsorted(part_N, score_G, side) for side in ('left', 'right'))
    below_G = np.where(start_G > 0, part_N[start_G - 1], -np.inf)
    least_G = np.where(start_G <= last, part_N[np.minimum(start_G, last)], np.inf)
    above_G = np.where(end_G <= last, part_N[np.minimum(end_G, last)], np.inf)
    return below_G, least_G, above_G


def auc(curve: RocCurve) -> float:
    """Area under the ROC curve: how often a genuine pair outscores an impostor; ties count half."""
    return float(np.trapezoid(curve.tar, curve.far))


def equal_error_rate(curve: RocCurve) -> float:
    """Error rate where false accepts equal false rejects; linear between points of the curve."""
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
    """The threshold s with the best balanced accuracy, halfway to the next score below.

    Call it on validation pairs only. Among equally good thresholds it takes the strictest.
    """
    best = int(np.argmax(curve.tar - curve.far))
    below = curve.threshold[min(best + 1, len(curve.threshold) - 1)]
    best_score = curve.threshold[best]
    return float(below if np.isinf(best_score) else 0.5 * (best_score + below))


def accuracy(
    score_P: np.ndarray,
    genuine_P: np.ndarray,
    threshold: float,
    weight_P: np.ndarray | None = None,
) -> float:
    """Share of correct decisions at a threshold; genuine and impostor pairs weigh the same.

    Args:
      score_P: scores of pairs.
      genuine_P: whether each is genuine.
      threshold: s; a pair is accepted above it, rejected below; at it, it counts half.
      weight_P: weight of each pair; None: 1 each.

    Returns:
      Balanced accuracy in [0, 1].
    """
    genuine_P = np.asarray(genuine_P)
    weight_P = np.ones(len(genuine_P)) if weight_P is None else weight_P
    accepted = 0.5 * (1.0 + np.sign(np.asarray(score_P) - threshold))
    correct = np.where(genuine_P, accepted, 1.0 - accepted)
    return 0.5 * float(
        np.average(correct[genuine_P], weights=weight_P[genuine_P])
        + np.average(correct[~genuine_P], weights=weight_P[~genuine_P])
    )
