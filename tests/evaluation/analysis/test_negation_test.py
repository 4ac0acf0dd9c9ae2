"""Pairs of sentences with and without a negation: which way the score moves."""

import collections
import dataclasses
import re

import numpy as np

from diface_jax.evaluation.analysis import negation_test
from diface_jax.evaluation.analysis.negation_test import NegationPair
from diface_jax.evaluation.protocols import Repetitions
from tests import population

EFFORT = Repetitions(draws=1, resamples=200, seed=0)
PAIRS = [
    NegationPair('No_Beard', 0, 'a beard', 'no beard'),
    NegationPair('No_Beard', 1, 'clean-shaven', 'not clean-shaven'),
    NegationPair('Bald', 1, 'bald', 'not bald'),
    NegationPair('Crowned', 1, 'a crown', 'no crown'),
]
# The only feature: how much a sentence is about beards.
BEARD = {'a beard': 1.0, 'no beard': -1.0, 'clean-shaven': -1.0, 'not clean-shaven': 0.5}


def measure(features, pairs=PAIRS):
    """On people of whom the second half has a beard and is bald."""
    split = population.split(0, 40)
    half = np.arange(len(split.file_N)) >= len(split.file_N) // 2
    labels = np.stack([~half, half, np.full(len(half), -1)], axis=1).astype(np.int8)
    split = dataclasses.replace(split, label_NxA=labels)
    return negation_test.negation_shares(
        pairs,
        split,
        ('No_Beard', 'Bald', 'Crowned'),
        half[:, None].astype(float),
        lambda sentences: np.array([[features.get(sentence, 0.0)] for sentence in sentences]),
        EFFORT,
    )


def test_each_pair_moves_towards_what_the_affirmed_sentence_says():
    result = measure(BEARD)
    # 'bald' does not move at all, and no photo is known to have a crown.
    assert (result['pairs'], result['share']) == (3, 2 / 3)
    assert result['rows'] == [
        {'attribute': 'No_Beard', 'pairs': 2, 'share': 1.0},
        {'attribute': 'Bald', 'pairs': 1, 'share': 0.0},
    ]
    assert result['wrong'] == [PAIRS[2]._asdict()]
    assert 0.0 <= result['ci95'][0] < 2 / 3 < result['ci95'][1] <= 1.0


def test_a_negation_that_is_ignored_counts_as_wrong():
    ignores = {text: value for text, value in BEARD.items() if not text.startswith('no')}
    ignores |= {'no beard': 1.0, 'not clean-shaven': -1.0}
    assert measure(ignores)['share'] == 0.0


def test_nothing_is_measured_without_labels():
    assert measure(BEARD, PAIRS[3:]) is None


# Words that may change with a negation: 'He wears a hat', 'He doesn't wear a hat'.
NEGATION = re.compile(
    r"\b(no|not|none|without|with|who|whose|that|(is|are|was|were|does|do|did|has|have|had)(n't)?"
    r"|can('t)?|and|an?|wear|wears|hang|hangs|keep|keeps|smile|smiles|looks?|looked|squints?|got|on"
    r"|yes|saw|some|he|she|hair)\b|'s|'re|[^a-z ]"
)


def content_words(sentence):
    return collections.Counter(NEGATION.sub(' ', sentence.lower()).split())


def test_shipped_pairs_differ_by_their_negation_alone():
    pairs = negation_test.read_pairs()
    assert len(pairs) == 200 == len({pair.affirmed for pair in pairs})
    assert all(pair.label in (0, 1) for pair in pairs)
    assert all(
        re.search(r"\b(no|not|none|without)\b|n't\b", pair.negated.lower()) for pair in pairs
    )
    differ = [p for p in pairs if content_words(p.affirmed) != content_words(p.negated)]
    assert differ == []
