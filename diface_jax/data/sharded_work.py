"""Slow work on many inputs, shared out between the hosts and kept on disk as it goes on."""

import collections
import concurrent.futures
import contextlib
import functools
import itertools
import multiprocessing
import pathlib
import signal
import time
from collections.abc import Callable, Generator, Sequence

from tqdm import tqdm

from diface_jax.data import array_cache
from diface_jax.data.face_crops import FaceCrops, crop_faces
from diface_jax.data.readers.records import DataSet
from diface_jax.runtime import hosts

# Inputs that are made together: the face encoder's batch, and a second of the text encoder.
_INPUTS_A_STEP = 32, 128
_PHOTOS_AHEAD = 256  # cut by the workers before the encoder asks for them
_VISIBLE_SECONDS = 30  # a file may take to be seen by the other hosts

# From some files and their chips to arrays with a row a photo.
Make = Callable[[Sequence[str], Sequence[FaceCrops]], array_cache.Arrays]

# From the inputs that are missing, in steps, to their arrays, a step each.
_Work = Callable[[Sequence[Sequence[str]], tqdm], Generator[array_cache.Arrays]]


def map_sentences(
    sentences: Sequence[str],
    cache: pathlib.Path,
    made_by: Sequence[str],
    make: Callable[[Sequence[str]], array_cache.Arrays],
) -> array_cache.Arrays:
    """What is made of sentences; one that is given twice is worked on once.

    Args:
      sentences: at least one.
      cache: folder of the cache, the same one on all hosts.
      made_by: what is made, and all that it depends on besides the sentences.
      make: makes the arrays, a row a sentence, of some sentences.

    Returns:
      The arrays of all sentences, on every host.
    """

    def work(steps: Sequence[Sequence[str]], bar: tqdm) -> Generator[array_cache.Arrays]:
        for step in steps:
            yield make(step)
            bar.update(len(step))

    keys = {sentence: array_cache.cache_key(sentence) for sentence in sentences}
    # Sentences of similar length are encoded fastest.
    ordered = sorted(keys, key=lambda sentence: (len(sentence), sentence))
    rows = _shared_out(cache, made_by, keys, ordered, _INPUTS_A_STEP[1], work, 'text')
    return rows.take([keys[sentence] for sentence in sentences])


def map_photos(
    source: DataSet,
    files: Sequence[str],
    hashes: Sequence[str],
    cache: pathlib.Path,
    made_by: Sequence[str],
    make: Make,
) -> array_cache.Arrays:
    """What is made of photos' chips, which worker processes cut.

    Args:
      source: where the photos are.
      files: which of them, at least one.
      hashes: of their content, as `photo_hashes` gives them.
      cache: folder of the cache, the same one on all hosts.
      made_by: what is made, and all that it depends on besides the photos.
      make: makes the arrays, a row a photo, of some files and their chips.

    Returns:
      The arrays of all files, on every host.
    """
    align_one = functools.partial(crop_faces, source.read, source.landmarks_5x2)

    def work(steps: Sequence[Sequence[str]], bar: tqdm) -> Generator[array_cache.Arrays]:
        files = list(itertools.chain(*steps))
        with contextlib.closing(_in_workers(align_one, files)) as chips:
            for step in steps:
                aligned = []
                for _ in step:
                    aligned.append(next(chips))
                    bar.update()
                yield make(step, aligned)

    # A photo that cannot be read has no hash: its name stands for it.
    pairs = dict(zip(files, hashes, strict=True))
    keys = {
        file: sha256 or array_cache.cache_key('unreadable', file) for file, sha256 in pairs.items()
    }
    made_by = (*made_by, str(source.landmarks_5x2))
    rows = _shared_out(cache, made_by, keys, files, _INPUTS_A_STEP[0], work, 'photo')
    return rows.take([keys[file] for file in files])


def _in_workers(work: Callable[[str], FaceCrops], files: Sequence[str]) -> Generator[FaceCrops]:
    """The chips of files, in their order, from worker processes that are a little ahead."""
    if not files:
        return
    # Spawned, since a fork of a process with JAX's threads may hang.
    context = multiprocessing.get_context('spawn')
    # Ctrl-C reaches every process of a terminal: this one ends the workers.
    pool = concurrent.futures.ProcessPoolExecutor(
        mp_context=context,
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        ahead: collections.deque[concurrent.futures.Future[FaceCrops]] = collections.deque()
        for file in files:
            ahead.append(pool.submit(work, file))
            if len(ahead) > _PHOTOS_AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _shared_out(
    cache: pathlib.Path,
    made_by: Sequence[str],
    keys: dict[str, str],
    inputs: Sequence[str],
    size: int,
    work: _Work,
    unit: str,
) -> array_cache.RowCache:
    """Rows of all inputs: each host makes a share of those that are missing.

    Steps are cut before it is known what is missing, so that a batch of the encoder is the same
    however many hosts there are and wherever an earlier run was stopped.
    """
    rows = array_cache.RowCache(cache / f'{made_by[0]}-{array_cache.cache_key(*made_by)}')
    first_of = {keys[name]: name for name in reversed(inputs)}
    unique = [name for name in inputs if first_of[keys[name]] == name]
    steps = [unique[i : i + size] for i in range(0, len(unique), size)]
    mine = [step for number, step in enumerate(steps) if hosts.is_mine(number)]
    _make_missing(rows, keys, mine, work, made_by[0], unit)
    hosts.barrier(made_by[0])
    _wait_for_others(rows, keys, unique)
    # Nothing, unless a file of another host is damaged or does not appear.
    _make_missing(rows, keys, steps, work, made_by[0], unit)
    return rows


def _make_missing(
    rows: array_cache.RowCache,
    keys: dict[str, str],
    steps: Sequence[Sequence[str]],
    work: _Work,
    what: str,
    unit: str,
) -> None:
    total = sum(map(len, steps))
    missing = set(rows.missing(keys[name] for step in steps for name in step))
    steps = [left for step in steps if (left := [n for n in step if keys[n] in missing])]
    if not steps:
        return
    done = total - sum(map(len, steps))
    with (
        rows,
        hosts.progress(total=total, initial=done, desc=what, unit=unit) as bar,
        contextlib.closing(work(steps, bar)) as results,
    ):
        for step, arrays in zip(steps, results, strict=True):
            rows.add([keys[name] for name in step], arrays)


def _wait_for_others(
    rows: array_cache.RowCache, keys: dict[str, str], inputs: Sequence[str]
) -> None:
    until = time.monotonic() + _VISIBLE_SECONDS
    rows.refresh()
    while hosts.is_multihost() and rows.missing(keys[name] for name in inputs):
        if time.monotonic() > until:
            return
        time.sleep(0.2)
        rows.refresh()
