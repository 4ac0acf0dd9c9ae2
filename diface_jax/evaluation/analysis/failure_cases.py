"""Failure cases: the wrong decisions with the most confident scores."""

from collections.abc import Iterator, Sequence

import numpy as np

from diface_jax.data.prepared import Split
from diface_jax.evaluation.analysis.scored_condition import ScoredCondition
from diface_jax.evaluation.protocols import ResultRow
from diface_jax.evaluation.verification import VerificationPairs


def most_confident_errors(scored: ScoredCondition, count: int) -> list[ResultRow]:
    """The false matches with the highest scores and the false non-matches with the lowest.

    Args:
      scored: the pairs of a condition.
      count: the largest number of errors of each kind.

    Returns:
      Errors, the most confident of each kind first. Within a kind, nobody is described twice or
      shown twice. `labels` holds, for every attribute known of either photo, the label of the
      described and of the shown photo: 1, 0, or -1 for unknown.
    """
    genuine_P, score_P = scored.pairs.genuine_P, scored.score_P
    kinds = {
        'false match': (~genuine_P & (score_P > scored.threshold), -score_P),
        'false non-match': (genuine_P & (score_P < scored.threshold), score_P),
    }
    rows = []
    for kind, (is_wrong_P, sort_key_P) in kinds.items():
        worst_first = np.flatnonzero(is_wrong_P)[np.argsort(sort_key_P[is_wrong_P], kind='stable')]
        for pair in list(_each_person_once(scored.split, scored.pairs, worst_first))[:count]:
            rows.append({'kind': kind, **_failure_case(scored, pair)})
    return rows


def _each_person_once(split: Split, pairs: VerificationPairs, order: np.ndarray) -> Iterator[int]:
    """Pairs in this order, except those that describe or show a person again."""
    described, shown = set(), set()
    for pair in order:
        described_person = split.identity_N[split.photo_T[pairs.text_P[pair]]]
        shown_person = split.identity_N[pairs.photo_P[pair]]
        if described_person not in described and shown_person not in shown:
            described.add(described_person)
            shown.add(shown_person)
            yield pair


def _failure_case(scored: ScoredCondition, pair: int) -> ResultRow:
    split, text, shown = scored.split, scored.pairs.text_P[pair], scored.pairs.photo_P[pair]
    described = split.photo_T[text]
    return {
        **scored.header,
        'threshold': scored.threshold,
        'score': float(scored.score_P[pair]),
        'text': str(split.text_T[text]),
        'described': str(split.file_N[described]),
        'shown': str(split.file_N[shown]),
        'described_person': int(split.identity_N[described]),
        'shown_person': int(split.identity_N[shown]),
        'labels': _known_labels(split, scored.attributes, described, shown),
    }


def _known_labels(
    split: Split, attributes: Sequence[str], described: int, shown: int
) -> dict[str, list[int]]:
    """Labels of the described and the shown photo, of the attributes known of either."""
    label_Ax2 = split.label_NxA[[described, shown]].T.tolist()
    return {name: pair for name, pair in zip(attributes, label_Ax2, strict=True) if max(pair) >= 0}
