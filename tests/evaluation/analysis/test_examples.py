"""Panels of scorers that know everything, nothing, or the wrong thing."""

import json

import numpy as np
import pytest

from diface_jax.evaluation.analysis import examples
from diface_jax.evaluation.verification import PROTOCOLS
from diface_jax.models.features import Features
from tests import population


@pytest.fixture(scope='module')
def split():
    return population.split(0, 40)


def scorer(split, own, other):
    """`own` for a photo of the person described, `other` for everybody else's."""
    people, index_N = np.unique(split.identity_N, return_inverse=True)
    who_NxI = np.eye(len(people))[index_N]
    return Features(other + (own - other) * who_NxI[split.photo_T], who_NxI)


def panels_of(split, features, protocol='cross', count=6):
    return examples.draw_examples(
        features, split, 'human', protocol, split.texts('human'), count, seed=0
    )


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_an_oracle_finds_the_right_photo_first(split, protocol):
    found = panels_of(split, scorer(split, 1.0, 0.0), protocol)
    assert len(found) == 6 == len({panel['person'] for panel in found})
    owner = dict(zip(split.file_N, split.identity_N, strict=True))
    for panel in found:
        first, *others = panel['best']
        assert (panel['rank'], panel['gallery'], len(others)) == (1.0, 40, 9)
        assert first == {**panel['mate'], 'person': panel['person'], 'mate': True}
        assert first['score'] == 1.0
        assert not any(other['mate'] for other in others)
        assert owner[panel['mate']['file']] == owner[panel['described']] == panel['person']
        assert (panel['mate']['file'] == panel['described']) == (protocol == 'same')
        assert panel['text'] in split.text_T[split.texts('human')]


def test_the_best_are_sorted_and_the_rank_is_where_the_mate_stands(split):
    rng = np.random.default_rng(0)
    features = Features(
        rng.standard_normal((len(split.photo_T), 5)), rng.standard_normal((len(split.file_N), 5))
    )
    found = panels_of(split, features, count=40)
    places = []
    for panel in found:
        scores = [one['score'] for one in panel['best']]
        assert scores == sorted(scores, reverse=True)
        marked = [place for place, one in enumerate(panel['best'], 1) if one['mate']]
        assert marked == ([panel['rank']] if panel['rank'] <= 10 else [])
        places += marked
        assert panel['rank'] <= 10 or panel['mate']['score'] <= scores[-1]
    assert 0 < len(places) < len(found)


def test_ties_count_half(split):
    assert {panel['rank'] for panel in panels_of(split, scorer(split, 1.0, 1.0))} == {20.5}


def test_the_worst_scorer_has_the_mate_last(split):
    for panel in panels_of(split, scorer(split, -1.0, 0.0)):
        assert panel['rank'] == 40
        assert not any(one['mate'] for one in panel['best'])


def test_a_small_gallery_is_shown_whole():
    small = population.split(1, 4)
    (panel, *_) = panels_of(small, scorer(small, 1.0, 0.0))
    assert len(panel['best']) == panel['gallery'] == 4


def test_no_text_no_panel(split):
    none = np.array([], int)
    assert (
        examples.draw_examples(scorer(split, 1.0, 0.0), split, 'human', 'cross', none, 6, seed=0)
        == []
    )


def test_same_seed_same_panels_that_json_can_hold(split):
    features = scorer(split, 1.0, 0.0)
    found = panels_of(split, features)
    assert json.loads(json.dumps(found)) == found == panels_of(split, features)
    asked = examples.draw_examples(
        features, split, 'human', 'cross', split.texts('human'), 6, seed=1
    )
    assert [panel['text'] for panel in asked] != [panel['text'] for panel in found]
