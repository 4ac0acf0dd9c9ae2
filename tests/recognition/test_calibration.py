"""Calibration against distributions whose answers are known."""

import json

import numpy as np
import pytest
import scipy.stats

from diface_jax.recognition import calibration
from diface_jax.recognition.calibration import Calibration, cost, prior_of

MEAN, SD = 0.2, 0.1  # of genuine scores; impostors lie around 0


@pytest.fixture(scope='module')
def fitted():
    """Evenly spread normal scores, so that there is no noise of a draw."""
    share = (np.arange(40_000) + 0.5) / 40_000
    genuine = scipy.stats.norm(MEAN, SD).ppf(share[::20])
    return Calibration.fit(genuine, scipy.stats.norm(0.0, SD).ppf(share))


def test_the_ratio_of_two_normals_is_found(fitted):
    """log N(x; m, s) / N(x; 0, s) = m x / s^2 - m^2 / 2 s^2, whatever the numbers of pairs are."""
    assert fitted.slope == pytest.approx(MEAN / SD**2, rel=0.01)
    assert fitted.offset == pytest.approx(-(MEAN**2) / (2 * SD**2), rel=0.01)


def test_probability_is_bayes_rule(fitted):
    score, prior = 0.25, 0.02
    genuine = scipy.stats.norm(MEAN, SD).pdf(score) * prior
    impostor = scipy.stats.norm(0.0, SD).pdf(score) * (1 - prior)
    assert fitted.probability(score, prior) == pytest.approx(
        genuine / (genuine + impostor), rel=0.02
    )
    assert fitted.probability(score, 0.5) == pytest.approx(1 / (1 + np.exp(-fitted.llr(score))))


def test_probabilities_mean_what_they_say(fitted):
    """Of pairs said to match with about p, the share p does, with one genuine pair in ten."""
    rng = np.random.default_rng(0)
    is_genuine = rng.random(200_000) < 0.1
    said = fitted.probability(rng.normal(np.where(is_genuine, MEAN, 0.0), SD), 0.1)
    for low, high in ((0.05, 0.15), (0.4, 0.6), (0.85, 0.95)):
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
    assert cost(np.zeros(3), np.zeros(5)) == pytest.approx(1.0)
    assert cost(np.full(3, 50.0), np.full(5, -50.0)) == pytest.approx(0.0, abs=1e-12)


def test_calibrated_ratios_cost_less_than_scaled_ones(fitted):
    rng = np.random.default_rng(1)
    genuine = fitted.llr(rng.normal(MEAN, SD, 20_000))
    impostor = fitted.llr(rng.normal(0.0, SD, 20_000))
    best = cost(genuine, impostor)
    assert best < cost(2 * genuine, 2 * impostor)
    assert best < cost(genuine / 2, impostor / 2)
    assert best < cost(genuine + 1, impostor + 1)


def test_prior_falls_with_the_gallery():
    assert prior_of(50, 0.5) == pytest.approx(0.01)
    for gallery, enrolled in ((0, 0.5), (10, 0.0), (10, 1.0), (10, float('nan'))):
        with pytest.raises(ValueError, match=r'gallery|enrolled'):
            prior_of(gallery, enrolled)


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
    assert thinned.slope == pytest.approx(whole.slope, rel=0.01)
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
