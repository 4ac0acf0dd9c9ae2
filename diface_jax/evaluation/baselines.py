"""Baselines: gender, the attribute oracle, ridge regression and CCA.

Each of them, like DiFace itself, maps texts and photos to features whose dot product is the score.
Ridge regression, CCA and the oracle are fitted on training rows only, and tuned on validation.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import scipy.linalg

from diface_jax.models.features import Features, unit_rows


def gender_features(male_N: np.ndarray, photo_of_text_T: np.ndarray) -> Features:
    """Features that score 1 for equal gender labels, -1 for different, 0 if a label is missing.

    Args:
      male_N: 1, 0 or -1 (missing) for each photo.
      photo_of_text_T: row of the photo each text describes, whose label is the text's.
    """
    sign_Nx1 = np.where(male_N < 0, 0.0, 2.0 * male_N - 1.0)[:, None]
    return Features(sign_Nx1[photo_of_text_T], sign_Nx1)


class AttributeOracle(NamedTuple):
    """The attribute oracle: true labels of both sides, centred and weighted, compared by cosine.

    The weight of an attribute is the square root of its correlation between photos of a person, so
    that a lasting one (gender, hair) counts more than a passing one (smile).
    """

    mean_A: np.ndarray
    weight_A: np.ndarray

    @classmethod
    def fit(cls, label_NxA: np.ndarray, identity_N: np.ndarray) -> 'AttributeOracle':
        """Learns means and weights from training labels (1 or 0; rows with -1 are ignored)."""
        known = (label_NxA >= 0).all(axis=1)
        label, identity = label_NxA[known].astype(float), identity_N[known]
        mean_A, variance_A = label.mean(axis=0), label.var(axis=0) + 1e-6
        classes, index = np.unique(identity, return_inverse=True)
        count = np.bincount(index)
        sums = np.stack([np.bincount(index, column) for column in (label - mean_A).T], axis=1)
        # Products of two different photos of the same person, averaged over all such pairs.
        squares = np.zeros((len(classes), label.shape[1]))
        np.add.at(squares, index, (label - mean_A) ** 2)
        pairs = np.maximum((count * (count - 1)).sum(), 1)
        correlation_A = ((sums**2 - squares).sum(axis=0) / pairs) / variance_A
        return cls(mean_A, np.sqrt(np.clip(correlation_A, 1e-3, 1.0) / variance_A))

    def features(self, label_NxA: np.ndarray, photo_of_text_T: np.ndarray) -> Features:
        """Features of a split's labels; a missing label counts as the mean."""
        label = np.where(label_NxA < 0, self.mean_A, label_NxA)
        f_NxA = unit_rows((label - self.mean_A) * self.weight_A)
        return Features(f_NxA[photo_of_text_T], f_NxA)


class LinearProjection(NamedTuple):
    """Two centred linear maps whose outputs are compared by cosine: ridge regression or CCA."""

    c_mean_C: np.ndarray
    text_CxF: np.ndarray
    photo_DxF: np.ndarray

    def features(self, c_TxC: np.ndarray, x0_NxD: np.ndarray) -> Features:
        """Features of conditions and of centred embeddings."""
        return Features(
            unit_rows((c_TxC - self.c_mean_C) @ self.text_CxF), unit_rows(x0_NxD @ self.photo_DxF)
        )

    def first_directions(self, dim: int) -> 'LinearProjection':
        """The projection onto the first `dim` directions."""
        return LinearProjection(self.c_mean_C, self.text_CxF[:, :dim], self.photo_DxF[:, :dim])


class CrossMoments(NamedTuple):
    """Means and second moments of (c, x0) over training pairs, from which ridge and CCA are fit."""

    c_mean_C: np.ndarray
    cc_CxC: np.ndarray
    cx_CxD: np.ndarray
    xx_DxD: np.ndarray

    @classmethod
    def from_pairs(cls, c_TxC: np.ndarray, x0_TxD: np.ndarray) -> 'CrossMoments':
        """Moments of texts, each paired with the embedding of the photo it describes."""
        c_mean = c_TxC.mean(axis=0)
        c, count = c_TxC - c_mean, len(c_TxC)
        x0 = x0_TxD - x0_TxD.mean(axis=0)
        return cls(c_mean, c.T @ c / count, c.T @ x0 / count, x0.T @ x0 / count)


def fit_ridge(moments: CrossMoments, strength: float) -> LinearProjection:
    """Ridge regression of x0 on c.

    Args:
      moments: of the training pairs.
      strength: the ridge penalty, in units of c's mean variance.
    """
    penalised = moments.cc_CxC + _penalty(moments.cc_CxC, strength)
    weight_CxD = scipy.linalg.solve(penalised, moments.cx_CxD, assume_a='pos')
    return LinearProjection(moments.c_mean_C, weight_CxD, np.eye(weight_CxD.shape[1]))


def fit_cca(moments: CrossMoments, strengths: Iterable[float]) -> tuple[LinearProjection, ...]:
    """Canonical correlation analysis of c and x0 (Hotelling 1936), regularised on both sides.

    Args:
      moments: of the training pairs.
      strengths: ridge penalties, in units of each side's mean variance.

    Returns:
      A projection for each strength: all canonical directions, the most correlated first, each
      weighted by the square root of its correlation.
    """
    # Decomposed once: a penalty changes only the eigenvalues.
    c_spectrum, x_spectrum = np.linalg.eigh(moments.cc_CxC), np.linalg.eigh(moments.xx_DxD)

    def fit(strength: float) -> LinearProjection:
        c_root, x_root = _inverse_root(c_spectrum, strength), _inverse_root(x_spectrum, strength)
        u, correlation, vt = np.linalg.svd(c_root @ moments.cx_CxD @ x_root, full_matrices=False)
        scale = np.sqrt(correlation)
        return LinearProjection(moments.c_mean_C, c_root @ u * scale, x_root @ vt.T * scale)

    return tuple(fit(strength) for strength in strengths)


def _penalty(covariance: np.ndarray, strength: float) -> np.ndarray:
    return strength * np.trace(covariance) / len(covariance) * np.eye(len(covariance))


def _inverse_root(spectrum: tuple[np.ndarray, np.ndarray], strength: float) -> np.ndarray:
    """Inverse square root of a penalised covariance, from its eigenvalues and eigenvectors."""
    values, vectors = spectrum
    return (vectors / np.sqrt(values + strength * values.mean())) @ vectors.T
