"""How fast E is: dlib's ResNet in JAX against dlib's own, on the same chips, as a ratio.

python -m tests.benchmarks.face_encoder
"""

import statistics
import time
from collections.abc import Callable

import dlib
import numpy as np

from diface_jax.encoders import weights
from diface_jax.encoders.face import dlib_resnet

CHIPS, REPEATS = 64, 5


def seconds(work: Callable[[], object]) -> float:
    """Median of the repeats, after one run that compiles."""
    work()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Prints milliseconds a chip of both, and their ratio."""
    rng = np.random.default_rng(0)
    chips = rng.integers(0, 256, (CHIPS, 150, 150, 3), dtype=np.uint8)
    path = weights.find_in_package('face_recognition_models', f'models/{dlib_resnet.NAME}.dat')
    peer, ours = dlib.face_recognition_model_v1(str(path)), dlib_resnet.load_dlib_resnet()
    as_list = list(chips)
    peer_s = seconds(lambda: peer.compute_face_descriptor(as_list))
    ours_s = seconds(lambda: dlib_resnet.embed_chips(ours, chips))
    print(f'dlib {1e3 * peer_s / CHIPS:.1f} ms a chip, JAX {1e3 * ours_s / CHIPS:.1f} ms')
    print(f'JAX is {peer_s / ours_s:.1f} times as fast')


if __name__ == '__main__':
    main()
