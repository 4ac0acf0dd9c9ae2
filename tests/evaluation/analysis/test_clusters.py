"""Cluster statistics against hand-made clusters, all pairs, and scikit-learn."""

import jax
import numpy as np
import pytest
from sklearn.metrics import calinski_harabasz_score

from diface_jax.diffusion import schedule
from diface_jax.diffusion.ddim import SamplingPath, ddim_path
from diface_jax.evaluation.analysis import clusters
from diface_jax.models.features import Features, unit_rows


def people(spread, count=100, rows=4, dim=300):
    """Rows about places of variance 1, in dimensions enough that lengths hardly differ."""
    rng = np.random.default_rng(0)
    identity = np.repeat(np.arange(count), rows)
    place = rng.standard_normal((count, dim))[identity]
    return place + spread * rng.standard_normal(place.shape), identity


def test_two_points_at_a_right_angle():
    x = np.array([[2.0, 0.0], [5.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    record = clusters.cluster_statistics(x, np.array([7, 7, 9, 9]))
    assert record.pop('fisher') > 1e6
    expected = {'silhouette': 1, 'cos_within': 1, 'cos_between': 0, 'rows': 4, 'identities': 2}
    assert record == pytest.approx(expected)


def test_cosines_are_those_of_all_pairs():
    rng = np.random.default_rng(0)
    x, identity = rng.standard_normal((40, 5)), rng.integers(0, 15, 40)
    assert np.any(np.unique(identity, return_counts=True)[1] == 1)
    record = clusters.cluster_statistics(x, identity)
    cosine, same = unit_rows(x) @ unit_rows(x).T, identity[:, None] == identity
    assert record['cos_within'] == pytest.approx(cosine[same & ~np.eye(40, dtype=bool)].mean())
    assert record['cos_between'] == pytest.approx(cosine[~same].mean())


def test_fisher_ratio_follows_from_the_one_of_scikit_learn():
    """Calinski and Harabasz's score is (n between + within) / within for n rows a person."""
    x, identity = people(1.5, count=10, rows=3, dim=6)
    score = calinski_harabasz_score(unit_rows(x), identity)
    assert clusters.cluster_statistics(x, identity)['fisher'] == pytest.approx((score - 1) / 3)


@pytest.mark.parametrize('rows', [2, 8])
@pytest.mark.parametrize('spread', [0.5, 2.0])
def test_fisher_ratio_is_that_of_the_variances_whatever_the_rows_a_person(spread, rows):
    record = clusters.cluster_statistics(*people(spread, rows=rows))
    assert record['fisher'] == pytest.approx(1 / spread**2, rel=0.05)


def test_labels_at_random_make_no_clusters():
    x, identity = people(1.0)
    record = clusters.cluster_statistics(x, np.random.default_rng(0).permutation(identity))
    assert record['fisher'] == pytest.approx(0.0, abs=0.01)
    assert record['cos_within'] == pytest.approx(record['cos_between'], abs=0.01)
    assert record['silhouette'] < 0


def test_somebody_with_one_row_counts_between_alone():
    x, identity = people(1.0, count=5, rows=2, dim=8)
    alone = clusters.cluster_statistics(np.vstack([x, np.ones((1, 8))]), np.append(identity, 99))
    before = clusters.cluster_statistics(x, identity)
    for metric in ('silhouette', 'cos_within'):
        assert alone[metric] == pytest.approx(before[metric])
    assert alone['cos_between'] != pytest.approx(before['cos_between'])
    assert (alone['rows'], alone['identities']) == (11, 6)


def test_refuses_what_has_no_clusters():
    x, identity = people(1.0, count=3, rows=2, dim=4)
    with pytest.raises(ValueError, match='two identities'):
        clusters.cluster_statistics(x, np.array([0, 0, 1, 2, 3, 4]))
    x[4] = np.nan
    with pytest.raises(ValueError, match=r'rows \[4\] of 6'):
        clusters.cluster_statistics(x, identity)


def test_spaces_of_texts_and_photos():
    x0 = Features(people(2.0, rows=3)[0], people(2.0)[0])
    f = Features(people(0.5, rows=3)[0], people(0.5)[0])
    records = clusters.clusters_by_space(x0, f, people(1.0, rows=3)[1], people(1.0)[1])
    assert [record['space'] for record in records] == [
        'X0, photos',
        'recovered, texts',
        'F, photos',
        'F, texts',
    ]
    assert [record['rows'] for record in records] == [400, 300, 400, 300]
    assert [record['fisher'] > 1 for record in records] == [False, False, True, True]


def test_clusters_form_along_the_path():
    """For N(place, s^2 I) x_t is alpha place + root(alpha^2 s^2 + sigma^2) x_T: Fisher's ratio is
    known at each time, and the estimate is in its cluster from the start."""
    place, identity = people(0.0, count=40)
    s = 0.5

    def denoise(x_t, log_snr):
        alpha, sigma = schedule.alpha_sigma(log_snr)
        return place + alpha * s**2 / (alpha**2 * s**2 + sigma**2) * (x_t - alpha * place)

    x_T = jax.random.normal(jax.random.key(0), place.shape)
    path = jax.jit(lambda x_T: ddim_path(denoise, x_T, schedule.cosine, 100))(x_T)
    seen = [0, 50, 100]
    path = SamplingPath(*(np.asarray(values)[seen] for values in path))
    records = clusters.clusters_along_path(path, lambda x0: -x0, identity)
    fisher = {(record['space'], record['t']): record['fisher'] for record in records}
    alpha, sigma = schedule.alpha_sigma(path.log_snr_S)
    known = alpha**2 / (alpha**2 * s**2 + sigma**2)
    actual = [fisher['x_t', t] for t in (1.0, 0.5, 0.0)]
    np.testing.assert_allclose(actual, known, rtol=0.1, atol=0.01)
    assert fisher['estimate', 1.0] > 1000
    assert fisher['F of the estimate', 0.5] == pytest.approx(fisher['estimate', 0.5])
    assert records[-1]['log_snr'] == pytest.approx(schedule.LOG_SNR_MAX)


def test_one_text_a_person_makes_no_clusters_of_texts():
    x, identity = people(0.3, count=5)
    first = np.unique(identity, return_index=True)[1]
    sides = Features(x[first], x)
    records = clusters.clusters_by_space(sides, sides, identity[first], identity)
    assert [record['space'] for record in records] == ['X0, photos', 'F, photos']
    path = SamplingPath(np.ones(1), np.ones(1), x[None, first], x[None, first])
    assert clusters.clusters_along_path(path, unit_rows, identity[first]) == []
