"""What a search of a gallery's features finds."""

from typing import NamedTuple

import numpy as np


class RankedFaces(NamedTuple):
    """Entries, best first: their numbers id_K, and their features f_KxF."""

    id_K: np.ndarray
    f_KxF: np.ndarray


class Nearest(NamedTuple):
    """The best faces of each probe, and how many entries and people there are and were searched."""

    best: list[RankedFaces]
    counts: dict[str, int]
