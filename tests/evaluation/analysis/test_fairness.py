"""Error rates of groups whose errors are made by hand."""

import dataclasses
import json

import numpy as np
import pytest

from diface_jax.evaluation import verification
from diface_jax.evaluation.analysis import fairness
from diface_jax.evaluation.analysis.scored_condition import ScoredCondition
from diface_jax.evaluation.protocols import Condition, Repetitions, draw_pair_sets, pair_scores
from diface_jax.models.features import Features
from tests import population

CONDITION = Condition('grammar-100', 'same', 'random')
EFFORT = Repetitions(draws=3, resamples=100, seed=0)
NAMES = population.ATTRIBUTES
MALE = NAMES.index('Male')


@pytest.fixture(scope='module')
def split():
    return population.split(0, 80)


def scorer(split, genuine_N, impostor_N):
    """Scores that depend on the photo described and whether the pair is genuine, alone."""
    people, index_N = np.unique(split.identity_N, return_inverse=True)
    own_NxI = np.eye(len(people))[index_N]
    text_NxI = np.where(own_NxI == 1, genuine_N[:, None], impostor_N[:, None])
    return Features(text_NxI[split.photo_T], own_NxI)


def rows_of(split, features, threshold=0.5, names=NAMES):
    draws = draw_pair_sets(split, split.texts('grammar'), CONDITION, None, EFFORT)
    scored = ScoredCondition(features, split, names, draws, CONDITION, threshold)
    return fairness.group_error_rates(scored, EFFORT)


def values(rows):
    return {(row['group'], row['metric']): row['value'] for row in rows}


def male(split):
    return split.label_NxA[:, MALE] == 1


def test_errors_made_for_one_group_are_counted_there(split):
    # All impostors of men pass, and all women are refused.
    rows = rows_of(split, scorer(split, 1.0 * male(split), 1.0 * male(split)))
    assert values(rows) == {
        ('Male', 'accuracy'): 0.5,
        ('Male', 'far'): 1.0,
        ('Male', 'frr'): 0.0,
        ('not Male', 'accuracy'): 0.5,
        ('not Male', 'far'): 0.0,
        ('not Male', 'frr'): 1.0,
    }
    of_men = male(split)[split.photo_T[split.texts('grammar')]]
    texts = {row['group']: row['texts'] for row in rows}
    assert texts == {'Male': of_men.sum(), 'not Male': (~of_men).sum()}
    # Equal in accuracy, and yet as far apart as can be.
    assert fairness.largest_gap(rows)['gap'] == 1.0


def test_an_oracle_has_no_gap_and_a_constant_scorer_is_half_wrong(split):
    ones = np.ones(len(split.file_N))
    oracle = rows_of(split, scorer(split, ones, 0 * ones))
    assert {row['value'] for row in oracle if row['metric'] == 'accuracy'} == {1.0}
    assert fairness.largest_gap(oracle)['gap'] == 0.0
    constant = rows_of(split, scorer(split, ones, ones), threshold=1.0)
    assert set(values(constant).values()) == {0.5}


def test_accuracy_is_that_of_verification_and_the_interval_is_about_it(split):
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((2, len(split.file_N)))
    features = scorer(split, 1.0 + noise[0], noise[1])
    rows = rows_of(split, features)
    (pairs, *_) = draw_pair_sets(split, split.texts('grammar'), CONDITION, None, EFFORT)
    of_men = male(split)[split.photo_T[pairs.text_P]]
    # In this scorer all draws are alike.
    expected = verification.accuracy(
        pair_scores(features, pairs)[of_men], pairs.genuine_P[of_men], threshold=0.5
    )
    assert values(rows)['Male', 'accuracy'] == pytest.approx(expected)
    for row in rows:
        low, high = row['ci95']
        assert low < row['value'] < high < low + 0.5


def test_unknown_labels_are_of_no_group(split):
    label_NxA = split.label_NxA.copy()
    label_NxA[~male(split), MALE] = -1
    rows = rows_of(
        dataclasses.replace(split, label_NxA=label_NxA),
        scorer(split, np.ones(len(split.file_N)), np.zeros(len(split.file_N))),
    )
    assert {row['group'] for row in rows} == {'Male'}
    assert fairness.largest_gap(rows) is None


def test_without_labels_there_are_no_groups(split):
    features = scorer(split, np.ones(len(split.file_N)), np.zeros(len(split.file_N)))
    bare = dataclasses.replace(split, label_NxA=split.label_NxA[:, :0])
    assert rows_of(bare, features, names=()) == []
    assert fairness.largest_gap([]) is None


def test_a_group_of_a_few_texts_is_left_out(split):
    label_NxA = np.zeros_like(split.label_NxA)
    label_NxA[: fairness.MIN_TEXTS // 2 - 1, MALE] = 1  # two texts of the grammar each
    few = dataclasses.replace(split, label_NxA=label_NxA)
    features = scorer(split, np.ones(len(split.file_N)), np.zeros(len(split.file_N)))
    assert {row['group'] for row in rows_of(few, features)} == {'not Male'}
    label_NxA[fairness.MIN_TEXTS // 2 - 1, MALE] = 1
    assert {row['group'] for row in rows_of(few, features)} == {'Male', 'not Male'}


def row(attribute, group, metric, value):
    return {
        'attribute': attribute,
        'group': group,
        'track': 'human',
        'protocol': 'cross',
        'metric': metric,
        'value': value,
        'ci95': [value - 0.015, value + 0.015],
        'texts': 100,
    }


def test_the_largest_gap_is_a_sentence_to_read():
    rows = [
        row('Male', 'Male', 'far', 0.2),
        row('Male', 'not Male', 'far', 0.3),
        row('Young', 'Young', 'frr', 0.332),
        row('Young', 'not Young', 'frr', 0.181),
        row('Asian', 'Asian', 'frr', 0.9),
    ]
    gap = fairness.largest_gap(rows)
    assert gap.pop('gap') == pytest.approx(0.151)
    assert json.loads(json.dumps(gap)) == {
        'metric': 'frr',
        'attribute': 'Young',
        'track': 'human',
        'protocol': 'cross',
        'best': {'group': 'not Young', 'value': 0.181},
        'worst': {'group': 'Young', 'value': 0.332},
        'sentence': (
            'The false reject rate (cross, human) is 18.1% (16.6–19.6) for not Young and 33.2% '
            '(31.7–34.7) for Young: a gap of 15.1 points'
        ),
    }
