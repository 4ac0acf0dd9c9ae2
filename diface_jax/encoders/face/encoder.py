"""E: frozen face encoders, whose embeddings of a photo are concatenated.

`encoders.face` lists them: `dlib`, `appearance` and `onnx:FILE`, a recogniser in an ONNX file. To
add another, see docs/extending.md.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np

from diface_jax.encoders.face import align
from diface_jax.encoders.face.appearance import Appearance, AppearanceEncoder
from diface_jax.encoders.face.dlib_encoder import DlibEncoder, DlibPass
from diface_jax.encoders.face.onnx_recogniser import OnnxRecogniser
from diface_jax.encoders.licence import WeightsLicence
from diface_jax.runtime.settings import APPEARANCE, DLIB, ONNX, EncodersSettings

# Names in data cards and checkpoints, and those in `encoders.face`.
_NAMES = {DlibEncoder.name: DLIB, AppearanceEncoder.name: APPEARANCE}


class FaceEncoderPart(Protocol):
    """A face encoder.

    Attributes:
      name: for data cards and checkpoints.
      width: K, the width of its embedding.
      sha256: of its weights, or of what was fitted.
      licence: of its weights: an SPDX identifier, or `licence.UNKNOWN`.
      template: which chips it reads, of `align.TIGHT`, `align.WIDE` and `align.ARCFACE`.
      details: what else its embeddings depend on, as JSON; empty for nothing.
    """

    name: str
    width: int
    sha256: str
    licence: str
    template: tuple[int, ...]
    details: Mapping[str, Any]

    def embed(self, chips_NxSxHxWx3: np.ndarray) -> np.ndarray:
        """The embeddings x_NxK of chips that `align` cuts, float32: not centred, not normalised."""


@dataclasses.dataclass(frozen=True, eq=False)
class FaceEncoder:
    """Embeds face chips; embeddings are raw: not centred, not normalised.

    Attributes:
      parts: the encoders, in the order of their columns.
    """

    parts: tuple[FaceEncoderPart, ...]

    @property
    def description(self) -> list[dict[str, Any]]:
        """Name, hash and width of each encoder, for data cards and checkpoints."""
        return [
            {
                'name': part.name,
                'sha256': part.sha256,
                'width': part.width,
                'alignment': align.VERSION,
                **part.details,
            }
            for part in self.parts
        ]

    @property
    def licences(self) -> list[WeightsLicence]:
        """The licence of the weights of each encoder."""
        return [WeightsLicence(part.name, part.sha256, part.licence) for part in self.parts]

    @property
    def folders(self) -> list[pathlib.Path]:
        """The folders of the ONNX files of its encoders."""
        parts = (part for part in self.parts if isinstance(part, OnnxRecogniser))
        return [part.path.resolve().parent for part in parts]

    @property
    def width(self) -> int:
        """D, the width of an embedding."""
        return sum(part.width for part in self.parts)

    @property
    def appearance(self) -> Appearance | None:
        """What was fitted on training photos, if `appearance` is one of the encoders."""
        fits = (part.fit for part in self.parts if isinstance(part, AppearanceEncoder))
        return next(fits, None)

    def with_appearance(self, appearance: Appearance) -> Self:
        """The same encoders, with another fit of `appearance`."""
        parts = (
            dataclasses.replace(part, fit=appearance)
            if isinstance(part, AppearanceEncoder)
            else part
            for part in self.parts
        )
        return dataclasses.replace(self, parts=tuple(parts))

    def embed(self, chips_NxSxHxWx3: np.ndarray) -> np.ndarray:
        """Embeds the chips that `align` cuts; embedding_NxD, float32, D the sum of the widths."""
        return np.concatenate([part.embed(chips_NxSxHxWx3) for part in self.parts], axis=1)

    def embed_maps(self, others_NxK: np.ndarray, maps_NxP: np.ndarray) -> np.ndarray:
        """`embed` of photos whose feature maps are known.

        Args:
          others_NxK: their embeddings by all encoders but `appearance`, side by side.
          maps_NxP: what `DlibPass.maps` returned.
        """
        columns, start = [], 0
        for part in self.parts:
            if isinstance(part, AppearanceEncoder):
                columns.append(part.fit(maps_NxP))
            else:
                columns.append(others_NxK[:, start : start + part.width])
                start += part.width
        return np.concatenate(columns, axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class SimulatedEncoder:
    """Takes the place of E where people are simulated; it cannot embed photographs.

    Attributes:
      description: name, hash and width of each part of an embedding.
      appearance: always None.
      licences: of weights; none.
      folders: of files; none.
    """

    appearance = None
    licences = folders = ()
    description: list[dict[str, Any]]

    @property
    def width(self) -> int:
        """D, the width of an embedding."""
        return sum(encoder['width'] for encoder in self.description)

    def embed(self, chips_NxSxHxWx3: np.ndarray) -> np.ndarray:
        """Raises ValueError: simulated people have no photographs."""
        raise ValueError(
            'this model was trained on simulated people and cannot embed photographs: train on '
            'photographs with configs/celeba.py (docs/data.md)'
        )


def encoder_names(encoders: EncodersSettings) -> tuple[str, ...]:
    """The face encoders of a config, without `appearance` where it has no components."""
    left_out = () if encoders.appearance_dim else (APPEARANCE,)
    return tuple(name for name in encoders.face if name not in left_out)


def folders_of_encoders(encoders: EncodersSettings) -> list[pathlib.Path]:
    """The folders of the ONNX files of a config."""
    files = [name.removeprefix(ONNX) for name in encoders.face if name.startswith(ONNX)]
    return [pathlib.Path(file).resolve().parent for file in files]


def read_recognisers(encoders: EncodersSettings) -> dict[str, OnnxRecogniser]:
    """The recognisers in ONNX files of a config, by their names in `encoders.face`.

    Raises:
      FileNotFoundError: a file does not exist.
      ImportError: the extra [onnx] is not installed.
      ValueError: a file holds no face encoder, or two files have one name.
    """
    recognisers = {
        name: OnnxRecogniser.read(pathlib.Path(name.removeprefix(ONNX)), encoders.onnx)
        for name in encoders.face
        if name.startswith(ONNX)
    }
    if len({recogniser.name for recogniser in recognisers.values()}) < len(recognisers):
        raise ValueError(f'encoders.face: two files have the same name: {", ".join(recognisers)}')
    return recognisers


def build_face_encoder(
    names: Sequence[str],
    appearance: Appearance | None = None,
    recognisers: Mapping[str, OnnxRecogniser] | None = None,
    dlib: DlibPass | None = None,
) -> FaceEncoder:
    """E of these parts.

    Args:
      names: as in `encoders.face`.
      appearance: fitted, where `appearance` is one of them.
      recognisers: by name, where ONNX files are among them.
      dlib: runs dlib's network; None: another one.
    """
    network = dlib or DlibPass(with_maps=APPEARANCE in names)
    parts: dict[str, FaceEncoderPart] = {DLIB: DlibEncoder(network), **(recognisers or {})}
    if appearance:
        parts[APPEARANCE] = AppearanceEncoder(network, appearance)
    return FaceEncoder(tuple(parts[name] for name in names))


def described_face_encoder(
    description: Sequence[Mapping[str, Any]],
    appearance: Appearance | None,
    folders: Sequence[pathlib.Path],
) -> FaceEncoder | SimulatedEncoder:
    """E of a data card or a checkpoint; what takes its place where the people are simulated.

    Args:
      description: name, hash and width of each of its parts.
      appearance: fitted, where `appearance` is one of its parts.
      folders: where ONNX files may lie; at least one.

    Raises:
      ValueError: this version has no encoder of such a name.
    """
    if description[0].get('simulated'):
        return SimulatedEncoder(list(description))
    names = {part['name']: _NAMES.get(part['name'], part['name']) for part in description}
    recognisers = {
        part['name']: OnnxRecogniser.of_description(part, folders)
        for part in description
        if part['name'].startswith(ONNX)
    }
    if unknown := sorted(set(names.values()) - {*_NAMES.values(), *recognisers}):
        raise ValueError(
            f'this version of diface_jax has no face encoder {unknown[0]!r}: update it, or train '
            'the model again'
        )
    return build_face_encoder(list(names.values()), appearance, recognisers)
