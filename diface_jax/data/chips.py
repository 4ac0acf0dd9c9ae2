"""A photo's face chip, or why there is none. Runs in worker processes, so it imports little."""

from collections.abc import Callable

import numpy as np

from diface_jax.encoders.face import align


def chip_of(
    read: Callable[[str], bytes], landmarks_5x2: np.ndarray | None, file: str
) -> tuple[np.ndarray | None, str]:
    """The chip of a photo's face.

    Args:
      read: from the file's name to its bytes.
      landmarks_5x2: canonical landmarks of an aligned data set, or None.
      file: the photo.

    Returns:
      chip_150x150x3 and a note for the data card, or None and why there is none.
    """
    try:
        return align.align_photo(read(file), landmarks_5x2)
    except (OSError, ValueError) as error:
        return None, str(error)
