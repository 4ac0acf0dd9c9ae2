"""Conditions are standardised by training sentences: all pools, or the sentence vector alone."""

import types

import numpy as np
import pytest

from diface_jax.encoders.text.condition import (
    ConditionEncoder,
    Standardisation,
    sentence_vectors,
)
from diface_jax.encoders.text.pooling import POOLS

WIDTH = 5


@pytest.fixture(scope='module')
def pools():
    scale = np.random.default_rng(0).uniform(0.1, 50, POOLS * WIDTH)
    return 7 + scale * np.random.default_rng(1).standard_normal((400, len(scale)))


def test_each_pool_has_length_one_on_average(pools):
    c = Standardisation.fit(pools, POOLS)(pools)
    np.testing.assert_allclose(c.mean(axis=0), 0, atol=1e-5)
    of_pools = (c.reshape(len(c), POOLS, WIDTH) ** 2).sum(axis=2).mean(axis=0)
    np.testing.assert_allclose(of_pools, 1, rtol=1e-2)


def test_a_number_that_never_changes_stays_finite():
    c = Standardisation.fit(np.ones((5, 4)), 1)(np.ones((3, 4)))
    np.testing.assert_array_equal(c, 0)


@pytest.mark.parametrize('all_pools', [True, False])
def test_the_encoder_uses_the_pools_that_it_was_fitted_on(pools, all_pools):
    encoder = types.SimpleNamespace(
        name='made up',
        sha256='ab',
        width=WIDTH,
        adapters=None,
        unusual_reading={},
        encode=lambda sentences: pools[:2],
    )
    vectors = pools if all_pools else sentence_vectors(pools)
    standard = Standardisation.fit(vectors, POOLS if all_pools else 1)
    conditions = ConditionEncoder(encoder, standard)
    np.testing.assert_allclose(conditions.encode(['one', 'two']), standard(vectors[:2]))
    assert conditions.description['width'] == vectors.shape[1]
    assert conditions.description['pools'] == (POOLS if all_pools else 1)


def test_a_dimension_that_is_the_same_in_all_sentences_counts_for_nothing():
    """As [CLS] does in a maximum: rounded to float16 in training, and not in a search."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((50, POOLS * WIDTH)).astype(np.float32)
    vectors[:, 1] = 9.661
    standard = Standardisation.fit(vectors.astype(np.float16), POOLS)
    c = standard(vectors)
    np.testing.assert_array_equal(c[:, 1], 0)
    np.testing.assert_allclose(c, standard(vectors.astype(np.float16)), atol=2e-3)
