"""Identification: whose photo in a gallery does the text describe? Ranks and CMC."""

import numpy as np


def ranks(score_PxG: np.ndarray, mate_P: np.ndarray) -> np.ndarray:
    """The rank of each probe's mate in the gallery.

    Args:
      score_PxG: score of each probe against each gallery entry, higher is more alike.
      mate_P: column of the entry that is the probe's identity.

    Returns:
      rank_P from 1 (best) to G; entries that tie with the mate count half.

    Raises:
      ValueError: a score is not a number.
    """
    if not np.isfinite(score_PxG).all():
        raise ValueError('some scores are not finite')
    mate_Px1 = np.take_along_axis(score_PxG, mate_P[:, None], axis=1)
    better = np.sum(score_PxG > mate_Px1, axis=1)
    ties = np.sum(score_PxG == mate_Px1, axis=1) - 1
    return 1.0 + better + 0.5 * ties


def rank_k(rank_P: np.ndarray, k: int, weight_P: np.ndarray | None = None) -> float:
    """Share of probes whose mate is among the first k: one point of the CMC curve."""
    return float(np.average(rank_P <= k, weights=weight_P))


def gallery_blocks(rng: np.random.Generator, num_identities: int, size: int) -> list[np.ndarray]:
    """Identities shuffled and cut into galleries of `size`, what is left over not used.

    Args:
      rng: source of the shuffle.
      num_identities: how many there are.
      size: identities a gallery.

    Returns:
      Arrays of identity indices; none when there are fewer identities than `size`.
    """
    order = rng.permutation(num_identities)
    return [order[i : i + size] for i in range(0, num_identities - size + 1, size)]
