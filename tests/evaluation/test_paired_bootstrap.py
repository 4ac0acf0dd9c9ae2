"""Differences by hand, of a method to itself, and what pairing is worth."""

import numpy as np
import pytest

from diface_jax.evaluation import identification, protocols
from diface_jax.evaluation.paired_bootstrap import METRICS, paired_differences
from diface_jax.models.features import Features
from diface_jax.runtime import mesh as meshes
from tests import population

EFFORT = protocols.Repetitions(draws=3, resamples=200, seed=0)
CONDITION = protocols.Condition('human', 'cross', 'random')
NOWHERE = dict.fromkeys(('gallery', 'photos', 'level'))


@pytest.fixture(scope='module')
def split():
    return population.split(0, 50)


@pytest.fixture(scope='module')
def methods(split):
    """DiFace, the same under another name, and one that makes nearly the same mistakes."""
    rng = np.random.default_rng(0)
    people, index = np.unique(split.identity_N, return_inverse=True)
    who = np.eye(len(people))[index]
    ours = who[split.photo_T] + 0.7 * rng.standard_normal((len(split.photo_T), len(people)))
    worse = ours + 0.2 * rng.standard_normal(ours.shape)
    return {
        'diface': Features(ours, who),
        'twin': Features(ours, who),
        'worse': Features(worse, who),
    }


def verification(split, methods, resample_seed=0):
    draws = {
        CONDITION: protocols.draw_pair_sets(split, split.texts('human'), CONDITION, None, EFFORT)
    }
    thresholds = {
        name: {CONDITION.name: protocols.choose_threshold(some, draws[CONDITION])}
        for name, some in methods.items()
    }
    effort = EFFORT._replace(seed=resample_seed)
    return list(protocols.verification_estimates(methods, thresholds, split, draws, effort))


@pytest.fixture(scope='module')
def estimates(split, methods):
    found = identification.identification_results(
        methods, split, 'human', split.texts('human'), (10, 0), EFFORT, meshes.make_mesh()
    )
    return [*verification(split, methods), *found.estimates]


@pytest.fixture(scope='module')
def rows(estimates):
    return list(paired_differences(estimates))


def test_every_number_of_every_other_method_is_compared(rows):
    keys = ('method', 'protocol', 'metric', 'gallery', 'photos', 'level')
    verified = [('cross', metric, None, None, None) for metric in ('accuracy', 'auc')]
    found = [(protocol, 'rank@10', 50, 'one', 'identity') for protocol in ('cross', 'same')]
    expected = {(name, *rest) for name in ('twin', 'worse') for rest in verified + found}
    assert {tuple(row[key] for key in keys) for row in rows} == expected
    assert len(rows) == len(expected)


def test_the_difference_to_itself_is_nothing(rows):
    twins = [row for row in rows if row['method'] == 'twin']
    assert {row['metric'] for row in twins} == set(METRICS)
    assert all(row['value'] == row['sd'] == 0.0 and row['ci95'] == [0.0, 0.0] for row in twins)


def test_the_value_is_what_the_results_differ_by(rows, estimates):
    keys = ('track', 'protocol', 'impostors', 'metric', 'gallery', 'photos', 'level')
    value = {tuple(e.row[k] for k in ('method', *keys)): e.row['value'] for e in estimates}
    for row in rows:
        where = tuple(row[key] for key in keys)
        known = value['diface', *where] - value[row['method'], *where]
        assert row['value'] == pytest.approx(known, abs=1e-12)
        low, high = row['ci95']
        assert low <= high
    assert any(row['value'] > 0 for row in rows)


def made_up(method, draws, spread, metric='auc', **where):
    about = {'method': method, **CONDITION._asdict(), **NOWHERE, **where}
    return protocols.make_estimate(about, metric, draws, spread)


def test_by_hand():
    # In every resample DiFace is ahead by 0.1 to 0.14, though the numbers themselves go far apart.
    lead = np.linspace(0.10, 0.14, 101)
    theirs = np.random.default_rng(0).uniform(0.3, 0.8, 101)
    ours = made_up('diface', [0.7, 0.8], theirs + lead)
    other = made_up('cca', [0.6, 0.66], theirs)
    (row,) = paired_differences([other, ours])
    assert row == {
        'method': 'cca',
        **CONDITION._asdict(),
        **NOWHERE,
        'metric': 'auc',
        'value': pytest.approx(0.12),
        'sd': pytest.approx(0.04 / 2**0.5),
        'ci95': pytest.approx([0.101, 0.139]),
    }


def test_what_was_measured_of_one_alone_is_not_compared():
    ours = made_up('diface', [0.7], [0.7, 0.7])
    other = made_up('cca', [0.6], [0.6, 0.6], protocol='same')
    assert list(paired_differences([ours, other])) == []
    assert list(paired_differences([other])) == []


def test_pairing_narrows_the_interval(split, methods):
    """Against the same two methods resampled apart from each other."""
    paired = verification(split, methods)
    apart = verification(split, methods, resample_seed=1)
    mixed = [
        mine if mine.row['method'] == 'diface' else theirs
        for mine, theirs in zip(paired, apart, strict=True)
    ]
    for metric in ('accuracy', 'auc'):
        width, unpaired = (
            next(
                np.ptp(row['ci95'])
                for row in paired_differences(some)
                if (row['method'], row['metric']) == ('worse', metric)
            )
            for some in (paired, mixed)
        )
        assert 0 < width < 0.7 * unpaired
