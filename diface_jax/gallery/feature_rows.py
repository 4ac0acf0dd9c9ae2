"""Entries and their features in the binary format of PostgreSQL's COPY: arrays in place of rows.

The format is in PostgreSQL's manual, "COPY", "Binary Format"; that of a vector is what pgvector's
`vector_send` and `halfvec_send` write.
"""

import itertools
from collections.abc import Iterable, Iterator

import numpy as np

_SIGNATURE = b'PGCOPY\n\xff\r\n\0'
_HEADER = _SIGNATURE + bytes(8)
_END = b'\xff\xff'
_NUMBERS = {'full': '>f4', 'half': '>f2'}


def _row_type(width: int, storage: str) -> np.dtype:
    return np.dtype(
        [
            *(('columns', '>i2'), ('entry_bytes', '>i4'), ('entry', '>i8')),
            *(('feature_bytes', '>i4'), ('width', '>i2'), ('unused', '>i2')),
            ('feature', _NUMBERS[storage], (width,)),
        ]
    )


def pack_features(id_N: Iterable[int], f_NxF: np.ndarray, storage: str) -> bytes:
    """What COPY reads; `storage` is 'full' or 'half'."""
    rows = np.zeros(len(f_NxF), _row_type(f_NxF.shape[1], storage))
    rows['columns'], rows['entry_bytes'] = 2, 8
    rows['feature_bytes'] = 4 + rows.dtype['feature'].itemsize
    rows['entry'], rows['width'], rows['feature'] = list(id_N), f_NxF.shape[1], f_NxF
    return _HEADER + rows.tobytes() + _END


def unpack_features(
    chunks: Iterable[bytes], width: int, storage: str, block: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of what COPY writes, a row at a time: numbers id_B, and features f_BxF in float32.

    Args:
      chunks: the rows; the first has the header too, and the last is the end.
      width: F.
      storage: 'full' or 'half'.
      block: rows of a block.

    Raises:
      ValueError: a feature has another width.
    """
    row_type, chunks = _row_type(width, storage), iter(chunks)
    while batch := list(itertools.islice(chunks, block)):
        data = b''.join(batch).removeprefix(_HEADER)
        if len(data) % row_type.itemsize == len(_END):
            data = data[: -len(_END)]
        if len(data) % row_type.itemsize:
            raise ValueError(f'the features do not have {width} numbers')
        rows = np.frombuffer(data, row_type)
        yield rows['entry'].astype(np.int64), rows['feature'].astype(np.float32)
