"""A Gaussian copula: binary labels as the signs of correlated normal variables.

A label of a photo is true where a latent variable is positive: the sum of a normal variable of the
person and one of the photo. This module computes the covariances of both that reproduce the
covariances of the labels.
"""

import numpy as np

_PROJECTIONS = 60  # towards the nearest correlation matrix
_ANGLES = 801  # on which a bivariate normal is integrated


def latent_covariances(
    rate_A: np.ndarray, between_AxA: np.ndarray, within_AxA: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Covariances of the latent variables between and within people; variances add up to 1.

    Args:
      rate_A: share of photos for which each label is true.
      between_AxA: covariance of the labels between people.
      within_AxA: covariance of the labels within people.
    """
    between = tetrachoric(rate_A, between_AxA)
    within = tetrachoric(rate_A, between_AxA + within_AxA) - between
    share_A = np.clip(np.diag(between), 1e-3, 1 - 1e-3)  # of the person
    return nearest_covariance(between, share_A), nearest_covariance(within, 1 - share_A)


def nearest_covariance(matrix: np.ndarray, variance_A: np.ndarray) -> np.ndarray:
    """A positive semi-definite matrix near the given one, with these variances.

    By alternating projections with Dykstra's correction (Higham 2002, "Computing the nearest
    correlation matrix"), of the correlations.
    """
    scale = np.sqrt(np.outer(variance_A, variance_A))
    nearest, correction = np.clip(matrix / scale, -1, 1), 0.0
    for _ in range(_PROJECTIONS):
        before = nearest - correction
        nearest = nearest_positive(before)
        correction = nearest - before
        np.fill_diagonal(nearest, 1.0)
    return nearest_positive(nearest) * scale


def tetrachoric(rate_A: np.ndarray, covariance_AxA: np.ndarray) -> np.ndarray:
    """Correlations of normal variables whose signs have these covariances (Pearson 1900).

    With r = sin(angle), the covariance of signs grows with the angle by a smooth function of it
    (Plackett 1954), which is integrated on a grid and inverted.
    """
    from scipy.integrate import cumulative_trapezoid  # slow to import, as all of scipy
    from scipy.special import ndtri

    h_A = ndtri(rate_A)
    angle_R = np.linspace(-np.pi / 2, np.pi / 2, _ANGLES + 2)[1:-1]
    r_R = np.sin(angle_R)
    h, k = h_A[:, None, None], h_A[None, :, None]
    slope_AxAxR = np.exp(-(h**2 - 2 * h * k * r_R + k**2) / (2 * (1 - r_R**2))) / (2 * np.pi)
    covariance_AxAxR = cumulative_trapezoid(slope_AxAxR, angle_R, initial=0)
    covariance_AxAxR -= covariance_AxAxR[..., _ANGLES // 2, None]
    correlations = [
        np.interp(covariance, covariance_R, r_R)
        for covariance, covariance_R in zip(
            covariance_AxA.ravel(), covariance_AxAxR.reshape(-1, _ANGLES), strict=True
        )
    ]
    return np.reshape(correlations, covariance_AxA.shape)


def nearest_positive(symmetric: np.ndarray) -> np.ndarray:
    """The nearest positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(symmetric)
    return (vectors * np.maximum(values, 0)) @ vectors.T
