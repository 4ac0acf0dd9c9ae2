"""The Gaussian copula: labels' covariances and the latent ones behind them."""

import numpy as np
import pytest
from scipy.special import ndtri

from diface_jax.data.simulation import copula


def test_latent_correlations_are_those_of_sheppard():
    """Of medians the covariance of signs is asin(r) / 2 pi (Sheppard 1899)."""
    r = np.array([[0.99, -0.5], [-0.5, 0.2]])
    correlation = copula.tetrachoric(np.array([0.5, 0.5]), np.arcsin(r) / (2 * np.pi))
    np.testing.assert_allclose(correlation, r, atol=1e-4)


def test_latent_correlations_of_rare_labels():
    rate_A, r = np.array([0.03, 0.2]), 0.6
    rng = np.random.default_rng(0)
    u_NxA = rng.multivariate_normal([0, 0], [[1, r], [r, 1]], 2_000_000) + ndtri(rate_A)
    covariance = np.cov((u_NxA > 0).T.astype(float))
    correlation = copula.tetrachoric(rate_A, covariance)
    assert correlation[0, 1] == pytest.approx(r, abs=0.01)


def test_the_nearest_covariance():
    good = np.array([[1.0, 0.3], [0.3, 0.5]])
    np.testing.assert_allclose(copula.nearest_covariance(good, np.diag(good)), good, atol=1e-9)
    bad = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    mended = copula.nearest_covariance(bad, np.ones(3))
    assert np.linalg.eigvalsh(mended)[0] > -1e-9
    np.testing.assert_allclose(np.diag(mended), 1, atol=0.01)
