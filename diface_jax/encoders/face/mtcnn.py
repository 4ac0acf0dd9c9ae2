"""Detects faces with MTCNN, a cascade of three small networks.

Zhang, Zhang, Li and Qiao, "Joint face detection and alignment using multitask cascaded
convolutional networks" (2016): the first network slides over a pyramid of the photo and proposes
boxes, the second and the third refine and reject them; the third also finds five landmarks. The
weights (MIT) come with the package mtcnn, whose own code needs TensorFlow and is not used.
"""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diface_jax.encoders import weights
from diface_jax.encoders.face.photo import optional_module
from diface_jax.encoders.face.pooling_windows import pooling_windows
from diface_jax.encoders.face.wide_convolution import convolve_few_channels

NAME = 'mtcnn'
SHA256 = {
    'pnet': 'ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5',
    'rnet': 'cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee',
    'onet': '94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3',
}

_WINDOW = 12  # pixels of the faces that the first network finds
_STRIDE = 2  # of its windows
_STEP = 0.709  # from a level of the pyramid to the next
_SIDES = 24, 48  # of the patches that the second and the third network see
# Patches of a batch of the second and the third network: of photos with few candidates, of others.
_BATCHES = (16, 32), (2, 8)
# A page holds levels of a pyramid, so that photos of every size need three compilations. All levels
# of the photos of CelebA and LFW fit on the smallest one.
_PAGES = (120, 208), (160, 224), (256, 384)
_GROUP = 5  # neighbouring outputs of the first network's first convolution; 2 differ in rounding
_GREY = 128  # outside the photo
_DARK, _BRIGHT = 150, 230  # brightest pixels of a photo that is made brighter, and then

# Least probability of a face after each network.
_PROPOSED, _REFINED = 0.6, 0.7
# Boxes that overlap by more are one face: within a level, between levels, after the second network.
_OVERLAPS = 0.5, 0.7, 0.7
_SAME_FACE = 0.6  # after the third; overlap as a share of the smaller box

Params = list[np.ndarray]


class Faces(NamedTuple):
    """Detected faces of a photo, best first, in pixels of the photo; edges of pixels are whole."""

    boxes_Nx4: np.ndarray
    """Left, top, right, bottom: from the forehead to the chin; may lie partly outside."""
    scores_N: np.ndarray
    """Probabilities of a face."""
    landmarks_Nx5x2: np.ndarray
    """(x, y) of the eye at the left of the image, the other eye, the nose, the mouth's corners."""


@dataclasses.dataclass(frozen=True)
class Mtcnn:
    """The three networks' parameters, in the order of the layers."""

    propose: Params
    refine: Params
    output: Params

    def detect(self, image_HxWx3: np.ndarray, smallest: float, threshold: float) -> Faces:
        """Finds the faces in a photo.

        Args:
          image_HxWx3: uint8 RGB.
          smallest: side of the smallest face to search for, in pixels.
          threshold: least probability of a face.
        """
        pyramid = Pyramid(image_HxWx3, smallest)
        boxes_Nx4 = _square(self._proposals(pyramid))
        boxes_Nx4 = _square(self._refined(pyramid, boxes_Nx4))
        return self._faces(pyramid, boxes_Nx4, threshold)

    def _proposals(self, pyramid: 'Pyramid') -> np.ndarray:
        boxes, scores = [np.zeros((0, 4))], [np.zeros(0)]
        for level, tiles in _outputs(self.propose, pyramid.levels()):
            level_boxes, level_scores = zip(*map(_windows, tiles), strict=True)
            boxes_Nx4, scores_N = np.concatenate(level_boxes), np.concatenate(level_scores)
            kept = non_maximum_suppression(boxes_Nx4, scores_N, _OVERLAPS[0])
            boxes.append(boxes_Nx4[kept] / level)
            scores.append(scores_N[kept])
        boxes_Nx4 = np.concatenate(boxes)
        return boxes_Nx4[non_maximum_suppression(boxes_Nx4, np.concatenate(scores), _OVERLAPS[1])]

    def _refined(self, pyramid: 'Pyramid', boxes_Nx4: np.ndarray) -> np.ndarray:
        patches = pyramid.patches(boxes_Nx4, _SIDES[0])
        offsets_Nx4, scores_N = _in_batches(_refine, self.refine, patches, _BATCHES[0])
        boxes_Nx4 = boxes_Nx4 + offsets_Nx4 * _sizes(boxes_Nx4)
        likely = np.flatnonzero(scores_N > _REFINED)
        kept = likely[non_maximum_suppression(boxes_Nx4[likely], scores_N[likely], _OVERLAPS[2])]
        return boxes_Nx4[kept]

    def _faces(self, pyramid: 'Pyramid', boxes_Nx4: np.ndarray, threshold: float) -> Faces:
        patches = pyramid.patches(boxes_Nx4, _SIDES[1])
        offsets_Nx4, places_Nx10, scores_N = _in_batches(_output, self.output, patches, _BATCHES[1])
        sizes_Nx4 = _sizes(boxes_Nx4)
        places_Nx5x2 = places_Nx10.reshape(-1, 2, 5).swapaxes(1, 2)
        landmarks_Nx5x2 = boxes_Nx4[:, None, :2] + places_Nx5x2 * sizes_Nx4[:, None, :2]
        boxes_Nx4 = boxes_Nx4 + offsets_Nx4 * sizes_Nx4
        likely = np.flatnonzero(scores_N > threshold)
        kept = non_maximum_suppression(
            boxes_Nx4[likely], scores_N[likely], _SAME_FACE, smaller=True
        )
        kept = likely[kept]
        return Faces(boxes_Nx4[kept], scores_N[kept], landmarks_Nx5x2[kept])


class Pyramid:
    """A photo at scales from 1 down, each a step smaller than the one before.

    Args:
      image_HxWx3: uint8 RGB.
      smallest: side of the smallest face to search for, in pixels.
    """

    def __init__(self, image_HxWx3: np.ndarray, smallest: float) -> None:
        image_module = optional_module('PIL.Image')
        self._bilinear = image_module.Resampling.BILINEAR
        self._affine = image_module.Transform.AFFINE
        self._new = image_module.new
        height, width = image_HxWx3.shape[:2]
        self._first = _WINDOW / smallest
        image, self._images = image_module.fromarray(_brightened(image_HxWx3)), []
        for scale in _scales(min(width, height), self._first):
            size = max(1, round(width * scale)), max(1, round(height * scale))
            if size != image.size:
                image = image.resize(size, self._bilinear)
            self._images.append((scale, image))

    def levels(self) -> list[tuple[float, np.ndarray]]:
        """Scales and images for the first network."""
        return [(s, np.asarray(image)) for s, image in self._images if s <= self._first * 1.001]

    def patches(self, boxes_Nx4: np.ndarray, side: int) -> np.ndarray:
        """Squares of the photo resized to patches_NxSxSx3, from the smallest level large enough."""
        # Side by side in one image: to convert each to an array takes longer than to cut it.
        strip = self._new('RGB', (side, side * len(boxes_Nx4)))
        for row, (left, top, right, _) in enumerate(boxes_Nx4.tolist()):
            least = side / (right - left)
            scale, image = min(
                ((s, i) for s, i in self._images if s >= least), default=self._images[0],
                key=lambda pair: pair[0],
            )  # fmt: skip
            step = (right - left) * scale / side
            matrix = (step, 0, left * scale, 0, step, top * scale)
            patch = image.transform(
                (side, side), self._affine, matrix, self._bilinear, fillcolor=(_GREY,) * 3
            )
            strip.paste(patch, (0, side * row))
        return np.asarray(strip).reshape(-1, side, side, 3)


def _brightened(image_HxWx3: np.ndarray) -> np.ndarray:
    """A dark photo with its brightest pixels at `_BRIGHT`; others as they are."""
    brightest = np.percentile(image_HxWx3[::4, ::4], 99)
    if brightest >= _DARK:
        return np.ascontiguousarray(image_HxWx3)
    table = np.arange(256) * (_BRIGHT / max(brightest, 1))
    return table.clip(0, 255).astype(np.uint8)[image_HxWx3]


def _scales(shorter: int, first: float) -> Iterator[float]:
    """The scales of the pyramid: `first` is among them, and they start with 1 or more."""
    scale = max(1.0, first)
    if first < 1:
        yield 1.0
        scale = first * _STEP ** -math.floor(math.log(1 / first) / -math.log(_STEP))
    while shorter * scale >= _WINDOW:
        yield scale
        scale *= _STEP


class _Tile(NamedTuple):
    """A part of a level: where it lies in the level, and what the first network makes of it."""

    left: int
    top: int
    offsets_HxWx4: np.ndarray
    scores_HxW: np.ndarray


def _outputs(
    params: Params, levels: Sequence[tuple[float, np.ndarray]]
) -> Iterator[tuple[float, list[_Tile]]]:
    """The first network's output on tiles of each level."""
    size, parts, pages = _layout([level for _, level in levels])
    tiles: dict[int, list[_Tile]] = {}
    for page in pages:
        image_HxWx3 = np.full((*size, 3), _GREY, np.uint8)
        for index, y, x in page:
            part = parts[index].image_HxWx3
            image_HxWx3[y : y + part.shape[0], x : x + part.shape[1]] = part
        offsets, scores = map(np.asarray, _propose(params, image_HxWx3[None]))
        for index, y, x in page:
            number, left, top, part = parts[index]
            rows, columns = (
                slice(start // _STRIDE, start // _STRIDE + (length - _WINDOW) // _STRIDE + 1)
                for start, length in zip((y, x), part.shape, strict=False)
            )
            tile = _Tile(left, top, offsets[0, rows, columns], scores[0, rows, columns])
            tiles.setdefault(number, []).append(tile)
    return ((levels[number][0], tiles[number]) for number in sorted(tiles))


class _Part(NamedTuple):
    """A part of a level that fits on a page: which level, and where it lies in it."""

    number: int
    left: int
    top: int
    image_HxWx3: np.ndarray


def _layout(
    levels: Sequence[np.ndarray],
) -> tuple[tuple[int, int], list[_Part], list[list[tuple[int, int, int]]]]:
    """The smallest page that holds all levels, or the largest one; their parts, and their pages."""
    for size in _PAGES:
        parts = [
            _Part(number, left, top, level[top:bottom, left:right])
            for number, level in enumerate(levels)
            for top, bottom in _spans(level.shape[0], size[0])
            for left, right in _spans(level.shape[1], size[1])
        ]
        pages = _pages(tuple(part.image_HxWx3.shape[:2] for part in parts), size)
        if len(pages) == 1:
            break
    return size, parts, pages


def _spans(length: int, limit: int) -> Iterator[tuple[int, int]]:
    """Start and end of tiles that cover a length, so that every window is inside one of them."""
    for start in range(0, max(1, length - _WINDOW + _STRIDE), limit - _WINDOW + _STRIDE):
        if length - start >= _WINDOW:
            yield start, min(length, start + limit)


@functools.lru_cache(maxsize=1024)
def _pages(
    shapes: tuple[tuple[int, int], ...], size: tuple[int, int]
) -> list[list[tuple[int, int, int]]]:
    """Places rectangles of (height, width) on pages of a size; lists of (index, y, x).

    The highest first, each as far up as there is room below those that are placed already.
    """
    pages: list[list[tuple[int, int, int]]] = []
    free_X = np.zeros(0, int)  # the first free row of every second column
    for index in sorted(range(len(shapes)), key=lambda i: -shapes[i][0]):
        # Windows start at even pixels.
        height, width = (-(-side // _STRIDE) * _STRIDE for side in shapes[index])
        columns = width // _STRIDE
        rooms_X = _highest(free_X, columns)
        if not len(rooms_X) or rooms_X.min() + height > size[0]:
            pages.append([])
            free_X = np.zeros(size[1] // _STRIDE, int)
            rooms_X = _highest(free_X, columns)
        x = int(rooms_X.argmin())
        pages[-1].append((index, int(rooms_X[x]), x * _STRIDE))
        free_X[x : x + columns] = rooms_X[x] + height
    return pages


def _highest(free_X: np.ndarray, columns: int) -> np.ndarray:
    """The first row that is free in all of so many neighbouring columns, from each on."""
    if columns > len(free_X):
        return free_X[:0]
    return np.lib.stride_tricks.sliding_window_view(free_X, columns).max(axis=1)


def _windows(tile: _Tile) -> tuple[np.ndarray, np.ndarray]:
    """Boxes in pixels of the level, and their scores."""
    rows_N, columns_N = np.nonzero(tile.scores_HxW > _PROPOSED)
    corners_Nx2 = np.stack([columns_N, rows_N], axis=1) * _STRIDE + (tile.left, tile.top)
    boxes_Nx4 = np.concatenate([corners_Nx2, corners_Nx2 + _WINDOW], axis=1)
    offsets_Nx4 = tile.offsets_HxWx4[rows_N, columns_N]
    return boxes_Nx4 + offsets_Nx4 * _WINDOW, tile.scores_HxW[rows_N, columns_N]


def _sizes(boxes_Nx4: np.ndarray) -> np.ndarray:
    """Width, height, width, height of boxes."""
    sizes_Nx2 = boxes_Nx4[:, 2:] - boxes_Nx4[:, :2]
    return np.concatenate([sizes_Nx2, sizes_Nx2], axis=1)


def _square(boxes_Nx4: np.ndarray) -> np.ndarray:
    """Squares with the centres and the longer sides of the boxes."""
    centres_Nx2 = (boxes_Nx4[:, :2] + boxes_Nx4[:, 2:]) / 2
    half_Nx1 = _sizes(boxes_Nx4).max(axis=1, keepdims=True, initial=1.0) / 2
    return np.concatenate([centres_Nx2 - half_Nx1, centres_Nx2 + half_Nx1], axis=1)


def non_maximum_suppression(
    boxes_Nx4: np.ndarray, scores_N: np.ndarray, most: float, smaller: bool = False
) -> np.ndarray:
    """Rows of the boxes that overlap with no better one, best first.

    Args:
      boxes_Nx4: left, top, right, bottom.
      scores_N: higher is better.
      most: the overlap that is allowed, as a share of the union.
      smaller: the overlap is a share of the smaller box instead.
    """
    order_N = np.argsort(-scores_N, kind='stable')
    left_N, top_N, right_N, bottom_N = np.ascontiguousarray(boxes_Nx4[order_N].T)
    area_N = (right_N - left_N) * (bottom_N - top_N)
    rest, kept = np.arange(len(order_N)), []
    while len(rest):
        best, rest = rest[0], rest[1:]
        kept.append(best)
        width_M = np.minimum(right_N[rest], right_N[best]) - np.maximum(left_N[rest], left_N[best])
        height_M = np.minimum(bottom_N[rest], bottom_N[best]) - np.maximum(top_N[rest], top_N[best])
        common_M = np.maximum(width_M, 0) * np.maximum(height_M, 0)
        whole_M = area_N[rest] + area_N[best] - common_M
        if smaller:
            whole_M = np.minimum(area_N[rest], area_N[best])
        rest = rest[common_M <= most * whole_M]
    return order_N[kept] if kept else order_N


def _in_batches(
    network: Any, params: Params, patches: np.ndarray, sizes: tuple[int, int]
) -> list[np.ndarray]:
    """The outputs of a network for any number of patches, by batches of one of two sizes."""
    outputs, size = [], sizes[len(patches) > sizes[0]]
    for start in range(0, max(1, len(patches)), size):
        batch = patches[start : start + size]
        padded = np.pad(batch, [(0, size - len(batch))] + [(0, 0)] * 3)
        outputs.append([np.asarray(output)[: len(batch)] for output in network(params, padded)])
    return [np.concatenate(parts) for parts in zip(*outputs, strict=True)]


@jax.jit
def _propose(params: Params, image_BxHxWx3: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Offsets [B, H, W, 4] and probabilities [B, H, W] of the windows of an image."""
    layers = iter(params)
    x = _conv(layers, _normalised(image_BxHxWx3), _GROUP)
    x = _conv(layers, _pool(x, 2, 'SAME'))
    x = _conv(layers, x)
    return _linear(layers, x), _probability(_linear(layers, x))


@jax.jit
def _refine(params: Params, patches_Bx24x24x3: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Offsets [B, 4] and probabilities [B] of patches."""
    layers = iter(params)
    x = _pool(_conv(layers, _normalised(patches_Bx24x24x3)), 3, 'SAME')
    x = _pool(_conv(layers, x), 3, 'VALID')
    x = _flat(_conv(layers, x))
    x = _prelu(layers, _linear(layers, x))
    return _linear(layers, x), _probability(_linear(layers, x))


@jax.jit
def _output(params: Params, patches_Bx48x48x3: jax.Array) -> tuple[jax.Array, ...]:
    """Offsets [B, 4], landmarks [B, 10] (first all x), probabilities [B] of patches."""
    layers = iter(params)
    x = _pool(_conv(layers, _normalised(patches_Bx48x48x3)), 3, 'SAME')
    x = _pool(_conv(layers, x), 3, 'VALID')
    x = _pool(_conv(layers, x), 2, 'SAME')
    x = _flat(_conv(layers, x))
    x = _prelu(layers, _linear(layers, x))
    return _linear(layers, x), _linear(layers, x), _probability(_linear(layers, x))


def _normalised(image_BxHxWx3: jax.Array) -> jax.Array:
    return (image_BxHxWx3.astype(jnp.float32) - 127.5) / 128


def _conv(layers: Iterator[np.ndarray], x_BxHxWxC: jax.Array, group: int = 1) -> jax.Array:
    """An unpadded convolution and its PReLU."""
    kernel_HWIO, bias_O = next(layers), next(layers)
    x_BxHxWxO = convolve_few_channels(x_BxHxWxC, kernel_HWIO, (1, 1), group)
    return _prelu(layers, x_BxHxWxO + bias_O)


def _prelu(layers: Iterator[np.ndarray], x: jax.Array) -> jax.Array:
    return jnp.where(x > 0, x, next(layers) * x)


def _pool(x_BxHxWxC: jax.Array, side: int, padding: str) -> jax.Array:
    window, strides = (1, side, side, 1), (1, 2, 2, 1)
    widths = lax.padtype_to_pads(x_BxHxWxC.shape, window, strides, padding)
    x_BxHxWxC = jnp.pad(x_BxHxWxC, widths, constant_values=-jnp.inf)
    return functools.reduce(jnp.maximum, pooling_windows(x_BxHxWxC, window[1:3], strides[1:3]))


def _flat(x_BxHxWxC: jax.Array) -> jax.Array:
    # The weights were made for columns before rows.
    return x_BxHxWxC.swapaxes(1, 2).reshape(len(x_BxHxWxC), -1)


def _linear(layers: Iterator[np.ndarray], x: jax.Array) -> jax.Array:
    kernel, bias = next(layers), next(layers)
    kernel = kernel.reshape(kernel.shape[-2:])  # of a convolution of one pixel
    return jnp.dot(x, kernel, precision=lax.Precision.HIGHEST) + bias


def _probability(logits: jax.Array) -> jax.Array:
    return jax.nn.softmax(logits)[..., 1]


@functools.cache
def load_mtcnn() -> Mtcnn:
    """Reads the weights of the package mtcnn.

    Raises:
      FileNotFoundError: the package or a file is missing; the message says what to install.
      ValueError: a file is not the one that is expected.
    """
    return Mtcnn(*(_read(name, sha256) for name, sha256 in SHA256.items()))


def _read(name: str, sha256: str) -> Params:
    path = weights.find_in_package('mtcnn', f'assets/weights/{name}.lz4')
    weights.check_sha256(path, sha256)  # first: what the file pickles is run
    return _unpickled(path)


def _unpickled(path: pathlib.Path) -> Params:
    return optional_module('joblib').load(path)
