"""Verification protocols: every method on the same pairs, with deviations and intervals.

One row a number: method, track, protocol, impostors, gallery, photos, level, metric, value, sd,
ci95. `value` and `sd` are the mean and standard deviation over draws of pairs (or of galleries,
which `identification` measures); `ci95` is a bootstrap over identities with the draws pooled.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from diface_jax.data.prepared import Split
from diface_jax.evaluation import bootstrap, verification
from diface_jax.evaluation.verification import VerificationPairs

ResultRow = dict[str, Any]
FARS = (0.1, 0.01, 0.001)
# More hardly narrow an interval, since identities are resampled, not pairs, and cost minutes.
RESAMPLED_PAIRS = 40_000
_NO_GALLERY = {'gallery': None, 'photos': None, 'level': None}
# Where a ROC curve is written down: twenty points a decade.
CURVE_FARS = np.round(np.logspace(-3, 0, 61), 5)


class Condition(NamedTuple):
    """A condition of verification: track, protocol and impostors."""

    track: str
    protocol: str
    impostors: str

    @property
    def name(self) -> str:
        """'grammar/cross/random', a key for thresholds."""
        return '/'.join(self)


class Repetitions(NamedTuple):
    """Numbers of draws (of pairs and galleries) and of bootstrap resamples, and their seed."""

    draws: int
    resamples: int
    seed: int


def conditions(tracks: Sequence[str], has_gender: bool) -> list[Condition]:
    """Every protocol and kind of impostor for the tracks; same gender needs its label."""
    kinds = verification.IMPOSTORS if has_gender else verification.IMPOSTORS[:1]
    return [Condition(t, p, i) for t in tracks for p in verification.PROTOCOLS for i in kinds]


def draw_pair_sets(
    split: Split,
    texts: np.ndarray,
    condition: Condition,
    gender_N: np.ndarray | None,
    effort: Repetitions,
) -> list[VerificationPairs]:
    """Draws of pairs for texts (rows of the split), the same for every method."""
    rng = np.random.default_rng(effort.seed)
    owner_T = split.photo_T[texts]
    gender_N = gender_N if condition.impostors == 'same_gender' else None
    drawn = [
        verification.draw_pairs(rng, owner_T, split.identity_N, condition.protocol, gender_N)
        for _ in range(effort.draws)
    ]
    return [pairs._replace(text_P=texts[pairs.text_P]) for pairs in drawn]


class Scorer(Protocol):
    """Scores pairs of texts and photos: `Features`, or a likelihood ratio."""

    def scores(self, text_P: np.ndarray, photo_P: np.ndarray) -> np.ndarray:
        """The score of each pair of a text and a photo, by row; [P]."""


def pair_scores(scorer: Scorer, pairs: VerificationPairs) -> np.ndarray:
    """The score of each pair; [P]."""
    return scorer.scores(pairs.text_P, pairs.photo_P)


def choose_threshold(scorer: Scorer, draws: Sequence[VerificationPairs]) -> float:
    """The threshold s of a method, from draws of *validation* pairs."""
    pooled = bootstrap.concatenate_draws(draws)
    curve = verification.roc_curve(pair_scores(scorer, pooled), pooled.genuine_P)
    return verification.best_balanced_threshold(curve)


class Estimate(NamedTuple):
    """A row of the results, with its values by draw and by resample.

    Attributes:
      row: with `value`, `sd` and `ci95`.
      draws_S: the number in each draw.
      spread_R: the number in each resample of people, the same ones for every method.
    """

    row: ResultRow
    draws_S: np.ndarray
    spread_R: np.ndarray


def verification_rows(
    methods: Mapping[str, Scorer],
    thresholds: Mapping[str, Mapping[str, float]],
    split: Split,
    draws: Mapping[Condition, Sequence[VerificationPairs]],
    effort: Repetitions,
) -> Iterator[ResultRow]:
    """The rows of `verification_estimates`, which has these arguments."""
    for found in verification_estimates(methods, thresholds, split, draws, effort):
        yield found.row


def verification_estimates(
    methods: Mapping[str, Scorer],
    thresholds: Mapping[str, Mapping[str, float]],
    split: Split,
    draws: Mapping[Condition, Sequence[VerificationPairs]],
    effort: Repetitions,
) -> Iterator[Estimate]:
    """Verification of all methods under all conditions.

    Args:
      methods: what scores pairs of the split, by method.
      thresholds: by method, then by `Condition.name`, from validation.
      split: the split measured on.
      draws: pairs by condition.
      effort: the bootstrap's.

    Yields:
      One row a number.
    """
    for condition, some in draws.items():
        pooled = bootstrap.draws_with_rows(some, RESAMPLED_PAIRS)
        weights_RxP = pair_weights(split, pooled, effort)
        for method, scorer in methods.items():
            measure = _verification_measure(thresholds[method][condition.name])
            about = {'method': method, **condition._asdict(), **_NO_GALLERY}
            yield from _pair_estimates(about, measure, scorer, some, pooled, weights_RxP)


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
    about: ResultRow,
    measure: Measure,
    scorer: Scorer,
    draws: Sequence[VerificationPairs],
    pooled: VerificationPairs,
    weights_RxP: np.ndarray,
) -> Iterator[Estimate]:
    of_draws = [measure(pair_scores(scorer, pairs), pairs.genuine_P, None) for pairs in draws]
    score_P = pair_scores(scorer, pooled)
    # Sorted once, so that sorting in every resample is a single pass.
    order = np.argsort(-score_P, kind='stable')
    score_P, genuine_P = score_P[order], pooled.genuine_P[order]
    undefined = dict.fromkeys(of_draws[0], np.nan)
    resampled = [
        measure(score_P, genuine_P, weight_P[order]) if _has_both(pooled, weight_P) else undefined
        for weight_P in weights_RxP
    ]
    for metric in of_draws[0]:
        values = [found[metric] for found in of_draws]
        spread = [found[metric] for found in resampled]
        yield make_estimate(about, metric, values, spread)


def _has_both(pairs: VerificationPairs, weight_P: np.ndarray) -> bool:
    """Whether a resample of few people has genuine and impostor pairs: error rates need both."""
    return weight_P[pairs.genuine_P].any() and weight_P[~pairs.genuine_P].any()


def make_estimate(about: ResultRow, metric: str, draws: ArrayLike, spread: ArrayLike) -> Estimate:
    """An estimate from a number in each draw and in each bootstrap resample; [S] and [R]."""
    draws_S, spread_R = np.asarray(draws), np.asarray(spread)
    row = about | {
        'metric': metric,
        'value': float(np.mean(draws_S)),
        'sd': float(np.std(draws_S, ddof=1)) if len(draws_S) > 1 else 0.0,
        'ci95': bootstrap.percentile_interval(spread_R).tolist(),
    }
    return Estimate(row, draws_S, spread_R)


def pair_weights(split: Split, pairs: VerificationPairs, effort: Repetitions) -> np.ndarray:
    """Weight of each pair in each resample: how often its one or two people were drawn; [R, P]."""
    index_N = np.unique(split.identity_N, return_inverse=True)[1]
    times_RxI = bootstrap.resample_counts(index_N.max() + 1, effort.resamples, effort.seed)
    times_RxI = times_RxI.astype(np.float32)
    described = index_N[split.photo_T[pairs.text_P]]
    shown = index_N[pairs.photo_P]
    return times_RxI[:, described] * np.where(pairs.genuine_P, 1.0, times_RxI[:, shown])


def roc_curves(
    methods: Mapping[str, Scorer],
    split: Split,
    draws: Mapping[Condition, Sequence[VerificationPairs]],
    effort: Repetitions,
) -> Iterator[ResultRow]:
    """ROC curves of all methods under all conditions, from pooled draws.

    Arguments as in `verification_estimates`.

    Yields:
      One record a curve: true accept rates at CURVE_FARS, with their intervals.
    """
    for condition, some in draws.items():
        pooled = bootstrap.draws_with_rows(some, RESAMPLED_PAIRS)
        weights_RxP = pair_weights(split, pooled, effort)
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
    found_Rx1xF = bootstrap.accepted_share(
        score_P[~genuine_P], score_P[genuine_P], weights, CURVE_FARS, hit_1xQ
    )
    return found_Rx1xF[:, 0]


def round_curve(values: np.ndarray) -> list:
    """Rounds to five decimals, finer than any figure, to keep the file small."""
    return np.round(values, 5).tolist()
