"""Settings are compared by value and named where they differ; JSON is written whole."""

import json
import os
import pathlib

import numpy as np
import pytest

from diface_jax.data import array_cache
from diface_jax.encoders import arrays
from diface_jax.encoders.text.condition import Standardisation
from diface_jax.runtime import run_state
from tests import moments


def test_the_same_settings():
    made = run_state.to_plain_json({'a': (1, 2), 'b': {'path': pathlib.Path('x')}})
    run_state.require_same_settings('it', made, {'a': (1, 2), 'b': {'path': pathlib.Path('x')}})


def test_differences_are_named():
    made = {'a': 1, 'b': {'c': 2, 'd': 3}, 'gone': 0}
    asked = {'a': 1, 'b': {'c': 5, 'd': 3}, 'new': [1]}
    assert run_state.settings_differences(made, asked) == [
        'b.c: 2 -> 5',
        'gone: 0 -> None',
        'new: None -> [1]',
    ]
    with pytest.raises(run_state.SettingsDifferError, match='--overwrite'):
        run_state.require_same_settings('it', made, asked)


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / 'card.json'
    run_state.write_json(path, {'a': 1})
    circular = {}
    circular['self'] = circular
    with pytest.raises(ValueError, match='Circular'):
        run_state.write_json(path, circular)
    assert json.loads(path.read_text()) == {'a': 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def umask():
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.mark.usefixtures('umask')
def test_a_colleague_can_read_the_results(tmp_path):
    run_state.write_json(tmp_path / 'evaluation.json', {'a': 1})
    array_cache.write_arrays(tmp_path / 'cache.npz', {'x': np.zeros(1)})
    standard = Standardisation(*np.zeros((len(Standardisation._fields), 1)))
    arrays.save_arrays(standard, tmp_path / 'standardisation.safetensors')
    moments.population().save(tmp_path)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}


def test_overwrite_is_advised_only_where_it_helps():
    with pytest.raises(run_state.SettingsDifferError) as error:
        run_state.require_same_settings('it', {'a': 1}, {'a': 2}, instead='Train again.')
    assert str(error.value).endswith('Train again.')
    assert '--overwrite' not in str(error.value)
    assert not error.value.overwrite_helps


def test_what_changes_no_result_is_not_compared():
    made = {
        'training': {'sample': 1, 'seed': 0},
        'evaluate': {'data': {'root': '/old'}, 'sample': 3},
    }
    asked = {
        'training': {'sample': 2, 'seed': 0},
        'evaluate': {'data': {'root': '/new'}, 'sample': 3},
    }
    run_state.require_same_settings('it', made, asked, ('training.sample', 'evaluate.data.root'))


def test_results_of_an_earlier_version_tell_their_sampling_by_the_training(tmp_path):
    path, ignore = tmp_path / 'evaluation.json', ('training.sample',)
    settings = {'evaluate': {}, 'training': {'sample': {'eta': 0.5}}}
    run_state.write_json(path, {'settings': settings})
    asked = settings | {'sample': {'eta': 0.5}}
    assert run_state.existing_output(path, asked, ignore, overwrite=False)['settings'] == settings
    with pytest.raises(run_state.SettingsDifferError, match=r'sample\.eta: 0.5 -> 1.0'):
        run_state.existing_output(
            path, settings | {'sample': {'eta': 1.0}}, ignore, overwrite=False
        )


def test_a_table_is_replaced_only_when_the_new_one_is_complete(tmp_path):
    path = tmp_path / 'sweep.json'
    run_state.write_json(path, {'settings': {'a': 1}, 'rows': [1, 2]})
    with pytest.raises(run_state.SettingsDifferError, match='a: 1 -> 2'):
        run_state.partial_output(path, {'a': 2}, (), overwrite=False)
    beside, made = run_state.partial_output(path, {'a': 2}, (), overwrite=True)
    assert made == {}
    run_state.write_json(beside, {'settings': {'a': 2}, 'rows': [3]})
    assert json.loads(path.read_text())['rows'] == [1, 2]
    assert run_state.partial_output(path, {'a': 2}, (), overwrite=True)[1]['rows'] == [3]
    run_state.move_into_place(beside, path)
    assert list(tmp_path.iterdir()) == [path]
    assert run_state.partial_output(path, {'a': 2}, (), overwrite=False)[1]['rows'] == [3]
