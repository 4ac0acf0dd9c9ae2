"""Prepares photographs with this checkout and with another one, such as that of a release.

    python -m tests.benchmarks.prepare_photos PHOTOS OTHER [REPEATS [OPTION ...]]

PHOTOS is a data set, OTHER a checkout of the project; OPTIONs are settings, such as
--config.train.batch_size=64. Both prepare from nothing, in turn. Dlib's part of the embeddings must
be equal to 1e-4, and so must all conditions but one in 10,000; dot products of embeddings to 1e-3:
the last principal components of few photos amplify rounding errors, and turn about each other.
Prints a line of JSON with wall-clock times, and one with core seconds: those depend little on what
else runs on the machine.
"""

import json
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence

import numpy as np

from diface_jax.data import prepared
from diface_jax.encoders.face.dlib_resnet import WIDTH
from tests.benchmarks import timing

CONFIG = 'celeba'
HERE = pathlib.Path(__file__).parents[2]


def preparing(
    checkout: pathlib.Path,
    photos: str,
    workdir: pathlib.Path,
    options: Sequence[str],
    cores: list[float],
) -> Callable[[], None]:
    """What prepares a data set by a checkout, after what it prepared before is removed.

    Each run appends its core seconds to `cores`.
    """
    command = [
        *(sys.executable, '-m', 'diface_jax.main', '--mode=prepare', f'--config={CONFIG}'),
        *(f'--config.data.root={pathlib.Path(photos).resolve()}', f'--workdir={workdir}'),
        *options,
    ]

    def run() -> None:
        shutil.rmtree(workdir, ignore_errors=True)
        before = core_seconds()
        subprocess.run(command, cwd=checkout, check=True, capture_output=True)
        cores.append(core_seconds() - before)

    return run


def core_seconds() -> float:
    """That the commands have used which ran so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def compare(ours: pathlib.Path, other: pathlib.Path) -> None:
    """Raises AssertionError where two workdirs hold different rows."""
    first, second = (
        prepared.load_prepared(next((workdir / 'prepared').glob('*-*')))
        for workdir in (ours, other)
    )
    for name, split in first.splits.items():
        same = second.splits[name]
        assert split.text_T.tolist() == same.text_T.tolist()
        x_NxD, other_NxD = split.embedding_NxD, same.embedding_NxD
        np.testing.assert_allclose(x_NxD[:, :WIDTH], other_NxD[:, :WIDTH], atol=1e-4)
        np.testing.assert_allclose(x_NxD @ x_NxD.T, other_NxD @ other_NxD.T, atol=1e-3)
        # Rounded to float16 before and after they are standardised: few differ by a step.
        c_TxC, other_TxC = split.c_TxC.astype(np.float32), same.c_TxC.astype(np.float32)
        is_close_TxC = np.isclose(c_TxC, other_TxC, np.finfo(np.float16).eps, atol=1e-4)
        assert np.mean(~is_close_TxC) < 1e-4
        np.testing.assert_allclose(c_TxC, other_TxC, atol=1e-2)


def main(photos: str, other: str, repeats: str = '3', *options: str) -> None:
    """Prints the lines."""
    checkouts = {'ours': HERE, 'other': pathlib.Path(other).resolve()}
    cores = {name: [] for name in checkouts}
    with tempfile.TemporaryDirectory() as folder:
        workdirs = {name: pathlib.Path(folder) / name for name in checkouts}
        work = {
            name: preparing(checkout, photos, workdirs[name], options, cores[name])
            for name, checkout in checkouts.items()
        }
        timing.compare('prepare', work, int(repeats))
        compare(*workdirs.values())
    # The first run compiled.
    median = {name: round(statistics.median(of[1:]), 1) for name, of in cores.items()}
    print(json.dumps({'benchmark': 'prepare', 'core_seconds': median}), flush=True)


if __name__ == '__main__':
    main(*sys.argv[1:])
