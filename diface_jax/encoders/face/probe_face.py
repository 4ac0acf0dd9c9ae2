"""Finds the face of a probe photograph, also where it is small or blurred.

A gallery leaves out faces of a few pixels: they would be many, and most of them useless. A probe is
one photograph, often a poor one: where no face is found, smaller ones are looked for, for which the
detector enlarges the photo.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from diface_jax.encoders.face import align, quality

_SMALLEST = 10  # pixels of the smallest box; the face in it is 7 pixels wide
_MOST_WORK = 6e6  # pixels of the largest image that the detector slides over: some seconds
_WINDOW = 12  # pixels of a face in it


class ProbeFace(NamedTuple):
    """The largest face of a photo.

    Attributes:
      box: left, top, right, bottom in pixels of the photo (see `align.DetectedFace`).
      chips: chips_3x150x150x3, as `align.face_chips` cuts them.
      face_px: its width in pixels of the photo (see `align.face_width`).
      detail_px: width of a sharp face that shows as much; less than `face_px` of a blurred one.
      faces: how many faces the photo shows.
      second_share: width of the second largest as a share of its own; 0 where there is none.
    """

    box: tuple[int, int, int, int]
    chips: np.ndarray
    face_px: float
    detail_px: float
    faces: int
    second_share: float


def find_probe_face(image_HxWx3: np.ndarray) -> ProbeFace:
    """The largest face of a photo; smaller ones are searched for only where there is none.

    Raises:
      ValueError: no face is found; says what to do.
    """
    height, width = image_HxWx3.shape[:2]
    for smallest in _searched_sizes(width, height):
        if faces := align.detect(image_HxWx3, smallest=smallest):
            return _largest(image_HxWx3, faces)
    raise ValueError(
        f'no face of {smallest} pixels or more: cut out the face, with half its width around it, '
        'or give a sharper photo'
    )


def _searched_sizes(width: int, height: int) -> Iterator[int]:
    """Sides of the smallest face to search for, one search after the other."""
    smallest = align.smallest_face(width, height)
    yield smallest
    while smallest > _SMALLEST:
        smallest = max(_SMALLEST, smallest // 2)
        if width * height * (_WINDOW / smallest) ** 2 > _MOST_WORK:
            return
        yield smallest


def _largest(image_HxWx3: np.ndarray, faces: list[align.DetectedFace]) -> ProbeFace:
    """The first of faces that are sorted by their size."""
    widths = [align.face_width(face.landmarks_5x2) for face in faces]
    chips = align.face_chips(image_HxWx3, faces[0].landmarks_5x2, faces[0].points_5x2)
    return ProbeFace(
        box=faces[0].box,
        chips=chips,
        face_px=widths[0],
        detail_px=min(widths[0], quality.sharp_width(chips)),
        faces=len(faces),
        second_share=widths[1] / widths[0] if len(faces) > 1 else 0.0,
    )
