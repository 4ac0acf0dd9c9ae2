"""AUC of short queries: photos with all labels that a query implies, against all others."""

import dataclasses

import numpy as np
import pytest

from diface_jax.data.grammar import captions
from diface_jax.evaluation.analysis import short_queries
from diface_jax.evaluation.analysis.short_queries import ShortQuery
from diface_jax.evaluation.protocols import Repetitions
from tests import population

EFFORT = Repetitions(draws=1, resamples=200, seed=0)
NAMES = ('Male', 'Bald')


def measure(queries, labels, score):
    """On photos of these labels (the others' are unknown), scored by their only feature."""
    split = population.split(0, 40)
    label_NxA = np.full((len(split.file_N), len(NAMES)), -1, np.int8)
    label_NxA[: len(labels)] = labels
    f_NxF = np.zeros((len(split.file_N), 1))
    f_NxF[: len(labels), 0] = score
    split = dataclasses.replace(split, label_NxA=label_NxA)
    return short_queries.short_query_aucs(
        queries, split, NAMES, f_NxF, lambda texts: np.ones((len(texts), 1)), EFFORT
    )


# Six bald men, six men with hair, six bald women, and six men whose hair is unknown.
LABELS = np.repeat([[1, 1], [1, 0], [0, 1], [1, -1]], 6, axis=0)
SCORE = np.repeat([3.0, 2.0, 4.0, 9.0], 6)


def test_a_photo_must_have_all_labels_of_a_query():
    result = measure([ShortQuery('bald man', {'Male': 1, 'Bald': 1})], LABELS, SCORE)
    # Above the men with hair, below the women; where the hair is unknown, nothing counts.
    assert result['rows'] == [{'query': 'bald man', 'photos': 6, 'auc': pytest.approx(0.5)}]


def test_the_mean_is_over_queries_that_can_be_measured():
    queries = [
        ShortQuery('man', {'Male': 1}),
        ShortQuery('woman with hair', {'Male': 0, 'Bald': 0}),  # no such photo
        ShortQuery('ginger', {'Red_Hair': 1}),  # no such label
        ShortQuery('woman', {'Male': 0}),
    ]
    result = measure(queries, LABELS, SCORE)
    assert [row['query'] for row in result['rows']] == ['man', 'woman']
    assert result['mean_auc'] == pytest.approx(0.5)
    assert result['ci95'] == [pytest.approx(1 / 3), pytest.approx(2 / 3)]
    assert measure(queries[1:3], LABELS, SCORE) is None


def test_shipped_queries_are_short_and_imply_labels_of_celeba():
    queries = short_queries.read_short_queries()
    assert len(queries) == len({each.query for each in queries}) == 150
    for each in queries:
        assert len(each.query.split()) <= 9
        assert set(each.labels.values()) <= {0, 1}
        assert set(each.labels) <= captions.KNOWN_ATTRIBUTES
