"""Likelihoods where they are known: Gaussian data, a text that is a linear view of it, mixtures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from diface_jax.diffusion import likelihood
from diface_jax.diffusion.likelihood import NoiseLevels, diffusion_loss, log_likelihood
from diface_jax.diffusion.schedule import alpha_sigma

ROOT = np.array([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [-0.3, 0.2, 0.4]])
PRIOR = ROOT @ ROOT.T
VIEW, NOISE = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, -1.0]]), 0.5  # c = VIEW x0 + NOISE e
GAIN = PRIOR @ VIEW.T @ np.linalg.inv(VIEW @ PRIOR @ VIEW.T + NOISE**2 * np.eye(2))
POSTERIOR = PRIOR - GAIN @ VIEW @ PRIOR
EVERYWHERE = NoiseLevels(-12.0, 12.0, 24)
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
    levels = NoiseLevels(-6.0, 2.0, 4)
    np.testing.assert_allclose(levels.log_snr_S, [-5.0, -3.0, -1.0, 1.0])
    assert levels.step == 2.0


@pytest.mark.parametrize('wrong', [(1.0, 1.0, 4), (2.0, -6.0, 4), (-6.0, 2.0, 0)])
def test_impossible_levels(wrong):
    with pytest.raises(ValueError, match='low < high'):
        NoiseLevels(*wrong)


MEAN = np.array([1.0, -2.0, 0.5])
# So far down in noise that x is N(0, I) to 1 in 20,000; the blur at the other end is 0.2%.
FAR = (-20.0, 12.0)


def ode(denoise, x0, levels, num_probes=None, keys=None):
    keys = jax.random.split(jax.random.key(0), len(x0)) if keys is None else keys
    run = jax.jit(lambda x0, keys: log_likelihood(denoise, x0, levels, keys, num_probes))
    return np.asarray(run(jnp.asarray(x0, jnp.float32), keys))


def of_gaussian(count=50):
    """Draws of N(MEAN, PRIOR) and the log of their density."""
    x0 = MEAN + np.random.default_rng(1).standard_normal((count, 3)) @ ROOT.T
    return x0, multivariate_normal(MEAN, PRIOR).logpdf(x0)


def test_the_ode_finds_the_density_of_a_gaussian():
    x0, known = of_gaussian()
    found = ode(gaussian(MEAN, PRIOR), x0, NoiseLevels(*FAR, 32))
    np.testing.assert_allclose(found, known, atol=2e-3)


def test_where_the_levels_end_the_density_is_of_x0_blurred():
    x0, _ = of_gaussian()
    known = multivariate_normal(MEAN, PRIOR + np.exp(-1.0) * np.eye(3)).logpdf(x0)
    found = ode(gaussian(MEAN, PRIOR), x0, NoiseLevels(-20.0, 1.0, 32))
    np.testing.assert_allclose(found, known, atol=2e-3)


def test_the_error_falls_with_the_fourth_power_of_the_step():
    x0, known = of_gaussian()
    few, twice = (
        np.abs(ode(gaussian(MEAN, PRIOR), x0, NoiseLevels(*FAR, count)) - known).mean()
        for count in (8, 16)
    )
    assert few / twice > 12


def mixture(weights, means, deviations):
    """The ideal denoiser of a mixture of Gaussians, and the log of its density."""

    def denoise(x_t, log_snr):
        alpha, sigma = alpha_sigma(log_snr)
        variance = alpha**2 * deviations**2 + sigma**2
        away = x_t[:, None] - alpha[..., None] * means
        log_share = jnp.log(weights) - 0.5 * (away**2).sum(axis=-1) / variance - jnp.log(variance)
        each = means + (alpha * deviations**2 / variance)[..., None] * away
        return (jax.nn.softmax(log_share)[..., None] * each).sum(axis=1)

    def log_density(x0):
        parts = zip(weights, means, deviations, strict=True)
        return logsumexp(
            [np.log(w) + multivariate_normal(m, s**2).logpdf(x0) for w, m, s in parts], axis=0
        )

    return denoise, log_density


def test_the_ode_finds_the_density_of_a_mixture():
    means, deviations = np.array([[2.0, 0.0], [-1.5, 1.0]]), np.array([0.4, 0.7])
    denoise, log_density = mixture(np.array([0.3, 0.7]), means, deviations)
    rng = np.random.default_rng(2)
    of_each = (m + s * rng.standard_normal((20, 2)) for m, s in zip(means, deviations, strict=True))
    # And of two points between them and beyond.
    x0 = np.concatenate([*of_each, [[0.2, 0.5], [3.0, -1.0]]])
    errors = [
        np.abs(ode(denoise, x0, NoiseLevels(*FAR, count)) - log_density(x0)).max()
        for count in (16, 48)
    ]
    assert errors[1] < 2e-3
    assert errors[0] > 10 * errors[1]


def test_hutchinsons_estimate_is_right_on_average():
    x0, known = of_gaussian(1)
    found = (
        ode(gaussian(MEAN, PRIOR), x0.repeat(4000, 0), NoiseLevels(*FAR, 24), num_probes=8) - known
    )
    assert abs(found.mean()) < 3 * found.std() / 4000**0.5
    # The standard error of 8 probes: one has 1.4.
    assert found.std() == pytest.approx(1.4 / 8**0.5, rel=0.1)


def test_wide_embeddings_are_estimated_and_the_others_exact(monkeypatch):
    x0, _ = of_gaussian(5)
    asked = (gaussian(MEAN, PRIOR), x0, NoiseLevels(*FAR, 4))
    exact, estimate = (ode(*asked, num_probes=count) for count in (0, likelihood.PROBES))
    assert not np.allclose(exact, estimate, atol=1e-3)
    np.testing.assert_array_equal(ode(*asked), exact)
    monkeypatch.setattr(likelihood, 'EXACT_WIDTH', 2)
    np.testing.assert_array_equal(ode(*asked), estimate)


def test_a_row_has_its_density_whatever_stands_beside_it():
    x0, _ = of_gaussian(6)
    keys = jax.random.split(jax.random.key(0), 6)
    levels = NoiseLevels(*FAR, 4)
    together = ode(gaussian(MEAN, PRIOR), x0, levels, 4, keys)
    alone = ode(gaussian(MEAN, PRIOR), x0[4:5], levels, 4, keys[4:5])
    np.testing.assert_allclose(together[4], alone[0], rtol=1e-5)


def test_the_ode_and_the_diffusion_loss_find_the_same_ratio():
    x0, c = pairs(6)
    c[3:] = c[3:][::-1]
    levels = NoiseLevels(*FAR, 32)
    exact = ode(gaussian(c @ GAIN.T, POSTERIOR), x0, levels) - ode(gaussian(0.0, PRIOR), x0, levels)
    np.testing.assert_allclose(exact, analytic(x0, c), atol=0.01)
    draws = COUNT // 6
    losses = ratio(*(np.repeat(some, draws, axis=0) for some in (x0, c @ GAIN.T)), POSTERIOR)
    # As above: the noise of the mean of 400 draws is about 0.04.
    np.testing.assert_allclose(losses.reshape(6, -1).mean(axis=1), exact, atol=0.12)
