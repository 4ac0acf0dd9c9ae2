"""The frozen encoders of a prepared data set, with what was fitted on its training photos."""

import pathlib
from typing import Any, NamedTuple, Self

from diface_jax.data import prepared
from diface_jax.encoders import arrays
from diface_jax.encoders.face.appearance import Appearance, AppearanceEncoder
from diface_jax.encoders.face.encoder import (
    FaceEncoder,
    SimulatedEncoder,
    described_face_encoder,
)
from diface_jax.encoders.licence import WeightsLicence
from diface_jax.encoders.text.adapters import load_adapters, save_adapters
from diface_jax.encoders.text.condition import ConditionEncoder, Standardisation
from diface_jax.encoders.text.encoder import TextEncoder

# Beside the rows of the data set that they were fitted on.
_APPEARANCE, _STANDARDISATION = 'appearance.safetensors', 'standardisation.safetensors'
_ADAPTERS = 'text_adapters.safetensors'


class EncoderBundle(NamedTuple):
    """The frozen encoders: `face` from photos to x0, `text` from sentences to conditions."""

    face: FaceEncoder | SimulatedEncoder
    text: ConditionEncoder

    @property
    def description(self) -> dict[str, Any]:
        """Names, hashes and widths, for data cards and checkpoints."""
        return {'face': self.face.description, 'text': self.text.description}

    @property
    def licences(self) -> list[WeightsLicence]:
        """The licences of the weights of all encoders."""
        text = self.text.encoder
        return [*self.face.licences, WeightsLicence(**text.frozen, licence=text.licence)]

    def save(self, folder: pathlib.Path) -> None:
        """Writes the fitted arrays into a folder; raises OSError."""
        arrays.save_arrays(self.text.standard, folder / _STANDARDISATION)
        if self.face.appearance:
            arrays.save_arrays(self.face.appearance, folder / _APPEARANCE)
        text = self.text.encoder
        if text.adapters:
            save_adapters(folder / _ADAPTERS, text.adapters, text.frozen)

    @classmethod
    def load(cls, text: TextEncoder, folder: pathlib.Path) -> Self:
        """The encoders as they were fitted when the data set in `folder` was prepared.

        Args:
          text: the text encoder, frozen or with the adapters of the data set.
          folder: of the prepared data set.

        Raises:
          FileNotFoundError: there is no prepared data set.
          ValueError: its adapters are of another text encoder.
        """
        card = prepared.read_card(folder)
        description = card['encoders']['face']
        standard = arrays.load_arrays(Standardisation, folder / _STANDARDISATION)
        appearance = None
        if any(part['name'] == AppearanceEncoder.name for part in description):
            appearance = arrays.load_arrays(Appearance, folder / _APPEARANCE)
        # An earlier version, which knew no encoder in a file, has not written where files are.
        folders = [folder, *map(pathlib.Path, card.get('folders_of_encoders', ()))]
        if (folder / _ADAPTERS).is_file() and not text.adapters:
            text = text.with_adapters(load_adapters(folder / _ADAPTERS, text.frozen))
        face = described_face_encoder(description, appearance, folders)
        return cls(face, ConditionEncoder(text, standard))
