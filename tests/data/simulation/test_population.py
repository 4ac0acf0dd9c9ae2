"""The moments of a population: right, and of nobody in particular."""

import dataclasses

import numpy as np
import pytest
import safetensors.numpy

from diface_jax.data.prepared import Prepared, Split
from diface_jax.data.readers import simulated
from diface_jax.data.simulation import population as populations
from diface_jax.data.simulation.population import Population
from tests import moments


def as_prepared(label_NxA, embedding_NxD, identity_N):
    """A prepared data set of these training photos; fitting looks at nothing else."""
    count = len(identity_N)
    nothing = np.zeros(count)
    split = Split(
        nothing, identity_N, embedding_NxD, label_NxA, nothing, nothing, nothing, nothing, nothing
    )
    card = {'encoders': {'face': [{'name': 'made up', 'sha256': '', 'width': moments.WIDTH}]}}
    return Prepared({'train': split}, moments.ATTRIBUTES, card)


@pytest.fixture(scope='module')
def drawn():
    people, photos = 4000, 3
    simulated_people = simulated.simulate_people(moments.population(), people, photos, seed=1)
    label_NxA = simulated_people.label_PxQxA.reshape(people * photos, -1)
    embedding_NxD = simulated_people.embedding_PxQxD.reshape(people * photos, -1)
    return label_NxA, embedding_NxD, np.repeat(np.arange(people), photos)


def test_a_fit_on_drawn_people_finds_what_they_were_drawn_from(drawn):
    expected, fitted = moments.population(), Population.fit(as_prepared(*drawn))
    assert (fitted.people, fitted.photos) == (4000, 12_000)
    # Sampling errors are about 1 / sqrt(4000) = 0.016 of the standard deviations.
    for got, want in moments.correlations(fitted, expected):
        np.testing.assert_allclose(got, want, atol=0.07)


def test_it_is_written_and_read(drawn, tmp_path):
    population = Population.fit(as_prepared(*drawn))
    population.save(tmp_path / 'there')
    read = Population.load(tmp_path / 'there')
    assert read.sha256 == population.sha256
    for field in dataclasses.fields(Population):
        np.testing.assert_array_equal(getattr(read, field.name), getattr(population, field.name))
    with pytest.raises(FileNotFoundError, match='--mode=fit_population'):
        Population.load(tmp_path)


def test_photos_with_an_unknown_label_are_passed_over(drawn):
    label_NxA, embedding_NxD, identity_N = drawn
    subset = label_NxA.copy()
    subset[identity_N < 1000, 0] = -1
    left = identity_N >= 1000
    fitted = Population.fit(as_prepared(subset, embedding_NxD, identity_N))
    assert fitted.people == 3000
    alone = Population.fit(as_prepared(label_NxA[left], embedding_NxD[left], identity_N[left]))
    assert fitted.sha256 == alone.sha256


def test_few_people_are_refused(drawn):
    subset = drawn[2] < populations.MIN_PEOPLE - 1
    with pytest.raises(ValueError, match='averages reveal nobody'):
        Population.fit(as_prepared(*(array[subset] for array in drawn)))


def test_a_label_of_few_people_is_refused(drawn):
    label_NxA, embedding_NxD, identity_N = drawn
    rare = label_NxA.copy()
    rare[:, 1] = (identity_N < populations.MIN_PEOPLE_A_LABEL - 1).astype(np.int8)
    with pytest.raises(ValueError, match=moments.ATTRIBUTES[1]):
        Population.fit(as_prepared(rare, embedding_NxD, identity_N))


def test_what_is_shipped_holds_averages_alone():
    path = simulated.SHIPPED / populations.FILE
    assert path.stat().st_size < 1_000_000
    arrays = safetensors.numpy.load_file(path)
    sizes = {name: array.shape for name, array in arrays.items()}
    width = 40 + 128 + 256
    triangle = width * (width + 1) // 2
    assert sizes == {'mean': (width,), 'between': (triangle,), 'within': (triangle,)}
    shipped = Population.load(simulated.SHIPPED)
    assert shipped.people > 10 * width
    card = (simulated.SHIPPED / 'DATA_CARD.md').read_text()
    assert f'{shipped.people:,} people' in card
    assert f'{shipped.photos:,} photos' in card
    assert shipped.sha256 in card
