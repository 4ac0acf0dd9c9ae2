"""Relative positions of tokens in buckets that widen with the distance (Raffel et al., 2020)."""

import math

import numpy as np


def relative_buckets(length: int, buckets: int, max_distance: int) -> np.ndarray:
    """The bucket of each pair of tokens, for attention in both directions.

    Half of the buckets are for keys that come after the query. Within a half, small distances have
    a bucket each; the others share buckets of equal width in the logarithm of the distance.

    Args:
      length: number of tokens.
      buckets: number of buckets, even.
      max_distance: distances from here on share the last bucket.

    Returns:
      bucket_LxL, int32: rows are queries, columns are keys.
    """
    offset_LxL = np.arange(length)[None, :] - np.arange(length)[:, None]
    half, distance_LxL = buckets // 2, np.abs(offset_LxL)
    exact = half // 2
    # In float32, as PyTorch computes it: distances at an edge fall into the same bucket.
    ratio = np.maximum(distance_LxL, 1).astype(np.float32) / exact
    wide = exact + (np.log(ratio) / math.log(max_distance / exact) * (half - exact)).astype(int)
    within_LxL = np.where(distance_LxL < exact, distance_LxL, np.minimum(wide, half - 1))
    return (within_LxL + half * (offset_LxL > 0)).astype(np.int32)
