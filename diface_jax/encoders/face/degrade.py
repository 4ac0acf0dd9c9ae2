"""Poor photographs, made from the chips of good ones: small, blurred, dark, noisy, compressed.

All chips of a face show one photo. So the wide chip is shrunk to the photo that a distant camera
would have taken, this small photo is spoiled, and all chips are cut from it again, enlarged.
"""

import hashlib
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from diface_jax.encoders.face import align
from diface_jax.encoders.face.full_width import FULL_WIDTH
from diface_jax.encoders.face.photo import optional_module

# Raise it when degraded chips change, so that results from older ones are not reused.
VERSION = 1

# Widths of the face in pixels, from one side of dlib's box to the other, of the 12 levels that
# training photos are degraded to. The first level leaves the chips as they are: wider faces count
# as equally good.
TRAINING_WIDTHS = (FULL_WIDTH, 48.0, 32.0, 24.0, 20.0, 16.0, 14.0, 12.0, 10.0, 9.0, 8.0, 7.0)
# Validation and test photos are degraded to these.
EVALUATION_WIDTHS = (FULL_WIDTH, 24.0, 16.0, 12.0, 9.0, 7.0)

# What a training photo suffers besides, drawn uniformly from (low, high).
_BLUR = (-0.6, 0.8)  # standard deviation in pixels of the small photo; negative: none
_NOISE = (0.0, 8.0)  # standard deviation, of 255
_JPEG = (40, 95)  # Pillow's quality
_LIGHT = (0.4, 1.1)  # factor of the brightness

# The square of the chip `align.ARCFACE`, upright, as dlib's landmarks place it: its width, and how
# far its centre is moved right and down from that of the other chips; in widths of the face.
_ARCFACE_WIDTH, _ARCFACE_MOVED_2 = 2.286, np.array((-0.015, -0.249))

_MARGIN = 30  # pixels by which the wide chip is extended, so that any width divides it


class Degradation(NamedTuple):
    """What a photo suffers, in the order in which it happens."""

    face_px: float
    """Width of the face in the photo, in pixels; `FULL_WIDTH` or more: nothing is changed."""
    blur: float = 0.0
    """Standard deviation, in pixels of the photo."""
    light: float = 1.0
    """Factor of the brightness."""
    noise: float = 4.0
    """Standard deviation of Gaussian noise, of 255."""
    jpeg: int = 75
    """Pillow's quality, 1 to 95."""


def training_degradations(count: int, seed: int, photo: str) -> list[Degradation]:
    """Degradations of a training photo, each of another range of `TRAINING_WIDTHS`.

    Over many photos each width is drawn equally often.

    Args:
      count: of degradations, at most 12.
      seed: of the draw.
      photo: hash of the photo's content.
    """
    rng = _rng(str(seed), photo)
    start = rng.random()
    levels = [int((place + start) * len(TRAINING_WIDTHS) / count) for place in range(count)]
    return [_drawn(TRAINING_WIDTHS[level], rng) for level in levels]


def _drawn(face_px: float, rng: np.random.Generator) -> Degradation:
    blur, light, noise = (rng.uniform(*limits) for limits in (_BLUR, _LIGHT, _NOISE))
    return Degradation(face_px, max(0.0, blur), light, noise, int(rng.integers(*_JPEG)))


def evaluation_degradations() -> list[Degradation]:
    """Those of `EVALUATION_WIDTHS`: noise of 4 of 255 and JPEG quality 75, no blur."""
    return [Degradation(face_px) for face_px in EVALUATION_WIDTHS]


def degrade(chips_SxHxWx3: np.ndarray, how: Degradation, photo: str) -> np.ndarray:
    """The chips that `align` would have cut from a poorer photo, chips_SxHxWx3.

    Args:
      chips_SxHxWx3: those of the photo, uint8, as `align.face_chips` cuts them.
      how: what the photo suffers.
      photo: hash of the photo's content, the seed of the noise.
    """
    if how.face_px >= FULL_WIDTH:
        return chips_SxHxWx3
    side = 1 + 2 * max(align.PADDINGS)
    small = _shrunk(chips_SxHxWx3[align.WIDE], align.CHIP_SIZE / side / how.face_px)
    small = _spoiled(small, how, _rng(photo, *map(str, how)))
    chips = [_chip(small, how.face_px * (1 + 2 * padding)) for padding in align.PADDINGS]
    arcface = _chip(small, how.face_px * _ARCFACE_WIDTH, how.face_px * _ARCFACE_MOVED_2)
    return np.stack([*chips, arcface])


def _shrunk(chip_HxWx3: np.ndarray, scale: float) -> np.ndarray:
    """The photo with pixels that are `scale` times as large, a little larger than the chip."""
    image_module = optional_module('PIL.Image')
    extended = np.pad(chip_HxWx3, [(_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)], mode='edge')
    pixels = int(np.ceil(len(chip_HxWx3) / scale / 2) * 2)
    start = (len(extended) - pixels * scale) / 2
    box = (start, start, len(extended) - start, len(extended) - start)
    shrunk = image_module.fromarray(extended).resize(
        (pixels, pixels), image_module.Resampling.BOX, box=box
    )
    return np.asarray(shrunk)


def _spoiled(image_HxWx3: np.ndarray, how: Degradation, rng: np.random.Generator) -> np.ndarray:
    image_module = optional_module('PIL.Image')
    image = image_module.fromarray(image_HxWx3)
    if how.blur:
        blur = optional_module('PIL.ImageFilter').GaussianBlur(how.blur)
        image = image.filter(blur)
    noise_HxWx3 = rng.normal(0, how.noise, image_HxWx3.shape)
    pixels_HxWx3 = (np.asarray(image) * how.light + noise_HxWx3).round().clip(0, 255)
    stored = io.BytesIO()
    image_module.fromarray(pixels_HxWx3.astype(np.uint8)).save(stored, 'JPEG', quality=how.jpeg)
    return np.asarray(image_module.open(stored))


def _chip(image_HxWx3: np.ndarray, width: float, moved_2: Sequence[float] = (0, 0)) -> np.ndarray:
    """The square of this width around the centre, or moved (right, down), enlarged as dlib does.

    That is bilinearly. Pixels outside the image are black.
    """
    image_module = optional_module('PIL.Image')
    step, start = width / align.CHIP_SIZE, (len(image_HxWx3) - width) / 2
    x, y = start + moved_2[0], start + moved_2[1]
    chip = image_module.fromarray(image_HxWx3).transform(
        (align.CHIP_SIZE, align.CHIP_SIZE),
        image_module.Transform.AFFINE,
        (step, 0, x, 0, step, y),
        image_module.Resampling.BILINEAR,
    )
    return np.asarray(chip)


def _rng(*parts: str) -> np.random.Generator:
    digest = hashlib.blake2b('/'.join(parts).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, 'big'))
