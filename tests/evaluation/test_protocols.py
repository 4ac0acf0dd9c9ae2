"""Verification's rows and curves: oracle and constant scorers, and intervals."""

import numpy as np
import pytest

from diface_jax.evaluation import protocols, verification
from diface_jax.models.features import Features
from tests import population

EFFORT = protocols.Repetitions(draws=3, resamples=50, seed=0)


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
        c: protocols.draw_pair_sets(split, texts[c.track], c, gender, EFFORT)
        for c in protocols.conditions(tuple(texts), has_gender=True)
    }
    thresholds = {
        name: {c.name: protocols.choose_threshold(features, some) for c, some in draws.items()}
        for name, features in methods.items()
    }
    return list(protocols.verification_rows(methods, thresholds, split, draws, EFFORT))


@pytest.fixture(scope='module')
def rows(split):
    return rows_of(split)


def values(rows, method, metric):
    return [r['value'] for r in rows if (r['method'], r['metric']) == (method, metric)]


def test_every_condition_has_every_number(rows):
    keys = ('method', 'track', 'protocol', 'impostors', 'metric')
    seen = {tuple(r[k] for k in keys) for r in rows}
    assert len(seen) == len(rows) == 3 * 2 * 2 * 2 * 6
    assert {(r['gallery'], r['photos'], r['level']) for r in rows} == {(None, None, None)}


def test_an_oracle_is_perfect_everywhere(rows):
    for metric in ('accuracy', 'auc', 'tar@far=0.01'):
        assert set(values(rows, 'oracle', metric)) == {1.0}
    assert set(values(rows, 'oracle', 'eer')) == {0.0}


def test_a_constant_scorer_is_no_better_than_chance(rows):
    for metric in ('accuracy', 'auc', 'eer'):
        np.testing.assert_allclose(values(rows, 'constant', metric), 0.5)


def test_intervals_hold_the_value_and_have_a_width(rows):
    for row in rows:
        if row['method'] == 'some' and row['metric'] in ('accuracy', 'auc'):
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
        draws = {condition: protocols.draw_pair_sets(one, texts, condition, None, EFFORT)}
        methods = {'some': methods_of(one)['some']}
        rows = protocols.verification_rows(
            methods, {'some': {condition.name: 0.5}}, one, draws, EFFORT
        )
        found.append(next(r for r in rows if r['metric'] == 'auc'))
    spread = np.std([r['value'] for r in found])
    width = np.mean([r['ci95'][1] - r['ci95'][0] for r in found])
    assert 0.5 < width / (4 * spread) < 2.0


def test_three_test_people_have_rows_though_some_resamples_have_no_impostors():
    few = population.split(0, 3)
    draws = {
        c: protocols.draw_pair_sets(few, few.texts('human'), c, None, EFFORT)
        for c in protocols.conditions(('human',), has_gender=False)
    }
    methods = {'oracle': methods_of(few)['oracle']}
    thresholds = {'oracle': {c.name: 0.5 for c in draws}}
    rows = list(protocols.verification_rows(methods, thresholds, few, draws, EFFORT))
    assert [row['ci95'] for row in rows if row['metric'] == 'auc'] == [[1.0, 1.0]] * 2
    assert [row['value'] for row in rows if row['metric'] == 'accuracy'] == [1.0] * 2


def test_same_seed_same_rows(split, rows):
    assert rows_of(split) == rows


def test_a_roc_curve_goes_through_the_points_of_its_pairs(split):
    """Each point is the step of the curve of all drawn pairs, within an interval."""
    condition = protocols.Condition('human', 'cross', 'random')
    draws = {
        condition: protocols.draw_pair_sets(split, split.texts('human'), condition, None, EFFORT)
    }
    methods = methods_of(split)
    curves = {c['method']: c for c in protocols.roc_curves(methods, split, draws, EFFORT)}
    some = [np.concatenate(part) for part in zip(*draws[condition], strict=True)]
    pairs = verification.VerificationPairs(*some)
    roc = verification.roc_curve(protocols.pair_scores(methods['some'], pairs), pairs.genuine_P)
    expected = [verification.tar_at_far(roc, far) for far in curves['some']['far']]
    np.testing.assert_allclose(curves['some']['tar'], expected, atol=1e-5)
    low, high = np.transpose(curves['some']['ci95'])
    assert np.all(low <= high)
    assert np.any(low < high)
    assert set(curves['oracle']['tar']) == {1.0}
    assert set(curves['constant']['tar'][:-1]) == {0.0}
    assert curves['some']['far'][0] == 0.001
    assert {0.01, 0.1, 1.0} <= set(curves['some']['far'])
