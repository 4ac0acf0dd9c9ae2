"""A second embedding that holds the appearance of a face, from feature maps of E's own network.

A recogniser learns to ignore hair, glasses and expression, which are what people describe. Its
early layers still hold them: on CelebA, linear classifiers of 40 attributes have a mean AUC of 0.84
from dlib's embedding, 0.90 from the maps of one chip and 0.91 from the maps of both. The maps of
the standard chip and of a wide one are reduced to their principal components over training photos.
No label or sentence is used.
"""

import dataclasses
import functools
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from diface_jax.encoders import arrays
from diface_jax.encoders.face import align, dlib_resnet
from diface_jax.encoders.face.dlib_encoder import DlibPass

NAME = 'principal components of the maps of dlib_face_recognition_resnet_model_v1'

# More training photos hardly change the components, and each takes 35 KB of memory in the fit.
MAX_PHOTOS = 6000

# Of the power iterations: random vectors beside one for each component; iterations, where these are
# many of all and where few; the least squared length of a direction, as a share of the largest.
_OVERSAMPLED, _ITERATIONS, _LEAST = 10, (4, 7), 1e-12
_COLUMNS = 2048  # that are converted to float64 at a time


class Appearance(NamedTuple):
    """A centred linear map from maps (see `dlib_resnet.embed_with_maps`) to K components."""

    mean_P: np.ndarray
    components_PxK: np.ndarray

    def __call__(self, maps_NxP: np.ndarray) -> np.ndarray:
        """The components x_NxK, float32."""
        return (maps_NxP.astype(np.float32) - self.mean_P) @ self.components_PxK

    @property
    def width(self) -> int:
        """K."""
        return self.components_PxK.shape[1]


@dataclasses.dataclass(frozen=True, eq=False)
class AppearanceEncoder:
    """The face encoder `appearance`; see `FaceEncoderPart` for the other attributes.

    Attributes:
      network: gives the feature maps.
      fit: their linear map, fitted on training photos.
    """

    network: DlibPass
    fit: Appearance

    name = NAME
    licence = dlib_resnet.LICENCE
    details = MappingProxyType({})
    template = (align.TIGHT, align.WIDE)

    @property
    def width(self) -> int:
        """K."""
        return self.fit.width

    @functools.cached_property
    def sha256(self) -> str:
        """The hash of the fitted arrays."""
        return arrays.sha256_of_arrays(self.fit)

    def embed(self, chips_NxSxHxWx3: np.ndarray) -> np.ndarray:
        """The components x_NxK, float32."""
        if not len(chips_NxSxHxWx3):
            return np.zeros((0, self.width), np.float32)
        # All at once: a product reads the components, 18 MB, from memory.
        return self.fit(self.network.maps(chips_NxSxHxWx3))


def fit_appearance(maps_NxP: np.ndarray, blocks: tuple[int, ...], width: int) -> Appearance:
    """Fits principal components of the maps of training photos.

    A map is one depth of one chip. All maps have the same weight, whatever their widths.

    Args:
      maps_NxP: maps of N training photos.
      blocks: the widths of the maps, which add up to P (see `dlib_resnet.block_widths`).
      width: K, the number of components.

    Raises:
      ValueError: there are fewer photos than components.
    """
    if len(maps_NxP) < width:
        raise ValueError(
            f'encoders.appearance_dim={width} needs at least {width} training photos with a face, '
            f'and there are {len(maps_NxP)}: lower it, or leave the appearance out with 0'
        )
    maps_NxP = maps_NxP.astype(np.float32)
    mean_P = maps_NxP.mean(axis=0)
    root_P = np.sqrt(np.repeat(blocks, blocks)).astype(np.float32)
    scale_P = (maps_NxP.std(axis=0) + 1e-3) * root_P
    # In place, because this is the largest array of `prepare`.
    maps_NxP -= mean_P
    maps_NxP /= scale_P
    components_PxK = principal_components(maps_NxP, width)
    # Numbers that float16 holds, so that a model pack, which stores them so, has the same encoder.
    components_PxK = (components_PxK / scale_P[:, None]).astype(np.float16)
    return Appearance(mean_P, np.ascontiguousarray(components_PxK, np.float32))


def principal_components(centred_NxP: np.ndarray, width: int) -> np.ndarray:
    """The first principal components, [P, K]; the largest entry of each is positive.

    By power iterations from random vectors (Halko, Martinsson & Tropp, "Finding structure with
    randomness", 2011, algorithm 4.4), with the seed, the vectors and the number of iterations of
    scikit-learn's PCA. They differ by rounding: here all but the first and the last product are
    between photos, of which there are fewer than values in a map.

    Args:
      centred_NxP: float32, whose columns have a mean of 0.
      width: K.
    """
    photos = len(centred_NxP)
    is_small = width < 0.1 * min(centred_NxP.shape)
    gram_NxN = _gram(centred_NxP)
    y_NxR = np.random.RandomState(0).normal(size=(photos, width + _OVERSAMPLED))
    for _ in range(_ITERATIONS[is_small]):
        y_NxR, _ = np.linalg.qr(gram_NxN @ y_NxR)
    # Directions x = centred.T @ y @ z: of length 1 where z is whitened, and those of the largest
    # variance among them.
    gy_NxR = gram_NxN @ y_NxR
    length_R, turn_RxR = np.linalg.eigh(y_NxR.T @ gy_NxR)
    whiten_RxR = turn_RxR / np.sqrt(np.maximum(length_R, _LEAST * length_R[-1]))
    among_NxR = gy_NxR @ whiten_RxR
    _, turn_RxR = np.linalg.eigh(among_NxR.T @ among_NxR)
    z_RxK = whiten_RxR @ turn_RxR[:, ::-1][:, :width]
    components_PxK = centred_NxP.T @ (y_NxR @ z_RxK).astype(np.float32)
    largest_K = np.abs(components_PxK).argmax(axis=0)
    return components_PxK * np.sign(components_PxK[largest_K, np.arange(width)])


def _gram(maps_NxP: np.ndarray) -> np.ndarray:
    """Products of all pairs of rows, float64: [N, N]."""
    gram_NxN = np.zeros((len(maps_NxP), len(maps_NxP)))
    for start in range(0, maps_NxP.shape[1], _COLUMNS):
        part_NxC = maps_NxP[:, start : start + _COLUMNS].astype(np.float64)
        gram_NxN += part_NxC @ part_NxC.T
    return gram_NxN
