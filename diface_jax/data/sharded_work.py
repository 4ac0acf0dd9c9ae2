"""Slow work on many sentences or photos, split between the hosts and cached on disk."""

import collections
import concurrent.futures
import contextlib
import functools
import itertools
import pathlib
import time
from collections.abc import Callable, Generator, Sequence

from tqdm import tqdm

from diface_jax.data import array_cache
from diface_jax.data.crop_pool import crop_pool
from diface_jax.data.face_crops import FaceCrops, crop_faces
from diface_jax.data.readers.records import DataSet
from diface_jax.runtime import hosts

# Inputs of a step: for the face encoder a few batches; for the text encoder enough that most
# batches of sentences of the same length are full.
_INPUTS_A_STEP = 32, 512
_PHOTOS_AHEAD = 256  # cropped before the encoder needs them
_VISIBLE_SECONDS = 30  # until a file of one host is visible to the others

# From files and their face crops to arrays with a row for each photo.
MapCrops = Callable[[Sequence[str], Sequence[FaceCrops]], array_cache.Arrays]

# From sentences, and what to call with the number of each batch, to arrays with a row for each.
EncodeSentences = Callable[[Sequence[str], Callable[[int], object]], array_cache.Arrays]

# From missing inputs, in steps, to the arrays of each step.
_Work = Callable[[Sequence[Sequence[str]], tqdm], Generator[array_cache.Arrays]]


def map_sentences(
    sentences: Sequence[str],
    cache: pathlib.Path,
    depends_on: Sequence[str],
    compute: EncodeSentences,
) -> array_cache.Arrays:
    """Arrays computed from sentences; a repeated sentence is computed once.

    Args:
      sentences: at least one.
      cache: folder of the cache, the same one on all hosts.
      depends_on: name of the result, then all that it depends on besides the sentences.
      compute: encodes a step of sentences.

    Returns:
      Arrays with a row for each sentence, on every host.
    """

    def work(steps: Sequence[Sequence[str]], bar: tqdm) -> Generator[array_cache.Arrays]:
        for step in steps:
            yield compute(step, bar.update)

    keys = {sentence: array_cache.cache_key(sentence) for sentence in sentences}
    # Sentences of similar length are encoded fastest.
    ordered = sorted(keys, key=lambda sentence: (len(sentence), sentence))
    rows = _compute_on_hosts(cache, depends_on, keys, ordered, _INPUTS_A_STEP[1], work, 'text')
    with hosts.working('reads the vectors of the sentences'):
        return rows.take([keys[sentence] for sentence in sentences])


def map_photos(
    source: DataSet,
    files: Sequence[str],
    hashes: Sequence[str],
    cache: pathlib.Path,
    depends_on: Sequence[str],
    compute: MapCrops,
) -> array_cache.Arrays:
    """Arrays computed from the face crops of photos, which a pool crops ahead.

    Args:
      source: the data set.
      files: of at least one of its photos.
      hashes: of their content, as `photo_hashes` gives them.
      cache: folder of the cache, the same one on all hosts.
      depends_on: name of the result, then all that it depends on besides the photos.
      compute: from files and their face crops to arrays with a row for each.

    Returns:
      Arrays with a row for each file, on every host.
    """
    crop = functools.partial(crop_faces, source.read, source.landmarks_5x2)

    def work(steps: Sequence[Sequence[str]], bar: tqdm) -> Generator[array_cache.Arrays]:
        files = list(itertools.chain(*steps))
        with contextlib.closing(_cropped(crop, files)) as crops:
            for step in steps:
                crops_of_step = []
                for _ in step:
                    crops_of_step.append(next(crops))
                    bar.update()
                yield compute(step, crops_of_step)

    keys = _photo_keys(files, hashes)
    depends_on = _photos_depend_on(source, depends_on)
    rows = _compute_on_hosts(cache, depends_on, keys, files, _INPUTS_A_STEP[0], work, 'photo')
    with hosts.working('reads what was computed of the photos'):
        return rows.take([keys[file] for file in files])


def add_photos(
    source: DataSet,
    files: Sequence[str],
    hashes: Sequence[str],
    cache: pathlib.Path,
    depends_on: Sequence[str],
    arrays: array_cache.Arrays,
) -> None:
    """Caches rows that are known already, so that `map_photos` computes only the others.

    Args:
      source: the data set.
      files: of its photos.
      hashes: of their content.
      cache: folder of the cache.
      depends_on: as for `map_photos`.
      arrays: a row for each file.
    """
    if hosts.is_first():
        keys = _photo_keys(files, hashes)
        with _row_cache(cache, _photos_depend_on(source, depends_on)) as rows:
            rows.add([keys[file] for file in files], arrays)
    hosts.barrier(f'known {depends_on[0]}')


def _photo_keys(files: Sequence[str], hashes: Sequence[str]) -> dict[str, str]:
    """The name of each photo's row; by the file's name where it cannot be read and has no hash."""
    pairs = dict(zip(files, hashes, strict=True))
    return {
        file: sha256 or array_cache.cache_key('unreadable', file) for file, sha256 in pairs.items()
    }


def _photos_depend_on(source: DataSet, depends_on: Sequence[str]) -> tuple[str, ...]:
    return (*depends_on, str(source.landmarks_5x2))


def _row_cache(cache: pathlib.Path, depends_on: Sequence[str]) -> array_cache.RowCache:
    return array_cache.RowCache(cache / f'{depends_on[0]}-{array_cache.cache_key(*depends_on)}')


def _cropped(crop: Callable[[str], FaceCrops], files: Sequence[str]) -> Generator[FaceCrops]:
    """The face crops of files, in their order, from a pool that runs ahead."""
    with crop_pool(len(files)) as pool:
        ahead: collections.deque[concurrent.futures.Future[FaceCrops]] = collections.deque()
        for file in files:
            ahead.append(pool.submit(crop, file))
            if len(ahead) > _PHOTOS_AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _compute_on_hosts(
    cache: pathlib.Path,
    depends_on: Sequence[str],
    keys: dict[str, str],
    inputs: Sequence[str],
    size: int,
    work: _Work,
    unit: str,
) -> array_cache.RowCache:
    """Rows of all inputs: each host computes a share of the missing ones.

    Inputs are divided into steps before the missing ones are known, so that the batches of the
    encoder depend neither on the number of hosts nor on where an earlier run was stopped.
    """
    result = depends_on[0]
    rows = _row_cache(cache, depends_on)
    first_of = {keys[name]: name for name in reversed(inputs)}
    unique = [name for name in inputs if first_of[keys[name]] == name]
    steps = [unique[i : i + size] for i in range(0, len(unique), size)]
    local_steps = [step for number, step in enumerate(steps) if hosts.is_mine(number)]
    _compute_missing(rows, keys, local_steps, work, result, unit)
    hosts.barrier(result)
    _wait_for_rows(rows, keys, unique)
    # Nothing is missing now, unless a file of another host is damaged or does not appear.
    _compute_missing(rows, keys, steps, work, result, unit)
    return rows


def _compute_missing(
    rows: array_cache.RowCache,
    keys: dict[str, str],
    steps: Sequence[Sequence[str]],
    work: _Work,
    result: str,
    unit: str,
) -> None:
    total = sum(map(len, steps))
    missing = set(rows.missing(keys[name] for step in steps for name in step))
    steps = [[name for name in step if keys[name] in missing] for step in steps]
    steps = [step for step in steps if step]
    if not steps:
        return
    done = total - sum(map(len, steps))
    with (
        rows,
        hosts.progress(total=total, initial=done, desc=result, unit=unit) as bar,
        contextlib.closing(work(steps, bar)) as arrays_of_steps,
    ):
        for step, arrays in zip(steps, arrays_of_steps, strict=True):
            rows.add([keys[name] for name in step], arrays)


def _wait_for_rows(rows: array_cache.RowCache, keys: dict[str, str], inputs: Sequence[str]) -> None:
    """Waits until the rows of the other hosts are visible, for at most _VISIBLE_SECONDS."""
    until = time.monotonic() + _VISIBLE_SECONDS
    rows.refresh()
    while hosts.is_multihost() and rows.missing(keys[name] for name in inputs):
        if time.monotonic() > until:
            return
        time.sleep(0.2)
        rows.refresh()
