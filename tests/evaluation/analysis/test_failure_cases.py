"""Failure cases of hand-made scores."""

import dataclasses
import json

import numpy as np
import pytest

from diface_jax.evaluation.analysis import failure_cases
from diface_jax.evaluation.analysis.scored_condition import ScoredCondition
from diface_jax.evaluation.protocols import Condition
from diface_jax.evaluation.verification import VerificationPairs
from diface_jax.models.features import Features
from tests import population

CONDITION = Condition('human', 'cross', 'random')
NAMES = population.ATTRIBUTES


@pytest.fixture(scope='module')
def split():
    """Four people with two photos and two texts each: text 2 p + i describes photo 2 p + i."""
    population_split = population.split(0, 4)
    label_NxA = np.array([[1, 0, -1], [-1, 1, -1]] * 4, np.int8)
    person_N = np.repeat([10, 11, 12, 13], 2)
    return dataclasses.replace(
        population_split,
        file_N=np.array([f'{i}.jpg' for i in range(8)]),
        identity_N=person_N,
        label_NxA=label_NxA,
        photo_T=np.arange(8),
        text_T=np.array([f'text {i}' for i in range(8)], object),
    )


def errors_among(split, scored_pairs, threshold=0.5, count=10, names=NAMES):
    """Errors among pairs of (text, photo, score), in two draws."""
    text_P, photo_P, score_P = map(np.array, zip(*scored_pairs, strict=True))
    matrix = np.zeros((8, 8))
    matrix[text_P, photo_P] = score_P
    genuine_P = split.identity_N[text_P] == split.identity_N[photo_P]
    pairs = VerificationPairs(text_P, photo_P, genuine_P)
    draws = [VerificationPairs(*(part[i::2] for part in pairs)) for i in range(2)]
    features = Features(matrix, np.eye(8))
    scored = ScoredCondition(features, split, names, draws, CONDITION, threshold)
    return failure_cases.most_confident_errors(scored, count)


def seen(rows, kind):
    return [(r['text'], r['shown'], r['score']) for r in rows if r['kind'] == kind]


def test_only_errors_are_listed_most_confident_first(split):
    rows = errors_among(
        split,
        [(0, 2, 0.6), (2, 4, 0.9), (4, 6, 0.1), (0, 1, 0.4), (2, 3, 0.2), (4, 5, 0.8), (6, 7, 0.5)],
    )
    assert seen(rows, 'false match') == [('text 2', '4.jpg', 0.9), ('text 0', '2.jpg', 0.6)]
    assert seen(rows, 'false non-match') == [('text 2', '3.jpg', 0.2), ('text 0', '1.jpg', 0.4)]


def test_nobody_is_described_or_shown_twice_in_a_kind(split):
    pairs = [(0, 2, 0.9), (1, 4, 0.8), (4, 3, 0.7), (2, 6, 0.6), (0, 1, 0.2), (1, 0, 0.1)]
    rows = errors_among(split, pairs)
    assert seen(rows, 'false match') == [('text 0', '2.jpg', 0.9), ('text 2', '6.jpg', 0.6)]
    assert seen(rows, 'false non-match') == [('text 1', '0.jpg', 0.1)]
    assert len(errors_among(split, pairs, count=1)) == 2


def test_a_row_holds_both_photos_and_their_labels(split):
    (row,) = errors_among(split, [(0, 2, 0.6), (4, 5, 0.9)])
    assert json.loads(json.dumps(row)) == {
        'kind': 'false match',
        'track': 'human',
        'protocol': 'cross',
        'text': 'text 0',
        'described': '0.jpg',
        'shown': '2.jpg',
        'described_person': 10,
        'shown_person': 11,
        'score': 0.6,
        'threshold': 0.5,
        'labels': {NAMES[0]: [1, 1], NAMES[1]: [0, 0]},
    }


def test_labels_known_of_neither_photo_are_left_out(split):
    (row,) = errors_among(split, [(0, 3, 0.6), (4, 5, 0.9)])
    assert row['labels'] == {NAMES[0]: [1, -1], NAMES[1]: [0, 1]}


def test_without_labels(split):
    bare = dataclasses.replace(split, label_NxA=split.label_NxA[:, :0])
    (row,) = errors_among(bare, [(0, 3, 0.6), (4, 5, 0.9)], names=())
    assert row['labels'] == {}


def test_an_oracle_and_a_constant_scorer_make_no_confident_error(split):
    assert errors_among(split, [(0, 2, 0.0), (2, 4, 0.0), (0, 1, 1.0), (2, 3, 1.0)]) == []
    assert errors_among(split, [(0, 2, 0.5), (2, 4, 0.5), (0, 1, 0.5), (2, 3, 0.5)]) == []
