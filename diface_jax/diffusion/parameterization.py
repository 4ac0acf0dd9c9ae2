"""Converts what a score network predicts - x0, eps or v - to an estimate of x0.

Salimans & Ho 2022, "Progressive distillation", section 4 and appendix D.
"""

import jax
import jax.numpy as jnp

from diface_jax.diffusion.schedule import alpha_sigma

PREDICTIONS = ('x0', 'eps', 'v')


def to_x0(
    output_BxD: jax.Array, x_t_BxD: jax.Array, log_snr_Bx1: jax.Array, prediction: str
) -> jax.Array:
    """The estimate of x0 that a network's output stands for.

    Args:
      output_BxD: what the network returned.
      x_t_BxD: the noisy embedding it was given.
      log_snr_Bx1: log SNR of each row.
      prediction: what the output means: 'x0', 'eps' or 'v' (= alpha eps - sigma x0).

    Returns:
      x0_BxD, estimated.

    Raises:
      ValueError: there is no such prediction.
    """
    alpha, sigma = alpha_sigma(log_snr_Bx1)
    if prediction == 'x0':
        return output_BxD
    if prediction == 'eps':
        return (x_t_BxD - sigma * output_BxD) / alpha
    if prediction == 'v':
        return alpha * x_t_BxD - sigma * output_BxD
    raise ValueError(f'unknown prediction {prediction!r}: choose from {PREDICTIONS}')


def snr_weight(log_snr: jax.Array, low: float, high: float) -> jax.Array:
    """Weight of `|x0 - estimate|^2`: the SNR, cut to [low, high], over high.

    The upper cut is Min-SNR (Hang et al. 2023), the lower one truncated SNR (Salimans & Ho 2022,
    section 4): without it nothing asks for the estimate at t = 1, which is the posterior mean that
    one step of the sampler returns. Stated on the error in x0, one weight serves all predictions:
    eps's and v's own weights are this one times the change of variables.
    """
    return jnp.clip(jnp.exp(log_snr), low, high) / high
