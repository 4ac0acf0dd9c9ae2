"""How fast identification is: 20,000 texts against 20,000 photos, and the heavy pass against numpy.

python -m tests.benchmarks.scoring
"""

import resource
import time
from collections.abc import Callable

import numpy as np

from diface_jax.data.prepared import Split
from diface_jax.evaluation import identification, ranking
from diface_jax.evaluation.protocols import Repetitions
from diface_jax.evaluation.ranking import GalleryPartitions, Probes
from diface_jax.models.features import Features, unit_rows
from diface_jax.runtime import mesh as meshes

PEOPLE, PHOTOS_EACH, DIM, SIZES = 10_000, 2, 128, (100, 1000, 0)
NUM_PHOTOS = PEOPLE * PHOTOS_EACH
COMPARED = 2_000  # probes of the comparison with numpy, which is slow


def made_up() -> tuple[Split, Features]:
    """A text for each of 20,000 photos, and features that know something of the person."""
    rng = np.random.default_rng(0)
    person_N, photo_N = np.repeat(np.arange(PEOPLE), PHOTOS_EACH), np.arange(NUM_PHOTOS)
    nothing = np.zeros((NUM_PHOTOS, 1), np.float32)
    split = Split(
        file_N=photo_N.astype(str),
        identity_N=person_N,
        embedding_NxD=nothing,
        label_NxA=nothing,
        photo_T=photo_N,
        track_T=np.ones(NUM_PHOTOS, int),
        coverage_T=np.full(NUM_PHOTOS, np.nan),
        text_T=photo_N.astype(str),
        c_TxC=nothing,
    )
    place_NxF = rng.standard_normal((PEOPLE, DIM))[person_N]
    sides = [unit_rows(place_NxF + 2 * rng.standard_normal((NUM_PHOTOS, DIM))) for _ in range(2)]
    return split, Features(*(side.astype(np.float32) for side in sides))


def plain(probes: Probes, gallery: GalleryPartitions) -> None:
    """The ranks of `ranking.rank_mates` in plain numpy, in blocks; photos are sorted by person."""
    first_I = np.searchsorted(gallery.person_G, np.arange(PEOPLE))
    for start in range(0, len(probes.f_PxF), 100):
        f_PxF, person_P, mate_P, _ = (part[start : start + 100] for part in probes)
        score_PxG = f_PxF @ gallery.f_GxF.T
        score_PxI = np.maximum.reduceat(score_PxG, first_I, axis=1)
        own_Px1 = np.take_along_axis(score_PxI, person_P[:, None], axis=1)
        mate_Px1 = np.take_along_axis(score_PxG, mate_P[:, None], axis=1)
        for number_I in gallery.gallery_SxI:
            level_PxI = number_I == number_I[person_P][:, None]
            level_PxI &= np.arange(PEOPLE) != person_P[:, None]
            open_PxI = level_PxI & gallery.enrolled_I
            count(score_PxI, own_Px1, level_PxI)
            count(score_PxG, mate_Px1, level_PxI[:, gallery.person_G])
            count(score_PxI, own_Px1, open_PxI)
            np.max(score_PxI, axis=1, where=open_PxI, initial=-np.inf)


def count(score_PxK: np.ndarray, mate_Px1: np.ndarray, competes_PxK: np.ndarray) -> np.ndarray:
    """Ranks; ties half."""
    ahead = score_PxK - mate_Px1
    better = np.sum((ahead > ranking.TIE) & competes_PxK, axis=1)
    return 1 + better + 0.5 * np.sum((np.abs(ahead) <= ranking.TIE) & competes_PxK, axis=1)


def seconds(work: Callable[[], object]) -> float:
    """Time of one run, after one that compiles."""
    work()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def heavy_pass(features: Features, num_probes: int) -> tuple[Probes, GalleryPartitions]:
    """Texts of photos drawn at random, against all photos, in galleries of three sizes."""
    rng = np.random.default_rng(0)
    photo_P, nobody = rng.permutation(NUM_PHOTOS)[:num_probes], np.full(num_probes, -1)
    number = [identification.split_into_galleries(rng, PEOPLE, size or PEOPLE) for size in SIZES]
    probes = Probes(features.text_TxF[photo_P], photo_P // PHOTOS_EACH, photo_P, nobody)
    person_G = np.arange(NUM_PHOTOS) // PHOTOS_EACH
    enrolled_I = rng.random(PEOPLE) < 0.5
    return probes, GalleryPartitions(features.photo_NxF, person_G, np.stack(number), enrolled_I)


def main() -> None:
    """Prints seconds, the ratio to numpy, and the peak of memory."""
    split, features = made_up()
    mesh = meshes.make_mesh()
    everything = heavy_pass(features, NUM_PHOTOS)
    ours_s = seconds(lambda: ranking.rank_mates(*everything, mesh))
    print(f'heavy pass, 20,000 x 20,000 on {mesh.size} devices: {ours_s:.1f} s')
    some = heavy_pass(features, COMPARED)
    ours_s, plain_s = (
        seconds(lambda: ranking.rank_mates(*some, mesh)),
        seconds(lambda: plain(*some)),
    )
    print(f'{COMPARED} probes: JAX {ours_s:.1f} s, numpy {plain_s:.1f} s')
    print(f'JAX is {plain_s / ours_s:.1f} times as fast')
    start = time.perf_counter()
    effort = Repetitions(draws=2, resamples=1000, seed=0)
    texts = np.arange(NUM_PHOTOS)
    found = identification.identification_results(
        {'one': features}, split, 'human', texts, SIZES, effort, mesh
    )
    print(
        f'{len(found.rows)} numbers with their intervals, {2 * PEOPLE} probes a protocol and kind '
        f'of gallery: {time.perf_counter() - start:.1f} s'
    )
    print(f'peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB')


if __name__ == '__main__':
    main()
