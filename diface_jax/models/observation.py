"""What a poor photo tells of a face: a noisy observation of x0, and how good the photo is."""

from typing import Any, NamedTuple


class Observation(NamedTuple):
    """Observations of B faces, one of each.

    Attributes:
      y_BxD: embeddings of the photos by E, normalised as x0 is.
      quality_BxQ: quality of the photos (see `quality.photo_quality`).
    """

    y_BxD: Any
    quality_BxQ: Any
