"""Cluster statistics: are the embeddings of one identity close together and far from others?

The paper (section 3) assumes such clusters: transport onto p(x0 | c) ends in the right cluster, and
R makes clusters tighter and moves them apart. Rows are scaled to unit vectors, as in matching.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import silhouette_score

from diface_jax.diffusion.ddim import SamplingPath
from diface_jax.models.features import Features, unit_rows

Record = dict[str, Any]


def cluster_statistics(x_NxW: np.ndarray, identity_N: np.ndarray) -> Record:
    """How tight the clusters of the identities are, and how far apart.

    Args:
      x_NxW: embeddings or features; each row is first scaled to length 1.
      identity_N: the identity of each row. A person with a single row counts only in the
        statistics between identities.

    Returns:
      A record of

      * `fisher`: the trace of the covariance between identities over the trace within them (see
        `_fisher`); expected to be 0 for random labels;
      * `silhouette`: the mean of (b - a) / max(a, b) over the rows of people with two rows or more,
        where a is the mean cosine distance of a row to the others of its identity and b that to
        the nearest other identity (Rousseeuw 1987);
      * `cos_within`, `cos_between`: the mean cosine of two different rows of the same identity,
        and of different identities;
      * `rows`, `identities`: their numbers.

    Raises:
      ValueError: a row is not finite, or fewer than two identities have two rows.
    """
    bad = np.flatnonzero(~np.isfinite(x_NxW).all(axis=1))
    if len(bad):
        raise ValueError(f'rows {bad[:10].tolist()} of {len(x_NxW)} are not finite')
    _, index_N, count_I = np.unique(identity_N, return_inverse=True, return_counts=True)
    if not has_repeated_identities(identity_N):
        raise ValueError('clusters need two identities with two rows or more each')
    x = unit_rows(np.asarray(x_NxW, np.float64))
    is_repeated_N = count_I[index_N] > 1
    within, between = _cosines(x, index_N, count_I)
    return {
        'fisher': _fisher(x, index_N, count_I),
        'silhouette': float(
            silhouette_score(x[is_repeated_N], index_N[is_repeated_N], metric='cosine')
        ),
        'cos_within': within,
        'cos_between': between,
        'rows': len(x),
        'identities': len(count_I),
    }


def has_repeated_identities(identity_N: np.ndarray) -> bool:
    """Whether at least two identities have two rows or more, which cluster statistics need."""
    return bool(np.sum(np.unique(identity_N, return_counts=True)[1] > 1) >= 2)


def clusters_by_space(
    x0: Features, f: Features, identity_T: np.ndarray, identity_N: np.ndarray
) -> list[Record]:
    """Cluster statistics of photos and of texts, in X0 and in F.

    Args:
      x0: embeddings recovered from texts, and embeddings of photos.
      f: features of texts and photos in F.
      identity_T: the person each text describes.
      identity_N: the person in each photo.

    Returns:
      A record of `cluster_statistics` for each, with its `space`. Photos or texts that lack two
      identities with two rows are left out.
    """
    spaces = {
        'X0, photos': (x0.photo_NxF, identity_N),
        'recovered, texts': (x0.text_TxF, identity_T),
        'F, photos': (f.photo_NxF, identity_N),
        'F, texts': (f.text_TxF, identity_T),
    }
    return [
        {'space': space, **cluster_statistics(x, identity)}
        for space, (x, identity) in spaces.items()
        if has_repeated_identities(identity)
    ]


def clusters_along_path(
    path: SamplingPath, refine: Callable[[np.ndarray], np.ndarray], identity_T: np.ndarray
) -> list[Record]:
    """Cluster statistics along the DDIM path, from noise to embeddings.

    Args:
      path: the sampling path, with one sample of each text.
      refine: R, from x0_TxD to f_TxF.
      identity_T: the person each text describes.

    Returns:
      Records of `cluster_statistics` at each time, from t = 1 to t = 0: for x_t, for the estimate
      of x0, and for R of the estimate, with `t`, `log_snr` and `space`. Empty if fewer than two
      people have two texts.
    """
    if not has_repeated_identities(identity_T):
        return []
    records = []
    for t, log_snr, x_TxD, x0_TxD in zip(*path, strict=True):
        spaces = {'x_t': x_TxD, 'estimate': x0_TxD, 'F of the estimate': refine(x0_TxD)}
        time = {'t': float(t), 'log_snr': float(log_snr)}
        records += [
            {**time, 'space': space, **cluster_statistics(rows_TxW, identity_T)}
            for space, rows_TxW in spaces.items()
        ]
    return records


def _sums(x_NxW: np.ndarray, index_N: np.ndarray, count: int) -> np.ndarray:
    """Sum of the rows of each identity; [I, W]."""
    sums_IxW = np.zeros((count, x_NxW.shape[1]))
    np.add.at(sums_IxW, index_N, x_NxW)
    return sums_IxW


def _fisher(x_NxW: np.ndarray, index_N: np.ndarray, count_I: np.ndarray) -> float:
    """Trace of the covariance between identities over the trace of that within identities.

    Both are the unbiased estimates of one-way analysis of variance with unequal counts (Searle,
    Casella & McCulloch 1992, chapter 3), so the ratio does not grow with the number of rows a
    person has:
    within = S_w / (N - I) and between = (S_b / (I - 1) - within) / n, where S_w and S_b are traces
    of the scatter matrices and n = (N - sum n_i^2 / N) / (I - 1).
    """
    N, people = len(x_NxW), len(count_I)
    mean_IxW = _sums(x_NxW, index_N, people) / count_I[:, None]
    within = np.sum((x_NxW - mean_IxW[index_N]) ** 2) / (N - people)
    scatter = np.sum(count_I[:, None] * (mean_IxW - x_NxW.mean(axis=0)) ** 2)
    typical_count = (N - np.sum(count_I**2) / N) / (people - 1)
    between = (scatter / (people - 1) - within) / typical_count
    return float(between / np.maximum(within, 1e-12))


def _cosines(x_NxW: np.ndarray, index_N: np.ndarray, count_I: np.ndarray) -> tuple[float, float]:
    """Mean cosine of two different unit rows of the same identity, and of different identities.

    The cosines of all pairs of rows add up to the squared length of the sum of the rows.
    """
    N, pairs_within = len(x_NxW), np.sum(count_I**2)
    sum_within = np.sum(_sums(x_NxW, index_N, len(count_I)) ** 2)
    sum_all = np.sum(x_NxW.sum(axis=0) ** 2)
    within = (sum_within - np.sum(x_NxW**2)) / (pairs_within - N)
    return float(within), float((sum_all - sum_within) / (N**2 - pairs_within))
