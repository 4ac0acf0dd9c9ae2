"""Ranks of the mates of all probes and their CMC, beside plain numpy.

python -m tests.benchmarks.identification [SIDE [REPEATS]]

SIDE probes in a gallery of SIDE people. The peers only rank the mates; ours also ranks them among
photos and enrolled people, and scores each probe's best rival. Prints a line of JSON.
"""

import sys

import numpy as np

from diface_jax.evaluation import identification, ranking
from diface_jax.evaluation.ranking import GalleryPartitions, Probes
from diface_jax.models.features import unit_rows
from diface_jax.runtime import mesh as meshes
from tests.benchmarks import timing

WIDTH = 384


def count(f_PxF: np.ndarray, f_GxF: np.ndarray) -> np.ndarray:
    """CMC from ranks: how many photos score higher than the mate."""
    score_PxG = f_PxF @ f_GxF.T
    return _cmc(1 + np.sum(score_PxG > np.diag(score_PxG)[:, None], axis=1))


def sort(f_PxF: np.ndarray, f_GxF: np.ndarray) -> np.ndarray:
    """CMC from ranks: where the mate is in the sorted gallery."""
    order_PxG = np.argsort(-(f_PxF @ f_GxF.T), axis=1)
    return _cmc(1 + np.argmax(order_PxG == np.arange(len(f_PxF))[:, None], axis=1))


def _cmc(rank_P: np.ndarray) -> np.ndarray:
    return np.mean(rank_P[:, None] <= np.array(identification.CMC_RANKS), axis=0)


def main(side: int = 5000, repeats: int = 7) -> None:
    """Compares the values, then prints the line."""
    rng = np.random.default_rng(0)
    place_GxF = rng.standard_normal((side, WIDTH))
    sides = place_GxF, place_GxF + 3 * rng.standard_normal((side, WIDTH))
    f_GxF, f_PxF = (unit_rows(f).astype(np.float32) for f in sides)
    people, nobody = np.arange(side), np.full(side, -1)
    probes = Probes(f_PxF, people, nobody, nobody)
    number_1xI = np.zeros((1, side), int)
    gallery = GalleryPartitions(f_GxF, people, number_1xI, np.ones(side, bool))
    mesh = meshes.make_mesh()
    work = {
        'ours': lambda: _cmc(ranking.rank_mates(probes, gallery, mesh).person_SxP[0]),
        'numpy, counts': lambda: count(f_PxF, f_GxF),
        'numpy, argsort': lambda: sort(f_PxF, f_GxF),
    }
    # Scores closer than the rounding of float32 tie in ours alone.
    curves = [run() for run in work.values()]
    np.testing.assert_allclose(curves, [curves[0]] * len(curves), atol=2 / side)
    # NumPy's threads wait actively for 25 ms after a product.
    timing.compare(f'identification of {side:,} x {side:,}', work, repeats, pause=0.1)


if __name__ == '__main__':
    main(*map(int, sys.argv[1:]))
