"""Noise schedules: how much signal and how much noise x_t holds at time t.

Time is continuous, t in [0, 1]; x_t = alpha(t) x0 + sigma(t) eps with alpha^2 + sigma^2 = 1
(variance preserving; Song et al. 2021, "Score-based generative modeling through SDEs"). A schedule
is a function t -> log SNR = log(alpha^2 / sigma^2), the only thing that tells one from another
(Kingma et al. 2021, "Variational diffusion models"). The DiFace paper does not name its schedule.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

LogSnr = Callable[[jax.Array], jax.Array]

# At t = 1 the signal is e^-6 of the noise: N(0, I) up to 0.3%. At t = 0 it is the other way round.
LOG_SNR_MIN, LOG_SNR_MAX = -12.0, 12.0


def cosine(t: jax.Array) -> jax.Array:
    """Log SNR of the cosine schedule (Nichol & Dhariwal 2021), its ends bounded.

    Args:
      t: times in [0, 1], any shape.

    Returns:
      log(alpha^2 / sigma^2), the same shape, from LOG_SNR_MAX at t = 0 to LOG_SNR_MIN at t = 1.
    """
    start = jnp.arctan(jnp.exp(-0.5 * LOG_SNR_MAX))
    end = jnp.arctan(jnp.exp(-0.5 * LOG_SNR_MIN))
    return -2.0 * jnp.log(jnp.tan(start + t * (end - start)))


def linear(t: jax.Array) -> jax.Array:
    """Log SNR where beta grows linearly from 0.1 to 20 (Ho et al. 2020, in continuous time).

    Args:
      t: times in [0, 1], any shape.

    Returns:
      log(alpha^2 / sigma^2), the same shape, cut to [LOG_SNR_MIN, LOG_SNR_MAX].
    """
    integral = 0.1 * t + 0.5 * (20.0 - 0.1) * t**2
    bounded = jnp.maximum(integral, jnp.exp(-LOG_SNR_MAX))
    return jnp.maximum(-jnp.log(jnp.expm1(bounded)), LOG_SNR_MIN)


def by_name(name: str) -> LogSnr:
    """The schedule a config names: 'cosine' or 'linear'; ValueError for any other."""
    schedules = {'cosine': cosine, 'linear': linear}
    if name not in schedules:
        raise ValueError(f'unknown noise schedule {name!r}: choose from {sorted(schedules)}')
    return schedules[name]


def alpha_sigma(log_snr: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Signal and noise scales (alpha, sigma) of a log SNR; alpha^2 + sigma^2 = 1."""
    return jnp.sqrt(jax.nn.sigmoid(log_snr)), jnp.sqrt(jax.nn.sigmoid(-log_snr))


def sample_times(key: jax.Array, count: int, num_levels: int) -> jax.Array:
    """Times to train at, uniform over the noise levels, stratified over the batch.

    Args:
      key: random key.
      count: how many.
      num_levels: T, the number of noise levels 1/T, 2/T, ..., 1; 0 means continuous time.

    Returns:
      t_B in (0, 1]. Stratified (one in each of `count` equal bins), which lowers the variance of
      the loss (Kingma et al. 2021, appendix I.1), then shuffled so that no row owns a level.
    """
    offset_key, order_key = jax.random.split(key)
    bins = jnp.arange(count) + jax.random.uniform(offset_key, (count,))
    t_B = jax.random.permutation(order_key, 1.0 - bins / count)
    return jnp.ceil(t_B * num_levels) / num_levels if num_levels else t_B
