"""The frozen encoders of a prepared data set, with what was fitted on its training photos."""

import pathlib
from typing import Any, NamedTuple, Self

from diface_jax.data import prepared
from diface_jax.encoders import arrays
from diface_jax.encoders.face.appearance import Appearance
from diface_jax.encoders.face.encoder import FaceEncoder, SimulatedEncoder
from diface_jax.encoders.text.condition import ConditionEncoder, Standardisation
from diface_jax.encoders.text.encoder import TextEncoder

# Beside the rows of the data set that they were fitted on.
_APPEARANCE, _STANDARDISATION = 'appearance.safetensors', 'standardisation.safetensors'


class EncoderBundle(NamedTuple):
    """The frozen encoders: `face` from photos to x0, `text` from sentences to conditions."""

    face: FaceEncoder | SimulatedEncoder
    text: ConditionEncoder

    @property
    def description(self) -> dict[str, Any]:
        """Names, hashes and widths, for data cards and checkpoints."""
        return {'face': self.face.description, 'text': self.text.description}

    def save(self, folder: pathlib.Path) -> None:
        """Writes the fitted arrays into a folder; raises OSError."""
        arrays.save_arrays(self.text.standard, folder / _STANDARDISATION)
        if self.face.appearance:
            arrays.save_arrays(self.face.appearance, folder / _APPEARANCE)

    @classmethod
    def load(cls, text: TextEncoder, folder: pathlib.Path) -> Self:
        """The encoders as they were fitted when the data set in `folder` was prepared.

        Args:
          text: the frozen text encoder.
          folder: of the prepared data set.

        Raises:
          FileNotFoundError: there is no prepared data set.
        """
        description = prepared.read_card(folder)['encoders']['face']
        standard = arrays.load_arrays(Standardisation, folder / _STANDARDISATION)
        appearance = None
        if len(description) > 1 and not description[0].get('simulated'):
            appearance = arrays.load_arrays(Appearance, folder / _APPEARANCE)
        return cls(face_encoder(description, appearance), ConditionEncoder(text, standard))


def face_encoder(
    description: list[dict[str, Any]], appearance: Appearance | None
) -> FaceEncoder | SimulatedEncoder:
    """E of this description; what takes its place where the people are simulated.

    Args:
      description: name, hash and width of each of its parts.
      appearance: its second part; None where it has one part alone.
    """
    if description[0].get('simulated'):
        return SimulatedEncoder(description)
    return FaceEncoder(appearance)
