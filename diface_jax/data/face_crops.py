"""A photo's face chips, or why there are none.

Worker processes import this module, so it imports little.
"""

from collections.abc import Callable

import numpy as np

from diface_jax.encoders.face import align

# A photo's chips_2x150x150x3 (see `align`) and a note for the data card, or None and why not.
FaceCrops = tuple[np.ndarray | None, str]


def crop_faces(
    read: Callable[[str], bytes], landmarks_5x2: np.ndarray | None, file: str
) -> FaceCrops:
    """The chips of a photo's face.

    Args:
      read: from the file's name to its bytes.
      landmarks_5x2: canonical landmarks of an aligned data set, or None.
      file: the photo.

    Returns:
      chips_2x150x150x3 and a note for the data card, or None and why there is none.
    """
    try:
        return align.align_photo(read(file), landmarks_5x2)
    except (OSError, ValueError) as error:
        return None, str(error)
