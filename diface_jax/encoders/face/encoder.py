"""E: frozen face encoders, whose embeddings of a photo are concatenated.

The first is dlib's face recognition ResNet; the second, which is optional, is `appearance`.
"""

import dataclasses
import functools
from typing import Any

import numpy as np

from diface_jax.encoders import arrays
from diface_jax.encoders.face import align, dlib_resnet
from diface_jax.encoders.face.appearance import NAME, Appearance


@dataclasses.dataclass(frozen=True, eq=False)
class FaceEncoder:
    """Embeds face chips; embeddings are raw: not centred, not normalised.

    Attributes:
      appearance: the second encoder, or None.
    """

    appearance: Appearance | None

    @property
    def description(self) -> list[dict[str, Any]]:
        """Name, hash and width of each encoder, for data cards and checkpoints."""
        chips = {'alignment': align.VERSION}
        dlib = {'name': dlib_resnet.NAME, 'sha256': dlib_resnet.SHA256, 'width': dlib_resnet.WIDTH}
        if not self.appearance:
            return [dlib | chips]
        appearance = {
            'name': NAME,
            'sha256': arrays.sha256_of_arrays(self.appearance),
            'width': self.appearance.width,
        }
        return [dlib | chips, appearance | chips]

    @property
    def width(self) -> int:
        """D, the width of an embedding."""
        return sum(encoder['width'] for encoder in self.description)

    @functools.cached_property
    def _network(self) -> dlib_resnet.DlibResNet:
        return dlib_resnet.load_dlib_resnet()

    def embed(self, chips_Nx2xHxWx3: np.ndarray) -> np.ndarray:
        """Embeds the chips that `align` cuts; embedding_NxD, float32, D the sum of the widths."""
        if not self.appearance:
            return dlib_resnet.embed_chips(self._network, chips_Nx2xHxWx3[:, 0])
        parts = [
            np.concatenate([x_BxD, self.appearance(maps_BxP)], axis=1)
            for x_BxD, maps_BxP in dlib_resnet.embed_with_maps(self._network, chips_Nx2xHxWx3)
        ]
        return np.concatenate([np.zeros((0, self.width), np.float32), *parts])

    def maps(self, chips_Nx2xHxWx3: np.ndarray) -> np.ndarray:
        """Feature maps that `appearance` is fitted on: maps_NxP, in float16 to save memory."""
        batches = dlib_resnet.embed_with_maps(self._network, chips_Nx2xHxWx3)
        return np.concatenate([maps_BxP.astype(np.float16) for _, maps_BxP in batches])


@dataclasses.dataclass(frozen=True, eq=False)
class SimulatedEncoder:
    """Takes the place of E where people are simulated; it cannot embed photographs.

    Attributes:
      description: name, hash and width of each part of an embedding.
      appearance: always None.
    """

    appearance = None
    description: list[dict[str, Any]]

    @property
    def width(self) -> int:
        """D, the width of an embedding."""
        return sum(encoder['width'] for encoder in self.description)

    def embed(self, chips_Nx2xHxWx3: np.ndarray) -> np.ndarray:
        """Raises ValueError: simulated people have no photographs."""
        raise ValueError(
            'this model was trained on simulated people and cannot embed photographs: train on '
            'photographs with configs/celeba.py (docs/data.md)'
        )
