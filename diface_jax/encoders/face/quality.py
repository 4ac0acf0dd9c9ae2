"""How good the photo of a face is, measured from its chip and from the width of the face."""

import numpy as np

from diface_jax.encoders.face import align, degrade

# Raise it when qualities change, so that stored ones are not reused.
VERSION = 1

# Names of the numbers of `photo_quality`, in order.
NAMES = ('width', 'detail 1', 'detail 2', 'detail 3', 'brightness', 'contrast')
# Their means and standard deviations over degraded photographs of CelebA, rounded.
_CENTRE = np.array([4.0, 1.2, 2.7, 4.7, 0.4, 0.12], np.float32)
_SCALE = np.array([0.8, 1.2, 1.6, 1.5, 0.15, 0.05], np.float32)
# log2 of the width of a sharp face from its details, the logarithm of its contrast, and 1: least
# squares over 120 photographs of CelebA and LFW at `degrade.EVALUATION_WIDTHS`, plus 1. With that
# octave, faces of 77 pixels blurred by 2, 4 and 6 pixels count as 22, 11 and 10 pixels wide, which
# is where their embeddings are as far from those of the sharp photographs; the noise of the
# degraded copies looks like detail otherwise.
_SHARP = np.array([0.20, 1.31, -0.99, -0.32, 3.81 + 1])
_BLACK = 1e-2  # energy, in grey levels squared, that no photo falls below


def photo_quality(chips_SxHxWx3: np.ndarray, face_px: float) -> np.ndarray:
    """The quality of a photo, quality_Q float32, a number for each of `NAMES`, of unit scale.

    These are the logarithm of the width of the face (widths from `degrade.FULL_WIDTH` on are
    equal), the logarithm of the energy of the Laplacian at three octaves, the mean and the standard
    deviation of the brightness.

    Args:
      chips_SxHxWx3: the chips that `align` cuts, uint8.
      face_px: width of the face in the photo, in pixels: of dlib's box, as in `DetectedFace`.
    """
    grey_HxW = _face(chips_SxHxWx3[0]).mean(axis=2, dtype=np.float32)
    octaves = [grey_HxW]
    for _ in range(2):
        octaves.append(_halved(octaves[-1]))
    numbers_Q = [
        np.log2(np.clip(face_px, 1, degrade.FULL_WIDTH)),
        *(np.log(_laplacian_energy(octave) + _BLACK) for octave in octaves),
        grey_HxW.mean() / 255,
        grey_HxW.std() / 255,
    ]
    return (np.array(numbers_Q, np.float32) - _CENTRE) / _SCALE


def sharp_width(chips_SxHxWx3: np.ndarray) -> float:
    """Width of a face in a sharp photo that shows as much detail, in pixels; of a blurred one.

    A sharp face gets a width above its own mostly, so that the smaller of the two tells how good a
    photo is.
    """
    numbers_Q = photo_quality(chips_SxHxWx3, degrade.FULL_WIDTH) * _SCALE + _CENTRE
    _, *details, _, contrast = numbers_Q.tolist()
    return float(2 ** (_SHARP @ [*details, np.log(max(contrast, _BLACK)), 1.0]))


def _face(chip_HxWx3: np.ndarray) -> np.ndarray:
    """The face alone, without the margin of the chip."""
    margin = round(align.PADDINGS[0] / (1 + 2 * align.PADDINGS[0]) * len(chip_HxWx3))
    return chip_HxWx3[margin:-margin, margin:-margin]


def _halved(grey_HxW: np.ndarray) -> np.ndarray:
    height, width = np.array(grey_HxW.shape) // 2
    return grey_HxW[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3))


def _laplacian_energy(grey_HxW: np.ndarray) -> np.ndarray:
    centre = grey_HxW[1:-1, 1:-1]
    around = grey_HxW[:-2, 1:-1] + grey_HxW[2:, 1:-1] + grey_HxW[1:-1, :-2] + grey_HxW[1:-1, 2:]
    return np.square(around - 4 * centre).mean()
