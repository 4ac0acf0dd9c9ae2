"""x0, eps and v say the same of a noisy point."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diface_jax.diffusion.parameterization import snr_weight, to_x0
from diface_jax.diffusion.schedule import alpha_sigma


@pytest.mark.parametrize('prediction', ['x0', 'eps', 'v'])
def test_the_true_output_gives_the_true_x0(prediction):
    keys = jax.random.split(jax.random.key(0))
    x0, eps = (jax.random.normal(key, (50, 4)) for key in keys)
    log_snr = jnp.linspace(-6.0, 6.0, 50)[:, None]
    alpha, sigma = alpha_sigma(log_snr)
    output = {'x0': x0, 'eps': eps, 'v': alpha * eps - sigma * x0}[prediction]
    estimate = to_x0(output, alpha * x0 + sigma * eps, log_snr, prediction)
    np.testing.assert_allclose(estimate, x0, atol=1e-4)


def test_unknown_prediction():
    with pytest.raises(ValueError, match='eps'):
        to_x0(jnp.ones((1, 1)), jnp.ones((1, 1)), jnp.zeros((1, 1)), 'score')


def test_snr_weight():
    snr = jnp.array([0.01, 0.5, 2.0, 5.0, 50.0])
    np.testing.assert_allclose(
        snr_weight(jnp.log(snr), 0.5, 5.0), [0.1, 0.1, 0.4, 1.0, 1.0], rtol=1e-6
    )
