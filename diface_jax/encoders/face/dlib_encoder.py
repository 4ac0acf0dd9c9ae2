"""The face encoder `dlib`: the embedding of dlib's recognition network, of the tight chip."""

import dataclasses
import functools
from types import MappingProxyType

import numpy as np

from diface_jax.encoders.face import align, dlib_resnet


class DlibPass:
    """Runs dlib's network once for the encoders that read it, the embedding and the feature maps.

    Args:
      with_maps: whether feature maps are read; without them only the tight chip is embedded.
    """

    def __init__(self, with_maps: bool) -> None:
        self._with_maps = with_maps
        self._last: tuple[np.ndarray | None, list[tuple[np.ndarray, np.ndarray]]] = (None, [])

    @functools.cached_property
    def _network(self) -> dlib_resnet.DlibResNet:
        return dlib_resnet.load_dlib_resnet()

    def embed(self, chips_NxSxHxWx3: np.ndarray) -> np.ndarray:
        """Embeddings of the tight chips, x_NxD."""
        if not self._with_maps:
            return dlib_resnet.embed_chips(self._network, chips_NxSxHxWx3[:, align.TIGHT])
        parts = [x_BxD for x_BxD, _ in self.batches_with_maps(chips_NxSxHxWx3)]
        return np.concatenate([np.zeros((0, dlib_resnet.WIDTH), np.float32), *parts])

    def batches_with_maps(self, chips_NxSxHxWx3: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Embeddings and feature maps of the tight and the wide chips, as `embed_with_maps`.

        Those of the last chips are kept, because one encoder asks for them after the other.
        """
        last, batches = self._last
        if last is not chips_NxSxHxWx3:
            chips_Nx2xHxWx3 = chips_NxSxHxWx3[:, [align.TIGHT, align.WIDE]]
            batches = list(dlib_resnet.embed_with_maps(self._network, chips_Nx2xHxWx3))
            self._last = chips_NxSxHxWx3, batches
        return batches

    def block_widths(self) -> tuple[int, ...]:
        """Widths of the maps that `maps` puts side by side."""
        return dlib_resnet.block_widths(self._network, len(align.PADDINGS))

    def maps(self, chips_NxSxHxWx3: np.ndarray) -> np.ndarray:
        """Feature maps that `appearance` reads: maps_NxP, float32, of at least one photo."""
        return np.concatenate([maps_BxP for _, maps_BxP in self.batches_with_maps(chips_NxSxHxWx3)])


@dataclasses.dataclass(frozen=True, eq=False)
class DlibEncoder:
    """dlib's embedding; see `FaceEncoderPart` for the attributes."""

    network: DlibPass

    name = dlib_resnet.NAME
    width = dlib_resnet.WIDTH
    sha256 = dlib_resnet.SHA256
    licence = dlib_resnet.LICENCE
    details = MappingProxyType({})
    template = (align.TIGHT,)

    def embed(self, chips_NxSxHxWx3: np.ndarray) -> np.ndarray:
        """x_NxD, float32."""
        return self.network.embed(chips_NxSxHxWx3)
