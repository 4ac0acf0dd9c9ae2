"""How likely an embedding is, told by how well a denoiser recovers it from noise.

In continuous time the variational bound is -log p(x0) <= diffusion loss + a constant (Kingma et al.
2021, "Variational diffusion models", section 5.1), with equality for an ideal denoiser (Kong et al.
2023, "Information-theoretic diffusion"). The constant knows nothing of the text c, so the
log-likelihood ratio of a text and a photo,

    log p(x0 | c) - log p(x0) = loss of the unconditional - loss of the conditional denoiser,

needs the losses alone. Taken with the same noise, most of their noise cancels.
"""

import dataclasses

import jax
import jax.numpy as jnp

from diface_jax.diffusion.ddim import Denoiser
from diface_jax.diffusion.schedule import alpha_sigma


@dataclasses.dataclass(frozen=True)
class Levels:
    """Noise levels to integrate over: the middles of `count` equal steps of log SNR.

    Attributes:
      low: log SNR below which the text has nothing to add that is worth its weight e^low.
      high: log SNR above which x_t says all that the text could.
      count: S.
    """

    low: float
    high: float
    count: int

    def __post_init__(self) -> None:
        if not self.low < self.high or self.count < 1:
            raise ValueError(f'noise levels need low < high and count >= 1, got {self}')

    @property
    def step(self) -> float:
        """Width of a step: the weight of each level."""
        return (self.high - self.low) / self.count

    @property
    def log_snr_S(self) -> jax.Array:
        """The levels, from noise to clean."""
        return self.low + self.step * (jnp.arange(self.count) + 0.5)


def diffusion_loss(
    denoise: Denoiser, x0_BxD: jax.Array, levels: Levels, key_B: jax.Array
) -> jax.Array:
    """The integral over log SNR of 1/2 e^(log SNR) |x0 - estimate|^2, its noise drawn once.

    Each level's noise is taken with both signs (antithetic): most of its effect is linear, and
    cancels. So the denoiser is asked twice a level.

    Args:
      denoise: estimate of x0 from (x_t, log SNR), for the rows of x0.
      x0_BxD: clean embeddings.
      levels: where the integrand is taken, by the midpoint rule.
      key_B: a random key for each row: the same key draws the same noise at each level.

    Returns:
      loss_B, in nats.
    """

    def error(x_t_BxD: jax.Array, log_snr: jax.Array) -> jax.Array:
        estimate_BxD = denoise(x_t_BxD, jnp.full((len(x_t_BxD), 1), log_snr))
        return jnp.sum((x0_BxD - estimate_BxD) ** 2, axis=-1)

    def add(loss_B: jax.Array, level: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        log_snr, number = level
        alpha, sigma = alpha_sigma(log_snr)
        noise_BxD = jax.vmap(
            lambda key: jax.random.normal(jax.random.fold_in(key, number), x0_BxD.shape[1:])
        )(key_B)
        signal, noise = alpha * x0_BxD, sigma * noise_BxD
        error_B = 0.5 * (error(signal + noise, log_snr) + error(signal - noise, log_snr))
        return loss_B + levels.step * 0.5 * jnp.exp(log_snr) * error_B, None

    at = (levels.log_snr_S, jnp.arange(levels.count))
    return jax.lax.scan(add, jnp.zeros(len(x0_BxD)), at)[0]
