"""The frozen encoders of a prepared data set, with what was fitted to its training photos."""

import pathlib
from typing import Any, NamedTuple, Self

from diface_jax.data import prepared
from diface_jax.encoders import arrays
from diface_jax.encoders.face.appearance import Appearance
from diface_jax.encoders.face.encoder import FaceEncoder, SimulatedEncoder
from diface_jax.encoders.text import bert
from diface_jax.encoders.text.condition import ConditionEncoder, Standardisation

# Beside the rows of the data set they were fitted on.
_APPEARANCE, _STANDARDISATION = 'appearance.safetensors', 'standardisation.safetensors'


class EncoderBundle(NamedTuple):
    """The frozen encoders of both sides."""

    face: FaceEncoder | SimulatedEncoder
    text: ConditionEncoder

    @property
    def about(self) -> dict[str, Any]:
        """What they are, for data cards and checkpoints."""
        return {'face': self.face.description, 'text': self.text.description}

    def save(self, folder: pathlib.Path) -> None:
        """Writes what was fitted; raises OSError."""
        arrays.save_arrays(self.text.standard, folder / _STANDARDISATION)
        if self.face.appearance:
            arrays.save_arrays(self.face.appearance, folder / _APPEARANCE)

    @classmethod
    def load(cls, text: bert.TextEncoder, folder: pathlib.Path) -> Self:
        """As they were fitted when the data set in `folder` was prepared.

        Raises:
          FileNotFoundError: nothing is prepared there.
        """
        about = prepared.read_card(folder)['encoders']['face']
        standard = arrays.load_arrays(Standardisation, folder / _STANDARDISATION)
        return cls(_face_encoder(about, folder), ConditionEncoder(text, standard))


def _face_encoder(
    about: list[dict[str, Any]], folder: pathlib.Path
) -> FaceEncoder | SimulatedEncoder:
    if about[0].get('simulated'):
        return SimulatedEncoder(about)
    looks = arrays.load_arrays(Appearance, folder / _APPEARANCE) if len(about) > 1 else None
    return FaceEncoder(looks)
