"""The photograph of a probe: reads it, and takes the face that it shows."""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from diface_jax.encoders.face.probe_face import ProbeFace
from diface_jax.gallery import enrollment, face_pictures
from diface_jax.gallery.photo_summary import PhotoSummary

MAX_BYTES = 50_000_000  # of a probe's photo
# Width of a second face, as a share of the largest one's, from which nobody can say which is meant.
_AS_LARGE = 0.75


class ProbePhoto(NamedTuple):
    """The face in a photograph of the person sought.

    Attributes:
      summary: which face of which photo it is.
      chips: chips_3x150x150x3, as `align.face_chips` cuts them.
      picture: a JPEG of the face with its hair, at most 200 pixels a side.
    """

    summary: PhotoSummary
    chips: np.ndarray
    picture: bytes


def read_probe_photo(
    photo: str | pathlib.Path | bytes, find: Callable[[np.ndarray], ProbeFace]
) -> ProbePhoto:
    """Reads a photo and takes its largest face.

    Args:
      photo: a file, or its bytes.
      find: finds the largest face in image_HxWx3; raises ValueError where there is none.

    Raises:
      OSError: the file cannot be read.
      ValueError: it is not a photo, is too large, shows no face, or two that are about as large;
        says what to do.
    """
    name = '' if isinstance(photo, bytes) else str(photo)
    try:
        image_HxWx3 = enrollment.decode_photo(_bytes_of(photo)).image_HxWx3
        face = find(image_HxWx3)
        if face.second_share >= _AS_LARGE:
            raise ValueError(
                f'{face.faces} faces, of which two are about as large: cut out the one that is '
                'meant'
            )
    except ValueError as error:
        raise ValueError(f'{name or "the photo"}: {error}') from error
    summary = PhotoSummary(name, face.box, face.face_px, face.detail_px, face.faces)
    return ProbePhoto(summary, face.chips, face_pictures.wide_picture(image_HxWx3, face.box))


def _bytes_of(photo: str | pathlib.Path | bytes) -> bytes:
    data = photo if isinstance(photo, bytes) else enrollment.read_photo(pathlib.Path(photo))
    if len(data) > MAX_BYTES:
        raise ValueError(f'{len(data):,} bytes, and a photo to search by has at most {MAX_BYTES:,}')
    return data
