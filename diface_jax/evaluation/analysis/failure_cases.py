"""Failure cases: the wrong decisions with the most confident scores."""

from collections.abc import Iterator, Sequence

import numpy as np

from diface_jax.data.prepared import Split
from diface_jax.evaluation import bootstrap, protocols
from diface_jax.evaluation.protocols import Condition, ResultRow
from diface_jax.evaluation.verification import VerificationPairs
from diface_jax.models.features import Features


def most_confident_errors(
    features: Features,
    split: Split,
    attributes: Sequence[str],
    draws: Sequence[VerificationPairs],
    condition: Condition,
    threshold: float,
    count: int,
) -> list[ResultRow]:
    """The false matches with the highest scores and the false non-matches with the lowest.

    Args:
      features: of the method.
      split: the split measured on.
      attributes: the names of its labels.
      draws: pairs of the condition.
      condition: its track and protocol.
      threshold: s of the method under that condition, from validation.
      count: mistakes of a kind, at most.

    Returns:
      Mistakes, the worst of each kind first; nobody is described twice or shown twice in a kind.
      `labels` holds the described and the shown photo's (1, 0, or -1 for unknown) of every
      attribute known of either.
    """
    pairs = bootstrap.concatenate_draws(draws)
    score_P = protocols.pair_scores(features, pairs)
    kinds = {
        'false match': (~pairs.genuine_P & (score_P > threshold), -score_P),
        'false non-match': (pairs.genuine_P & (score_P < threshold), score_P),
    }
    about = {'track': condition.track, 'protocol': condition.protocol, 'threshold': threshold}
    rows = []
    for kind, (wrong_P, key_P) in kinds.items():
        worst = np.flatnonzero(wrong_P)[np.argsort(key_P[wrong_P], kind='stable')]
        for i in list(_each_person_once(split, pairs, worst))[:count]:
            about_pair = _pair(split, attributes, int(pairs.text_P[i]), int(pairs.photo_P[i]))
            rows.append({'kind': kind, **about, 'score': float(score_P[i]), **about_pair})
    return rows


def _each_person_once(split: Split, pairs: VerificationPairs, order: np.ndarray) -> Iterator[int]:
    """Pairs in their order, without those of somebody described, or shown, before."""
    described, shown = set(), set()
    for i in order:
        person = split.identity_N[split.photo_T[pairs.text_P[i]]]
        other = split.identity_N[pairs.photo_P[i]]
        if person not in described and other not in shown:
            described.add(person)
            shown.add(other)
            yield i


def _pair(split: Split, attributes: Sequence[str], text: int, shown: int) -> ResultRow:
    described = split.photo_T[text]
    labels = split.label_NxA[[described, shown]].T.tolist()
    return {
        'text': str(split.text_T[text]),
        'described': str(split.file_N[described]),
        'shown': str(split.file_N[shown]),
        'described_person': int(split.identity_N[described]),
        'shown_person': int(split.identity_N[shown]),
        'labels': {
            name: both for name, both in zip(attributes, labels, strict=True) if max(both) >= 0
        },
    }
