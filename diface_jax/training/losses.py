"""The denoising loss of D, and the margin loss, which can be added to the contrastive loss of R."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from diface_jax.diffusion.parameterization import snr_weight
from diface_jax.diffusion.schedule import LogSnr, alpha_sigma, sample_times


class Noisy(NamedTuple):
    """Embeddings at random noise levels: x_t_BxD, and the log SNR of each."""

    x_t_BxD: jax.Array
    log_snr_Bx1: jax.Array


def add_noise(x0_BxD: jax.Array, key: jax.Array, log_snr: LogSnr, num_levels: int) -> Noisy:
    """Noisy embeddings for the denoising loss.

    Args:
      x0_BxD: clean embeddings.
      key: random key of times and noise.
      log_snr: the noise schedule.
      num_levels: T; 0 is continuous time.
    """
    time_key, noise_key = jax.random.split(key)
    log_snr_Bx1 = log_snr(sample_times(time_key, len(x0_BxD), num_levels))[:, None]
    alpha, sigma = alpha_sigma(log_snr_Bx1)
    x_t_BxD = alpha * x0_BxD + sigma * jax.random.normal(noise_key, x0_BxD.shape)
    return Noisy(x_t_BxD, log_snr_Bx1)


def denoising_loss(
    estimate_BxD: jax.Array,
    x0_BxD: jax.Array,
    log_snr_Bx1: jax.Array,
    snr_clip: tuple[float, float],
) -> jax.Array:
    """SNR-weighted squared error of the estimate of x0, averaged over rows and dimensions.

    Args:
      estimate_BxD: of D, from noisy embeddings.
      x0_BxD: clean embeddings.
      log_snr_Bx1: of the noisy ones.
      snr_clip: lower and upper limit of the weight (see `snr_weight`).

    Returns:
      A scalar; at most 1 for an estimate of zero, since x0 has unit variance.
    """
    error_Bx1 = jnp.mean((estimate_BxD - x0_BxD) ** 2, axis=-1, keepdims=True)
    return jnp.mean(snr_weight(log_snr_Bx1, *snr_clip) * error_Bx1)


def margin_loss(
    cosine_BxN: jax.Array, identity_B: jax.Array, kind: str, margin: float, scale: float
) -> jax.Array:
    """Cross-entropy of classifying training identities, with a margin on the true one.

    Args:
      cosine_BxN: cosines of features to the unit prototypes of N training identities; [..., N].
      identity_B: true identities; [...].
      kind: 'cosface' (Wang et al. 2018: cos - m) or 'arcface' (Deng et al. 2019: cos(angle + m)).
      margin: m, in cosine or in radians.
      scale: inverse temperature.

    Returns:
      A scalar, the mean over rows.

    Raises:
      ValueError: there is no such kind.
    """
    true_Bx1 = jnp.take_along_axis(cosine_BxN, identity_B[..., None], axis=-1)
    if kind == 'cosface':
        harder_Bx1 = true_Bx1 - margin
    elif kind == 'arcface':
        inside = jnp.clip(true_Bx1, -1.0 + 1e-6, 1.0 - 1e-6)
        harder_Bx1 = jnp.cos(jnp.minimum(jnp.arccos(inside) + margin, jnp.pi))
    else:
        raise ValueError(f"unknown margin head {kind!r}: choose 'cosface' or 'arcface'")
    is_true = jax.nn.one_hot(identity_B, cosine_BxN.shape[-1], dtype=bool)
    log_p = jax.nn.log_softmax(scale * jnp.where(is_true, harder_Bx1, cosine_BxN), axis=-1)
    return -jnp.mean(jnp.take_along_axis(log_p, identity_B[..., None], axis=-1))
