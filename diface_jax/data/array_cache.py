"""Caches slow results on disk, so that an interrupted job resumes where it stopped.

`cached_arrays` caches a result by name. `RowCache` caches a row of arrays for each input, by a hash
of the input's content, in files that are written while the work goes on.
"""

import hashlib
import pathlib
import secrets
import time
import zipfile
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from absl import logging

from diface_jax.runtime import run_state

Arrays = dict[str, np.ndarray]

# A file is written when this many rows wait, or when the first of them has waited this long.
_MAX_ROWS, _MAX_SECONDS = 4096, 5.0
_KEY = 'key'
READ_ERRORS = (zipfile.BadZipFile, ValueError, EOFError, OSError, KeyError)


def cache_key(*parts: str) -> str:
    """A hash of these parts in this order, 32 hex digits, which names a result."""
    digest = hashlib.sha256()
    for part in parts:
        # File names that are not UTF-8 contain surrogates.
        digest.update(f'{len(part)}:{part}'.encode(errors='surrogatepass'))
    return digest.hexdigest()[:32]


def cached_arrays(folder: pathlib.Path, name: str, compute: Callable[[], Arrays]) -> Arrays:
    """The arrays called `name`: read from disk, or computed now and written there.

    Args:
      folder: of the cache.
      name: from `cache_key`, of all that the result depends on.
      compute: returns the arrays.
    """
    arrays = read_arrays(folder, name)
    if arrays is None:
        arrays = compute()
        write_arrays(_path(folder, name), arrays)
    return arrays


def read_arrays(folder: pathlib.Path, name: str) -> Arrays | None:
    """The arrays called `name`; None where they are not cached. A damaged file is logged."""
    path = _path(folder, name)
    if path.is_file():
        try:
            with np.load(path) as arrays:
                return dict(arrays)
        except READ_ERRORS as error:
            logging.warning('%s is damaged (%s): computing it again', path, error)
    return None


def _path(folder: pathlib.Path, name: str) -> pathlib.Path:
    return folder / f'{name}.npz'


def write_arrays(path: pathlib.Path, arrays: Arrays) -> None:
    """Writes an .npz file that appears only when it is complete; raises OSError."""
    with run_state.open_replacing(path) as file:
        np.savez(file, **arrays)


def string_array(values: Sequence[str]) -> np.ndarray:
    """Strings as an array that is stored without pickling."""
    return np.array(values, dtype=np.str_)


class RowCache:
    """Arrays with a row for each input, in a folder of .npz files that several hosts may write.

    Use it as a context manager while rows are added: leaving it, also by Ctrl-C, writes the rows
    that are not on disk yet. Until then, an `add` writes if the first row that waits is older than
    `_MAX_SECONDS`.

    Args:
      folder: of the files; created when the first file is written.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._files: dict[str, pathlib.Path] = {}  # by the key of a row
        self._read: set[pathlib.Path] = set()
        self._waiting: list[tuple[Sequence[str], Arrays]] = []
        self._oldest = 0.0
        self.refresh()

    def __enter__(self) -> 'RowCache':
        return self

    def __exit__(self, *error: object) -> None:
        self._write()

    def refresh(self) -> None:
        """Reads the keys of new files; a damaged file is logged and ignored."""
        for path in sorted(self._folder.glob('*.npz')):
            if path in self._read:
                continue
            self._read.add(path)
            try:
                with np.load(path) as arrays:
                    self._files |= dict.fromkeys(arrays[_KEY].tolist(), path)
            except READ_ERRORS as error:
                logging.warning('%s is damaged (%s): its rows are computed again', path, error)

    def missing(self, keys: Iterable[str]) -> list[str]:
        """The keys, in their order, that no file has a row for."""
        return [name for name in keys if name not in self._files]

    def add(self, keys: Sequence[str], arrays: Arrays) -> None:
        """Adds a row for each key; writes a file if enough rows wait, or if one has waited long."""
        if not self._waiting:
            self._oldest = time.monotonic()
        self._waiting.append((keys, arrays))
        rows = sum(len(names) for names, _ in self._waiting)
        if rows >= _MAX_ROWS or time.monotonic() - self._oldest >= _MAX_SECONDS:
            self._write()

    def _write(self) -> None:
        if not self._waiting:
            return
        keys = [name for names, _ in self._waiting for name in names]
        parts = [arrays for _, arrays in self._waiting]
        path = self._folder / f'{secrets.token_hex(16)}.npz'
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        write_arrays(path, joined | {_KEY: string_array(keys)})
        self._read.add(path)
        self._files |= dict.fromkeys(keys, path)
        self._waiting = []

    def take(self, keys: Sequence[str]) -> Arrays:
        """The rows of keys, in their order; each must be on disk.

        Raises:
          OSError: a file was removed or damaged after its keys were read.
        """
        places: dict[str, list[int]] = {}
        for place, name in enumerate(keys):
            places.setdefault(name, []).append(place)
        result: Arrays = {}
        for path in dict.fromkeys(self._files[name] for name in places):
            with np.load(path) as file:
                arrays = dict(file)
            for row, name in enumerate(arrays.pop(_KEY).tolist()):
                if self._files[name] == path:
                    _copy_row(arrays, row, result, places.get(name, []), len(keys))
        return result


def _copy_row(arrays: Arrays, row: int, result: Arrays, places: list[int], count: int) -> None:
    """Copies a row of `arrays` to its places among the `count` rows of `result`."""
    for name, values in arrays.items():
        if name not in result:
            result[name] = np.zeros((count, *values.shape[1:]), values.dtype)
        elif result[name].dtype != values.dtype:  # strings of another length
            result[name] = result[name].astype(np.promote_types(result[name].dtype, values.dtype))
        result[name][places] = values[row]
