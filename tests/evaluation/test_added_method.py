"""A system that is known by its scores alone stands in the table as if it were ours."""

import json

import numpy as np
import pytest

from diface_jax.evaluation import added_method
from diface_jax.evaluation.added_method import AddedMethod, name_method
from diface_jax.evaluation.compare import compare
from diface_jax.models.features import Features
from diface_jax.runtime import run_state
from tests import tiny
from tests.evaluation import benchmark_world as world


@pytest.fixture(scope='module')
def evaluation():
    """The content of an evaluation of CCA, and of a poorer copy in the place of DiFace."""
    noise = np.random.default_rng(0)
    methods = {
        'diface': {
            name: Features(text + 0.1 * noise.standard_normal(text.shape), photo)
            for name, (text, photo) in world.cca().items()
        },
        'cca': world.cca(),
    }
    benchmark = world.benchmark()
    thresholds = {
        name: benchmark.validation_pairs.judge(of['validation']).thresholds
        for name, of in methods.items()
    }
    test = {name: of['test'] for name, of in methods.items()}
    compared = compare(benchmark, test, thresholds, benchmark.test_pairs())
    return {'thresholds': {'from': 'population', **thresholds}, **compared}, test['diface']


@pytest.fixture
def add(evaluation, tmp_path, monkeypatch):
    """Adds a file's system; returns the new content of the evaluation."""
    content, diface = evaluation
    out, benchmark = tmp_path / 'evaluation.json', world.benchmark()
    run_state.write_json(out, content)
    monkeypatch.setattr(added_method, '_diface_features', lambda *_: diface)
    config = tiny.config()

    def run(arrays, name, overwrite=False):
        path = world.write(tmp_path / 'mine.npz', arrays)
        data = benchmark.data
        added = AddedMethod(path, name)
        added_method.add_method(config, None, data, data, out, added, overwrite)
        return json.loads(out.read_text())

    return run


def rows_of(content, method):
    return {
        section: [
            {key: value for key, value in row.items() if key != 'method'}
            for row in content[section]
            if row['method'] == method
        ]
        for section in ('results', 'differences', 'curves', 'retrieval')
    }


@pytest.mark.parametrize('kind', ['embeddings', 'scores'])
def test_scores_from_ccas_own_features_reproduce_its_row(add, capsys, kind):
    content = add(world.arrays(kind=kind), 'mine')
    expected, mine = rows_of(content, 'cca'), rows_of(content, 'mine')
    if kind == 'scores':  # the open set has scores of its own, whose last bits differ
        assert content['thresholds']['mine'] == pytest.approx(content['thresholds']['cca'])
    else:
        assert content['thresholds']['mine'] == content['thresholds']['cca']
    assert mine == expected
    assert all(mine.values())
    assert 'mine' in capsys.readouterr().out
    assert content['added']['mine']['file'] == 'mine.npz'


def test_permuted_scores_are_chance(add):
    """Photos in a wrong order: half of the decisions are right, within their interval."""
    arrays = world.arrays()
    rng = np.random.default_rng(1)
    for name in ('validation', 'test'):
        arrays[f'{name}/photo_id'] = rng.permutation(arrays[f'{name}/photo_id'])
    results = add(arrays, 'permuted')['results']
    numbers = [
        row['value']
        for row in results
        if (row['method'], row['metric'], row['impostors']) == ('permuted', 'auc', 'random')
    ]
    assert np.mean(numbers) == pytest.approx(0.5, abs=0.1)


def test_the_same_file_again_does_nothing_and_another_needs_overwrite(add):
    first = add(world.arrays(), 'mine')
    assert add(world.arrays(), 'mine') == first
    with pytest.raises(ValueError, match='mine was added from another file: give --overwrite'):
        add(world.arrays(kind='scores'), 'mine')
    replaced = add(world.arrays(kind='scores'), 'mine', overwrite=True)
    assert replaced['added']['mine']['kind'] == 'scores'
    assert len(replaced['results']) == len(first['results'])


@pytest.mark.parametrize('name', ['cca', 'diface', 'from'])
def test_a_name_of_ours_is_refused(add, name):
    with pytest.raises(ValueError, match=f'{name} is a method that is measured here'):
        add(world.arrays(), name)


def test_the_name_is_that_of_the_file_or_given():
    assert name_method('folder/clip-b32.npz', None).name == 'clip-b32'
    assert name_method('folder/clip-b32.npz', 'CLIP').name == 'CLIP'
    with pytest.raises(ValueError, match='is no name for a method: give --scores_name'):
        name_method('folder/of mine.npz', None)
