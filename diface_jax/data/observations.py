"""What the face encoder E sees of degraded copies of photos."""

from typing import NamedTuple

import numpy as np


class Observations(NamedTuple):
    """The embeddings of L degraded copies of a photo; of N photos with a first axis N.

    Attributes:
      observed_LxD: raw output of E, float16.
      quality_LxQ: quality of the copy, see `quality.photo_quality`, float32.
      face_px_L: width of the face in the copy, in pixels, see `align.face_width`.
    """

    observed_LxD: np.ndarray
    quality_LxQ: np.ndarray
    face_px_L: np.ndarray
