"""How time and memory grow with batch, steps, samples, gallery, photos and devices.

python -m tests.benchmarks.growth [--ten_million]

Prints a line of JSON for each: what was varied, medians, and the exponent of the power law fitted
to them (1 is linear). With --ten_million the gallery goes on to 10,000,000 faces, which stay in a
file and are streamed from it. Devices are simulated and their programs compiled, not run: memory is
what one of them needs, with as many rows a device.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.benchmarks import programs
from tests.benchmarks.programs import Program
from tests.benchmarks.roofline import milliseconds

WIDTH, K = 384, 10


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """The slope of a line through log y against log x."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def print_line(name: str, of: str, x: Sequence[int], measured: dict[str, list[float]]) -> None:
    """Prints what was measured at each x, and the exponents."""
    exponents = {measure: exponent(x, y) for measure, y in measured.items()}
    line: dict[str, Any] = {'growth': name, 'of': of, 'x': list(x), 'exponent': exponents}
    print(json.dumps(line | measured), flush=True)


def of_programs(name: str, of: str, x: Sequence[int], build: Callable[[int], Program]) -> None:
    """Times a program at each size, in turn, with the memory it needs."""
    built = [build(size) for size in x]
    measured = {
        'milliseconds': milliseconds([program.run for program in built]),
        'megabytes': [program.temporary / 1e6 for program in built],
    }
    print_line(name, of, x, measured)


def of_gallery(sizes: Sequence[int]) -> None:
    """Times a search for one probe; the largest gallery is streamed from a file."""
    from diface_jax.gallery.exact_search import ExactIndex
    from diface_jax.runtime import mesh as meshes

    rng, mesh = np.random.default_rng(0), meshes.make_mesh()
    f_1xF = rng.standard_normal((1, WIDTH), np.float32)
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            f_GxF = _faces(pathlib.Path(folder) / 'faces', size)
            memory = {'device_bytes': 0} if isinstance(f_GxF, np.memmap) else {}
            index = ExactIndex(f_GxF, mesh, **memory)
            times += milliseconds([lambda index=index: index.search(f_1xF, K)])
            del index, f_GxF
    print_line('search, 1 probe', 'gallery', sizes, {'milliseconds': times})


def _faces(path: pathlib.Path, size: int) -> np.ndarray:
    """Random unit features: in memory, or in a file if there are more than a million."""
    rng = np.random.default_rng(1)
    if size <= 1_000_000:
        f_GxF = rng.standard_normal((size, WIDTH), np.float32)
    else:
        f_GxF = np.memmap(path, np.float32, 'w+', shape=(size, WIDTH))
    for start in range(0, size, 100_000):
        rows = rng.standard_normal((min(100_000, size - start), WIDTH), np.float32)
        f_GxF[start : start + len(rows)] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return f_GxF


def of_photos(counts: Sequence[int]) -> None:
    """Times E on as many crops, in its own batches."""
    from diface_jax.encoders.face import dlib_resnet

    network = dlib_resnet.load_dlib_resnet()
    crops = np.random.default_rng(0).integers(0, 256, (max(counts), 150, 150, 3), np.uint8)
    works = [lambda n=n: dlib_resnet.embed_chips(network, crops[:n]) for n in counts]
    print_line('face encoder', 'photos', counts, {'milliseconds': milliseconds(works)})


def of_devices(counts: Sequence[int] = (1, 2, 4, 8)) -> None:
    """Memory of the contrast on a device; run in a process with simulated devices."""
    from diface_jax.training.contrastive_loss import contrastive_loss
    from tests.benchmarks import scaling

    memory = [
        scaling.contrast_bytes(n, lambda *given, n=n: contrastive_loss(*given, scaling.mesh_of(n)))
        / 1e6
        for n in counts
    ]
    print_line('contrast, 512 rows a device', 'devices', counts, {'megabytes': memory})


def main(ten_million: bool) -> None:
    """Prints all lines."""
    of_programs('training step', 'batch', (128, 256, 512, 1024), programs.training_step)
    of_programs('DDIM', 'steps', (5, 10, 20, 40), lambda n: programs.sampler(64, n, 4))
    of_programs('DDIM', 'samples', (4, 8, 16, 32), lambda n: programs.sampler(64, 4, n))
    of_gallery([10**n for n in range(3, 8 if ten_million else 7)])
    of_photos((16, 32, 64, 128))
    # Imported there before JAX starts: it simulates devices.
    code = 'from tests.benchmarks import scaling, growth; growth.of_devices()'
    subprocess.run([sys.executable, '-c', code], check=True)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--ten_million', action='store_true', help='stream 10,000,000 faces too')
    main(parser.parse_args().ten_million)
