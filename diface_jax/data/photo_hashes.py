"""Hashes of the content of photos, which identify a photo wherever its file lies.

Hashes are cached with a stamp of each file (size, times and inode), so that only files that changed
are read again.
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
    """The first 32 hex digits of the SHA-256 of each photo's content.

    Args:
      source: the data set.
      root: its folder.
      cache: folder of the cached hashes and stamps.

    Returns:
      A hash for each of `source.photos`; '' for a photo that cannot be read, and for simulated
      people, who have no photographs.

    Raises:
      FileNotFoundError: the file of the first host does not appear on this one.
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
    """Waits until the first host's file is visible here; network file systems need time."""
    until = time.monotonic() + _VISIBLE_SECONDS
    while not path.is_file():
        if time.monotonic() > until:
            raise FileNotFoundError(f'{path} of the first host does not appear on this one')
        path.parent.stat()
        time.sleep(0.2)


def _update(source: DataSet, root: pathlib.Path, files: Sequence[str], path: pathlib.Path) -> None:
    """Brings the stamps and hashes on disk up to date."""
    with hosts.working('looks which photos changed'):
        known = _read(path)
        stamps = _stamps(root, files)
    stale = []
    for file, stamp in stamps.items():
        known_stamp, sha256 = known.get(file, ('', ''))
        if known_stamp != stamp or not sha256:  # unreadable files are tried again
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
    except (OSError, ValueError):  # the reason is reported where the photo is embedded
        return ''


def _read(path: pathlib.Path) -> dict[str, tuple[str, str]]:
    """Stamp and hash by file; empty if there is no cache file, or it is damaged."""
    if not path.is_file():
        return {}
    try:
        with np.load(path) as arrays:
            columns = [arrays[name].tolist() for name in ('photo', 'stamp', 'sha256')]
    except array_cache.READ_ERRORS as error:
        logging.warning('%s is damaged (%s): hashing the photos again', path, error)
        return {}
    return {file: (stamp, sha256) for file, stamp, sha256 in zip(*columns, strict=True)}


def _stamps(root: pathlib.Path, files: Sequence[str]) -> dict[str, str]:
    """A stamp of each photo's file; of all files of the data set where photos lie in archives."""
    if not any((root / file).exists() for file in files):
        archives = sorted(path for path in root.rglob('*') if path.is_file())
        return dict.fromkeys(files, array_cache.cache_key(*map(_stamp, archives)))
    return {file: _stamp(root / file) for file in files}


def _stamp(path: pathlib.Path | str) -> str:
    try:
        stat = os.stat(path)
    except OSError:
        return 'unreadable'
    return f'{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}'
