"""This checkout beside another one, such as that of a release, in turn.

    python -m tests.benchmarks.before_after PHOTOS OTHER [REPEATS [OPTION ...]]

PHOTOS is a CelebA, OTHER a checkout of the project; OPTIONs are settings for `prepare`, such as
--config.train.batch_size=64. Both prepare and enrol the photographs from nothing, search and verify
them by commands and in a warm process, all with the model of OTHER, and compute a ROC curve. Prints
a line of JSON for each: medians and quartiles of seconds, and the ratio (other / ours). Raises
AssertionError where the two do not give the same: see `same_rows` for what they prepare, and
`SCORE_ERROR` for what they find.
"""

import itertools
import json
import pathlib
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

import numpy as np

from diface_jax.data import prepared
from diface_jax.encoders.face.dlib_resnet import WIDTH
from tests.benchmarks.cold_start import TEXT

HERE = pathlib.Path(__file__).parents[2]
MODEL = 'diface_jax/pretrained/celeba_lfw'
SCORE_ERROR = 2e-3  # that rounding and boxes on other pixels may cause
# Run in a checkout. The last line they print is the seconds and a result.
WARM_SEARCHES = """
import itertools, statistics, sys, time
import diface_jax
model, gallery = diface_jax.load(sys.argv[1]), sys.argv[2]
whose = ('young', 'older', 'smiling', 'pale'), ('man', 'woman'), ('curly', 'straight', 'long')
seconds, best = [], []
for age, who, how in itertools.product(*whose):
    start = time.perf_counter()
    answer = model.search(gallery, f'a {age} {who} with {how} brown hair and bushy eyebrows')
    seconds.append(time.perf_counter() - start)
    best.append(answer.results[0].scored.score)
print(statistics.median(seconds), *best)
"""
ROC = """
import statistics, time
import numpy as np
from diface_jax.evaluation import verification
score_TxN = np.random.default_rng(0).standard_normal((5000, 5000), np.float32)
score_TxN[np.diag_indices(5000)] += 2
score_P, genuine_P = score_TxN.ravel(), np.eye(5000, dtype=bool).ravel()
seconds = []
for _ in range(3):
    start = time.perf_counter()
    curve = verification.roc_curve(score_P, genuine_P)
    rates = verification.auc(curve), verification.equal_error_rate(curve)
    rates += (verification.tar_at_far(curve, 0.001),)
    seconds.append(time.perf_counter() - start)
print(statistics.median(seconds), *rates)
"""

# From a checkout and its folder of outputs to seconds, and numbers to compare.
Work = Callable[[pathlib.Path, pathlib.Path], tuple[float, Sequence[float]]]


def main(photos: str, other: str, repeats: str = '3', *options: str) -> None:
    """Prints the lines."""
    checkouts = {'ours': HERE, 'other': pathlib.Path(other).resolve()}
    work = all_work(pathlib.Path(photos).resolve(), checkouts['other'] / MODEL, options)
    with tempfile.TemporaryDirectory() as folder:
        folders = {name: pathlib.Path(folder) / name for name in checkouts}
        for what, run in work.items():
            compare(what, run, checkouts, folders, int(repeats))
        same_rows(*(only(folders[name] / 'prepared' / 'prepared') for name in checkouts))


def all_work(photos: pathlib.Path, model: pathlib.Path, options: Sequence[str]) -> dict[str, Work]:
    """What to time, by name; searches need the gallery that was enrolled before."""
    images = photos / 'img_align_celeba'
    photo = min(images.iterdir())

    def command(checkout: pathlib.Path, *flags: str) -> tuple[float, str]:
        return timed(checkout, '-m', 'diface_jax.main', *flags)

    def asked(checkout: pathlib.Path, *flags: str) -> tuple[float, Sequence[float]]:
        seconds, printed = command(checkout, f'--model={model}', f'--text={TEXT}', *flags)
        return seconds, [float(re.search(r'score (-?\d\.\d+)', printed)[1])]

    def prepare(checkout: pathlib.Path, folder: pathlib.Path) -> tuple[float, Sequence[float]]:
        shutil.rmtree(folder / 'prepared', ignore_errors=True)
        flags = '--mode=prepare', '--config=celeba', f'--config.data.root={photos}'
        workdir = f'--workdir={folder / "prepared"}'
        return command(checkout, *flags, workdir, *options)[0], ()

    def enroll(checkout: pathlib.Path, folder: pathlib.Path) -> tuple[float, Sequence[float]]:
        shutil.rmtree(folder / 'gallery', ignore_errors=True)
        flags = '--mode=enroll', f'--gallery={folder / "gallery"}', f'--photos={images}'
        return command(checkout, f'--model={model}', *flags)[0], ()

    def search(checkout: pathlib.Path, folder: pathlib.Path) -> tuple[float, Sequence[float]]:
        return asked(checkout, '--mode=search', f'--gallery={folder / "gallery"}')

    def verify(checkout: pathlib.Path, folder: pathlib.Path) -> tuple[float, Sequence[float]]:
        return asked(checkout, '--mode=verify', f'--photo={photo}')

    def warm(checkout: pathlib.Path, folder: pathlib.Path) -> tuple[float, Sequence[float]]:
        return measured_inside(checkout, WARM_SEARCHES, model, folder / 'gallery')

    def roc(checkout: pathlib.Path, folder: pathlib.Path) -> tuple[float, Sequence[float]]:
        return measured_inside(checkout, ROC)

    return {
        'prepare': prepare,
        'enroll': enroll,
        'search, by command': search,
        'verify, by command': verify,
        'search, warm': warm,
        'ROC curve of 5,000 x 5,000 scores': roc,
    }


def timed(checkout: pathlib.Path, *arguments: object) -> tuple[float, str]:
    """Seconds of a run of Python in a checkout, and what it printed; 2: nobody is a match."""
    start = time.perf_counter()
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 2):
        raise RuntimeError(f'{command} failed: {done.stderr[-500:]}')
    return time.perf_counter() - start, done.stdout


def measured_inside(checkout: pathlib.Path, code: str, *arguments: object) -> tuple[float, list]:
    """The seconds that code measures, and its result."""
    _, printed = timed(checkout, '-c', code, *arguments)
    seconds, *result = map(float, printed.splitlines()[-1].split())
    return seconds, result


def compare(
    what: str,
    run: Work,
    checkouts: dict[str, pathlib.Path],
    folders: dict[str, pathlib.Path],
    repeats: int,
) -> None:
    """Runs once to compile and fill caches, then in turn; prints the line."""
    seconds, cores = ({name: [] for name in checkouts} for _ in range(2))
    for repeat, name in itertools.product(range(repeats + 1), checkouts):
        before = core_seconds()
        taken, result = run(checkouts[name], folders[name])
        if repeat:
            seconds[name].append(taken)
            cores[name].append(core_seconds() - before)
        if name == 'ours':
            expected = result
        np.testing.assert_allclose(result, expected, atol=SCORE_ERROR)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    line = {
        'benchmark': what,
        'seconds': {name: round(value, 3) for name, value in median.items()},
        'spread': {name: [round(min(s), 3), round(max(s), 3)] for name, s in seconds.items()},
        'core_seconds': {name: round(statistics.median(c), 1) for name, c in cores.items()},
        'ratio': round(median['other'] / median['ours'], 2),
        'repeats': repeats,
    }
    print(json.dumps(line), flush=True)


def core_seconds() -> float:
    """That the commands have used which ran so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def only(folder: pathlib.Path) -> pathlib.Path:
    """The prepared data set of a folder."""
    return next(folder.glob('*-*'))


def same_rows(ours: pathlib.Path, other: pathlib.Path) -> None:
    """Raises AssertionError where two prepared data sets hold different rows.

    Dlib's part of the embeddings must be equal to 1e-4, and so must all conditions but one in
    10,000; dot products of embeddings to 1e-3: the last principal components of few photos amplify
    rounding errors, and turn about each other.
    """
    first, second = map(prepared.load_prepared, (ours, other))
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


if __name__ == '__main__':
    main(*sys.argv[1:])
