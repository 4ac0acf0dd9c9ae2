"""Baselines where the answer is known."""

import numpy as np
import pytest

from diface_jax.evaluation import baselines
from tests import population


def linear_pairs(count=4000, noise=0.0):
    """Conditions that are a linear map of a 4-dimensional cause, as the embeddings are."""
    rng = np.random.default_rng(0)
    cause = rng.standard_normal((count, 4))
    c = cause @ rng.standard_normal((4, 9)) + 2.0
    x0 = cause @ rng.standard_normal((4, 6)) + noise * rng.standard_normal((count, 6))
    return c, x0


def test_ridge_finds_a_linear_map():
    c, x0 = linear_pairs()
    fit = baselines.fit_ridge(baselines.CrossMoments.from_pairs(c, x0), 1e-9)
    features = fit.features(c, x0 - x0.mean(axis=0))
    np.testing.assert_allclose(np.sum(features.text_TxF * features.photo_NxF, axis=1), 1, atol=1e-6)


def test_cca_finds_the_shared_cause_and_no_more():
    """Of six directions of x0 four are shared; text and photo agree in those."""
    c, x0 = linear_pairs(noise=0.01)
    fit = baselines.fit_cca(baselines.CrossMoments.from_pairs(c, x0), [1e-6])[0].first_directions(4)
    features = fit.features(c, x0 - x0.mean(axis=0))
    agreement = np.sum(features.text_TxF * features.photo_NxF, axis=1)
    assert agreement.mean() > 0.99
    assert np.abs(np.mean(features.text_TxF[:-1] * features.photo_NxF[1:])) < 0.01


def test_gender():
    features = baselines.gender_features(np.array([1, 0, 1, -1]), np.array([0, 1, 3]))
    np.testing.assert_array_equal(
        features.text_TxF @ features.photo_NxF.T, [[1, -1, 1, 0], [-1, 1, -1, 0], [0, 0, 0, 0]]
    )


def test_oracle_knows_the_described_photo_and_trusts_what_lasts():
    split = population.split(0, 400)
    oracle = baselines.AttributeOracle.fit(split.label_NxA, split.identity_N)
    features = oracle.features(split.label_NxA, split.photo_T)
    own = np.sum(features.text_TxF * features.photo_NxF[split.photo_T], axis=1)
    np.testing.assert_allclose(own, 1.0, rtol=1e-6)
    # 'Male' never changes between photos of a person; 'Smiling' follows a noisy dimension.
    spread = split.label_NxA.std(axis=0)
    weight = dict(zip(population.ATTRIBUTES, oracle.weight_A * spread, strict=True))
    assert weight['Male'] == pytest.approx(1.0, abs=0.05)
    assert weight['Smiling'] < 0.97
