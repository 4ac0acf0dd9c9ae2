"""Simulated people: as the population has them, and the same ones each time."""

import numpy as np
import pytest

from diface_jax.data.readers import dispatch, simulated
from diface_jax.data.simulation.population import Population, _moments
from diface_jax.runtime.settings import SimulatedSettings
from tests import moments

SHARES = (0.6, 0.2, 0.2)


def found_in(drawn, expected):
    """The moments of drawn people."""
    people, photos = drawn.label_PxQxA.shape[:2]
    v = np.concatenate([drawn.label_PxQxA, drawn.embedding_PxQxD], axis=2, dtype=np.float64)
    who_N = np.repeat(np.arange(people), photos)
    fitted_moments = _moments(v.reshape(people * photos, -1), who_N)
    return Population(
        expected.attributes, expected.encoders, people, people * photos, *fitted_moments
    )


def test_moments_are_those_asked_for():
    expected = moments.population()
    estimated = found_in(simulated.simulate_people(expected, 40_000, 2, seed=0), expected)
    # 1 / sqrt(40,000) = 0.005 of the standard deviations is a standard error.
    for got, want in moments.correlations(estimated, expected):
        np.testing.assert_allclose(got, want, atol=0.025)


def test_moments_are_those_of_the_shipped_population():
    expected = Population.load(simulated.SHIPPED)
    people = 3000
    estimated = found_in(simulated.simulate_people(expected, people, 2, seed=0), expected)
    for got, want in moments.correlations(estimated, expected):
        assert np.sqrt(np.mean((got - want) ** 2)) < 1.5 / np.sqrt(people)
        assert np.abs(got - want).max() < 0.2


def test_the_same_people_come_again_and_others_by_another_seed():
    expected = moments.population()
    few, many = (
        simulated.simulate_people(expected, 10, 2, seed=3),
        simulated.simulate_people(expected, 30, 2, seed=3),
    )
    np.testing.assert_array_equal(few.label_PxQxA, many.label_PxQxA[:10])
    np.testing.assert_allclose(few.embedding_PxQxD, many.embedding_PxQxD[:10], rtol=1e-5, atol=1e-5)
    other_seed = simulated.simulate_people(expected, 10, 2, seed=4)
    assert np.abs(other_seed.embedding_PxQxD - few.embedding_PxQxD).min() > 0


def test_read_as_a_data_set(tmp_path):
    moments.population().save(tmp_path)
    size = {'people': 50, 'photos': 2, 'seed': 0}
    source = dispatch.read_data_set(tmp_path, 'auto', SHARES, 0, SimulatedSettings(**size))
    assert source.name == 'simulated'
    assert len(source.photos) == len({photo.file for photo in source.photos}) == 100
    assert source.embedded.embedding_NxD.shape == (100, moments.WIDTH)
    splits = {photo.identity: photo.split for photo in source.photos}
    assert len(splits) == 50
    assert set(splits.values()) == {'train', 'validation', 'test'}
    drawn = simulated.simulate_people(moments.population(), **size)
    for row, photo in enumerate(source.photos):
        assert splits[photo.identity] == photo.split
        assert list(photo.labels.values()) == drawn.label_PxQxA.reshape(100, -1)[row].tolist()
    with pytest.raises(FileNotFoundError, match='no photographs of simulated people'):
        source.read(source.photos[0].file)


def test_clear_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match='--mode=fit_population'):
        simulated.read_simulated(tmp_path, SHARES, 0, people=3, photos=1, seed=0)
    with pytest.raises(ValueError, match='people=0'):
        simulated.read_simulated(simulated.SHIPPED, SHARES, 0, people=0, photos=1, seed=0)
