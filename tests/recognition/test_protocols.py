"""The results table: oracle and constant scorers, intervals, who is asked in which gallery."""

import numpy as np
import pytest

from diface_jax.recognition import protocols
from diface_jax.recognition.baselines import Features
from tests import population

EFFORT = protocols.Effort(draws=3, resamples=50, seed=0)


@pytest.fixture(scope='module')
def split():
    return population.split(0, 50)


def methods_of(split):
    """Scorers that know who is who, nothing, and something."""
    people, index = np.unique(split.identity_N, return_inverse=True)
    who = np.eye(len(people))[index]
    noise = np.random.default_rng(0).standard_normal((len(split.photo_T), len(people)))
    return {
        'oracle': Features(who[split.photo_T], who),
        'constant': Features(np.ones((len(split.photo_T), 1)), np.ones((len(index), 1))),
        'some': Features(who[split.photo_T] + 0.7 * noise, who),
    }


def rows_of(split):
    methods, texts = methods_of(split), split.tracks((1.0,))
    gender = split.label_NxA[:, 1]
    draws = {
        c: protocols.draws_of(split, texts[c.track], c, gender, EFFORT)
        for c in protocols.conditions(tuple(texts), has_gender=True)
    }
    thresholds = {
        name: {c.name: protocols.threshold(features, some) for c, some in draws.items()}
        for name, features in methods.items()
    }
    rows = list(protocols.verification_rows(methods, thresholds, split, draws, EFFORT))
    for track, some in texts.items():
        rows += protocols.identification_rows(methods, split, track, some, (10, 0, 500), EFFORT)
    return rows


@pytest.fixture(scope='module')
def rows(split):
    return rows_of(split)


def values(rows, method, metric):
    return [r['value'] for r in rows if (r['method'], r['metric']) == (method, metric)]


def test_every_condition_has_every_number(rows):
    keys = ('method', 'track', 'protocol', 'impostors', 'metric', 'gallery')
    seen = {tuple(r[k] for k in keys) for r in rows}
    verification = 3 * 2 * 2 * 2 * 6
    identification = 3 * 2 * 2 * 2 * 3
    assert len(seen) == len(rows) == verification + identification
    assert {r['gallery'] for r in rows} == {None, 10, 50}


def test_an_oracle_is_perfect_everywhere(rows):
    for metric in ('accuracy', 'auc', 'tar@far=0.01', 'rank@1', 'rank@10'):
        assert set(values(rows, 'oracle', metric)) == {1.0}
    assert set(values(rows, 'oracle', 'eer')) == {0.0}


def test_a_constant_scorer_is_no_better_than_chance(rows):
    for metric in ('accuracy', 'auc', 'eer'):
        np.testing.assert_allclose(values(rows, 'constant', metric), 0.5)
    # All tie: every rank is (G + 1) / 2, which is beyond 10 only in the gallery of 50.
    assert set(values(rows, 'constant', 'rank@1')) == {0.0}
    assert set(values(rows, 'constant', 'rank@10')) == {0.0, 1.0}


def test_intervals_hold_the_value_and_have_a_width(rows):
    for row in rows:
        if row['method'] == 'some' and row['metric'] in ('accuracy', 'auc', 'rank@1'):
            low, high = row['ci95']
            assert low < high
            assert low - 0.02 <= row['value'] <= high + 0.02
            assert row['sd'] < high - low + 0.05


def test_the_interval_is_that_of_repeated_populations():
    """The bootstrap's width is about the spread of AUC over populations drawn anew."""
    found = []
    for seed in range(30):
        one = population.split(seed, 50)
        texts = one.texts('grammar')
        condition = protocols.Condition('grammar', 'cross', 'random')
        draws = {condition: protocols.draws_of(one, texts, condition, None, EFFORT)}
        methods = {'some': methods_of(one)['some']}
        rows = protocols.verification_rows(
            methods, {'some': {condition.name: 0.5}}, one, draws, EFFORT
        )
        found.append(next(r for r in rows if r['metric'] == 'auc'))
    spread = np.std([r['value'] for r in found])
    width = np.mean([r['ci95'][1] - r['ci95'][0] for r in found])
    assert 0.5 < width / (4 * spread) < 2.0


def test_same_seed_same_rows(split, rows):
    assert rows_of(split) == rows


@pytest.mark.parametrize('protocol', ['same', 'cross'])
def test_a_search_asks_for_people_who_are_there(split, protocol):
    search = protocols.draw_search(np.random.default_rng(0), split, split.texts('human'), protocol)
    people = np.unique(split.identity_N)
    np.testing.assert_array_equal(split.identity_N[search.photo_G], people)
    described = split.photo_T[search.text_P]
    shown = search.photo_G[search.person_P]
    np.testing.assert_array_equal(split.identity_N[described], people[search.person_P])
    np.testing.assert_array_equal(split.identity_N[shown], people[search.person_P])
    assert np.all((described == shown) == (protocol == 'same'))
    single = np.bincount(np.unique(split.identity_N, return_inverse=True)[1]) == 1
    assert len(search.person_P) == len(people) - (single.sum() if protocol == 'cross' else 0)
