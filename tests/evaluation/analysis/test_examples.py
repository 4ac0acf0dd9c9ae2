"""Example searches with an oracle, a constant scorer and a scorer that is always wrong."""

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


def scorer(split, genuine, impostor):
    """Scores every genuine pair `genuine` and every impostor pair `impostor`."""
    people, index_N = np.unique(split.identity_N, return_inverse=True)
    who_NxI = np.eye(len(people))[index_N]
    return Features(impostor + (genuine - impostor) * who_NxI[split.photo_T], who_NxI)


def searches_of(split, features, protocol='cross', count=6):
    return examples.draw_examples(
        features, split, 'human', protocol, split.texts('human'), count, seed=0
    )


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_an_oracle_finds_the_right_photo_first(split, protocol):
    searches = searches_of(split, scorer(split, 1.0, 0.0), protocol)
    assert len(searches) == 6 == len({search['person'] for search in searches})
    owner = dict(zip(split.file_N, split.identity_N, strict=True))
    for search in searches:
        first, *others = search['best']
        assert (search['rank'], search['gallery'], len(others)) == (1.0, 40, 9)
        assert first == {**search['mate'], 'person': search['person'], 'mate': True}
        assert first['score'] == 1.0
        assert not any(result['mate'] for result in others)
        assert owner[search['mate']['file']] == owner[search['described']] == search['person']
        assert (search['mate']['file'] == search['described']) == (protocol == 'same')
        assert search['text'] in split.text_T[split.texts('human')]


def test_the_best_are_sorted_and_the_rank_is_where_the_mate_stands(split):
    rng = np.random.default_rng(0)
    features = Features(
        rng.standard_normal((len(split.photo_T), 5)), rng.standard_normal((len(split.file_N), 5))
    )
    searches = searches_of(split, features, count=40)
    places = []
    for search in searches:
        scores = [result['score'] for result in search['best']]
        assert scores == sorted(scores, reverse=True)
        marked = [place for place, result in enumerate(search['best'], 1) if result['mate']]
        assert marked == ([search['rank']] if search['rank'] <= 10 else [])
        places += marked
        assert search['rank'] <= 10 or search['mate']['score'] <= scores[-1]
    assert 0 < len(places) < len(searches)


def test_ties_count_half(split):
    assert {search['rank'] for search in searches_of(split, scorer(split, 1.0, 1.0))} == {20.5}


def test_the_worst_scorer_has_the_mate_last(split):
    for search in searches_of(split, scorer(split, -1.0, 0.0)):
        assert search['rank'] == 40
        assert not any(result['mate'] for result in search['best'])


def test_a_small_gallery_is_shown_whole():
    small = population.split(1, 4)
    (search, *_) = searches_of(small, scorer(small, 1.0, 0.0))
    assert len(search['best']) == search['gallery'] == 4


def test_without_texts_there_are_no_searches(split):
    none = np.array([], int)
    assert (
        examples.draw_examples(scorer(split, 1.0, 0.0), split, 'human', 'cross', none, 6, seed=0)
        == []
    )


def test_the_same_seed_gives_the_same_searches_and_json_holds_them(split):
    features = scorer(split, 1.0, 0.0)
    searches = searches_of(split, features)
    assert json.loads(json.dumps(searches)) == searches == searches_of(split, features)
    with_other_seed = examples.draw_examples(
        features, split, 'human', 'cross', split.texts('human'), 6, seed=1
    )
    assert [search['text'] for search in with_other_seed] != [search['text'] for search in searches]
