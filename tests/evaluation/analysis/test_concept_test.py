"""AUC of a query: against photos of which sentences say the concept, or otherwise."""

import dataclasses
import re

import numpy as np
import pytest

from diface_jax.data.concepts import Concept
from diface_jax.data.prepared import TRACKS
from diface_jax.evaluation.analysis import concept_test
from diface_jax.evaluation.analysis.concept_test import DescribedPhotos
from diface_jax.evaluation.protocols import Repetitions
from tests import population

EFFORT = Repetitions(draws=1, resamples=200, seed=0)
CONCEPTS = [
    Concept(name, name, re.compile(name), None, re.compile('plain')) for name in ('cap', 'mole')
]


def described(caps, plain, score_of_cap, silent=3):
    """Sentences of one photo and person each; only photos with a cap have the given score."""
    texts = ['a cap'] * caps + ['plain'] * plain + ['a face'] * silent
    score = np.concatenate([np.full(caps, score_of_cap), np.linspace(0, 1, plain), [9.0] * silent])
    return DescribedPhotos(np.array(texts, object), score[:, None], np.arange(len(texts)))


def one_dimension(queries):
    return np.ones((len(queries), 1))


def measure(**photos):
    return concept_test.concept_aucs(CONCEPTS, photos, one_dimension, EFFORT)


def test_the_auc_counts_positives_ahead_of_negatives():
    (row,) = measure(test=described(5, 10, 0.45))['rows']
    assert row['auc'] == pytest.approx(0.5)
    assert row['ci95'][0] < 0.5 < row['ci95'][1]
    assert (row['concept'], row['positives'], row['negatives']) == ('cap', 5, 10)


def test_perfect_and_tied_scores():
    assert measure(test=described(6, 10, 2.0))['means'][0]['ci95'] == [1.0, 1.0]
    tied = described(6, 10, 1.0)._replace(f_TxF=np.zeros((19, 1)))
    assert measure(test=tied)['rows'][0]['auc'] == 0.5


def test_splits_are_measured_apart_and_pooled():
    result = measure(validation=described(5, 10, 2.0), test=described(7, 10, -1.0))
    aucs = {row['split']: (row['auc'], row['positives']) for row in result['rows']}
    assert aucs == {'validation': (1.0, 5), 'test': (0.0, 7), 'both': (pytest.approx(5 / 12), 12)}


def test_a_concept_with_few_positives_is_left_out():
    result = measure(validation=described(4, 10, 2.0), test=described(4, 10, 2.0))
    assert [row['split'] for row in result['rows']] == ['both']
    assert [(mean['split'], mean['commonest']) for mean in result['means']] == [('both', ['cap'])]


def test_nothing_is_measured_without_sentences():
    assert measure() is None
    assert measure(test=described(0, 0, 0.0, silent=0)) is None
    assert measure(test=described(2, 2, 0.0)) is None


def test_only_free_hand_sentences_of_a_split_are_read():
    split = population.split(0, 4)
    tracks = np.arange(len(split.track_T)) % len(TRACKS)
    split = dataclasses.replace(split, track_T=tracks)
    f_NxF = np.arange(len(split.file_N), dtype=float)[:, None]
    photos = DescribedPhotos.of_split(split, f_NxF)
    rows = np.flatnonzero(np.isin(tracks, (TRACKS.index('human'), TRACKS.index('style'))))
    assert photos.text_T.tolist() == split.text_T[rows].tolist()
    assert photos.f_TxF[:, 0].tolist() == split.photo_T[rows].tolist()
    assert photos.person_T.tolist() == split.identity_N[split.photo_T[rows]].tolist()
