"""Short queries: does 'bald guy with glasses' rank the photos with these labels first?

Queries as people type them into a search box, in a few words, with the labels that they imply.
"""

import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from diface_jax.data import concepts
from diface_jax.data.prepared import Split
from diface_jax.evaluation import bootstrap, verification
from diface_jax.evaluation.protocols import Repetitions, ResultRow

SHIPPED = concepts.SHIPPED.with_name('short_queries.jsonl')
# With fewer photos that fit a query, or do not, its AUC says nothing.
MIN_PHOTOS = 5


class ShortQuery(NamedTuple):
    """A query and the labels that it implies: 1, the attribute holds, or 0."""

    query: str
    labels: Mapping[str, int]


def read_short_queries(path: pathlib.Path = SHIPPED) -> list[ShortQuery]:
    """The queries of a file of JSON lines; those that come with the project by default."""
    with path.open(encoding='utf-8') as lines:
        return [ShortQuery(**json.loads(line)) for line in lines]


def short_query_aucs(
    queries: Sequence[ShortQuery],
    split: Split,
    attributes: Sequence[str],
    f_NxF: np.ndarray,
    of_texts: Callable[[Sequence[str]], np.ndarray],
    effort: Repetitions,
) -> dict[str, Any] | None:
    """The AUC of each query: photos that have all its labels against photos that lack any.

    Args:
      queries: from `read_short_queries`.
      split: the split that is measured.
      attributes: names of its labels. Queries that imply others are left out.
      f_NxF: features of its photos.
      of_texts: sentences to features; called once.
      effort: its resamples and seed give the interval of the mean, from a bootstrap over queries.

    Returns:
      `queries` (their number), `mean_auc`, `ci95`, and `rows`, one for each query with at least
      MIN_PHOTOS photos that fit and as many that do not; None if there is none.
    """
    fits = {}
    for each in queries:
        if set(each.labels) <= set(attributes):
            fits_N = _fits(each, split, attributes)
            if min((fits_N == 1).sum(), (fits_N == 0).sum()) >= MIN_PHOTOS:
                fits[each.query] = fits_N
    if not fits:
        return None
    f_QxF = of_texts(list(fits))
    rows = [
        _row(query, fits_N, f_NxF @ f_F)
        for (query, fits_N), f_F in zip(fits.items(), f_QxF, strict=True)
    ]
    auc_Q = np.array([row['auc'] for row in rows])
    counts_RxQ = bootstrap.resample_counts(len(rows), effort.resamples, effort.seed)
    return {
        'queries': len(rows),
        'mean_auc': float(auc_Q.mean()),
        'ci95': bootstrap.percentile_interval(counts_RxQ @ auc_Q / len(rows)).tolist(),
        'rows': rows,
    }


def _fits(query: ShortQuery, split: Split, attributes: Sequence[str]) -> np.ndarray:
    """Whether each photo fits a query: 1 or 0; -1 where its labels do not say."""
    label_NxL = split.label_NxA[:, [attributes.index(name) for name in query.labels]]
    wanted_L = np.array(list(query.labels.values()))
    contradicted_N = ((label_NxL >= 0) & (label_NxL != wanted_L)).any(axis=1)
    confirmed_N = (label_NxL == wanted_L).all(axis=1)
    return np.where(contradicted_N, 0, np.where(confirmed_N, 1, -1))


def _row(query: str, fits_N: np.ndarray, score_N: np.ndarray) -> ResultRow:
    known_N = fits_N >= 0
    curve = verification.roc_curve(score_N[known_N], fits_N[known_N] == 1)
    return {'query': query, 'photos': int((fits_N == 1).sum()), 'auc': verification.auc(curve)}
