"""The observations of a prepared split, as the model takes them."""

import numpy as np

from diface_jax.data.observations import Observations
from diface_jax.models.normalise import Normalisation
from diface_jax.models.observation import Observation


def observation_rows(observations: Observations, normalise: Normalisation) -> Observation:
    """All observations of N photos, L consecutive rows a photo; float32.

    Args:
      observations: [N, L, ...].
      normalise: from raw embeddings to x0.
    """
    observed_NxLxD, quality_NxLxQ, _ = observations
    y_MxD = normalise(observed_NxLxD.reshape(-1, observed_NxLxD.shape[2]).astype(np.float32))
    return Observation(y_MxD.astype(np.float32), quality_NxLxQ.reshape(len(y_MxD), -1))


def observations_at(
    observations: Observations, photo_B: np.ndarray, level: int, normalise: Normalisation
) -> Observation:
    """The observations of some photos at a level of degradation.

    Args:
      observations: [N, L, ...].
      photo_B: rows of the photos.
      level: of the L; for validation and test photos, see `degrade.EVALUATION_WIDTHS`.
      normalise: from raw embeddings to x0.
    """
    of_level = Observations(*(column[photo_B, level][:, None] for column in observations))
    return observation_rows(of_level, normalise)
