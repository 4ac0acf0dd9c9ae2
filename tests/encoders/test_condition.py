"""Conditions: standardised by training sentences, of all pools or of the sentence vector alone."""

import types

import numpy as np
import pytest

from diface_jax.encoders.text import bert
from diface_jax.encoders.text.condition import (
    ConditionEncoder,
    Standardisation,
    sentence_vectors,
)

WIDTH = 5


@pytest.fixture(scope='module')
def pools():
    scale = np.random.default_rng(0).uniform(0.1, 50, bert.POOLS * WIDTH)
    return 7 + scale * np.random.default_rng(1).standard_normal((400, len(scale)))


def test_each_pool_has_length_one_on_average(pools):
    c = Standardisation.fit(pools, bert.POOLS)(pools)
    np.testing.assert_allclose(c.mean(axis=0), 0, atol=1e-5)
    of_pools = (c.reshape(len(c), bert.POOLS, WIDTH) ** 2).sum(axis=2).mean(axis=0)
    np.testing.assert_allclose(of_pools, 1, rtol=1e-2)


def test_a_number_that_never_changes_stays_finite():
    c = Standardisation.fit(np.ones((5, 4)), 1)(np.ones((3, 4)))
    np.testing.assert_array_equal(c, 0)


@pytest.mark.parametrize('words', [True, False])
def test_the_encoder_reads_what_it_was_fitted_on(pools, words):
    encoder = types.SimpleNamespace(
        name='made up', sha256='ab', width=WIDTH, encode=lambda some: pools[:2]
    )
    mine = pools if words else sentence_vectors(pools)
    standard = Standardisation.fit(mine, bert.POOLS if words else 1)
    found = ConditionEncoder(encoder, standard)
    np.testing.assert_allclose(found.encode(['one', 'two']), standard(mine[:2]))
    assert found.about['width'] == mine.shape[1]
    assert found.about['pools'] == (bert.POOLS if words else 1)
