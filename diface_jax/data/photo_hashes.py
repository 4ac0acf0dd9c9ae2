"""The content of photos as hashes, so that a photo is known by what it shows and not by its path.

Hashes are kept with a stamp of each file (size, times and inode), so that a second look reads only
the files that changed.
"""

import concurrent.futures
import functools
import hashlib
import os
import pathlib
import time
from collections.abc import Sequence

import numpy as np
from absl import logging

from diface_jax.data import array_cache
from diface_jax.data.readers.records import DataSet
from diface_jax.runtime import hosts, run_state

_VISIBLE_SECONDS = 30
_THREADS = 8  # hashing and reading both work outside of Python's lock


def photo_hashes(source: DataSet, root: pathlib.Path, cache: pathlib.Path) -> list[str]:
    """SHA-256 (32 hex digits of it) of each photo's content.

    Args:
      source: the data set.
      root: its folder.
      cache: folder in which the hashes are kept with the stamps of their files.

    Returns:
      A hash for each of `source.photos`, '' for a photo that cannot be read or does not exist
      as a photograph (simulated people).
    """
    files = [photo.file for photo in source.photos]
    if source.embedded or not files:
        return [''] * len(files)
    path = cache / f'photo_hashes-{array_cache.cache_key(str(root))}.npz'
    if hosts.is_first():
        _update(source, root, files, path)
    hosts.barrier('photo hashes')
    _wait_for(path)
    known = _read(path)
    return [known.get(file, ('', ''))[1] for file in files]


def _wait_for(path: pathlib.Path) -> None:
    """Waits until the first host's file is visible here: network file systems take their time."""
    until = time.monotonic() + _VISIBLE_SECONDS
    while not path.is_file():
        if time.monotonic() > until:
            raise FileNotFoundError(f'{path} of the first host does not appear on this one')
        path.parent.stat()
        time.sleep(0.2)


def _update(source: DataSet, root: pathlib.Path, files: Sequence[str], path: pathlib.Path) -> None:
    """Brings the stamps and hashes on disk up to date."""
    known = _read(path)
    stamps = _stamps(root, files)
    stale = []
    for file, stamp in stamps.items():
        known_stamp, sha256 = known.get(file, ('', ''))
        if known_stamp != stamp or not sha256:  # what could not be read is tried again
            stale.append(file)
    hashes = dict(zip(stale, _hash_all(source, stale), strict=True))
    current = {f: (stamps[f], hashes[f] if f in hashes else known[f][1]) for f in files}
    if current != known:
        stamp_N, sha256_N = zip(*current.values(), strict=True)
        arrays = {'photo': list(current), 'stamp': stamp_N, 'sha256': sha256_N}
        columns = {name: array_cache.string_array(values) for name, values in arrays.items()}
        with run_state.open_replacing(path) as file:
            np.savez_compressed(file, **columns)


def _hash_all(source: DataSet, files: Sequence[str]) -> list[str]:
    if not files:
        return []
    hash_one = functools.partial(_hash, source)
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        hashes = pool.map(hash_one, files)
        return list(hosts.progress(hashes, total=len(files), desc='photo hashes', unit='photo'))


def _hash(source: DataSet, file: str) -> str:
    try:
        return hashlib.sha256(source.read(file)).hexdigest()[:32]
    except (OSError, ValueError):  # why it cannot be read is told where it is embedded
        return ''


def _read(path: pathlib.Path) -> dict[str, tuple[str, str]]:
    """Stamp and hash by file; empty when there are none, or they cannot be read."""
    if not path.is_file():
        return {}
    try:
        with np.load(path) as arrays:
            columns = [arrays[name].tolist() for name in ('photo', 'stamp', 'sha256')]
    except array_cache.READ_ERRORS as error:
        logging.warning('%s is damaged (%s): photos are hashed again', path, error)
        return {}
    return {file: (stamp, sha256) for file, stamp, sha256 in zip(*columns, strict=True)}


def _stamps(root: pathlib.Path, files: Sequence[str]) -> dict[str, str]:
    """A stamp of each photo's file; where photos lie in archives, of all files of the data set."""
    if not any((root / file).exists() for file in files):
        archives = sorted(path for path in root.rglob('*') if path.is_file())
        return dict.fromkeys(files, array_cache.cache_key(*map(_stamp, archives)))
    return {file: _stamp(root / file) for file in files}


def _stamp(path: pathlib.Path | str) -> str:
    try:
        found = os.stat(path)
    except OSError:
        return 'unreadable'
    return f'{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}'
