"""What a photo looks like, beside who it shows: a second embedding from E's own network.

A recogniser learns to ignore hair, glasses and expression, which is what people describe. Its early
layers have not forgotten them yet (measured on CelebA: a linear read-out of 40 attributes has a
mean AUC of 0.84 from dlib's embedding, 0.90 from these maps of one chip and 0.91 from those of
both). So the maps on the way, of the chip E was trained on and of a wide one, are brought down to
their principal components over training photos. No label and no sentence takes part.
"""

from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA

NAME = 'principal components of the maps of dlib_face_recognition_resnet_model_v1'

# More training photos hardly move the components, and cost 35 KB each while they are found.
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


def fit_appearance(maps_NxP: np.ndarray, blocks: tuple[int, ...], width: int) -> Appearance:
    """Principal components of training photos' maps, each (a depth of a chip) weighing the same.

    Args:
      maps_NxP: maps of N training photos.
      blocks: the widths of the maps, which add up to P.
      width: K.

    Raises:
      ValueError: there are fewer photos than components.
    """
    if len(maps_NxP) < width:
        raise ValueError(
            f'encoders.appearance_dim={width} components need as many training photos with a '
            f'face, and '
            f'there are {len(maps_NxP)}: lower it, or leave the appearance out with 0'
        )
    maps_NxP = maps_NxP.astype(np.float32)
    mean_P = maps_NxP.mean(axis=0)
    root_P = np.sqrt(np.repeat(blocks, blocks)).astype(np.float32)
    scale_P = (maps_NxP.std(axis=0) + 1e-3) * root_P
    # In place: this is the largest array of the whole job.
    maps_NxP -= mean_P
    maps_NxP /= scale_P
    pca = PCA(width, svd_solver='randomized', random_state=0).fit(maps_NxP)
    components_PxK = pca.components_.T / scale_P[:, None]
    return Appearance(mean_P, np.ascontiguousarray(components_PxK, np.float32))
