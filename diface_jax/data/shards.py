"""Slow results kept on disk in shards, so that an interrupted job goes on where it was."""

import hashlib
import os
import pathlib
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from absl import logging

Arrays = dict[str, np.ndarray]


def key(*parts: str) -> str:
    """A name for what is made from these parts, in this order: a hash."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f'{len(part)}:{part}'.encode())
    return digest.hexdigest()[:32]


def cut(count: int, size: int) -> Iterable[slice]:
    """0..count in slices of `size`."""
    return (slice(i, min(i + size, count)) for i in range(0, count, size))


def cached(folder: pathlib.Path, name: str, make: Callable[[], Arrays]) -> Arrays:
    """The shard called `name`: from disk, or made now and put there whole or not at all.

    Args:
      folder: of the shards.
      name: from `key`, of all that the result depends on.
      make: makes the arrays.

    Returns:
      The arrays. A damaged shard is named in the log and made again.
    """
    path = folder / f'{name}.npz'
    if path.is_file():
        try:
            with np.load(path) as arrays:
                return dict(arrays)
        except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
            logging.warning('%s is damaged (%s): made again', path, error)
    arrays = make()
    _write(path, arrays)
    return arrays


def _write(path: pathlib.Path, arrays: Arrays) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix='.tmp', delete=False) as file:
        try:
            np.savez(file, **arrays)
            file.close()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def strings(values: Sequence[str]) -> np.ndarray:
    """Strings as an array that needs no pickling."""
    return np.array(values, dtype=np.str_)
