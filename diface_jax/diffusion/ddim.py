"""The DDIM sampler: carries noise to an embedding in a chosen number of steps T~.

Song, Meng & Ermon 2021, "Denoising diffusion implicit models". A pure function of a denoiser,
independent of the network. With eta = 0 it integrates the probability-flow ODE, which transports
N(0, I) onto p(x0 | c): recognition without generation (DiFace, section 3).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from diface_jax.diffusion.schedule import LogSnr, alpha_sigma

# (x_t_BxD, log_snr) -> the estimate of x0_BxD. The log SNR is of each row, [B, 1], or of all rows,
# [1, 1]. The samples of a text may have an axis of their own: x_t_BxKxD with log SNR [1, 1, 1].
Denoiser = Callable[[jax.Array, jax.Array], jax.Array]


class SamplingPath(NamedTuple):
    """The path of the sampler at S times from t = 1 to t = 0.

    Attributes:
      t_S: the times.
      log_snr_S: log SNR at these times.
      x_SxBxD: x_t, from noise to embeddings.
      x0_SxBxD: the denoiser's estimate of x0 from x_t; x_t itself at t = 0.
    """

    t_S: jax.Array
    log_snr_S: jax.Array
    x_SxBxD: jax.Array
    x0_SxBxD: jax.Array


def ddim(
    denoise: Denoiser,
    x_T_BxD: jax.Array,
    log_snr: LogSnr,
    num_steps: int,
    eta: float = 0.0,
    key: jax.Array | None = None,
) -> jax.Array:
    """Carries noise to embeddings along `num_steps` equal steps of time, from t = 1 to t = 0.

    Args:
      denoise: estimate of x0 from (x_t, log SNR).
      x_T_BxD: the start, drawn from N(0, I); K samples of each text may be [B, K, D].
      log_snr: the noise schedule the denoiser was trained on.
      num_steps: T~ >= 1. One step is the posterior mean E[x0 | c], with x_T ignored by an ideal
        denoiser; many steps are a sample of p(x0 | c).
      eta: 0 is deterministic; 1 is DDPM's ancestral sampling (DDIM, equation 16).
      key: random key, needed if eta > 0.

    Returns:
      x0_BxD.

    Raises:
      ValueError: num_steps < 1, or eta > 0 without a key.
    """
    return denoise(*before_last_step(denoise, x_T_BxD, log_snr, num_steps, eta, key))


def before_last_step(
    denoise: Denoiser,
    x_T_BxD: jax.Array,
    log_snr: LogSnr,
    num_steps: int,
    eta: float = 0.0,
    key: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """The x_t and the log SNR of which `ddim` returns the estimate; arguments and errors alike."""
    _check(num_steps, eta, key)
    if num_steps == 1:  # gradients would run through a loop of no steps, and cost as much as one
        return x_T_BxD, of_all_rows(log_snr(jnp.ones(())), x_T_BxD)
    x_t, last, _ = _walk(denoise, x_T_BxD, log_snr, num_steps, eta, key, lambda x_t, x0: None)
    return x_t, last


def ddim_path(
    denoise: Denoiser,
    x_T_BxD: jax.Array,
    log_snr: LogSnr,
    num_steps: int,
    eta: float = 0.0,
    key: jax.Array | None = None,
) -> SamplingPath:
    """The path of `ddim` at all num_steps + 1 times; arguments and errors as in `ddim`."""
    _check(num_steps, eta, key)
    x_t, last, (earlier_x, earlier_x0) = _walk(
        denoise, x_T_BxD, log_snr, num_steps, eta, key, lambda x_t, x0: (x_t, x0)
    )
    x0 = denoise(x_t, last)
    t_S = jnp.linspace(1.0, 0.0, num_steps + 1)
    x_SxBxD = jnp.concatenate([earlier_x, jnp.stack([x_t, x0])])
    x0_SxBxD = jnp.concatenate([earlier_x0, jnp.stack([x0, x0])])
    return SamplingPath(t_S, log_snr(t_S), x_SxBxD, x0_SxBxD)


def _check(num_steps: int, eta: float, key: jax.Array | None) -> None:
    if num_steps < 1:
        raise ValueError(f'the sampler needs at least one step, got num_steps={num_steps}')
    if eta and key is None:
        raise ValueError('eta > 0 adds noise at every step: give the sampler a key')


def _walk(
    denoise: Denoiser,
    x_T_BxD: jax.Array,
    log_snr: LogSnr,
    num_steps: int,
    eta: float,
    key: jax.Array | None,
    keep: Callable[[jax.Array, jax.Array], Any],
) -> tuple[jax.Array, jax.Array, Any]:
    """The last noisy x_t, its log SNR, and `keep(x_t, x0)` of the steps before."""
    times = jnp.linspace(1.0, 0.0, num_steps + 1)[:-1]
    keys = jax.random.split(key, num_steps) if eta else jnp.zeros((num_steps, 0))

    def step(x_t: jax.Array, now: tuple) -> tuple[jax.Array, Any]:
        t, t_next, step_key = now
        x_next, x0 = _step(denoise, x_t, log_snr(t), log_snr(t_next), eta, step_key)
        return x_next, keep(x_t, x0)

    x_t, kept = jax.lax.scan(step, x_T_BxD, (times[:-1], times[1:], keys[:-1]))
    # The last step goes to t = 0, where x is the estimate itself.
    return x_t, of_all_rows(log_snr(times[-1]), x_t), kept


def of_all_rows(log_snr: jax.Array, x_t: jax.Array) -> jax.Array:
    """One log SNR for all rows of x_t, as a denoiser takes it."""
    return jnp.reshape(log_snr, (1,) * x_t.ndim)


def _step(
    denoise: Denoiser,
    x_t: jax.Array,
    log_snr_t: jax.Array,
    log_snr_s: jax.Array,
    eta: float,
    key: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Steps to the earlier time s (DDIM, equation 12); returns x_s and the estimate of x0."""
    alpha_t, sigma_t = alpha_sigma(log_snr_t)
    alpha_s, sigma_s = alpha_sigma(log_snr_s)
    x0 = denoise(x_t, of_all_rows(log_snr_t, x_t))
    eps = (x_t - alpha_t * x0) / sigma_t
    if not eta:
        return alpha_s * x0 + sigma_s * eps, x0
    fresh = eta * (sigma_s / sigma_t) * jnp.sqrt(1.0 - (alpha_t / alpha_s) ** 2)
    noise = jax.random.normal(key, x_t.shape)
    return alpha_s * x0 + jnp.sqrt(sigma_s**2 - fresh**2) * eps + fresh * noise, x0


def guided_denoiser(conditional: Denoiser, unconditional: Denoiser, scale: float) -> Denoiser:
    """Classifier-free guidance (Ho & Salimans 2022): scale 1 is the plain conditional denoiser.

    Args:
      conditional: denoiser given c.
      unconditional: denoiser with c dropped.
      scale: 0 ignores the text, 1 turns guidance off, above 1 the text has more influence.

    Returns:
      A denoiser; with scale 1 `conditional` itself, at half the cost.
    """
    if scale == 1.0:
        return conditional

    def denoise(x_t_BxD: jax.Array, log_snr: jax.Array) -> jax.Array:
        without = unconditional(x_t_BxD, log_snr)
        return without + scale * (conditional(x_t_BxD, log_snr) - without)

    return denoise
