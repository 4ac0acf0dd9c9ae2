"""Losses with known values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diface_jax.diffusion import schedule
from diface_jax.training import losses


@pytest.mark.parametrize('kind', ['cosface', 'arcface'])
def test_a_margin_only_touches_the_true_class(kind):
    cosine = jnp.array([[0.5, 0.2, -0.1]])
    identity = jnp.array([0])
    plain = losses.margin_loss(cosine, identity, kind, 0.0, 10.0)
    odds = np.exp(10.0 * np.array([0.5, 0.2, -0.1]))
    assert plain == pytest.approx(-np.log(odds[0] / odds.sum()), rel=1e-4)
    harder = {'cosface': 0.5 - 0.3, 'arcface': np.cos(np.arccos(0.5) + 0.3)}[kind]
    odds[0] = np.exp(10.0 * harder)
    margin = losses.margin_loss(cosine, identity, kind, 0.3, 10.0)
    assert margin == pytest.approx(-np.log(odds[0] / odds.sum()), rel=1e-4)


def test_unknown_margin_head():
    with pytest.raises(ValueError, match='cosface'):
        losses.margin_loss(jnp.ones((1, 2)), jnp.array([0]), 'sphere', 0.1, 1.0)


def test_denoising_loss_of_the_ideal_denoiser():
    """For x0 ~ N(0, I) the best estimate errs by sigma^2 a dimension; any other by more."""
    x0 = jax.random.normal(jax.random.key(1), (4096, 8))

    noisy = losses.add_noise(x0, jax.random.key(2), schedule.cosine, 1000)

    def loss(factor):
        alpha, _ = schedule.alpha_sigma(noisy.log_snr_Bx1)
        estimate = factor * alpha * noisy.x_t_BxD
        return losses.denoising_loss(estimate, x0, noisy.log_snr_Bx1, (1.0, 5.0))

    log_snr = schedule.cosine(jnp.arange(1, 1001) / 1000)
    weight = jnp.clip(jnp.exp(log_snr), 1.0, 5.0) / 5.0
    expected = jnp.mean(weight * jax.nn.sigmoid(-log_snr))
    assert loss(1.0) == pytest.approx(float(expected), rel=0.03)
    assert loss(1.0) < loss(0.9)
    assert loss(1.0) < loss(1.1)
