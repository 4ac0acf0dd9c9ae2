"""How fast a gallery is: 100,000 and 1,000,000 entries enrolled, opened and searched.

python -m tests.benchmarks.gallery_search [ENTRIES ...]

Every search is compared with numpy: for time with a float32 product and argpartition, for what it
finds with a float64 product and a stable sort. A gallery's worth of features is made up.
"""

import pathlib
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np

from diface_jax.gallery import enrollment
from diface_jax.gallery.exact_search import ExactIndex
from diface_jax.gallery.search import LoadedGallery
from diface_jax.gallery.sqlite_database import FILE
from diface_jax.gallery.store import PhotoLabel, Store
from diface_jax.models.features import unit_rows
from diface_jax.runtime import mesh as meshes

WIDTH, K, PROBES, REPEATS = 384, 10, (1, 64), 7


class Unit:
    """In place of a model: embeddings are matched as they are, scaled to length 1."""

    def of_photos(self, embedding_NxD: np.ndarray) -> np.ndarray:
        """Features f_NxF."""
        return unit_rows(embedding_NxD).astype(np.float32)


def embeddings(count: int) -> np.ndarray:
    """Made-up embeddings; one in a hundred is another's copy, so that there are ties."""
    rng = np.random.default_rng(0)
    made_NxD = rng.standard_normal((count, WIDTH), np.float32)
    copies = rng.permutation(count)[: count // 100]
    made_NxD[copies] = made_NxD[rng.integers(0, count, len(copies))]
    return made_NxD


def plain(f_PxF: np.ndarray, f_GxF: np.ndarray) -> np.ndarray:
    """The best K of each probe as one would write it in numpy; ties in any order."""
    score_PxG = f_PxF @ f_GxF.T
    best_PxK = np.argpartition(-score_PxG, K, axis=1)[:, :K]
    order = np.argsort(-np.take_along_axis(score_PxG, best_PxK, 1), axis=1)
    return np.take_along_axis(best_PxK, order, 1)


def brute_force(f_PxF: np.ndarray, f_GxF: np.ndarray) -> np.ndarray:
    """The best K of each probe in float64, ties in the gallery's order, a probe at a time."""
    f_GxF = f_GxF.astype(np.float64)
    scores = (np.einsum('gf,f->g', f_GxF, f_F) for f_F in f_PxF.astype(np.float64))
    return np.stack([np.argsort(-score_G, kind='stable')[:K] for score_G in scores])


def seconds(work: Callable[[], object]) -> float:
    """The median time of a run, after one that compiles."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def enrolled(folder: pathlib.Path, count: int) -> None:
    """Makes a gallery, and says how long it took and how large it is."""
    start = time.perf_counter()
    with Store(folder, create=True) as store:
        names, labels = [f'{row:07d}' for row in range(count)], [PhotoLabel()] * count
        enrollment.enroll_embeddings(store, names, embeddings(count), labels, Unit())
    size = (folder / FILE).stat().st_size / 2**20
    print(f'{count:,}: enrolled in {time.perf_counter() - start:.1f} s, {size:,.0f} MiB on disk')


def measure(folder: pathlib.Path) -> None:
    """Prints times of opening and searching, and whether numpy finds the same."""
    mesh = meshes.make_mesh()
    start = time.perf_counter()
    with Store(folder) as store:
        faces = LoadedGallery.read(store, mesh)
    print(f'  opened in {time.perf_counter() - start:.2f} s')
    probe_PxF = unit_rows(np.random.default_rng(1).standard_normal((max(PROBES), WIDTH)))
    probe_PxF = probe_PxF.astype(np.float32)
    probe_PxF[::4] = faces.f_GxF[:: len(faces.f_GxF) // 16][:16]  # some that are enrolled
    streaming = ExactIndex(faces.f_GxF, mesh, device_bytes=0)
    expected = brute_force(probe_PxF, faces.f_GxF)
    for count in PROBES:
        some = probe_PxF[:count]
        ours_s = seconds(lambda some=some: faces.index.search(some, K))
        streamed_s = seconds(lambda some=some: streaming.search(some, K))
        plain_s = seconds(lambda some=some: plain(some, faces.f_GxF))
        same = all(
            np.array_equal(index.search(some, K).row_PxK, expected[:count])
            for index in (faces.index, streaming)
        )
        print(
            f'  {count} queries: {1e3 * ours_s:.0f} ms; streamed {1e3 * streamed_s:.0f} ms; '
            f'numpy {1e3 * plain_s:.0f} ms; {"identical" if same else "DIFFERENT"} to brute force'
        )
    print(f'  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB')


def main() -> None:
    """Enrols and measures galleries of the sizes asked for."""
    for count in [int(size) for size in sys.argv[1:]] or [100_000, 1_000_000]:
        with tempfile.TemporaryDirectory() as folder:
            enrolled(pathlib.Path(folder) / 'gallery', count)
            measure(pathlib.Path(folder) / 'gallery')


if __name__ == '__main__':
    main()
