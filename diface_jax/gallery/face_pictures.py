"""The pictures of a face that a gallery keeps: its upright chip, and a wide one that shows hair."""

import io
from typing import Any

import numpy as np

from diface_jax.gallery.entries import Box

# The side of a wide picture's square, as a multiple of the longer side of the face's box, and how
# far it is moved up, since boxes reach from the eyebrows to the chin.
_WIDTH_IN_BOXES, _UP = 2.4, 0.15
_WIDE_SIDE = 200  # pixels, at most
_QUALITY = 85  # of JPEG


def chip_picture(chip_HxWx3: np.ndarray) -> bytes:
    """A chip of a face as a JPEG."""
    # Imported here and below: searching and enrolling embeddings work without Pillow.
    from PIL import Image

    return _jpeg(Image.fromarray(chip_HxWx3))


def wide_picture(image_HxWx3: np.ndarray, box: Box) -> bytes:
    """A JPEG of a face with its hair and shoulders, cut from its upright photo.

    It is a square, or a part of it at the photo's edge, of at most 200 pixels a side.
    """
    from PIL import Image

    height, width = image_HxWx3.shape[:2]
    left, top, right, bottom = wide_box(box, width, height)
    cut = Image.fromarray(image_HxWx3[top:bottom, left:right])
    cut.thumbnail((_WIDE_SIDE, _WIDE_SIDE), reducing_gap=2)
    return _jpeg(cut)


def wide_box(box: Box, width: int, height: int) -> Box:
    """What a wide picture shows of a photo of this size; right and bottom are exclusive."""
    left, top, right, bottom = box
    longer = max(right - left, bottom - top) + 1
    side = _WIDTH_IN_BOXES * longer
    x, y = (left + right + 1 - side) / 2, (top + bottom + 1 - side) / 2 - _UP * longer
    (left, right), (top, bottom) = _inside(x, side, width), _inside(y, side, height)
    return left, top, right, bottom


def _inside(start: float, length: float, limit: int) -> tuple[int, int]:
    """A span moved into 0 to limit, and cut off where it is longer."""
    length = min(round(length), limit)
    start = min(max(round(start), 0), limit - length)
    return start, start + length


def _jpeg(image: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, 'JPEG', quality=_QUALITY)
    return data.getvalue()
