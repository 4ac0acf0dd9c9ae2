"""The face crops of a photo, or the reason why there are none."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from diface_jax.encoders.face import align


class FaceCrops(NamedTuple):
    """The crops of a photo's main face.

    Attributes:
      chips: chips_3x150x150x3 (see `align`); None where the photo has no crop.
      note: a note for the data card ('' for none); the reason where the photo has no crop.
      face_px: width of the face in the photo (see `align.face_width`); 0 where it has no crop.
    """

    chips: np.ndarray | None
    note: str
    face_px: float = 0.0


def crop_faces(
    read: Callable[[str], bytes], landmarks_5x2: np.ndarray | None, file: str
) -> FaceCrops:
    """Detects, aligns and crops the face of a photo.

    Args:
      read: from a file's name to its bytes.
      landmarks_5x2: canonical landmarks of an aligned data set, as in `DataSet`; or None.
      file: the photo.
    """
    try:
        return FaceCrops(*align.align_photo(read(file), landmarks_5x2))
    except (OSError, ValueError) as error:
        return FaceCrops(None, str(error))
