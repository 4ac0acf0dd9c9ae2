"""The face crops of a photo, or the reason why there are none."""

from collections.abc import Callable

import numpy as np

from diface_jax.encoders.face import align

# A photo's chips_3x150x150x3 (see `align`) and a note for the data card, or None and a reason.
FaceCrops = tuple[np.ndarray | None, str]


def crop_faces(
    read: Callable[[str], bytes], landmarks_5x2: np.ndarray | None, file: str
) -> FaceCrops:
    """Detects, aligns and crops the face of a photo.

    Args:
      read: from a file's name to its bytes.
      landmarks_5x2: canonical landmarks of an aligned data set, as in `DataSet`; or None.
      file: the photo.

    Returns:
      chips_3x150x150x3 and a note for the data card ('' for none); or None and the reason why the
      photo has no crop.
    """
    try:
        return align.align_photo(read(file), landmarks_5x2)
    except (OSError, ValueError) as error:
        return None, str(error)
