"""Negation test: does 'a man without a beard' move the score away from beards?

Pairs of sentences differ by one 'no', 'without' or 'not'. The lean of a sentence towards an
attribute is its mean score with the photos that have the attribute minus its mean score with those
that have not. The negated sentence must lean less than the affirmed one.
"""

import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from diface_jax.data import concepts
from diface_jax.data.prepared import Split
from diface_jax.evaluation import bootstrap
from diface_jax.evaluation.protocols import Repetitions, ResultRow

SHIPPED = concepts.SHIPPED.with_name('negation_pairs.jsonl')
# Fewer photos with the attribute, or without it, have no mean worth comparing.
MIN_PHOTOS = 5


class NegationPair(NamedTuple):
    """Two sentences that differ by a negation.

    Attributes:
      attribute: the label that they are about.
      label: what `affirmed` says of it: 1, it holds, or 0 ('a beard' is a 0 of 'No_Beard').
      affirmed: the sentence without the negation.
      negated: the sentence with it.
    """

    attribute: str
    label: int
    affirmed: str
    negated: str


def read_pairs(path: pathlib.Path = SHIPPED) -> list[NegationPair]:
    """The pairs of a file of JSON lines; those that come with the project by default."""
    with path.open(encoding='utf-8') as lines:
        return [NegationPair(**json.loads(line)) for line in lines]


def negation_shares(
    pairs: Sequence[NegationPair],
    split: Split,
    attributes: Sequence[str],
    f_NxF: np.ndarray,
    of_texts: Callable[[Sequence[str]], np.ndarray],
    effort: Repetitions,
) -> dict[str, Any] | None:
    """The share of pairs that move the right way, in all and by attribute.

    Args:
      pairs: from `read_pairs`.
      split: the split that is measured.
      attributes: names of its labels. Pairs about others are left out.
      f_NxF: features of its photos.
      of_texts: sentences to features; called once.
      effort: its resamples and seed give the interval, from a bootstrap over pairs.

    Returns:
      `pairs`, `share` and `ci95`; `rows` by attribute; and `wrong`, the pairs that move the wrong
      way. None if no attribute of a pair has MIN_PHOTOS photos with and without it.
    """
    leans = {name: _lean(split.label_NxA[:, i], f_NxF) for i, name in enumerate(attributes)}
    pairs = [pair for pair in pairs if leans.get(pair.attribute) is not None]
    if not pairs:
        return None
    sentences = [sentence for pair in pairs for sentence in (pair.affirmed, pair.negated)]
    f_Px2xF = of_texts(sentences).reshape(len(pairs), 2, -1)
    lean_PxF = np.stack([leans[pair.attribute] for pair in pairs])
    sign_P = np.array([1.0 if pair.label else -1.0 for pair in pairs])
    move_P = sign_P * np.einsum('pf,pf->p', f_Px2xF[:, 0] - f_Px2xF[:, 1], lean_PxF)
    right_P = move_P > 0
    counts_RxP = bootstrap.resample_counts(len(pairs), effort.resamples, effort.seed)
    return {
        'pairs': len(pairs),
        'share': float(right_P.mean()),
        'ci95': bootstrap.percentile_interval(counts_RxP @ right_P / len(pairs)).tolist(),
        'rows': _by_attribute(pairs, right_P),
        'wrong': [pair._asdict() for pair, right in zip(pairs, right_P, strict=True) if not right],
    }


def _lean(label_N: np.ndarray, f_NxF: np.ndarray) -> np.ndarray | None:
    """Mean feature with the attribute minus that without it, [F]; None with too few photos."""
    holds_N, absent_N = label_N == 1, label_N == 0
    if min(holds_N.sum(), absent_N.sum()) < MIN_PHOTOS:
        return None
    return f_NxF[holds_N].mean(axis=0) - f_NxF[absent_N].mean(axis=0)


def _by_attribute(pairs: Sequence[NegationPair], right_P: np.ndarray) -> list[ResultRow]:
    rows = []
    for attribute in dict.fromkeys(pair.attribute for pair in pairs):
        of_attribute = [pair.attribute == attribute for pair in pairs]
        right = right_P[of_attribute]
        share = float(right.mean())
        rows.append({'attribute': attribute, 'pairs': len(right), 'share': share})
    return rows
