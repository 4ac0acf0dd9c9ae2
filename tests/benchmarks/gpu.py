"""The comparisons on a GPU, at sizes that keep it busy; the peers compute on the same card.

python -m tests.benchmarks.gpu [PART ...]

Without parts, all of PARTS run. Prints lines of JSON. Needs the extras [cuda,bench] and PyTorch for
CUDA. The face encoder has dlib's layers with random weights, so that the extra [faces] is not
needed.
"""

import os
import sys
from collections.abc import Callable

from diface_jax.runtime import gpu_flags

gpu_flags.set_gpu_flags()
# PyTorch needs memory too.
os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')

import jax  # noqa: E402
import numpy as np  # noqa: E402

from diface_jax.encoders.face.dlib_format import DlibLayer  # noqa: E402
from diface_jax.encoders.face.dlib_resnet import DlibResNet  # noqa: E402
from tests.benchmarks import (  # noqa: E402
    exact_search,
    face_encoder,
    sampling,
    text_encoder,
    training_step,
)

# Filters, number of residual blocks, and whether the first of them halves the sides.
STAGES = (32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True)
POOLED = (2, 2, 2, 2, 0, 0)


def random_dlib() -> DlibResNet:
    """dlib's network with random weights."""
    rng = np.random.default_rng(0)

    def conv(outputs: int, inputs: int, side: int, stride: int, padding: int) -> list[DlibLayer]:
        scale = np.sqrt(2 / (inputs * side**2)).astype(np.float32)
        kernel_OIHW = scale * rng.standard_normal((outputs, inputs, side, side), np.float32)
        zeros, ones = np.zeros(outputs, np.float32), np.ones(outputs, np.float32)
        sizes = outputs, side, side, stride, stride, padding, padding
        affine = DlibLayer('affine_', (), (ones, zeros))
        return [DlibLayer('con_4', sizes, (kernel_OIHW, zeros)), affine]

    mean_3 = np.array([122.0, 117.0, 104.0], np.float32)
    layers = [DlibLayer('input_rgb_image_sized', (150, 150), (mean_3,)), *conv(32, 3, 7, 2, 0)]
    layers += [DlibLayer('relu_'), DlibLayer('max_pool_2', (3, 3, 2, 2, 0, 0))]
    inputs = 32
    for outputs, blocks, halves in STAGES:
        for number in range(blocks):
            down = halves and number == 0
            layers += [DlibLayer('tag'), *conv(outputs, inputs, 3, 1 + down, int(not down))]
            layers += [DlibLayer('relu_'), *conv(outputs, outputs, 3, 1, 1)]
            layers += [*[DlibLayer('tag')] * 2, DlibLayer('avg_pool_2', POOLED)] * down
            layers += [DlibLayer('add_prev_'), DlibLayer('relu_')]
            inputs = outputs
    weights_CxD = 1e-3 * rng.standard_normal((inputs, 128), np.float32)  # for embeddings near 1
    layers += [DlibLayer('avg_pool_2', (0, 0, 1, 1, 0, 0)), DlibLayer('fc_2', (), (weights_CxD,))]
    return DlibResNet(layers)


def for_each(measure: Callable[[int], None], *sizes: int) -> Callable[[], object]:
    """Measures sizes one after the other."""
    return lambda: [measure(size) for size in sizes]


PARTS: dict[str, Callable[[], object]] = {
    'training_step': for_each(lambda n: training_step.main(n, steps=10), 512, 16_384, 4096, 2048),
    'sampling': for_each(sampling.main, 256, 4096),
    'exact_search': for_each(exact_search.measure, 1_000_000, 10_000_000),
    'text_encoder': lambda: text_encoder.main(4000),
    'face_encoder': lambda: face_encoder.main(4096, network=random_dlib()),
}


def main(parts: tuple[str, ...]) -> None:
    """Prints the lines of these parts."""
    if jax.default_backend() == 'cpu':
        raise SystemExit('JAX sees no GPU: install diface_jax[cuda,bench] on a machine with one')
    if unknown := set(parts) - set(PARTS):
        raise SystemExit(f'no such part: {", ".join(unknown)}; choose from {", ".join(PARTS)}')
    for part in parts:
        PARTS[part]()


if __name__ == '__main__':
    main(tuple(sys.argv[1:]) or tuple(PARTS))
