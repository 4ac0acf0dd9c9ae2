"""How likely an embedding is, told by a denoiser: by a bound in noise, or exactly by transport.

The bound. In continuous time the variational bound is -log p(x0) <= diffusion loss + a constant
(Kingma et al. 2021, "Variational diffusion models", section 5.1), with equality for an ideal
denoiser (Kong et al. 2023, "Information-theoretic diffusion"). The constant knows nothing of the
text c, so the log-likelihood ratio of a text and a photo,

    log p(x0 | c) - log p(x0) = loss of the unconditional - loss of the conditional denoiser,

needs the losses alone. Taken with the same noise, most of their noise cancels.

Exactly. The probability-flow ODE carries p(x0) to N(0, I), and with it the density: its log changes
along the way by the divergence (Song et al. 2021, "Score-based generative modeling through SDEs",
section 4.3 and appendix D.2). In the log SNR l, with alpha^2 = sigmoid(l), the ODE is

    dx / dl = alpha / 2 (estimate of x0 - alpha x).
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from diface_jax.diffusion.ddim import Denoiser, of_all_rows
from diface_jax.diffusion.schedule import alpha_sigma

# The divergence is exact up to this D, which asks for D derivatives; above it is estimated.
EXACT_WIDTH, PROBES = 512, 16
# Derivatives taken at a time: as many copies of a batch are in memory.
_AT_A_TIME = 16


@dataclasses.dataclass(frozen=True)
class NoiseLevels:
    """Noise levels to integrate over: `count` equal steps of log SNR.

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
        """Width of a step."""
        return (self.high - self.low) / self.count

    @property
    def log_snr_S(self) -> jax.Array:
        """The middles of the steps, from noise to clean."""
        return self.low + self.step * (jnp.arange(self.count) + 0.5)


# (denoise, x0_BxD, levels, key_B) -> log p(x0) of each row in nats, up to what no text changes
Evaluator = Callable[[Denoiser, jax.Array, NoiseLevels, jax.Array], jax.Array]


def diffusion_loss(
    denoise: Denoiser, x0_BxD: jax.Array, levels: NoiseLevels, key_B: jax.Array
) -> jax.Array:
    """The integral over log SNR of `1/2 e^(log SNR) |x0 - estimate|^2`, its noise drawn once.

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
        estimate_BxD = denoise(x_t_BxD, of_all_rows(log_snr, x_t_BxD))
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


def variational_bound(
    denoise: Denoiser, x0_BxD: jax.Array, levels: NoiseLevels, key_B: jax.Array
) -> jax.Array:
    """The variational bound on log p(x0) without its constant, in nats; as `diffusion_loss`."""
    return -diffusion_loss(denoise, x0_BxD, levels, key_B)


def log_likelihood(
    denoise: Denoiser,
    x0_BxD: jax.Array,
    levels: NoiseLevels,
    key_B: jax.Array,
    num_probes: int | None = None,
) -> jax.Array:
    """Log p(x0) by the probability-flow ODE, in steps of Runge and Kutta's fourth order.

    It is the density of x0 blurred by noise of standard deviation e^(-levels.high / 2): data on a
    sphere, as embeddings are, have no density of their own. At `levels.low` x is taken to be N(0,
    I). The denoiser and its derivatives are asked for four times a step.

    Args:
      denoise: estimate of x0 from (x_t, log SNR), for the rows of x0, each by itself.
      x0_BxD: clean embeddings.
      levels: the steps.
      key_B: a random key for each row, for Hutchinson's estimator of the divergence.
      num_probes: Rademacher probes of that estimator a row, the same all along the way; 0: the
        divergence is exact. When not given: 0 up to D = EXACT_WIDTH, PROBES above.

    Returns:
      log_p_B, in nats.
    """
    width = x0_BxD.shape[-1]
    if num_probes is None:
        num_probes = 0 if width <= EXACT_WIDTH else PROBES
    probe_KxBxD = _rademacher(key_B, width, num_probes) if num_probes else jnp.eye(width)[:, None]

    def slope(state: _State, log_snr: jax.Array) -> _State:
        x_BxD, _ = state
        alpha, _ = alpha_sigma(log_snr)
        estimate_BxD, trace_B = _with_trace(
            lambda x_BxD: denoise(x_BxD, of_all_rows(log_snr, x_BxD)), x_BxD, probe_KxBxD
        )
        divergence_B = 0.5 * alpha * (trace_B - alpha * width)
        return 0.5 * alpha * (estimate_BxD - alpha * x_BxD), divergence_B

    def step(state: _State, log_snr: jax.Array) -> tuple[_State, None]:
        return _runge_kutta(slope, state, log_snr, -levels.step), None

    alpha, _ = alpha_sigma(levels.high)
    start = levels.high - levels.step * jnp.arange(levels.count)
    state, _ = jax.lax.scan(step, (alpha * x0_BxD, jnp.zeros(len(x0_BxD))), start)
    x_BxD, change_B = state
    normal_B = jax.scipy.stats.norm.logpdf(x_BxD).sum(axis=-1)
    return normal_B + change_B + width * jnp.log(alpha)


# x_BxD, and the integral of the divergence so far of each row.
_State = tuple[jax.Array, jax.Array]


def _rademacher(key_B: jax.Array, width: int, count: int) -> jax.Array:
    """Random signs whose v . J v add up to the trace of J on average (Hutchinson 1990)."""
    signs = jax.vmap(lambda key: jax.random.rademacher(key, (count, width), float), out_axes=1)
    return signs(key_B) / jnp.sqrt(count)


def _with_trace(
    function: Callable[[jax.Array], jax.Array], x_BxD: jax.Array, probe_KxBxD: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The function's value, and of each row the sum of v . J v over the probes v."""
    value_BxD, push = jax.linearize(function, x_BxD)

    def along(probe: jax.Array) -> jax.Array:
        probe_BxD = jnp.broadcast_to(probe, x_BxD.shape)
        return jnp.sum(probe_BxD * push(probe_BxD), axis=-1)

    return value_BxD, jnp.sum(jax.lax.map(along, probe_KxBxD, batch_size=_AT_A_TIME), axis=0)


def _runge_kutta(
    slope: Callable[[_State, jax.Array], _State], state: _State, at: jax.Array, step: float
) -> _State:
    """One step from `at` to `at` + `step`, of the fourth order."""

    def moved(by: float, along: _State) -> _State:
        return jax.tree.map(lambda here, rate: here + by * rate, state, along)

    first = slope(state, at)
    second = slope(moved(0.5 * step, first), at + 0.5 * step)
    third = slope(moved(0.5 * step, second), at + 0.5 * step)
    last = slope(moved(step, third), at + step)
    mean = jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, first, second, third, last)
    return moved(step, mean)
