"""Face embeddings made elsewhere, from a file."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pyarrow import parquet

from diface_jax.gallery.store import Label

SUFFIXES = ('.npy', '.npz', '.parquet')


class Embeddings(NamedTuple):
    """Raw embeddings of E, with an id each, and what is said of them."""

    names: list[str]
    embedding_NxD: np.ndarray
    labels: list[Label]


def read(path: pathlib.Path, ids: pathlib.Path | None, width: int) -> Embeddings:
    """Reads embeddings and their ids.

    Args:
      path: `.npy`: embedding_NxD. `.npz`: arrays `id` and `embedding`, and `person` if known.
        `.parquet`: columns `id` and `embedding`, `person` if known; other columns become tags.
      ids: for `.npy`, a text file with a line an id.
      width: D, of this model's embeddings.

    Raises:
      FileNotFoundError: a file is not there.
      ValueError: it is not such a file, or its rows are not what they should be; says which.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f'{path}: embeddings come in {", ".join(SUFFIXES)}')
    if not path.is_file():
        raise FileNotFoundError(f'no file of embeddings: {path}')
    readers = {'.npy': _from_npy, '.npz': _from_npz, '.parquet': _from_parquet}
    try:
        found = readers[path.suffix](path, ids)
        embedding_NxD = np.asarray(found.embedding_NxD, np.float32)
    except (KeyError, EOFError, TypeError, OSError, ValueError) as error:
        raise ValueError(f'{path} cannot be read: {error}') from error
    _check(path, found.names, embedding_NxD, width)
    return found._replace(embedding_NxD=embedding_NxD)


def _check(path: pathlib.Path, names: Sequence[str], embedding_NxD: np.ndarray, width: int) -> None:
    if embedding_NxD.ndim != 2 or embedding_NxD.shape[1] != width:
        shape = 'x'.join(map(str, embedding_NxD.shape))
        raise ValueError(f'{path} holds {shape} numbers: this model needs rows of {width}')
    if len(names) != len(embedding_NxD):
        raise ValueError(f'{path}: {len(names)} ids for {len(embedding_NxD)} embeddings')
    if len(set(names)) < len(names) or '' in names:
        raise ValueError(f'{path}: ids must be there and differ from each other')
    bad = np.flatnonzero(~np.isfinite(embedding_NxD).all(axis=1) | ~embedding_NxD.any(axis=1))
    if len(bad):
        raise ValueError(f'{path}: rows {bad[:10].tolist()} are zero or not finite')


def _from_npy(path: pathlib.Path, ids: pathlib.Path | None) -> Embeddings:
    if ids is None:
        raise ValueError('its ids are missing: give --ids=FILE, a line an id')
    names = ids.read_text(encoding='utf-8').splitlines()
    embedding_NxD = np.load(path, allow_pickle=False)
    return Embeddings(names, embedding_NxD, [Label()] * len(names))


def _from_npz(path: pathlib.Path, _: pathlib.Path | None) -> Embeddings:
    with np.load(path, allow_pickle=False) as arrays:
        names = [str(name) for name in arrays['id']]
        people = [str(who) or None for who in arrays['person']] if 'person' in arrays else None
        labels = [Label(person) for person in people or [None] * len(names)]
        return Embeddings(names, arrays['embedding'], labels)


def _from_parquet(path: pathlib.Path, _: pathlib.Path | None) -> Embeddings:
    columns = parquet.read_table(path).to_pydict()
    names = [str(name) for name in columns.pop('id')]
    embedding_NxD = np.array(columns.pop('embedding'), np.float32)
    people = columns.pop('person', [None] * len(names))
    labels = [
        Label(None if who is None else str(who), _tags(columns, row))
        for row, who in enumerate(people)
    ]
    return Embeddings(names, embedding_NxD, labels)


def _tags(columns: dict[str, list], row: int) -> dict[str, str]:
    return {key: str(values[row]) for key, values in columns.items() if values[row] is not None}
