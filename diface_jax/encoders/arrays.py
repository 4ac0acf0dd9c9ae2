"""Named arrays fitted on training data: hashed, saved and loaded."""

import hashlib
import pathlib
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
import safetensors.numpy

from diface_jax.runtime import run_state

Fit = TypeVar('Fit')


def sha256_of_arrays(arrays: Iterable[np.ndarray]) -> str:
    """The SHA-256 of the numbers of the arrays, in order, as 64 hexadecimal digits."""
    return hashlib.sha256(b''.join(array.tobytes() for array in arrays)).hexdigest()


def save_arrays(fit: Any, path: pathlib.Path) -> None:
    """Writes a NamedTuple of arrays as a safetensors file; raises OSError."""
    with run_state.open_replacing(path) as file:  # a file that safetensors writes is private
        file.write(safetensors.numpy.save(fit._asdict()))


def load_arrays(kind: type[Fit], path: pathlib.Path) -> Fit:
    """Reads a NamedTuple of the class `kind` that `save_arrays` wrote.

    Raises:
      FileNotFoundError: the file does not exist; the message says what to do.
    """
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist: run --mode=prepare first')
    return kind(**safetensors.numpy.load_file(path))
