"""Fairness: error rates by group of people at the one threshold.

A pair belongs to the group of the photo its text describes. Impostors are random people of any
group, so that a group which few others look like is flattered; impostors of the same gender are
another table (`protocols.verification_rows`).
"""

import collections
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from diface_jax.data.prepared import Split
from diface_jax.evaluation import bootstrap, protocols
from diface_jax.evaluation.protocols import Condition, Repetitions, ResultRow
from diface_jax.evaluation.verification import VerificationPairs
from diface_jax.models.features import Features

# Gender, age and skin tone, as CelebA and LFWA+ label them.
GROUP_ATTRIBUTES = (
    'Male', 'Young', 'Child', 'Youth', 'Middle_Aged', 'Senior',
    'Pale_Skin', 'White', 'Black', 'Asian', 'Indian',
)  # fmt: skip
# Fewer say little of a group, and less of how far apart two are.
MIN_TEXTS = 30
_ERRORS = {'far': 'The false accept rate', 'frr': 'The false reject rate'}


def group_error_rates(
    features: Features,
    split: Split,
    attributes: Sequence[str],
    draws: Sequence[VerificationPairs],
    condition: Condition,
    threshold: float,
    effort: Repetitions,
) -> list[ResultRow]:
    """Accuracy, false accept and false reject rate by group, at the common threshold.

    Args:
      features: of the method.
      split: the split measured on.
      attributes: the names of its labels.
      draws: pairs of the condition, with random impostors.
      condition: its track and protocol.
      threshold: s of the method under that condition, from validation.
      effort: the bootstrap's, over identities.

    Returns:
      Three rows for each group of MIN_TEXTS texts or more: those whose attribute holds, and those
      whose does not. A pair at the threshold is half an error, and accuracy weighs genuine and
      impostor pairs the same, as in `verification.accuracy`.
    """
    pairs = bootstrap.concatenate_draws(draws)
    first = bootstrap.draws_with_rows(draws, protocols.RESAMPLED_PAIRS)
    weight_RxP = protocols.pair_weights(split, first, effort)
    error_P = _errors(protocols.pair_scores(features, pairs), pairs.genuine_P, threshold)
    about = {'track': condition.track, 'protocol': condition.protocol}
    found = []
    for group, of_group_P in _groups(split, attributes, pairs):
        texts = len(np.unique(pairs.text_P[of_group_P]))
        if texts >= MIN_TEXTS:
            error, genuine = error_P[of_group_P], pairs.genuine_P[of_group_P]
            value = _rates(error, genuine, np.ones((1, len(error))))
            # What is resampled are the first of the pairs.
            weight = weight_RxP[:, of_group_P[: len(first.text_P)]]
            resampled = _rates(error[: weight.shape[1]], genuine[: weight.shape[1]], weight)
            found += [
                {**group, **about, **numbers, 'texts': texts}
                for numbers in _numbers(value, resampled)
            ]
    return found


def _numbers(
    value: Mapping[str, np.ndarray], resampled: Mapping[str, np.ndarray]
) -> Iterator[ResultRow]:
    for metric, spread_R in resampled.items():
        yield {
            'metric': metric,
            'value': float(value[metric][0]),
            'ci95': bootstrap.percentile_interval(spread_R).tolist(),
        }


def _groups(
    split: Split, attributes: Sequence[str], pairs: VerificationPairs
) -> Iterator[tuple[ResultRow, np.ndarray]]:
    """Groups, and which pairs are of each; an unknown label is of none."""
    for attribute in GROUP_ATTRIBUTES:
        if attribute in attributes:
            label_N = split.label_NxA[:, attributes.index(attribute)]
            label_P = label_N[split.photo_T[pairs.text_P]]
            yield {'attribute': attribute, 'group': attribute}, label_P == 1
            yield {'attribute': attribute, 'group': f'not {attribute}'}, label_P == 0


def _errors(score_P: np.ndarray, genuine_P: np.ndarray, threshold: float) -> np.ndarray:
    """1 for a pair decided wrongly, 0 for one decided rightly, 1/2 at the threshold."""
    accepted_P = 0.5 * (1.0 + np.sign(score_P - threshold))
    return np.where(genuine_P, 1.0 - accepted_P, accepted_P)


def _rates(
    error_P: np.ndarray, genuine_P: np.ndarray, weight_RxP: np.ndarray
) -> dict[str, np.ndarray]:
    """The metrics in each resample; [R] each."""
    far_R = _mean(error_P[~genuine_P], weight_RxP[:, ~genuine_P])
    frr_R = _mean(error_P[genuine_P], weight_RxP[:, genuine_P])
    return {'accuracy': 1.0 - 0.5 * (far_R + frr_R), 'far': far_R, 'frr': frr_R}


def _mean(value_P: np.ndarray, weight_RxP: np.ndarray) -> np.ndarray:
    """Weighted mean in each resample, [R]; nan where nothing weighs."""
    total_R = weight_RxP.sum(axis=1)
    nothing_R = np.full(len(total_R), np.nan)
    return np.divide(weight_RxP @ value_P, total_R, out=nothing_R, where=total_R > 0)


def largest_gap(rows: Sequence[ResultRow]) -> dict[str, Any] | None:
    """The two groups of an attribute whose error rates are farthest apart.

    Args:
      rows: of `group_error_rates`, of any number of conditions. False accepts and false rejects
        are compared
        each for themselves: in accuracy, more of one and fewer of the other would cancel.

    Returns:
      The metric, the condition, both groups, the gap, and all of it as a sentence; None where no
      attribute has two groups.
    """
    shared = ('metric', 'attribute', 'track', 'protocol')
    sides = collections.defaultdict(list)
    for row in rows:
        if row['metric'] in _ERRORS:
            sides[tuple(row[name] for name in shared)].append(row)
    by_value = operator.itemgetter('value')
    both = [sorted(two, key=by_value) for two in sides.values() if len(two) == 2]
    if not both:
        return None
    best, worst = max(both, key=lambda two: two[1]['value'] - two[0]['value'])
    gap = worst['value'] - best['value']
    return {
        **{name: best[name] for name in shared},
        'best': {'group': best['group'], 'value': best['value']},
        'worst': {'group': worst['group'], 'value': worst['value']},
        'gap': gap,
        'sentence': (
            f'{_ERRORS[best["metric"]]} ({best["protocol"]}, {best["track"]}) is '
            f'{_in_words(best)} and {_in_words(worst)}: a gap of {100 * gap:.1f} points'
        ),
    }


def _in_words(row: ResultRow) -> str:
    low, high = row['ci95']
    return f'{100 * row["value"]:.1f}% ({100 * low:.1f}–{100 * high:.1f}) for {row["group"]}'
