"""E: a list of frozen encoders, whose embeddings of a photo stand side by side.

First who it is (dlib's ResNet), then, unless it is left out, what it looks like (`appearance`).
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
    """Chips to raw embeddings.

    Attributes:
      appearance: the second encoder, or None.
    """

    appearance: Appearance | None

    @property
    def about(self) -> list[dict[str, Any]]:
        """Name, hash and width of each encoder, for data cards and checkpoints."""
        chips = {'alignment': align.VERSION}
        dlib = {'name': dlib_resnet.NAME, 'sha256': dlib_resnet.SHA256, 'width': dlib_resnet.WIDTH}
        found = [dlib | chips]
        if self.appearance:
            looks = {
                'sha256': arrays.sha256_of_arrays(self.appearance),
                'width': self.appearance.width,
            }
            found.append({'name': NAME} | looks | chips)
        return found

    @property
    def width(self) -> int:
        """D, of an embedding."""
        return sum(one['width'] for one in self.about)

    @functools.cached_property
    def _network(self) -> dlib_resnet.DlibResNet:
        return dlib_resnet.load_dlib_resnet()

    def embed(self, chips_Nx2xHxWx3: np.ndarray) -> np.ndarray:
        """Embeds faces as `align` cuts them; embedding_NxD float32, D the sum of the widths."""
        if not self.appearance:
            return dlib_resnet.embed_chips(self._network, chips_Nx2xHxWx3[:, 0])
        parts = [
            np.concatenate([x_BxD, self.appearance(maps_BxP)], axis=1)
            for x_BxD, maps_BxP in dlib_resnet.embed_with_maps(self._network, chips_Nx2xHxWx3)
        ]
        return np.concatenate([np.zeros((0, self.width), np.float32), *parts])

    def maps(self, chips_Nx2xHxWx3: np.ndarray) -> np.ndarray:
        """What `appearance` is fitted on: maps_NxP, float16 to be kept by the thousand."""
        found = dlib_resnet.embed_with_maps(self._network, chips_Nx2xHxWx3)
        return np.concatenate([maps_BxP.astype(np.float16) for _, maps_BxP in found])


@dataclasses.dataclass(frozen=True, eq=False)
class SimulatedEncoder:
    """What stands for E where people are simulated: it names embeddings, and can make none.

    Attributes:
      about: name, hash and width of each part.
      appearance: None.
    """

    appearance = None
    about: list[dict[str, Any]]

    @property
    def width(self) -> int:
        """D, of an embedding."""
        return sum(one['width'] for one in self.about)

    def embed(self, chips_Nx2xHxWx3: np.ndarray) -> np.ndarray:
        """Raises ValueError: a photograph's embedding means nothing to simulated people."""
        raise ValueError(
            'this model was trained on simulated people, so it knows no photograph: train on '
            'photographs with configs/celeba.py (README.md, Data)'
        )
