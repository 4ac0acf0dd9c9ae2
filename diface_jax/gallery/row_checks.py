"""Checks of what a gallery's file holds: it may be damaged, or written by somebody else."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

MAX_BYTES = 1 << 25  # of one value; a picture of a face has some 10,000
MAX_TEXT = 1 << 20  # characters of a person, a name, or an entry's tags
MAX_WIDTH = 1 << 16  # numbers in an embedding or a feature
_UNIT_ERROR = 1e-3  # how far a feature's length may be from 1
RESTORE = 'Restore the gallery from a copy, or enrol its photographs in a new one'


class GalleryError(ValueError):
    """The gallery cannot be used as it was asked for; says what to do."""


def check_text(value: Any, what: str) -> str | None:
    """A text, or None. Raises ValueError where it is neither, or far too long."""
    if value is not None and not isinstance(value, str):
        raise ValueError(f'its {what} is not text')
    if value is not None and len(value) > MAX_TEXT:
        raise ValueError(f'its {what} has {len(value):,} characters, more than {MAX_TEXT:,}')
    return value


def check_path(value: Any) -> bytes | None:
    """A path as bytes, or None. Raises ValueError where it is neither."""
    if value is not None and not isinstance(value, bytes):
        raise ValueError('the path of its photo is not stored as bytes')
    return value


def check_json(value: Any, what: str) -> Any:
    """What a JSON text holds. Raises ValueError where it is no JSON, or nested too deep."""
    if check_text(value, what) is None:
        raise ValueError(f'its {what} is missing')
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'its {what} cannot be read as JSON') from error


def check_box(value: Any) -> tuple[int, int, int, int] | None:
    """A face's box from JSON, or None. Raises ValueError where it is not four whole numbers."""
    if value is None:
        return None
    corners = check_json(value, 'box')
    if not isinstance(corners, list) or [type(number) for number in corners] != [int] * 4:
        raise ValueError('its box is not four whole numbers')
    if max(map(abs, corners)) >= 1 << 31:
        raise ValueError('its box lies outside any photo')
    return tuple(corners)


def check_tags(value: Any) -> dict[str, str]:
    """Tags from JSON. Raises ValueError where they are not strings by name."""
    by_name = check_json(value, 'tags')
    if not isinstance(by_name, dict) or not all(isinstance(tag, str) for tag in by_name.values()):
        raise ValueError('its tags are not text by name')
    return dict(sorted(by_name.items()))


def check_picture(value: Any) -> bytes | None:
    """A face's JPEG, or None. Raises ValueError where it is neither."""
    if value is not None and not (isinstance(value, bytes) and value.startswith(b'\xff\xd8')):
        raise ValueError('its picture is not a JPEG')
    return value


def check_vector(value: Any, what: str, width: int | None = None) -> np.ndarray:
    """A vector of float32 from its bytes.

    Args:
      value: the bytes.
      what: what the vector is, for messages.
      width: how many numbers it must have; None: any that an embedding may have.

    Raises:
      ValueError: it is something else, or of another width.
    """
    if not isinstance(value, bytes) or not value or len(value) % 4:
        raise ValueError(f'its {what} is not a list of 32-bit numbers')
    if len(value) > 4 * MAX_WIDTH:
        raise ValueError(f'its {what} has {len(value) // 4:,} numbers, more than {MAX_WIDTH:,}')
    if width is not None and len(value) != 4 * width:
        raise ValueError(f'its {what} has {len(value) // 4} numbers, and the first entry {width}')
    return np.frombuffer(value, np.float32)


def are_sound(people: Sequence[Any], features: Sequence[Any], width: int) -> bool:
    """Whether `check_text` and `check_vector` would take all of some rows."""
    names = [name for name in people if name is not None]
    return (
        set(map(type, names)) <= {str}
        and max(map(len, names), default=0) <= MAX_TEXT
        and set(map(type, features)) == {bytes}
        and set(map(len, features)) == {4 * width}
    )


def check_embedding(value: Any, width: int | None) -> np.ndarray:
    """A raw embedding, as of `check_vector`. Raises ValueError also where it is not finite."""
    embedding_D = check_vector(value, 'embedding', width)
    if not np.isfinite(embedding_D).all():
        raise ValueError('its embedding holds numbers that are not finite')
    return embedding_D


def rows_not_unit_length(f_GxF: np.ndarray) -> np.ndarray:
    """Rows of the features that do not have length 1, or are not finite."""
    length_G = np.sqrt(np.einsum('gf,gf->g', f_GxF, f_GxF))
    return np.flatnonzero(~(np.abs(length_G - 1.0) <= _UNIT_ERROR))
