"""Settings are compared by value and named where they differ; JSON is written whole."""

import json
import pathlib

import pytest

from diface_jax import stages


def test_the_same_settings():
    made = stages.plain({'a': (1, 2), 'b': {'path': pathlib.Path('x')}})
    stages.require_same('it', made, {'a': (1, 2), 'b': {'path': pathlib.Path('x')}})


def test_differences_are_named():
    made = {'a': 1, 'b': {'c': 2, 'd': 3}, 'gone': 0}
    asked = {'a': 1, 'b': {'c': 5, 'd': 3}, 'new': [1]}
    assert stages.differences(made, asked) == ['b.c: 2 -> 5', 'gone: 0 -> None', 'new: None -> [1]']
    with pytest.raises(stages.SettingsDifferError, match='--overwrite'):
        stages.require_same('it', made, asked)


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / 'card.json'
    stages.write_json(path, {'a': 1})
    circular = {}
    circular['self'] = circular
    with pytest.raises(ValueError, match='Circular'):
        stages.write_json(path, circular)
    assert json.loads(path.read_text()) == {'a': 1}
    assert list(tmp_path.iterdir()) == [path]
