"""Calibration against distributions whose answers are known."""

import json

import numpy as np
import pytest
import scipy.stats

from diface_jax.gallery import calibration
from diface_jax.gallery.calibration import Calibration, cllr, prior_probability

MEAN, GENUINE_SD, SD = 0.2, 0.07, 0.1  # of genuine scores, and of impostors around 0


@pytest.fixture(scope='module')
def fitted():
    """Evenly spread normal scores, so that there is no noise of a draw."""
    share = (np.arange(40_000) + 0.5) / 40_000
    genuine = scipy.stats.norm(MEAN, GENUINE_SD).ppf(share[10::20])
    return Calibration.fit(genuine, scipy.stats.norm(0.0, SD).ppf(share))


def ratio_of_normals(score):
    genuine = scipy.stats.norm(MEAN, GENUINE_SD).logpdf(score)
    return genuine - scipy.stats.norm(0.0, SD).logpdf(score)


TURN = MEAN * SD**2 / (SD**2 - GENUINE_SD**2)  # where the ratio of these densities is largest


def test_the_ratio_of_two_normals_is_found(fitted):
    """It is a parabola, whatever the numbers of pairs are."""
    score = np.linspace(-0.1, TURN, 50)
    np.testing.assert_allclose(fitted.llr(score), ratio_of_normals(score), atol=0.05)


def test_a_higher_score_is_never_worth_less(fitted):
    assert (np.diff(fitted.llr(np.linspace(-2, 2, 1000))) >= 0).all()
    assert fitted.llr(5.0) == pytest.approx(ratio_of_normals(TURN), abs=0.05)
    # Genuine scores that spread more than impostors': the parabola opens upwards.
    share = (np.arange(5000) + 0.5) / 5000
    wide = Calibration.fit(*(scipy.stats.norm(m, s).ppf(share) for m, s in ((0.2, 0.2), (0, 0.1))))
    assert wide.llr_coefficients[2] > 0
    assert (np.diff(wide.llr(np.linspace(-2, 2, 1000))) >= 0).all()


def test_probability_is_bayes_rule(fitted):
    score, prior = 0.25, 0.02
    genuine = scipy.stats.norm(MEAN, GENUINE_SD).pdf(score) * prior
    impostor = scipy.stats.norm(0.0, SD).pdf(score) * (1 - prior)
    assert fitted.probability(score, prior) == pytest.approx(
        genuine / (genuine + impostor), rel=0.02
    )
    assert fitted.probability(score, 0.5) == pytest.approx(1 / (1 + np.exp(-fitted.llr(score))))


def draw(rng, is_genuine):
    mean, sd = np.where(is_genuine, MEAN, 0.0), np.where(is_genuine, GENUINE_SD, SD)
    return rng.normal(mean, sd)


def test_probabilities_mean_what_they_say(fitted):
    """Of pairs said to match with about p, the share p does, with one genuine pair in ten."""
    rng = np.random.default_rng(0)
    is_genuine = rng.random(200_000) < 0.1
    said = fitted.probability(draw(rng, is_genuine), 0.1)
    for low, high in ((0.0, 0.05), (0.05, 0.15), (0.3, 0.5), (0.5, 0.9)):
        chosen = (said >= low) & (said < high)
        assert is_genuine[chosen].mean() == pytest.approx(said[chosen].mean(), abs=0.03)


def test_false_match_rate_is_the_impostors_tail(fitted):
    for score in (-0.1, 0.0, 0.1, 0.2, 0.3):
        expected = scipy.stats.norm(0.0, SD).sf(score)
        assert fitted.false_match_rate(score) == pytest.approx(expected, rel=0.03)
    assert fitted.false_matches(0.2, 1000) == pytest.approx(1000 * fitted.false_match_rate(0.2))


def test_false_match_rate_counts_equal_scores_and_never_says_never():
    few = Calibration.fit(np.array([0.9, 1.0]), np.array([0.0, 0.5, 0.5, 0.5]))
    assert few.false_match_rate(0.5) == pytest.approx(4 / 5)
    assert few.false_match_rate(0.0) == pytest.approx(5 / 5)
    assert few.false_match_rate(2.0) == pytest.approx(1 / 5)
    falling = few.false_match_rate(np.linspace(-1, 2, 100))
    assert (np.diff(falling) <= 0).all()


def test_cost_of_nothing_is_one_bit_and_of_certainty_none():
    assert cllr(np.zeros(3), np.zeros(5)) == pytest.approx(1.0)
    assert cllr(np.full(3, 50.0), np.full(5, -50.0)) == pytest.approx(0.0, abs=1e-12)


def test_calibrated_ratios_cost_less_than_scaled_ones(fitted):
    rng = np.random.default_rng(1)
    genuine = fitted.llr(rng.normal(MEAN, GENUINE_SD, 20_000))
    impostor = fitted.llr(rng.normal(0.0, SD, 20_000))
    best = cllr(genuine, impostor)
    assert best < cllr(2 * genuine, 2 * impostor)
    assert best < cllr(genuine / 2, impostor / 2)
    assert best < cllr(genuine + 1, impostor + 1)


def test_prior_falls_with_the_gallery():
    assert prior_probability(50, 0.5) == pytest.approx(0.01)
    for gallery, enrolled in ((0, 0.5), (10, 0.0), (10, 1.0), (10, float('nan'))):
        with pytest.raises(ValueError, match=r'gallery|enrolled'):
            prior_probability(gallery, enrolled)


def test_json_and_back(fitted):
    again = Calibration.from_json(json.loads(json.dumps(fitted.to_json())))
    score = np.linspace(-1, 1, 50)
    assert np.array_equal(again.llr(score), fitted.llr(score))
    assert np.array_equal(again.false_match_rate(score), fitted.false_match_rate(score))


def test_thinning_the_impostors_changes_nothing_that_counts(monkeypatch):
    rng = np.random.default_rng(2)
    genuine, impostor = rng.normal(MEAN, SD, 500), rng.normal(0.0, SD, 50_000)
    whole = Calibration.fit(genuine, impostor)
    monkeypatch.setattr(calibration, '_MOST', 5_000)
    thinned = Calibration.fit(genuine, impostor)
    score = np.linspace(-0.1, 0.4, 50)
    np.testing.assert_allclose(thinned.llr(score), whole.llr(score), atol=0.05)
    assert thinned.fmr_Q == pytest.approx(whole.fmr_Q)


@pytest.mark.parametrize(
    ('genuine', 'impostor', 'why'),
    [
        ([0.1], [0.0, 0.1], 'two finite scores'),
        ([0.1, float('nan')], [0.0, 0.1], 'two finite scores'),
        ([0.0, 0.1], [0.5, 0.6], 'as high as genuine'),
    ],
)
def test_scores_that_are_worth_nothing_are_refused(genuine, impostor, why):
    with pytest.raises(ValueError, match=why):
        Calibration.fit(np.array(genuine), np.array(impostor))
