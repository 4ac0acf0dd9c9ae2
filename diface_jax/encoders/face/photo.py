"""Decodes photographs: their upright pixels, and when they were taken."""

import datetime
import io
import struct
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from diface_jax.runtime.extras import import_extra

MAX_PIXELS = 80_000_000
_FORMATS = ('JPEG', 'PNG', 'WEBP', 'AVIF', 'TIFF', 'BMP', 'GIF')
# Tags of EXIF.
_ORIENTATION, _CAMERA_TAGS, _TAKEN = 0x0112, 0x8769, 0x9003
# The transposition that undoes each value of the orientation.
_UPRIGHT = {
    2: 'FLIP_LEFT_RIGHT',
    3: 'ROTATE_180',
    4: 'FLIP_TOP_BOTTOM',
    5: 'TRANSPOSE',
    6: 'ROTATE_270',
    7: 'TRANSVERSE',
    8: 'ROTATE_90',
}
# The errors that Pillow raised on 600,000 files with corrupted bytes.
_UNDECODABLE = (OSError, SyntaxError, ValueError, RuntimeError)
# What a missing or a damaged date raises, such as '0000:00:00 00:00:00'.
_DAMAGED_TAGS = (*_UNDECODABLE, TypeError, KeyError, AttributeError, struct.error)


class DecodedPhoto(NamedTuple):
    """A decoded photo."""

    image_HxWx3: np.ndarray
    """RGB, uint8, upright."""
    taken: str | None
    """Local time of the camera, such as '2019-07-14T12:30:05'; None where the file does not say."""


def read_photo_content(data: bytes) -> DecodedPhoto:
    """Decodes a photo, rotated upright by its EXIF tag.

    Grey, CMYK and palette images are converted, transparent ones are put on white, and an animation
    gives its first frame.

    Raises:
      ValueError: the photo is empty, truncated, not an image, or above `MAX_PIXELS`.
    """
    if not data:
        raise ValueError('an empty file')
    image_module = optional_module('PIL.Image')
    try:
        with image_module.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise image_module.DecompressionBombError(f'{image.width}x{image.height} pixels')
            taken = date_taken(image)
            return DecodedPhoto(np.asarray(_to_rgb(_upright(image))), taken)
    except image_module.DecompressionBombError as error:
        raise ValueError(f'too large: {error}') from error
    except image_module.UnidentifiedImageError as error:
        raise ValueError(f'not an image of {", ".join(_FORMATS)}') from error
    except _UNDECODABLE as error:
        raise ValueError(f'cannot be decoded: {error}') from error


def decode(data: bytes) -> np.ndarray:
    """The pixels of a photo alone, image_HxWx3; see `read_photo_content`."""
    return read_photo_content(data).image_HxWx3


def date_taken(image: Any) -> str | None:
    """When an opened photo was taken, as in `DecodedPhoto`, by its EXIF tag DateTimeOriginal."""
    try:
        text = image.getexif().get_ifd(_CAMERA_TAGS).get(_TAKEN)
        return datetime.datetime.strptime(text, '%Y:%m:%d %H:%M:%S').isoformat()
    except _DAMAGED_TAGS:
        return None


def _upright(image: Any) -> Any:
    # `ImageOps.exif_transpose` rewrites the other EXIF tags, and fails where they are damaged.
    transposition = _UPRIGHT.get(image.getexif().get(_ORIENTATION))
    return (
        image.transpose(optional_module('PIL.Image').Transpose[transposition])
        if transposition
        else image
    )


def _to_rgb(image: Any) -> Any:
    image_module = optional_module('PIL.Image')
    if image.has_transparency_data:
        white = image_module.new('RGBA', image.size, 'white')
        image = image_module.alpha_composite(white, image.convert('RGBA'))
    elif image.mode.startswith('I'):  # 16 bits per pixel, which Pillow would clip at 255
        image = image_module.fromarray((np.asarray(image) // 256).clip(0, 255).astype(np.uint8))
    return image.convert('RGB')


def optional_module(name: str) -> ModuleType:
    """A module of the extra [faces]; ImportError, which says what to install, without it."""
    return import_extra(name, 'faces', 'photographs')
