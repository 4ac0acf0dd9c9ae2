"""Embeddings of faces from a file: read, checked row by row, and refused in one sentence."""

import pathlib
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from typing import IO, Any, NamedTuple

import numpy as np
import pyarrow
from pyarrow import parquet

from diface_jax.gallery import row_checks
from diface_jax.gallery.entries import PhotoLabel

SUFFIXES = ('.npy', '.npz', '.parquet')
MAX_BYTES = 1 << 34  # of one array, unpacked
_LARGEST = 1e15  # of one number; the length of larger vectors overflows float32
_MOST_TEXT = row_checks.MAX_TEXT // 8  # of a row; JSON writes a letter as up to 6
_MAX_HEADER = 10_000  # characters of an array's header

# What numpy, zip and parquet raise for files that are damaged, encrypted or of another kind.
_READING_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    EOFError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    pyarrow.ArrowException,
)


class ImportedEmbeddings(NamedTuple):
    """Raw embeddings of E, with the id, person and tags of each.

    Attributes:
      names: the ids.
      embedding_NxD: the embeddings.
      labels: person and tags.
      recogniser: name or hash of the network that made them; None: not said.
    """

    names: list[str]
    embedding_NxD: np.ndarray
    labels: list[PhotoLabel]
    recogniser: str | None = None


def read_embeddings(path: pathlib.Path, ids: pathlib.Path | None, width: int) -> ImportedEmbeddings:
    """Reads embeddings and their ids.

    Args:
      path: `.npy`: embedding_NxD. `.npz`: arrays `id` and `embedding`, and `person` if known.
        `.parquet`: columns `id` and `embedding`, `person` if known; other columns become tags.
        Both may name the recogniser: an array or an entry of the schema's metadata `recogniser`.
      ids: for `.npy`, a text file with one id per line.
      width: D, of this model's embeddings.

    Returns:
      The embeddings, as float32; integers are converted.

    Raises:
      FileNotFoundError: a file does not exist.
      ValueError: the file cannot be read, or rows are invalid; says which.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f'{path}: embeddings come in {", ".join(SUFFIXES)}')
    if not path.is_file():
        raise FileNotFoundError(f'no file of embeddings: {path}')
    readers = {'.npy': _from_npy, '.npz': _from_npz, '.parquet': _from_parquet}
    try:
        return check_embeddings(readers[path.suffix](path, ids), width)
    except _READING_ERRORS as error:
        raise ValueError(f'{path} cannot be read: {_reason(error)}') from error


def check_embeddings(embeddings: ImportedEmbeddings, width: int) -> ImportedEmbeddings:
    """The same embeddings as float32.

    Args:
      embeddings: as they were read.
      width: D, of this model's embeddings.

    Raises:
      ValueError: they are of another width, or a row is invalid; says which.
    """
    embedding_NxD = _float32(embeddings.embedding_NxD)
    _check(embeddings.names, embedding_NxD, embeddings.labels, width)
    return embeddings._replace(embedding_NxD=embedding_NxD)


def _reason(error: Exception) -> str:
    """Why a file cannot be read, in one line."""
    if isinstance(error, MemoryError):
        return 'it asks for more memory than there is'
    if isinstance(error, KeyError):
        return f'it has no {" ".join(map(str, error.args))}'
    why = ' '.join(str(error).split())[:300]
    return why or f'it is damaged ({type(error).__name__})'


def _float32(embedding_NxD: np.ndarray) -> np.ndarray:
    if embedding_NxD.dtype.kind not in 'fiu':
        raise ValueError(f'embeddings must be real numbers, and these are {embedding_NxD.dtype}')
    with np.errstate(over='ignore'):  # what overflows is refused by row
        return embedding_NxD.astype(np.float32)


def _check(
    names: Sequence[str], embedding_NxD: np.ndarray, labels: Sequence[PhotoLabel], width: int
) -> None:
    if embedding_NxD.ndim != 2 or embedding_NxD.shape[1] != width:
        shape = 'x'.join(map(str, embedding_NxD.shape)) or '1'
        raise ValueError(f'it holds {shape} numbers: this model needs rows of {width}')
    if len(names) != len(embedding_NxD):
        raise ValueError(f'{len(names)} ids for {len(embedding_NxD)} embeddings')
    if len(labels) != len(names):
        raise ValueError(f'{len(labels)} people for {len(names)} ids')
    if len(set(names)) < len(names) or '' in names:
        raise ValueError(f'ids must be there and differ from each other: {_first_bad(names)}')
    usable_N = (np.abs(embedding_NxD) < _LARGEST).all(axis=1) & embedding_NxD.any(axis=1)
    if not usable_N.all():
        bad = np.flatnonzero(~usable_N)[:10].tolist()
        raise ValueError(f'rows {bad} are zero or not finite, or far too large')
    for row, (name, label) in enumerate(zip(names, labels, strict=True)):
        written = '\n'.join([name, label.person or '', *label.tags, *label.tags.values()])
        if len(written) > _MOST_TEXT:
            raise ValueError(f'row {row} has {len(written):,} characters of id, person and tags')
        if any('\ud800' <= letter <= '\udfff' for letter in written):
            raise ValueError(f'row {row} has an id, a person or a tag that is no text')


def _first_bad(names: Sequence[str]) -> str:
    seen: set[str] = set()
    for row, name in enumerate(names):
        if not name:
            return f'row {row} has none'
        if name in seen:
            return f'row {row} has {name[:60]!r} again'
        seen.add(name)
    raise AssertionError('all ids are there and differ')


def _from_npy(path: pathlib.Path, ids: pathlib.Path | None) -> ImportedEmbeddings:
    if ids is None:
        raise ValueError('its ids are missing: give --ids=FILE, with one id per line')
    names = ids.read_text(encoding='utf-8-sig').splitlines()
    with path.open('rb') as file:
        embedding_NxD = _array(file, path.stat().st_size)
    return ImportedEmbeddings(names, embedding_NxD, [PhotoLabel()] * len(names))


def _from_npz(path: pathlib.Path, _: pathlib.Path | None) -> ImportedEmbeddings:
    with zipfile.ZipFile(path) as archive:
        names = _strings(_member(archive, 'id'), 'id')
        people = [None] * len(names)
        if 'person.npy' in archive.namelist():
            people = [person or None for person in _strings(_member(archive, 'person'), 'person')]
        labels = [PhotoLabel(person) for person in people]
        recogniser = None
        if 'recogniser.npy' in archive.namelist():
            (recogniser,) = _strings(_member(archive, 'recogniser').reshape(-1), 'recogniser')
        return ImportedEmbeddings(names, _member(archive, 'embedding'), labels, recogniser)


def _member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    try:
        member = archive.getinfo(f'{name}.npy')
    except KeyError as error:
        raise ValueError(f"it has no array '{name}'") from error
    with archive.open(member) as file:
        array = _array(file, member.file_size)
        file.read(1)  # the end of the file is where its checksum is compared
    return array


def _array(file: IO[bytes], size: int) -> np.ndarray:
    """An array in numpy's format, refused before it is made where its header is wrong.

    Args:
      file: at its beginning.
      size: of the file, in bytes.
    """
    version = np.lib.format.read_magic(file)
    headers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in headers:
        raise ValueError(f'numpy format {version[0]}.{version[1]} is not one of 1.0 and 2.0')
    shape, _, dtype = headers[version](file, max_header_size=_MAX_HEADER)
    if dtype.hasobject or dtype.names:
        raise ValueError(f'an array of {dtype} is not read')
    wanted = dtype.itemsize
    for length in shape:
        wanted *= length
    left = size - file.tell()
    if any(length < 0 for length in shape) or wanted > min(left, MAX_BYTES):
        raise ValueError(f'its header asks for {wanted:,} bytes of numbers, and it has {left:,}')
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _strings(array_N: np.ndarray, what: str) -> list[str]:
    if array_N.ndim != 1 or array_N.dtype.kind not in 'USiu':
        raise ValueError(f'{what} must be a list of strings or whole numbers, not {array_N.dtype}')
    return [
        value.decode('utf-8') if isinstance(value, bytes) else str(value)
        for value in array_N.tolist()
    ]


def _from_parquet(path: pathlib.Path, _: pathlib.Path | None) -> ImportedEmbeddings:
    table = parquet.read_table(path)
    if len(set(table.column_names)) < len(table.column_names):
        raise ValueError('two columns have the same name')
    for name in ('id', 'embedding'):
        if name not in table.column_names:
            raise ValueError(f"it has no column '{name}'")
    embedding_NxD = _rows_of_numbers(table.column('embedding').combine_chunks())
    columns = table.drop_columns(['embedding']).to_pydict()
    if None in columns['id']:
        raise ValueError(f'row {columns["id"].index(None)} has no id')
    names = [str(name) for name in columns.pop('id')]
    people = columns.pop('person', [None] * len(names))
    labels = [
        PhotoLabel(None if person is None else str(person), _tags(columns, row))
        for row, person in enumerate(people)
    ]
    recogniser = (table.schema.metadata or {}).get(b'recogniser')
    return ImportedEmbeddings(
        names, embedding_NxD, labels, recogniser and recogniser.decode('utf-8')
    )


def _rows_of_numbers(column: Any) -> np.ndarray:
    """A matrix from a column of lists; ValueError where they are not numbers, or of one length."""
    kind = column.type
    is_list = (
        pyarrow.types.is_list(kind)
        or pyarrow.types.is_large_list(kind)
        or pyarrow.types.is_fixed_size_list(kind)
    )
    if not is_list or not (
        pyarrow.types.is_floating(kind.value_type) or pyarrow.types.is_integer(kind.value_type)
    ):
        raise ValueError(f'the column embedding must be lists of numbers, not {kind}')
    rows = column.to_pylist()
    width = len(rows[0]) if rows and rows[0] is not None else 0
    for number, row in enumerate(rows):
        if row is None or len(row) != width or None in row:
            raise ValueError(f'row {number} of embedding is missing, or not as long as the first')
    return np.array(rows, np.float32).reshape(len(rows), width)


def _tags(columns: dict[str, list], row: int) -> dict[str, str]:
    return {key: str(values[row]) for key, values in columns.items() if values[row] is not None}
