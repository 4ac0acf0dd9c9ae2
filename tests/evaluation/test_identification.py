"""Who is asked in which gallery, and the numbers of hand-made ranks, an oracle and a constant."""

import numpy as np
import pytest

from diface_jax.evaluation import identification
from diface_jax.evaluation.identification import OpenSet, RankList
from diface_jax.evaluation.protocols import Repetitions
from diface_jax.models.features import Features
from diface_jax.runtime import mesh as meshes
from tests import population

EFFORT = Repetitions(draws=3, resamples=50, seed=0)
ONCE = np.ones((1, 10))


@pytest.fixture(scope='module')
def split():
    return population.split(0, 50)


def methods_of(split):
    """Scorers that know which photo it is, who it is, nothing, and something."""
    _, index = np.unique(split.identity_N, return_inverse=True)
    # All of one width, so that the heavy pass is compiled once.
    photo = np.eye(len(index))
    who, same = photo[index], np.ones_like(photo)
    noise = np.random.default_rng(0).standard_normal((len(split.photo_T), len(index)))
    return {
        'photo': Features(photo[split.photo_T], photo),
        'oracle': Features(who[split.photo_T], who),
        'constant': Features(same[split.photo_T], same),
        'some': Features(who[split.photo_T] + 0.3 * noise, who),
    }


def measured(split):
    methods, texts, sizes = methods_of(split), split.texts('human'), (10, 0, 500)
    mesh = meshes.make_mesh()
    return identification.identification_results(
        methods, split, 'human', texts, sizes, EFFORT, mesh
    )


@pytest.fixture(scope='module')
def found(split):
    return measured(split)


def values(found, method, metric, **where):
    return [
        row['value']
        for row in found.rows
        if (row['method'], row['metric']) == (method, metric) and where.items() <= row.items()
    ]


def test_numbers_of_hand_made_ranks():
    # Ten people in galleries of 100; two mates tie with one other.
    rank = np.array([1, 1, 1.5, 1.5, 3, 7, 12, 40, 80, 100])
    ranks = RankList(rank, np.full(10, 100), np.arange(10))
    number = {name: float(v[0]) for name, v in identification.rank_metrics(ranks, ONCE).items()}
    assert [number[f'rank@{k}'] for k in (1, 5, 10, 20, 50, 100)] == [0.2, 0.5, 0.6, 0.7, 0.8, 1.0]
    assert number['rank_percentile_mean'] == pytest.approx((rank.mean() - 0.5) / 100)
    assert number['rank_percentile_median'] == pytest.approx(0.025)
    assert number['penetration@0.9'] == pytest.approx(0.8)
    np.testing.assert_allclose(
        identification.cmc(ranks, (1, 2, 3, 79, 80), ONCE), [[0.2, 0.4, 0.5, 0.8, 0.9]]
    )


def test_open_set_rates_of_hand_made_scores():
    # Over 0.55 stands one rival of ten; over 0.95 none, which one in a hundred asks for.
    rival = np.array([0.95, 0.55, 0.5, 0.4, 0.3, 0.2, 0.2, 0.1, 0.1, 0.1])
    score, rank = np.array([0.97, 0.9, 0.7, 0.6, 0.5]), np.array([1, 1, 4, 20, 1])
    opened = OpenSet(score, rank, np.arange(5), rival, np.arange(10))
    number = {name: float(v[0]) for name, v in identification.open_set_rates(opened, ONCE).items()}
    assert number == {
        'dir@fpir=0.01,rank=1': pytest.approx(1 / 5),
        'dir@fpir=0.1,rank=1': pytest.approx(2 / 5),
        'dir@fpir=0.01,rank=10': pytest.approx(1 / 5),
        'dir@fpir=0.1,rank=10': pytest.approx(3 / 5),
    }


def test_every_gallery_has_every_number(found):
    keys = ('method', 'protocol', 'gallery', 'photos', 'level')
    rows = {tuple(row[k] for k in (*keys, 'metric')) for row in found.rows}
    galleries = 4 * 2 * 2  # methods, protocols, sizes
    assert len(rows) == len(found.rows) == galleries * (3 * 9 + 2 * 4)
    curves = {tuple(curve[k] for k in keys) for curve in found.curves}
    assert len(curves) == len(found.curves) == galleries * 3
    assert {row['gallery'] for row in found.rows} == {10, 50}


def test_an_oracle_is_first_everywhere(found):
    for metric in ('rank@1', 'rank@100', 'dir@fpir=0.01,rank=1', 'dir@fpir=0.1,rank=10'):
        assert set(values(found, 'oracle', metric)) == {1.0}
    for size in (10, 50):
        where = {'gallery': size, 'level': 'identity'}
        for metric, best in (
            ('rank_percentile_mean', 0.5 / size),
            ('rank_percentile_median', 0.5 / size),
            ('penetration@0.9', 1.0 / size),
        ):
            np.testing.assert_allclose(values(found, 'oracle', metric, **where), best)


def test_a_constant_scorer_is_at_chance(found):
    for metric in ('rank_percentile_mean', 'rank_percentile_median'):
        np.testing.assert_allclose(values(found, 'constant', metric), 0.5)
    for metric in ('dir@fpir=0.01,rank=10', 'dir@fpir=0.1,rank=10'):
        assert set(values(found, 'constant', metric)) == {0.0}
    # All tie: every rank is (G + 1) / 2, which is beyond 10 only in the gallery of 50.
    of_people = {'level': 'identity'}
    assert set(values(found, 'constant', 'rank@10', gallery=10, **of_people)) == {1.0}
    assert set(values(found, 'constant', 'rank@10', gallery=50, **of_people)) == {0.0}


def test_the_described_photo_is_there_in_same_and_gone_in_cross(found):
    assert set(values(found, 'photo', 'rank@1', protocol='same')) == {1.0}
    # Without it all photos look alike, and nobody is told from anybody.
    gone = values(found, 'photo', 'rank_percentile_mean', protocol='cross')
    np.testing.assert_allclose(gone, 0.5)


def test_a_curve_goes_through_its_rows(found):
    rows = {
        tuple(row[k] for k in ('method', 'protocol', 'gallery', 'photos', 'level')): row
        for row in found.rows
        if row['metric'] == 'rank@5'
    }
    for curve in found.curves:
        row = rows[tuple(curve[k] for k in ('method', 'protocol', 'gallery', 'photos', 'level'))]
        assert curve['rate'][4] == pytest.approx(row['value'], abs=1e-5)
        np.testing.assert_allclose(curve['ci95'][4], row['ci95'], atol=1e-5)
        assert curve['k'][4] == 5
        assert np.all(np.diff(curve['rate']) >= 0)
        assert curve['rate'][-1] == 1.0 or curve['level'] == 'image'


def test_intervals_hold_the_value_and_have_a_width(found):
    for row in found.rows:
        if row['method'] == 'some' and row['metric'] == 'rank_percentile_mean':
            low, high = row['ci95']
            assert low < row['value'] < high


def test_same_seed_same_rows(split, found):
    again = measured(split)
    assert (again.rows, again.curves) == (found.rows, found.curves)


def test_galleries_larger_than_the_data_set_become_one_gallery_of_all(split):
    people = len(np.unique(split.identity_N))
    texts, mesh = split.texts('human'), meshes.make_mesh()
    methods = {'oracle': methods_of(split)['oracle']}
    effort = EFFORT._replace(draws=1, resamples=2)
    found = identification.identification_results(
        methods, split, 'human', texts, (10_000,), effort, mesh
    )
    assert {row['gallery'] for row in found.rows} == {people}


def test_galleries_share_nobody():
    number = identification.split_into_galleries(np.random.default_rng(0), 103, 20)
    assert np.bincount(number + 1).tolist() == [3, 20, 20, 20, 20, 20]
    everybody = identification.split_into_galleries(np.random.default_rng(0), 103, 103)
    np.testing.assert_array_equal(everybody, 0)


@pytest.mark.parametrize('protocol', ['same', 'cross'])
def test_a_search_asks_for_people_who_are_there(split, protocol):
    rng = np.random.default_rng(0)
    search = identification.draw_identification(rng, split, split.texts('human'), protocol)
    people = np.unique(split.identity_N)
    np.testing.assert_array_equal(split.identity_N[search.photo_I], people)
    described = split.photo_T[search.text_P]
    shown = search.photo_I[search.person_P]
    np.testing.assert_array_equal(split.identity_N[described], people[search.person_P])
    np.testing.assert_array_equal(split.identity_N[shown], people[search.person_P])
    assert np.all((described == shown) == (protocol == 'same'))
    single = np.bincount(np.unique(split.identity_N, return_inverse=True)[1]) == 1
    assert len(search.person_P) == len(people) - (single.sum() if protocol == 'cross' else 0)
