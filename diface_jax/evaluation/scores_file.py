"""Scores of any system, read from a file and checked against the benchmark.

The format is in docs/benchmark.md. Rows of a file may be in any order; ids say what they are of.
"""

import contextlib
import hashlib
import pathlib
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from diface_jax.evaluation.benchmark import MEASURED, Benchmark, text_ids
from diface_jax.evaluation.score_matrix import ScoreMatrix
from diface_jax.models.features import Features

_NAMED = 3  # ids that an error shows
# What numpy and zip raise for files that are damaged, encrypted or of another kind.
_READING_ERRORS = (
    OSError,
    ValueError,
    EOFError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


class ScoresFile(NamedTuple):
    """What a scores file holds.

    Attributes:
      kind: 'scores' or 'embeddings'.
      sha256: of the file.
      methods: scores or features by split, with a row for each text and photo of the split.
    """

    kind: str
    sha256: str
    methods: dict[str, Features | ScoreMatrix]


def read_scores(path: pathlib.Path, benchmark: Benchmark) -> ScoresFile:
    """Reads a scores file.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it cannot be read, is of another protocol, or has arrays or ids that are missing,
        repeated, unknown or of the other split, wrong shapes, or numbers that are not finite;
        names the file and what is wrong.
    """
    if not path.is_file():
        raise FileNotFoundError(f'no file of scores: {path}')
    try:
        with _opened(path) as arrays:
            _check_protocol(arrays, benchmark)
            kind = 'scores' if f'{MEASURED[-1]}/score' in arrays else 'embeddings'
            methods = {name: _read_split(arrays, benchmark, name, kind) for name in MEASURED}
    except _READING_ERRORS as error:
        raise ValueError(f'{path}: {error}') from error
    with path.open('rb') as file:
        return ScoresFile(kind, hashlib.file_digest(file, 'sha256').hexdigest(), methods)


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[Mapping[str, np.ndarray]]:
    arrays = np.load(path, allow_pickle=False)
    if not isinstance(arrays, np.lib.npyio.NpzFile):
        raise ValueError('it is no .npz file: write it with numpy.savez')
    with arrays:
        yield arrays


def _array(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in arrays:
        raise ValueError(f'it has no array {name} (docs/benchmark.md lists those it needs)')
    return arrays[name]


def _check_protocol(arrays: Mapping[str, np.ndarray], benchmark: Benchmark) -> None:
    written_for = str(_array(arrays, 'protocol'))
    expected = benchmark.description()['sha256']
    if written_for != expected:
        raise ValueError(
            f'it was written for the protocol {written_for[:12]}, and this evaluation is of '
            f'{expected[:12]}: write the protocol again with --mode=protocol and the settings of '
            'this evaluation, and the scores from that one'
        )


def _read_split(
    arrays: Mapping[str, np.ndarray], benchmark: Benchmark, name: str, kind: str
) -> Features | ScoreMatrix:
    split, texts = benchmark.split(name), benchmark.texts(name)
    other = benchmark.split(next(measured for measured in MEASURED if measured != name))
    text_rows = _rows_of_ids(arrays, f'{name}/text_id', text_ids(split)[texts], text_ids(other))
    photo_rows = _rows_of_ids(arrays, f'{name}/photo_id', split.file_N, other.file_N)
    num_texts = len(split.photo_T)
    if kind == 'scores':
        score = _numbers(arrays, f'{name}/score', (len(text_rows), len(photo_rows)))
        return ScoreMatrix.of(_at_rows(score[np.ix_(text_rows, photo_rows)], texts, num_texts))
    text = _numbers(arrays, f'{name}/text_embedding', (len(text_rows), None))
    photo = _numbers(arrays, f'{name}/photo_embedding', (len(photo_rows), text.shape[1]))
    return Features(_at_rows(text[text_rows], texts, num_texts), photo[photo_rows])


def _at_rows(values_PxK: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """Values in their rows of an array with `count` rows; the others are 0."""
    values_TxK = np.zeros((count, values_PxK.shape[1]), values_PxK.dtype)
    values_TxK[rows] = values_PxK
    return values_TxK


def _rows_of_ids(
    arrays: Mapping[str, np.ndarray], name: str, expected: np.ndarray, of_other: np.ndarray
) -> np.ndarray:
    """The row of each expected id in an array of ids.

    Args:
      arrays: of the file.
      name: of the array.
      expected: the ids of this split.
      of_other: the ids of the other split.
    """
    ids = _array(arrays, name)
    if ids.ndim != 1 or ids.dtype.kind != 'U':
        raise ValueError(f'{name} must be a list of strings, not {ids.dtype} {list(ids.shape)}')
    row_of = {text: row for row, text in enumerate(ids.tolist())}
    if len(row_of) < len(ids):
        values, counts = np.unique(ids, return_counts=True)
        raise ValueError(f'{name} has ids more than once: {_named(values[counts > 1])}')
    wanted, foreign = set(expected.tolist()), set(of_other.tolist())
    extra = [text for text in row_of if text not in wanted]
    if strays := [text for text in extra if text in foreign]:
        raise ValueError(f'{name} has ids of the other split: {_named(strays)}')
    if extra:
        raise ValueError(f'{name} has ids that the protocol does not have: {_named(extra)}')
    if missing := [text for text in expected.tolist() if text not in row_of]:
        raise ValueError(f'{name} lacks {len(missing)} of {len(expected)} ids: {_named(missing)}')
    return np.array([row_of[text] for text in expected.tolist()])


def _named(ids: Sequence[Any]) -> str:
    more = f' and {len(ids) - _NAMED} more' if len(ids) > _NAMED else ''
    return ', '.join(map(str, ids[:_NAMED])) + more


def _numbers(
    arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int, int | None]
) -> np.ndarray:
    """A matrix of finite real numbers; a length of None may be any."""
    values = _array(arrays, name)
    fits = values.ndim == 2 and all(
        length in (None, actual) for length, actual in zip(shape, values.shape, strict=True)
    )
    if not fits:
        expected = ' x '.join('any' if length is None else str(length) for length in shape)
        raise ValueError(f'{name} is {" x ".join(map(str, values.shape))}, not {expected}')
    if values.dtype.kind not in 'fiu':
        raise ValueError(f'{name} must hold real numbers, not {values.dtype}')
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise ValueError(f'{name} has numbers that are not finite, such as in row {row}')
    return values
