"""Exact search for the top 10 among 1,000 to 1,000,000 entries, beside FAISS and plain numpy.

python -m tests.benchmarks.exact_search [ENTRIES ...]

Prints a line of JSON for each gallery and number of probes. Needs the extra [bench].
"""

import sys

import faiss
import numpy as np

from diface_jax.gallery.exact_search import ExactIndex
from diface_jax.runtime import mesh as meshes
from tests.benchmarks import timing
from tests.benchmarks.gallery_search import plain

WIDTH, K, PROBES = 384, 10, (1, 64)
SCORED = 100_000_000  # scores in all repeats of a comparison, which sets their number
REPEATS = 5, 200  # at least, at most


def measure(entries: int) -> None:
    """Compares the rows, then prints a line for each number of probes."""
    rng = np.random.default_rng(0)
    f_GxF = rng.standard_normal((entries, WIDTH), np.float32)
    f_GxF /= np.linalg.norm(f_GxF, axis=1, keepdims=True)
    index, peer = ExactIndex(f_GxF, meshes.make_mesh()), faiss.IndexFlatIP(WIDTH)
    peer.add(f_GxF)
    for count in PROBES:
        f_PxF = rng.standard_normal((count, WIDTH), np.float32)
        work = {
            'ours': lambda f_PxF=f_PxF: index.search(f_PxF, K).row_PxK,
            'FAISS IndexFlatIP': lambda f_PxF=f_PxF: peer.search(f_PxF, K)[1],
            'numpy': lambda f_PxF=f_PxF: plain(f_PxF, f_GxF),
        }
        rows = [run() for run in work.values()]
        # Peers may swap entries whose float32 scores are equal.
        assert all(np.mean(found == rows[0]) > 0.99 for found in rows[1:])
        repeats = int(np.clip(SCORED // (count * entries), *REPEATS))
        timing.compare(f'top {K} of {entries:,} x {WIDTH}, {count} probes', work, repeats)


def main() -> None:
    """Measures galleries of the sizes asked for."""
    for entries in [int(size) for size in sys.argv[1:]] or [1000, 10_000, 100_000, 1_000_000]:
        measure(entries)


if __name__ == '__main__':
    main()
