"""Verification protocols: every method on the same pairs, with deviations and intervals.

A row of the results holds a single number, with the columns method, track, protocol, impostors,
gallery, photos, level, metric, value, sd and ci95. `value` and `sd` are the mean and the standard
deviation over draws of pairs (or of galleries, see `identification`); `ci95` is a bootstrap over
identities with the draws pooled.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from diface_jax.data.prepared import Split
from diface_jax.evaluation import bootstrap, verification
from diface_jax.evaluation.verification import VerificationPairs

ResultRow = dict[str, Any]
FARS = (0.1, 0.01, 0.001)
# More pairs cost minutes and hardly narrow an interval, since identities are resampled.
RESAMPLED_PAIRS = 40_000
_NO_GALLERY = {'gallery': None, 'photos': None, 'level': None}
# False accept rates at which a ROC curve is saved: twenty a decade.
CURVE_FARS = np.round(np.logspace(-3, 0, 61), 5)


class Condition(NamedTuple):
    """A condition of verification: track, protocol and impostors."""

    track: str
    protocol: str
    impostors: str

    @property
    def name(self) -> str:
        """Such as 'grammar/cross/random': the key of the thresholds."""
        return '/'.join(self)


class Repetitions(NamedTuple):
    """Numbers of draws (of pairs and galleries) and of bootstrap resamples, and their seed."""

    draws: int
    resamples: int
    seed: int


def conditions(tracks: Sequence[str], has_gender: bool) -> list[Condition]:
    """All conditions of the tracks; impostors of the same gender only if gender is labelled."""
    impostors = verification.IMPOSTORS if has_gender else verification.IMPOSTORS[:1]
    combinations = itertools.product(tracks, verification.PROTOCOLS, impostors)
    return [Condition(*combination) for combination in combinations]


def draw_pair_sets(
    split: Split,
    texts: np.ndarray,
    condition: Condition,
    gender_N: np.ndarray | None,
    repetitions: Repetitions,
) -> list[VerificationPairs]:
    """Draws pairs, the same for every method.

    Args:
      split: the texts and photos.
      texts: rows of the texts to pair, [T].
      condition: the protocol and the kind of impostor.
      gender_N: gender label of each photo; needed for impostors of the same gender.
      repetitions: how many draws, and their seed.

    Returns:
      One set of pairs a draw; `text_P` are rows of the split.

    Raises:
      ValueError: no text can be paired.
    """
    rng = np.random.default_rng(repetitions.seed)
    owner_T = split.photo_T[texts]
    gender_N = gender_N if condition.impostors == 'same_gender' else None
    pair_sets = [
        verification.draw_pairs(rng, owner_T, split.identity_N, condition.protocol, gender_N)
        for _ in range(repetitions.draws)
    ]
    return [pairs._replace(text_P=texts[pairs.text_P]) for pairs in pair_sets]


class Scorer(Protocol):
    """Scores pairs of texts and photos: `Features` by cosine, or a likelihood ratio."""

    def scores(self, text_P: np.ndarray, photo_P: np.ndarray) -> np.ndarray:
        """Scores of pairs, given the rows of their texts and photos; [P]."""


def pair_scores(scorer: Scorer, pairs: VerificationPairs) -> np.ndarray:
    """The score of each pair; [P]."""
    return scorer.scores(pairs.text_P, pairs.photo_P)


def choose_threshold(scorer: Scorer, draws: Sequence[VerificationPairs]) -> float:
    """The threshold s of a method, from draws of *validation* pairs: best balanced accuracy."""
    pooled = bootstrap.concatenate_draws(draws)
    curve = verification.roc_curve(pair_scores(scorer, pooled), pooled.genuine_P)
    return verification.best_balanced_threshold(curve)


class Estimate(NamedTuple):
    """A row of the results, with its value in each draw and each resample.

    Attributes:
      row: the row, with `value`, `sd` and `ci95`.
      draws_S: the value in each draw.
      spread_R: the value in each resample of people; every method has the same resamples.
    """

    row: ResultRow
    draws_S: np.ndarray
    spread_R: np.ndarray


def verification_rows(
    methods: Mapping[str, Scorer],
    thresholds: Mapping[str, Mapping[str, float]],
    split: Split,
    draws: Mapping[Condition, Sequence[VerificationPairs]],
    repetitions: Repetitions,
) -> Iterator[ResultRow]:
    """The rows of `verification_estimates`, with the same arguments."""
    for estimate in verification_estimates(methods, thresholds, split, draws, repetitions):
        yield estimate.row


def verification_estimates(
    methods: Mapping[str, Scorer],
    thresholds: Mapping[str, Mapping[str, float]],
    split: Split,
    draws: Mapping[Condition, Sequence[VerificationPairs]],
    repetitions: Repetitions,
) -> Iterator[Estimate]:
    """Verification of all methods under all conditions.

    Args:
      methods: scorers of the split's pairs, by name of the method.
      thresholds: by method, then by `Condition.name`, from validation.
      split: the split to measure on.
      draws: pairs by condition.
      repetitions: the number of bootstrap resamples, and their seed.

    Yields:
      An estimate of each metric of each method under each condition.
    """
    for condition, pair_sets in draws.items():
        pooled = bootstrap.draws_with_rows(pair_sets, RESAMPLED_PAIRS)
        weights_RxP = pair_weights(split, pooled, repetitions)
        for method, scorer in methods.items():
            measure = _verification_measure(thresholds[method][condition.name])
            labels = {'method': method, **condition._asdict(), **_NO_GALLERY}
            yield from _pair_estimates(labels, measure, scorer, pair_sets, pooled, weights_RxP)


Measure = Callable[[np.ndarray, np.ndarray, np.ndarray | None], dict[str, float]]


def _verification_measure(threshold: float) -> Measure:
    def measure(
        score_P: np.ndarray, genuine_P: np.ndarray, weight_P: np.ndarray | None = None
    ) -> dict[str, float]:
        curve = verification.roc_curve(score_P, genuine_P, weight_P)
        return {
            'accuracy': verification.accuracy(score_P, genuine_P, threshold, weight_P),
            'auc': verification.auc(curve),
            'eer': verification.equal_error_rate(curve),
            **{f'tar@far={far:g}': verification.tar_at_far(curve, far) for far in FARS},
        }

    return measure


def _pair_estimates(
    labels: ResultRow,
    measure: Measure,
    scorer: Scorer,
    draws: Sequence[VerificationPairs],
    pooled: VerificationPairs,
    weights_RxP: np.ndarray,
) -> Iterator[Estimate]:
    by_draw = [measure(pair_scores(scorer, pairs), pairs.genuine_P, None) for pairs in draws]
    score_P = pair_scores(scorer, pooled)
    # Sorted once, so that sorting in each resample takes a single pass.
    order = np.argsort(-score_P, kind='stable')
    score_P, genuine_P = score_P[order], pooled.genuine_P[order]
    undefined = dict.fromkeys(by_draw[0], np.nan)
    by_resample = [
        measure(score_P, genuine_P, weight_P[order]) if _has_both(pooled, weight_P) else undefined
        for weight_P in weights_RxP
    ]
    for metric in by_draw[0]:
        values = [metrics[metric] for metrics in by_draw]
        spread = [metrics[metric] for metrics in by_resample]
        yield make_estimate(labels, metric, values, spread)


def _has_both(pairs: VerificationPairs, weight_P: np.ndarray) -> bool:
    """Whether a resample has genuine and impostor pairs (with few people it may lack either)."""
    return weight_P[pairs.genuine_P].any() and weight_P[~pairs.genuine_P].any()


def make_estimate(labels: ResultRow, metric: str, draws: ArrayLike, spread: ArrayLike) -> Estimate:
    """An estimate from the value in each draw [S] and in each bootstrap resample [R].

    Args:
      labels: the other columns of the row.
      metric: name of the number.
      draws: its value in each draw.
      spread: its value in each resample.
    """
    draws_S, spread_R = np.asarray(draws), np.asarray(spread)
    row = labels | {
        'metric': metric,
        'value': float(np.mean(draws_S)),
        'sd': float(np.std(draws_S, ddof=1)) if len(draws_S) > 1 else 0.0,
        'ci95': bootstrap.percentile_interval(spread_R).tolist(),
    }
    return Estimate(row, draws_S, spread_R)


def pair_weights(split: Split, pairs: VerificationPairs, repetitions: Repetitions) -> np.ndarray:
    """Weight of each pair in each resample; [R, P].

    It is how often the person was drawn; for an impostor pair, the product of both people's counts.
    """
    index_N = np.unique(split.identity_N, return_inverse=True)[1]
    resample_counts_RxI = bootstrap.resample_counts(
        index_N.max() + 1, repetitions.resamples, repetitions.seed
    ).astype(np.float32)
    described = index_N[split.photo_T[pairs.text_P]]
    shown = index_N[pairs.photo_P]
    return resample_counts_RxI[:, described] * np.where(
        pairs.genuine_P, 1.0, resample_counts_RxI[:, shown]
    )


def roc_curves(
    methods: Mapping[str, Scorer],
    split: Split,
    draws: Mapping[Condition, Sequence[VerificationPairs]],
    repetitions: Repetitions,
) -> Iterator[ResultRow]:
    """ROC curves of all methods under all conditions, from pooled draws.

    Arguments as in `verification_estimates`.

    Yields:
      One record for each curve: true accept rates at CURVE_FARS, with their intervals.
    """
    for condition, pair_sets in draws.items():
        pooled = bootstrap.draws_with_rows(pair_sets, RESAMPLED_PAIRS)
        weights_RxP = pair_weights(split, pooled, repetitions)
        for method, scorer in methods.items():
            score_P = pair_scores(scorer, pooled)
            tar_F = _true_accepts(score_P, pooled.genuine_P, np.ones((1, len(score_P))))[0]
            spread_RxF = _true_accepts(score_P, pooled.genuine_P, weights_RxP)
            yield {'kind': 'roc', 'method': method, **condition._asdict()} | {
                'far': CURVE_FARS.tolist(),
                'tar': round_curve(tar_F),
                'ci95': round_curve(bootstrap.percentile_interval(spread_RxF)),
            }


def _true_accepts(score_P: np.ndarray, genuine_P: np.ndarray, weight_RxP: np.ndarray) -> np.ndarray:
    """True accept rates at CURVE_FARS in each resample; [R, F]."""
    weights = ((weight_P[~genuine_P], weight_P[genuine_P]) for weight_P in weight_RxP)
    hit_1xQ = np.ones((1, genuine_P.sum()), bool)
    rate_Rx1xF = bootstrap.accepted_share(
        score_P[~genuine_P], score_P[genuine_P], weights, CURVE_FARS, hit_1xQ
    )
    return rate_Rx1xF[:, 0]


def round_curve(values: np.ndarray) -> list:
    """Rounds to five decimals, finer than any figure, to keep the file small."""
    return np.round(values, 5).tolist()
