"""What a poor photo tells of a face: a noisy observation of x0, and how good the photo is."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Observation(NamedTuple):
    """Observations of B faces, one of each.

    Attributes:
      y_BxD: embeddings of the photos by E, normalised as x0 is.
      quality_BxQ: quality of the photos (see `quality.photo_quality`).
    """

    y_BxD: Any
    quality_BxQ: Any


def part_weights(observation: Observation) -> tuple[jax.Array, jax.Array]:
    """Weights of the text alone and of the photo alone beside 1 for both together; [B, 1] each.

    The first quality is the logarithm of the face's width, of unit scale: 0 at 16 pixels. The
    numbers were chosen on validation people of CelebA (docs/tried.md).
    """
    width_Bx1 = jnp.asarray(observation.quality_BxQ)[:, :1]
    return jnp.clip(0.3 - 0.2 * width_Bx1, 0.0, 0.6), jnp.clip(0.3 * width_Bx1, 0.0, 0.5)
