"""How close programs come to what this machine can do, and what others could do on paper.

python -m tests.benchmarks.roofline

FLOPs and bytes are those of the compiled programs; the peaks are a matrix product and a copy, timed
in turn with them. The bound is the longer of FLOPs over the first peak and bytes over the second:
XLA counts bytes that stay in a cache too, so a share may exceed 100%. Nothing under `paper` was
measured. Prints lines of JSON.
"""

import json
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from configs import celeba
from diface_jax.costs import scaling
from tests.benchmarks import programs
from tests.benchmarks.programs import Program

REPEATS, SIDE, COPIED = 5, 2048, 2**28  # SIDE of the matrices; bytes
# https://www.nvidia.com/en-us/data-center/h100 (SXM; bfloat16 without sparsity; NVLink, one way)
# and https://docs.cloud.google.com/tpu/docs/v5e. The share of the peaks reached is assumed.
H100 = scaling.Chip('H100', 989e12, 80e9, 3350e9, 450e9, 450e9)
TPU_V5E = scaling.Chip('TPU v5e', 197e12, 16e9, 819e9, 200e9, 50e9)
ROWS = 512  # a chip


def peaks() -> tuple[Program, Program]:
    """A matrix product, and a copy."""
    a = jnp.ones((SIDE, SIDE))
    product = programs.of_function(_product, a, a)
    block = np.ones(COPIED // 4, np.float32)
    into = np.empty_like(block)
    return product, Program(lambda: np.copyto(into, block), 0.0, 2.0 * COPIED, 0.0)


def measured() -> dict[str, Program]:
    """The programs, by name."""
    f_GxF, f_PxF = (jax.random.normal(jax.random.key(0), (n, 384)) for n in (100_000, 64))
    return {
        'training step, batch 512': programs.training_step(512),
        'DDIM of 256 texts, 10 steps, 16 samples': programs.sampler(256, 10, 16),
        'scores of 1 probe, 100,000 faces': programs.of_function(_scores, f_PxF[:1], f_GxF),
        'scores of 64 probes, 100,000 faces': programs.of_function(_scores, f_PxF, f_GxF),
        'dlib, 16 crops': programs.face_encoder(16),
        'MiniLM, 32 sentences of 32 tokens': programs.text_encoder(32, 32),
    }


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return a @ b


def _scores(f_PxF: jax.Array, f_GxF: jax.Array) -> jax.Array:
    return f_PxF @ f_GxF.T


def milliseconds(works: list[Callable[[], object]]) -> list[float]:
    """Medians of works that are timed in turn, after one run of each."""
    times = [[] for _ in works]
    for repeat in range(REPEATS + 1):
        for work, found in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            if repeat:
                found.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(found) for found in times]


def print_measured() -> None:
    """The peaks, and a line a program."""
    product, copy = peaks()
    by_name = measured()
    found = milliseconds([product.run, copy.run, *(program.run for program in by_name.values())])
    flop_rate, byte_rate = product.flops / found[0], copy.bytes / found[1]  # a millisecond
    print(json.dumps({'gflops': flop_rate / 1e6, 'gbytes': byte_rate / 1e6}), flush=True)
    for (name, program), taken in zip(by_name.items(), found[2:], strict=True):
        bounds = {
            'matrix products': program.flops / flop_rate,
            'memory': program.bytes / byte_rate,
        }
        bound = max(bounds, key=bounds.get)
        line = {
            'roofline': name,
            'gflop': program.flops / 1e9,
            'mbytes': program.bytes / 1e6,
            'milliseconds': taken,
            'bound': bound,
            'share': bounds[bound] / taken,
        }
        print(json.dumps(line), flush=True)


def print_paper() -> None:
    """A training step on one chip and on 256, at the assumed share of their peaks."""
    config = celeba.get_config()
    for chips in (1, 256):
        config.train.batch_size = ROWS * chips
        for chip in (H100, TPU_V5E):
            plan = scaling.predict(config, programs.SIZES, programs.PHOTOS, chips, chip)
            line = {
                'paper': f'training step, batch {ROWS * chips:,}',
                'machine': f'{chips} {chip.name}',
                'milliseconds': {
                    'products': 1e3 * plan.compute_seconds,
                    'memory': 1e3 * plan.memory_seconds,
                    'links': 1e3 * plan.link_seconds,
                },
            }
            print(json.dumps(line), flush=True)


if __name__ == '__main__':
    print_measured()
    print_paper()
