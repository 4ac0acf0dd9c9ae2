"""Slow work in shards, shared out between the hosts: each makes its own, then all have all.

Shards are numbered; where one is already on disk it is not made again.
"""

import concurrent.futures
import functools
import multiprocessing
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from diface_jax import hosts
from diface_jax.data import shards
from diface_jax.data.chips import Chips, chips_of
from diface_jax.data.records import DataSet

_PHOTOS_A_SHARD = 512

# From some files and their chips to arrays with a row a photo.
Make = Callable[[Sequence[str], Sequence[Chips]], shards.Arrays]


def in_shards(
    cache: pathlib.Path,
    made_by: Sequence[str],
    inputs: Sequence[str],
    size: int,
    make: Callable[[Sequence[str]], shards.Arrays],
    unit: str,
) -> shards.Arrays:
    """What is made of inputs, a row each.

    Args:
      cache: the shards' folder, the same one on all hosts.
      made_by: what is made, and all it depends on besides the inputs.
      inputs: at least one.
      size: inputs a shard.
      make: makes the arrays of some inputs.
      unit: what an input is, for the progress bar.

    Returns:
      The arrays of all inputs, on every host.
    """
    every = [inputs[rows] for rows in shards.cut(len(inputs), size)]
    mine = {number: some for number, some in enumerate(every) if hosts.is_mine(number)}

    def shard(some: Sequence[str]) -> shards.Arrays:
        name = shards.key(*made_by, *some)
        return shards.cached(cache, name, functools.partial(make, some))

    made, total = {}, sum(map(len, mine.values()))
    with hosts.progress(total=total, desc=made_by[0], unit=unit) as bar:
        for number, some in mine.items():
            made[number] = shard(some)
            bar.update(len(some))
    hosts.barrier(made_by[0])
    parts = [made[i] if i in made else shard(some) for i, some in enumerate(every)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def of_photos(
    source: DataSet,
    files: Sequence[str],
    cache: pathlib.Path,
    made_by: Sequence[str],
    make: Make,
) -> shards.Arrays:
    """What is made of photos' chips, which worker processes cut.

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
    with concurrent.futures.ProcessPoolExecutor(mp_context=context) as pool:

        def make_shard(some: Sequence[str]) -> shards.Arrays:
            return make(some, list(pool.map(align_one, some, chunksize=16)))

        return in_shards(cache, made_by, files, _PHOTOS_A_SHARD, make_shard, 'photo')
