"""Photos' face chips, cut in worker processes, or why there is none.

Worker processes import this module, so it imports little.
"""

import concurrent.futures
import functools
import multiprocessing
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
from tqdm import tqdm

from diface_jax.data import shards
from diface_jax.data.records import DataSet
from diface_jax.encoders.face import align

_PHOTOS_A_SHARD = 512

# A photo's chips_2x150x150x3 (see `align`) and a note for the data card, or None and why not.
Chips = tuple[np.ndarray | None, str]

# From some files and their chips to arrays with a row a photo.
Make = Callable[[Sequence[str], Sequence[Chips]], shards.Arrays]


def chips_of(read: Callable[[str], bytes], landmarks_5x2: np.ndarray | None, file: str) -> Chips:
    """The chips of a photo's face.

    Args:
      read: from the file's name to its bytes.
      landmarks_5x2: canonical landmarks of an aligned data set, or None.
      file: the photo.

    Returns:
      chips_2x150x150x3 and a note for the data card, or None and why there is none.
    """
    try:
        return align.align_photo(read(file), landmarks_5x2)
    except (OSError, ValueError) as error:
        return None, str(error)


def in_shards(
    source: DataSet,
    files: Sequence[str],
    cache: pathlib.Path,
    made_by: Sequence[str],
    make: Make,
) -> shards.Arrays:
    """What is made of photos' chips, kept in shards, so that an interrupted job goes on.

    Args:
      source: where the photos are.
      files: which of them, at least one.
      cache: the shards' folder.
      made_by: what is made, and all it depends on besides the files.
      make: makes the arrays, a row a photo, of some files and their chips.

    Returns:
      The arrays of all files.
    """
    align_one = functools.partial(chips_of, source.read, source.landmarks_5x2)
    # Spawned, since a fork of a process with JAX's threads may hang.
    context = multiprocessing.get_context('spawn')
    parts = []
    with (
        concurrent.futures.ProcessPoolExecutor(mp_context=context) as pool,
        tqdm(total=len(files), desc=made_by[0], unit='photo') as bar,
    ):
        for rows in shards.cut(len(files), _PHOTOS_A_SHARD):
            name = shards.key(*made_by, *files[rows])
            make_shard = functools.partial(_make_shard, files[rows], align_one, make, pool)
            parts.append(shards.cached(cache, name, make_shard))
            bar.update(rows.stop - rows.start)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _make_shard(
    files: Sequence[str],
    align_one: Callable[[str], Chips],
    make: Make,
    pool: concurrent.futures.Executor,
) -> shards.Arrays:
    return make(files, list(pool.map(align_one, files, chunksize=16)))
