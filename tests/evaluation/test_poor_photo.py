"""Searches with a poor photo: where mates stand, and what a fusion learns."""

import numpy as np
import pytest

from diface_jax.evaluation import poor_photo, poor_photo_methods
from diface_jax.evaluation.identification import IdentificationDraw
from diface_jax.evaluation.poor_photo_methods import Fusion, NoiseOfObservations, PhotoProbes
from diface_jax.models.features import Features
from tests import population


def test_where_mates_stand():
    """Scores written by hand: two probes of people 0 and 2, three photos, and a tie."""
    probes = PhotoProbes(None, np.array([4, 7]), None)
    features = Features(
        np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.9, 0.0], [0.2, 0.5], [0.1, 0.5]])
    )
    draw = IdentificationDraw(np.array([7, 4]), np.array([2, 0]), np.arange(3))
    placed = poor_photo.placements(features, probes, draw)
    np.testing.assert_allclose(placed.rank_P, [1.5, 1])
    # The impostors score 0.2 and 0.1 for the first probe, 0 and 0.5 for the second.
    np.testing.assert_allclose(placed.auc_P, [3.5 / 4, 1])


def test_a_fusion_trusts_a_photo_by_its_quality():
    rng = np.random.default_rng(0)
    genuine_M = np.arange(4000) % 2 == 0
    quality_Mx1 = rng.choice([-1.0, 1.0], (4000, 1))
    text_M, photo_M = genuine_M + rng.standard_normal((2, 4000))
    photo_M = np.where(quality_Mx1[:, 0] > 0, photo_M, rng.standard_normal(4000))
    fusion = Fusion.fit(np.stack([text_M, photo_M]), quality_Mx1, genuine_M, uses_quality=True)
    one = Features(np.ones((2, 1)), np.ones((1, 1)))
    fused = fusion([one, one], np.array([[-1.0], [1.0]]))
    text_2, photo_2, _ = fused.text_TxF.T
    assert photo_2[1] == pytest.approx(text_2[1], rel=0.3)
    assert abs(photo_2[0]) < 0.2 * text_2[0]
    plain = Fusion.fit(np.stack([text_M, photo_M]), quality_Mx1, genuine_M, uses_quality=False)
    weights = plain([one, one], np.array([[-1.0], [1.0]])).text_TxF
    np.testing.assert_array_equal(weights[0], weights[1])


def test_the_noise_of_observations():
    rng = np.random.default_rng(0)
    x0 = rng.standard_normal((500, 40))
    noise = NoiseOfObservations.fit(0.5 * x0 + 0.25 * rng.standard_normal(x0.shape), x0)
    assert noise.scale == pytest.approx(0.5, abs=0.01)
    assert noise.log_snr == pytest.approx(np.log(4), abs=0.05)


def test_a_fusion_is_fitted_on_pairs_of_the_protocol_cross():
    split = population.split(3, 30)
    pairs = poor_photo_methods.draw_fitting_pairs(PhotoProbes(split, split.texts('human'), None), 0)
    described = split.photo_T[split.texts('human')][pairs.probe_M]
    same = split.identity_N[described] == split.identity_N[pairs.photo_M]
    np.testing.assert_array_equal(same, pairs.genuine_M)
    assert not np.any(described == pairs.photo_M)
