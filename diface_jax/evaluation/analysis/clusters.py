"""Cluster statistics: are the embeddings of one identity close together and far from others?

DiFace (section 3) rests on such clusters: transport onto p(x0 | c) ends in the right one, and R
makes them tighter and farther apart. Rows are compared as unit vectors, as matching compares them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import silhouette_score

from diface_jax.diffusion.ddim import SamplingPath
from diface_jax.models.features import Features, unit_rows

Record = dict[str, Any]


def cluster_statistics(x_NxW: np.ndarray, identity_N: np.ndarray) -> Record:
    """Tightness and separation of the clusters that identities form.

    Args:
      x_NxW: embeddings or features; each is scaled to length 1 first.
      identity_N: whose each is. Somebody with one row counts in what is between identities alone.

    Returns:
      A record of

      * `fisher`, the trace of the covariance between identities over that within them (see
        `_fisher`); 0 is what labels drawn at random give;
      * `silhouette`, the mean of (b - a) / max(a, b), where a is a row's mean cosine distance to
        its own identity and b to the nearest other one (Rousseeuw 1987), of people with two rows
        or more;
      * `cos_within`, `cos_between`, the mean cosine of two different rows of one identity, and of
        two;
      * `rows`, `identities`, how many there are.

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
    several = count_I[index_N] > 1
    within, between = _cosines(x, index_N, count_I)
    return {
        'fisher': _fisher(x, index_N, count_I),
        'silhouette': float(silhouette_score(x[several], index_N[several], metric='cosine')),
        'cos_within': within,
        'cos_between': between,
        'rows': len(x),
        'identities': len(count_I),
    }


def has_repeated_identities(identity_N: np.ndarray) -> bool:
    """Whether two identities have two rows or more: without, there are no clusters to measure."""
    return bool(np.sum(np.unique(identity_N, return_counts=True)[1] > 1) >= 2)


def clusters_by_space(
    x0: Features, f: Features, identity_T: np.ndarray, identity_N: np.ndarray
) -> list[Record]:
    """Records of both spaces, on the side of the photos and on that of the texts.

    Args:
      x0: embeddings recovered from texts, and those of photos.
      f: features of both in F.
      identity_T: who each text describes.
      identity_N: who is in each photo.

    Returns:
      What `cluster_statistics` says of each, with its `space`; a side without clusters is left out.
    """
    spaces = {
        'X0, photos': (x0.photo_NxF, identity_N),
        'recovered, texts': (x0.text_TxF, identity_T),
        'F, photos': (f.photo_NxF, identity_N),
        'F, texts': (f.text_TxF, identity_T),
    }
    return [
        {'space': space, **cluster_statistics(x, who)}
        for space, (x, who) in spaces.items()
        if has_repeated_identities(who)
    ]


def clusters_along_path(
    path: SamplingPath, refine: Callable[[np.ndarray], np.ndarray], identity_T: np.ndarray
) -> list[Record]:
    """Cluster statistics on the way from noise to embeddings.

    Args:
      path: of one sample a text.
      refine: R, from x0_TxD to f_TxF.
      identity_T: who each text describes.

    Returns:
      At each time, from t = 1 to t = 0, what `cluster_statistics` says of x_t, of the estimate of
      x0 and of R
      of the estimate, with `t`, `log_snr` and `space`; nothing if the texts make no clusters.
    """
    records = []
    if not has_repeated_identities(identity_T):
        return records
    for t, log_snr, x_TxD, x0_TxD in zip(*path, strict=True):
        spaces = {'x_t': x_TxD, 'estimate': x0_TxD, 'F of the estimate': refine(x0_TxD)}
        when = {'t': float(t), 'log_snr': float(log_snr)}
        records += [
            {**when, 'space': space, **cluster_statistics(some, identity_T)}
            for space, some in spaces.items()
        ]
    return records


def _sums(x_NxW: np.ndarray, index_N: np.ndarray, count: int) -> np.ndarray:
    """Sum of the rows of each identity; [I, W]."""
    sums_IxW = np.zeros((count, x_NxW.shape[1]))
    np.add.at(sums_IxW, index_N, x_NxW)
    return sums_IxW


def _fisher(x_NxW: np.ndarray, index_N: np.ndarray, count_I: np.ndarray) -> float:
    """Trace of the covariance of identities over that of rows about their identity.

    Both are the unbiased estimates of one-way analysis of variance with unequal counts (Searle,
    Casella & McCulloch 1992, chapter 3), so the ratio does not grow with the rows a person has:
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
    """Mean cosine of pairs of different unit rows of one identity, and of two.

    All pairs' cosines add up to the square of the sum of the rows.
    """
    N, own_pairs = len(x_NxW), np.sum(count_I**2)
    own = np.sum(_sums(x_NxW, index_N, len(count_I)) ** 2)
    every = np.sum(x_NxW.sum(axis=0) ** 2)
    within = (own - np.sum(x_NxW**2)) / (own_pairs - N)
    return float(within), float((every - own) / (N**2 - own_pairs))
