"""The likelihood ratio where it is known: Gaussian data, and a text that is a linear view of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from diface_jax.diffusion.likelihood import Levels, diffusion_loss
from diface_jax.diffusion.schedule import alpha_sigma

ROOT = np.array([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [-0.3, 0.2, 0.4]])
PRIOR = ROOT @ ROOT.T
VIEW, NOISE = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, -1.0]]), 0.5  # c = VIEW x0 + NOISE e
GAIN = PRIOR @ VIEW.T @ np.linalg.inv(VIEW @ PRIOR @ VIEW.T + NOISE**2 * np.eye(2))
POSTERIOR = PRIOR - GAIN @ VIEW @ PRIOR
EVERYWHERE = Levels(-12.0, 12.0, 24)
COUNT = 2400


def gaussian(mean, covariance):
    """The ideal denoiser of N(mean, covariance): E[x0 | x_t]."""
    variance, axes = jnp.linalg.eigh(covariance)

    def denoise(x_t, log_snr):
        alpha, sigma = alpha_sigma(log_snr)
        gain = alpha * variance / (alpha**2 * variance + sigma**2)
        return mean + (x_t - alpha * mean) @ axes * gain @ axes.T

    return denoise


@jax.jit
def ratio(x0, mean, covariance):
    """Log p(x0 | c) - log p(x0), where p(x0 | c) is N(mean, covariance), of COUNT rows."""
    keys = jax.random.split(jax.random.key(0), COUNT)
    without = diffusion_loss(gaussian(0.0, PRIOR), x0, EVERYWHERE, keys)
    return without - diffusion_loss(gaussian(mean, covariance), x0, EVERYWHERE, keys)


def pairs(count):
    """Draws of (x0, c)."""
    rng = np.random.default_rng(0)
    x0 = rng.standard_normal((count, 3)) @ ROOT.T
    return x0, x0 @ VIEW.T + NOISE * rng.standard_normal((count, 2))


def analytic(x0, c):
    """log p(x0 | c) - log p(x0) of each row."""
    given = multivariate_normal(np.zeros(3), POSTERIOR).logpdf(x0 - c @ GAIN.T)
    return given - multivariate_normal(np.zeros(3), PRIOR).logpdf(x0)


def test_equals_the_analytic_ratio_for_matching_and_other_pairs():
    x0, c = pairs(6)
    c[3:] = c[3:][::-1]
    draws = COUNT // 6
    found = ratio(*(np.repeat(some, draws, axis=0) for some in (x0, c @ GAIN.T)), POSTERIOR)
    # The noise of one draw is about 0.8, that of the mean of 400 about 0.04.
    np.testing.assert_allclose(found.reshape(6, -1).mean(axis=1), analytic(x0, c), atol=0.12)


def test_mean_over_matching_pairs_is_the_mutual_information():
    x0, c = pairs(COUNT)
    information = 0.5 * np.log(np.linalg.det(PRIOR) / np.linalg.det(POSTERIOR))
    found = ratio(x0, c @ GAIN.T, POSTERIOR)
    # Pairs differ by about 1.3, so the mean of 2,400 is off by about 0.03.
    assert found.mean() == pytest.approx(information, abs=0.08)


def test_no_noise_is_left_when_only_the_mean_moves():
    """With one covariance the noise enters linearly, and its mirror image cancels it."""
    x0, c = pairs(COUNT)
    mean = c @ GAIN.T
    normal = multivariate_normal(np.zeros(3), PRIOR)
    known = normal.logpdf(x0 - mean) - normal.logpdf(x0)
    np.testing.assert_allclose(ratio(x0, mean, PRIOR), known, rtol=0.01, atol=0.01)


def test_a_text_that_says_nothing_has_ratio_zero():
    x0, _ = pairs(COUNT)
    np.testing.assert_allclose(ratio(x0, np.zeros_like(x0), PRIOR), 0.0, atol=1e-4)


def test_levels_are_the_middles_of_equal_steps():
    levels = Levels(-6.0, 2.0, 4)
    np.testing.assert_allclose(levels.log_snr_S, [-5.0, -3.0, -1.0, 1.0])
    assert levels.step == 2.0


@pytest.mark.parametrize('wrong', [(1.0, 1.0, 4), (2.0, -6.0, 4), (-6.0, 2.0, 0)])
def test_impossible_levels(wrong):
    with pytest.raises(ValueError, match='low < high'):
        Levels(*wrong)
