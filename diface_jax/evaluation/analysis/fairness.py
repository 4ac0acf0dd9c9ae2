"""Fairness: error rates by group of people, at one common threshold.

A pair belongs to the group of the photo that its text describes. Impostors are random people of any
group, so a group whose members look unlike most others gets error rates that are too good. The rows
for impostors of the same gender come from `protocols.verification_rows`.
"""

import collections
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from diface_jax.data.prepared import Split
from diface_jax.evaluation import bootstrap, protocols
from diface_jax.evaluation.analysis.scored_condition import ScoredCondition
from diface_jax.evaluation.protocols import Repetitions, ResultRow
from diface_jax.evaluation.verification import VerificationPairs

# Gender, age and skin tone, as CelebA and LFWA+ label them.
GROUP_ATTRIBUTES = (
    'Male', 'Young', 'Child', 'Youth', 'Middle_Aged', 'Senior',
    'Pale_Skin', 'White', 'Black', 'Asian', 'Indian',
)  # fmt: skip
# With fewer texts the rates of a group, and gaps between groups, are too uncertain to report.
MIN_TEXTS = 30
_ERRORS = {'far': 'The false accept rate', 'frr': 'The false reject rate'}


def group_error_rates(scored: ScoredCondition, effort: Repetitions) -> list[ResultRow]:
    """Accuracy, false accept rate and false reject rate by group, at the common threshold.

    Args:
      scored: the pairs of a condition with random impostors.
      effort: number of bootstrap resamples over identities, and their seed.

    Returns:
      Three rows for each group with at least MIN_TEXTS texts. Each attribute has two groups: it
      holds, or it does not. A pair exactly at the threshold counts as half an error, and accuracy
      gives genuine and impostor pairs the same weight, as in `verification.accuracy`.
    """
    pairs = scored.pairs
    resampled_pairs = bootstrap.draws_with_rows(scored.draws, protocols.RESAMPLED_PAIRS)
    weight_RxP = protocols.pair_weights(scored.split, resampled_pairs, effort)
    error_P = _errors(scored.score_P, pairs.genuine_P, scored.threshold)
    rows = []
    for group, in_group_P in _groups(scored.split, scored.attributes, pairs):
        num_texts = len(np.unique(pairs.text_P[in_group_P]))
        if num_texts >= MIN_TEXTS:
            error, genuine = error_P[in_group_P], pairs.genuine_P[in_group_P]
            weight = weight_RxP[:, in_group_P[: weight_RxP.shape[1]]]
            rows += [
                {**group, **scored.header, **metric_fields, 'texts': num_texts}
                for metric_fields in _metric_fields(error, genuine, weight)
            ]
    return rows


def _metric_fields(
    error_P: np.ndarray, genuine_P: np.ndarray, weight_RxQ: np.ndarray
) -> Iterator[ResultRow]:
    """Value and interval of each metric; only the first Q of the P pairs are resampled."""
    value = _rates(error_P, genuine_P, np.ones((1, len(error_P))))
    num_resampled = weight_RxQ.shape[1]
    resampled = _rates(error_P[:num_resampled], genuine_P[:num_resampled], weight_RxQ)
    for metric, value_R in resampled.items():
        yield {
            'metric': metric,
            'value': float(value[metric][0]),
            'ci95': bootstrap.percentile_interval(value_R).tolist(),
        }


def _groups(
    split: Split, attributes: Sequence[str], pairs: VerificationPairs
) -> Iterator[tuple[ResultRow, np.ndarray]]:
    """Each group and the mask of its pairs; photos with an unknown label are in no group."""
    for attribute in GROUP_ATTRIBUTES:
        if attribute in attributes:
            label_N = split.label_NxA[:, attributes.index(attribute)]
            label_P = label_N[split.photo_T[pairs.text_P]]
            yield {'attribute': attribute, 'group': attribute}, label_P == 1
            yield {'attribute': attribute, 'group': f'not {attribute}'}, label_P == 0


def _errors(score_P: np.ndarray, genuine_P: np.ndarray, threshold: float) -> np.ndarray:
    """1 for a wrong decision, 0 for a right one, 1/2 for a score at the threshold; [P]."""
    accepted_P = 0.5 * (1.0 + np.sign(score_P - threshold))
    return np.where(genuine_P, 1.0 - accepted_P, accepted_P)


def _rates(
    error_P: np.ndarray, genuine_P: np.ndarray, weight_RxP: np.ndarray
) -> dict[str, np.ndarray]:
    """Each metric in each resample; [R]."""
    far_R = _mean(error_P[~genuine_P], weight_RxP[:, ~genuine_P])
    frr_R = _mean(error_P[genuine_P], weight_RxP[:, genuine_P])
    return {'accuracy': 1.0 - 0.5 * (far_R + frr_R), 'far': far_R, 'frr': frr_R}


def _mean(value_P: np.ndarray, weight_RxP: np.ndarray) -> np.ndarray:
    """Weighted mean in each resample, [R]; nan where all weights are 0."""
    total_R = weight_RxP.sum(axis=1)
    mean_R = np.full(len(total_R), np.nan)
    return np.divide(weight_RxP @ value_P, total_R, out=mean_R, where=total_R > 0)


def largest_gap(rows: Sequence[ResultRow]) -> dict[str, Any] | None:
    """The attribute whose two groups have the largest difference of error rates.

    Args:
      rows: of `group_error_rates`, for any number of conditions. False accept rates and false
        reject rates are compared separately, because in accuracy they can cancel.

    Returns:
      The metric, the condition, both groups, the gap, and a sentence that states them; None when
      no attribute has two groups.
    """
    shared = ('metric', 'attribute', 'track', 'protocol')
    groups_by_rate = collections.defaultdict(list)
    for row in rows:
        if row['metric'] in _ERRORS:
            groups_by_rate[tuple(row[name] for name in shared)].append(row)
    by_value = operator.itemgetter('value')
    pairs = [sorted(groups, key=by_value) for groups in groups_by_rate.values() if len(groups) == 2]
    if not pairs:
        return None
    best, worst = max(pairs, key=lambda pair: pair[1]['value'] - pair[0]['value'])
    gap = worst['value'] - best['value']
    return {
        **{name: best[name] for name in shared},
        'best': {'group': best['group'], 'value': best['value']},
        'worst': {'group': worst['group'], 'value': worst['value']},
        'gap': gap,
        'sentence': (
            f'{_ERRORS[best["metric"]]} ({best["protocol"]}, {best["track"]}) is '
            f'{_rate_text(best)} and {_rate_text(worst)}: a gap of {100 * gap:.1f} points'
        ),
    }


def _rate_text(row: ResultRow) -> str:
    low, high = row['ci95']
    return f'{100 * row["value"]:.1f}% ({100 * low:.1f}–{100 * high:.1f}) for {row["group"]}'
