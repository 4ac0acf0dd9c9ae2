"""The sampler against closed forms: Gaussian data, whose ideal denoiser is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diface_jax.diffusion import schedule
from diface_jax.diffusion.ddim import ddim, ddim_path, guided_denoiser

MEAN = jnp.array([1.0, -2.0, 0.5])
ROOT = jnp.array([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [-0.3, 0.2, 0.4]])
COVARIANCE = ROOT @ ROOT.T


def exact(x_t, log_snr):
    """E[x0 | x_t] for x0 ~ N(MEAN, COVARIANCE)."""
    alpha, sigma = schedule.alpha_sigma(log_snr[0, 0])
    gain = alpha * COVARIANCE @ jnp.linalg.inv(alpha**2 * COVARIANCE + sigma**2 * jnp.eye(3))
    return MEAN + (x_t - alpha * MEAN) @ gain.T


def sample(count, num_steps, log_snr=schedule.cosine, eta=0.0):
    start_key, key = jax.random.split(jax.random.key(0))
    x_T = jax.random.normal(start_key, (count, 3))
    return np.asarray(ddim(exact, x_T, log_snr, num_steps, eta, key))


@pytest.mark.parametrize('log_snr', [schedule.cosine, schedule.linear])
@pytest.mark.parametrize('eta', [0.0, 1.0])
def test_carries_noise_to_the_known_gaussian(log_snr, eta):
    x0 = sample(20_000, 500, log_snr, eta)
    # Sampling error of 20,000 draws is about 0.007 to 0.01; the rest is discretisation.
    np.testing.assert_allclose(x0.mean(axis=0), MEAN, atol=0.03)
    np.testing.assert_allclose(np.cov(x0.T), COVARIANCE, atol=0.03)


def test_more_steps_come_nearer():
    errors = [np.abs(np.cov(sample(40_000, n).T) - COVARIANCE).max() for n in (4, 16, 64)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_one_step_is_the_posterior_mean():
    np.testing.assert_allclose(sample(500, 1), np.tile(MEAN, (500, 1)), atol=0.02)


def test_follows_the_probability_flow_of_one_dimension():
    """For N(0, s^2) the flow maps x_T to s x_T, point by point."""
    s = 0.3

    def denoise(x_t, log_snr):
        alpha, sigma = schedule.alpha_sigma(log_snr)
        return alpha * s**2 / (alpha**2 * s**2 + sigma**2) * x_t

    x_T = jnp.linspace(-3, 3, 7)[:, None]
    np.testing.assert_allclose(ddim(denoise, x_T, schedule.cosine, 2000), s * x_T, atol=2e-3)


def test_the_path_is_the_known_one_at_every_time():
    """For N(0, s^2) x_t is root(alpha^2 s^2 + sigma^2) x_T, and the estimate E[x0 | x_t]."""
    s = 0.3

    def denoise(x_t, log_snr):
        alpha, sigma = schedule.alpha_sigma(log_snr)
        return alpha * s**2 / (alpha**2 * s**2 + sigma**2) * x_t

    x_T = jnp.linspace(-3, 3, 7)[:, None]
    path = ddim_path(denoise, x_T, schedule.cosine, 2000)
    np.testing.assert_allclose(path.t_S, np.linspace(1.0, 0.0, 2001), atol=1e-6)
    np.testing.assert_allclose(path.log_snr_S, schedule.cosine(path.t_S))
    log_snr = path.log_snr_S[:, None, None]
    alpha, sigma = schedule.alpha_sigma(log_snr)
    known = jnp.sqrt(alpha**2 * s**2 + sigma**2) * x_T
    np.testing.assert_allclose(path.x_SxBxD, known, atol=5e-3)
    np.testing.assert_allclose(path.x0_SxBxD[:-1], denoise(known, log_snr)[:-1], atol=5e-3)


@pytest.mark.parametrize(('num_steps', 'eta'), [(1, 0.0), (4, 1.0)])
def test_the_path_goes_from_the_start_to_where_the_sampler_ends(num_steps, eta):
    x_T, key = jax.random.normal(jax.random.key(1), (4, 3)), jax.random.key(2)
    walk = (lambda x_t, log_snr: jnp.tanh(x_t), x_T, schedule.cosine, num_steps, eta, key)
    path = ddim_path(*walk)
    assert path.x_SxBxD.shape == path.x0_SxBxD.shape == (num_steps + 1, 4, 3)
    np.testing.assert_array_equal(path.x_SxBxD[0], x_T)
    np.testing.assert_allclose(path.x_SxBxD[-1], ddim(*walk), rtol=1e-5)
    np.testing.assert_array_equal(path.x0_SxBxD[-1], path.x_SxBxD[-1])


def test_eta_zero_needs_no_key_and_is_deterministic():
    x_T = jnp.ones((2, 3))
    first, second = (ddim(exact, x_T, schedule.cosine, 10) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    with pytest.raises(ValueError, match='key'):
        ddim(exact, x_T, schedule.cosine, 10, eta=0.5)


def test_refuses_no_steps():
    with pytest.raises(ValueError, match='at least one step'):
        ddim(exact, jnp.ones((2, 3)), schedule.cosine, 0)


def test_another_batch_does_not_compile_again():
    run = jax.jit(lambda x: ddim(exact, x, schedule.cosine, 5))
    for seed in range(3):
        run(jax.random.normal(jax.random.key(seed), (8, 3)))
    assert run._cache_size() == 1


def test_guidance_interpolates_and_extrapolates():
    x, log_snr = jnp.ones((2, 3)), jnp.zeros((2, 1))
    conditional, unconditional = (lambda x, s: 3 * x), (lambda x, s: x)
    for scale, expected in ((0.0, 1.0), (1.0, 3.0), (2.0, 5.0)):
        np.testing.assert_allclose(
            guided_denoiser(conditional, unconditional, scale)(x, log_snr), expected * x
        )
