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
    from sklearn.decomposition import PCA  # slow to import, and only `prepare` needs it

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
    pca = PCA(width, svd_solver='randomized', random_state=0).fit(maps_NxP)
    # Numbers that float16 holds, so that a model pack, which stores them so, has the same encoder.
    components_PxK = (pca.components_.T / scale_P[:, None]).astype(np.float16)
    return Appearance(mean_P, np.ascontiguousarray(components_PxK, np.float32))
