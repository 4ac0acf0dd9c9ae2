"""Schedules: from clean to noise, and times spread over the levels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diface_jax.diffusion import schedule


@pytest.mark.parametrize('name', ['cosine', 'linear'])
def test_goes_from_clean_to_noise(name):
    log_snr = schedule.by_name(name)(jnp.linspace(0.0, 1.0, 101))
    assert np.all(np.diff(log_snr) <= 0)
    alpha, sigma = schedule.alpha_sigma(log_snr)
    np.testing.assert_allclose(alpha**2 + sigma**2, 1.0, rtol=1e-6)
    assert sigma[0] < 0.01
    assert alpha[-1] < 0.01


def test_cosine_is_the_cosine():
    """Between its bounded ends alpha is cos(pi t / 2)."""
    t = jnp.linspace(0.05, 0.95, 19)
    alpha, _ = schedule.alpha_sigma(schedule.cosine(t))
    np.testing.assert_allclose(alpha, jnp.cos(jnp.pi * t / 2), atol=3e-3)


def test_linear_is_ddpm():
    """Alpha^2 is the product of 1 - beta over DDPM's 1,000 steps, beta from 1e-4 to 0.02."""
    product = np.cumprod(1.0 - np.linspace(1e-4, 0.02, 1000))
    alpha, _ = schedule.alpha_sigma(schedule.linear(jnp.arange(100, 1001, 100) / 1000))
    np.testing.assert_allclose(alpha**2, product[99::100], atol=5e-3)


def test_unknown_name():
    with pytest.raises(ValueError, match='cosine'):
        schedule.by_name('sigmoid')


@pytest.mark.parametrize('num_levels', [0, 1000])
def test_times_cover_the_levels_evenly(num_levels):
    t = np.asarray(schedule.sample_times(jax.random.key(0), 2000, num_levels))
    assert t.min() > 0
    assert t.max() <= 1
    np.testing.assert_allclose(np.histogram(t, 10, (0, 1))[0], 200, atol=3)
    if num_levels:
        np.testing.assert_allclose(t * num_levels, np.round(t * num_levels), atol=1e-3)
