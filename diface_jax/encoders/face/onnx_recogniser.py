"""The face encoder `onnx:FILE`: a recogniser of the ArcFace family in an ONNX file.

It takes faces aligned by ArcFace's template at 112x112: networks of InsightFace, AuraFace,
MobileFaceNet, AdaFace, EdgeFace and others trained as they are. Such a file does not tell the order
of its channels, and not always how pixels are normalised: `encoders.onnx` does.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from diface_jax.encoders import weights
from diface_jax.encoders.face import align
from diface_jax.encoders.face.onnx_network import OnnxNetwork, normalises_pixels, refuse
from diface_jax.encoders.face.photo import optional_module
from diface_jax.encoders.licence import UNKNOWN
from diface_jax.runtime.settings import ONNX, OnnxSettings

# Of InsightFace's networks that do not normalise pixels themselves.
_USUAL = (127.5, 127.5, 127.5)


class ImageFormat(NamedTuple):
    """The images that a network takes.

    Attributes:
      side: in pixels.
      channels: their order, 'rgb' or 'bgr'.
      mean: of red, green and blue, subtracted from pixels of 0 to 255.
      scale: of red, green and blue, by which the difference is divided.
    """

    side: int
    channels: str
    mean: Sequence[float]
    scale: Sequence[float]

    def images(self, faces_NxHxWx3: np.ndarray) -> np.ndarray:
        """Images of uint8 RGB faces, images_NxSxSx3, float32."""
        if faces_NxHxWx3.shape[1] != self.side:
            image_module = optional_module('PIL.Image')
            size = (self.side, self.side)
            resized = [
                np.asarray(image_module.fromarray(face).resize(size)) for face in faces_NxHxWx3
            ]
            faces_NxHxWx3 = np.array(resized, np.uint8).reshape(-1, *size, 3)
        images_NxHxWx3 = (faces_NxHxWx3 - np.float32(self.mean)) / np.float32(self.scale)
        return images_NxHxWx3 if self.channels == 'rgb' else images_NxHxWx3[..., ::-1]


@dataclasses.dataclass(frozen=True, eq=False)
class OnnxRecogniser:
    """A recogniser; see `FaceEncoderPart` for the other attributes.

    Attributes:
      name: 'onnx:' and the file's name.
      path: the file, which is read when the first face is embedded.
      image_format: of the images that it takes.
    """

    name: str
    path: pathlib.Path
    width: int
    sha256: str
    licence: str
    image_format: ImageFormat

    template = (align.ARCFACE,)

    @classmethod
    def read(cls, path: pathlib.Path, settings: OnnxSettings) -> Self:
        """The recogniser in a file.

        Raises:
          FileNotFoundError: there is no such file.
          ImportError: the extra [onnx] is not installed.
          ValueError: it is no ONNX file, or not of a face encoder; names the file and the reason.
        """
        network, normalised = OnnxNetwork(path), normalises_pixels(path)
        return cls(
            name=f'{ONNX}{path.name}',
            path=path,
            width=network.width,
            sha256=weights.sha256_of_file(path),
            licence=network.licence or UNKNOWN,
            image_format=_image_format(path, network.side, normalised, settings),
        )

    @classmethod
    def of_description(
        cls, description: Mapping[str, Any], folders: Sequence[pathlib.Path]
    ) -> Self:
        """The recogniser of a data card or a checkpoint.

        Args:
          description: its entry there.
          folders: where its file may lie; it is looked for when the first face is embedded.
        """
        name = description['name']
        places = [folder / name.removeprefix(ONNX) for folder in folders]
        return cls(
            name=name,
            path=next((path for path in places if path.is_file()), places[0]),
            width=description['width'],
            sha256=description['sha256'],
            licence=UNKNOWN,
            image_format=ImageFormat(**description['images']),
        )

    @property
    def details(self) -> dict[str, Any]:
        """The format of the images, on which embeddings depend."""
        return {'images': self.image_format._asdict()}

    def embed(self, chips_NxSxHxWx3: np.ndarray) -> np.ndarray:
        """The embeddings x_NxK as the network gives them, float32.

        Raises:
          FileNotFoundError: the file is not there any more; says where to put it.
          ValueError: it is another file than the one the model was trained with.
        """
        return self._network.run(self.image_format.images(align.arcface_images(chips_NxSxHxWx3)))

    @functools.cached_property
    def _network(self) -> OnnxNetwork:
        if not self.path.is_file():
            raise FileNotFoundError(
                f'the face encoder {self.path.name} of this model (SHA-256 {self.sha256}) is not '
                f'in {self.path.parent}: copy it there'
            )
        weights.check_sha256(self.path, self.sha256)
        return OnnxNetwork(self.path)


def _image_format(
    path: pathlib.Path, side: int | None, normalised: bool, settings: OnnxSettings
) -> ImageFormat:
    """What the settings say, and the graph where they say nothing."""
    if side and settings.side not in (0, side):
        refuse(path, f'it takes images of {side} pixels, not of encoders.onnx.side={settings.side}')
    side = side or settings.side or align.ARCFACE_SIDE
    if any(settings.scale):
        return ImageFormat(side, settings.channels, settings.mean, settings.scale)
    if normalised:
        return ImageFormat(side, settings.channels, (0.0,) * 3, (1.0,) * 3)
    return ImageFormat(side, settings.channels, _USUAL, _USUAL)
