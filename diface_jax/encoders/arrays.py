"""Named arrays fitted to training data: told apart by a hash, saved and loaded."""

import hashlib
import pathlib
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
import safetensors.numpy

from diface_jax.runtime import run_state

Fit = TypeVar('Fit')


def sha256_of_arrays(arrays: Iterable[np.ndarray]) -> str:
    """A hash of the numbers, as 64 hexadecimal digits; tells one fit from another."""
    return hashlib.sha256(b''.join(array.tobytes() for array in arrays)).hexdigest()


def save_arrays(fit: Any, path: pathlib.Path) -> None:
    """Writes a NamedTuple of arrays as safetensors; raises OSError."""
    with run_state.open_replacing(path) as file:  # safetensors' own files are private
        file.write(safetensors.numpy.save(fit._asdict()))


def load_arrays(kind: type[Fit], path: pathlib.Path) -> Fit:
    """Reads the NamedTuple of a `kind` that `save_arrays` wrote.

    Raises:
      FileNotFoundError: there is no such file; says what to do.
    """
    if not path.is_file():
        raise FileNotFoundError(f'nothing fitted in {path}: run --mode=prepare first')
    return kind(**safetensors.numpy.load_file(path))
