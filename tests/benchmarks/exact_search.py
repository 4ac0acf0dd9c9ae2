"""Exact search for the top 10 among 1,000 to 1,000,000 entries, beside FAISS and plain numpy.

python -m tests.benchmarks.exact_search [ENTRIES ...]

On a GPU the peer is a product and `topk` in PyTorch. Prints a line of JSON for each gallery and
number of probes. Needs the extra [bench].
"""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from diface_jax.gallery.exact_search import ExactIndex
from diface_jax.runtime import mesh as meshes
from tests.benchmarks import timing, torch_networks
from tests.benchmarks.gallery_search import plain

WIDTH, K, PROBES = 384, 10, (1, 64)
SCORED = 100_000_000  # scores in all repeats of a comparison, which sets their number
REPEATS = 5, 200  # at least, at most
PART = 10_000  # features that a core draws at a time


Search = Callable[[np.ndarray], np.ndarray]  # f_PxF to row_PxK


def gallery(entries: int) -> np.ndarray:
    """Random unit features f_GxF, drawn by all cores."""
    f_GxF = np.empty((entries, WIDTH), np.float32)

    def draw(start: int) -> None:
        part = f_GxF[start : start + PART]
        np.random.default_rng(start).standard_normal(dtype=np.float32, out=part)
        part /= np.linalg.norm(part, axis=1, keepdims=True)

    with ThreadPoolExecutor() as pool:
        list(pool.map(draw, range(0, entries, PART)))
    return f_GxF


def peers(f_GxF: np.ndarray) -> dict[str, Search]:
    """The peers of this machine."""
    if torch_networks.DEVICE.type == 'cuda':
        f_there = torch.from_numpy(f_GxF).to(torch_networks.DEVICE)
        return {'PyTorch': lambda f_PxF: _top_k(torch_networks.put(f_PxF) @ f_there.T)}
    import faiss

    index = faiss.IndexFlatIP(WIDTH)
    index.add(f_GxF)
    return {
        'FAISS IndexFlatIP': lambda f_PxF: index.search(f_PxF, K)[1],
        'numpy': lambda f_PxF: plain(f_PxF, f_GxF),
    }


def _top_k(score_PxG: torch.Tensor) -> np.ndarray:
    return score_PxG.topk(K).indices.cpu().numpy()


def measure(entries: int) -> None:
    """Compares the rows, then prints a line for each number of probes."""
    f_GxF = gallery(entries)
    index = ExactIndex(f_GxF, meshes.make_mesh())
    searches = {'ours': lambda f_PxF: index.search(f_PxF, K).row_PxK, **peers(f_GxF)}
    for count in PROBES:
        f_PxF = np.random.default_rng(0).standard_normal((count, WIDTH), np.float32)
        work = {
            name: lambda search=search, f_PxF=f_PxF: search(f_PxF)
            for name, search in searches.items()
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
