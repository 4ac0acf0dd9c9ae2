"""A scorer that knows which words a sentence should contain, so that every drop is known."""

import dataclasses
import json
import re
import zlib

import numpy as np
import pytest

from diface_jax.evaluation.analysis import attribute_sensitivity
from diface_jax.evaluation.protocols import Repetitions
from tests import population

EFFORT = Repetitions(draws=1, resamples=200, seed=0)
NAMES = ('Blurry', 'Smiling', 'Male', 'Black_Hair', 'Blond_Hair', 'Has_Wings')
BLURRY = re.compile('blur|out of focus|not sharp|fuzzy')


def split_of(labels):
    """Sixty people, with some of the labels of NAMES given and all others random."""
    split = population.split(0, 60)
    rng = np.random.default_rng(0)
    label_NxA = rng.integers(0, 2, (len(split.file_N), len(NAMES))).astype(np.int8)
    for name, label in labels.items():
        label_NxA[:, NAMES.index(name)] = label
    return dataclasses.replace(split, label_NxA=label_NxA)


class Reader:
    """Scores 'blurry' +2 for a blurry photo and -2 for any other, plus noise."""

    def __init__(self, split, noise=0.0):
        self.split, self.noise, self.calls = split, noise, []

    def __call__(self, sentences, photo_P):
        self.calls.append((sentences, photo_P))
        says = np.array([bool(BLURRY.search(sentence)) for sentence in sentences])
        blurry = self.split.label_NxA[photo_P, NAMES.index('Blurry')] == 1
        noise = [zlib.crc32(sentence.encode()) / 2**32 - 0.5 for sentence in sentences]
        return says * np.where(blurry, 2.0, -2.0) + self.noise * np.array(noise)


def drops_of(split, noise=0.0, most=20):
    reader = Reader(split, noise)
    rows = attribute_sensitivity.score_drops(split, NAMES, reader, 0.5, most, EFFORT)
    return {(row['attribute'], row['change']): row for row in rows}, reader


def test_the_drop_is_what_the_words_are_worth():
    drops, _ = drops_of(split_of({}))
    for change in ('unsaid', 'wrong'):
        expected = {'photos': 20, 'drop': 2.0, 'drop_in_sd': 4.0, 'ci95': [4.0, 4.0]}
        assert drops['Blurry', change] == {'attribute': 'Blurry', 'change': change, **expected}


def test_an_attribute_that_the_scorer_ignores_has_an_interval_around_zero():
    drops, _ = drops_of(split_of({}), noise=1.0, most=50)
    for change in ('unsaid', 'wrong'):
        low, high = drops['Smiling', change]['ci95']
        assert low < 0 < high
        low, high = drops['Blurry', change]['ci95']
        assert 3.5 < low < 4 < high < 4.5


def test_all_is_scored_at_once_and_nothing_twice():
    split = split_of({})
    drops, reader = drops_of(split)
    ((sentences, photo_P),) = reader.calls
    pairs = list(zip(sentences, photo_P.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs) < 2 * sum(row['photos'] for row in drops.values())


def test_a_person_counts_once():
    split = split_of({'Blurry': 1})
    drops, _ = drops_of(split, most=1000)
    assert drops['Blurry', 'unsaid']['photos'] == 60 < len(split.file_N)


def test_changes_that_the_grammar_does_not_state_are_not_measured():
    # The grammar skips contradictory labels (black and blond); it has no words for wings or sharp.
    drops, _ = drops_of(split_of({'Black_Hair': 1, 'Blond_Hair': 1, 'Blurry': 1}))
    assert set(drops) == {(name, 'unsaid') for name in ('Blurry', 'Smiling', 'Male')} | {
        (name, 'wrong') for name in ('Smiling', 'Male')
    }


def test_unknown_labels_are_no_labels():
    drops, _ = drops_of(split_of({'Smiling': -1, 'Male': -1}))
    assert {name for name, _ in drops} == {'Blurry', 'Black_Hair', 'Blond_Hair'}


@pytest.mark.parametrize('names', [NAMES, ()])
def test_without_labels_nothing_is_scored(names):
    split = split_of(dict.fromkeys(NAMES, -1))
    split = dataclasses.replace(split, label_NxA=split.label_NxA[:, : len(names)])
    reader = Reader(split)
    assert attribute_sensitivity.score_drops(split, names, reader, 0.5, 20, EFFORT) == []
    assert reader.calls == []


def test_the_same_seed_gives_the_same_rows_and_json_holds_them():
    split = split_of({})
    drops, _ = drops_of(split, noise=1.0)
    rows = list(drops.values())
    assert json.loads(json.dumps(rows)) == rows == list(drops_of(split, noise=1.0)[0].values())


def test_scores_without_spread_are_no_unit():
    with pytest.raises(ValueError, match='sd is 0'):
        attribute_sensitivity.score_drops(split_of({}), NAMES, None, 0.0, 20, EFFORT)


def test_the_wrong_sentence_states_the_opposite():
    # The grammar seldom mentions "not smiling"; photos where it does not are skipped.
    split = population.split(0, 200)
    split = dataclasses.replace(split, label_NxA=np.ones((len(split.file_N), 1), np.int8))
    denied = re.compile('(no|not|without a) smil|unsmiling|serious|solemn|straight')

    def score(sentences, photo_P):
        return np.array([-1.0 * bool(denied.search(sentence)) for sentence in sentences])

    rows = attribute_sensitivity.score_drops(split, ['Smiling'], score, 1.0, 12, EFFORT)
    assert {row['change']: row['drop'] for row in rows} == {'unsaid': 0.0, 'wrong': 1.0}
