"""The bootstrap's numbers are those of a list in which people stand as often as they were drawn."""

import numpy as np
import pytest

from diface_jax.evaluation import bootstrap, verification

PEOPLE, ROWS = 12, 60


@pytest.fixture
def example():
    rng = np.random.default_rng(0)
    times = bootstrap.resample_counts(PEOPLE, 20, 0)
    who = rng.integers(0, PEOPLE, ROWS)
    # Few different values, so that many tie.
    return rng.integers(0, 9, ROWS) / 8, who, times


def test_everybody_is_drawn_once_on_average():
    times = bootstrap.resample_counts(PEOPLE, 3000, 0)
    np.testing.assert_array_equal(times.sum(axis=1), PEOPLE)
    np.testing.assert_allclose(times.mean(axis=0), 1, atol=0.08)


def test_means_and_quantiles_are_those_of_repeated_rows(example):
    value, who, times = example
    mean = bootstrap.resampled_means(np.stack([value, value**2], axis=1), who, times)
    median = bootstrap.resampled_quantiles(value, 0.5, who, times)
    high = bootstrap.resampled_quantiles(value, 0.9, who, times)
    for r, count in enumerate(times[:, who].astype(int)):
        repeated = np.repeat(value, count)
        np.testing.assert_allclose(mean[r], [repeated.mean(), (repeated**2).mean()])
        assert median[r] == np.quantile(repeated, 0.5, method='inverted_cdf')
        assert high[r] == np.quantile(repeated, 0.9, method='inverted_cdf')


def test_accepted_is_the_step_of_the_roc_curve(example):
    score, who, times = example
    genuine = np.arange(ROWS) % 2 == 0
    fars = (0.0, 0.01, 0.1, 0.3, 1.0)
    weights = [(w[who[~genuine]], w[who[genuine]]) for w in times]
    hits = np.stack([np.ones(ROWS // 2, bool), who[genuine] < 6])
    found = bootstrap.accepted_share(score[~genuine], score[genuine], weights, fars, hits)
    for r, count in enumerate(times[:, who]):
        curve = verification.roc_curve(score, genuine, count)
        np.testing.assert_allclose(found[r, 0], [verification.tar_at_far(curve, f) for f in fars])
        share = np.average(who[genuine] < 6, weights=count[genuine])
        assert found[r, 1, -1] == pytest.approx(share)


def test_a_resample_with_nobody_asked_is_passed_over():
    times = np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]])
    who, value = np.array([0]), np.array([0.7])
    found = bootstrap.resampled_means(value[:, None], who, times)
    np.testing.assert_array_equal(found[:, 0], [0.7, 0.7, np.nan])
    np.testing.assert_array_equal(
        bootstrap.resampled_quantiles(value, 0.5, who, times), found[:, 0]
    )
    np.testing.assert_allclose(bootstrap.percentile_interval(found), [[0.7, 0.7]])
