"""What goes beside an evaluation, and what it refuses."""

import json
import logging

import pytest

from diface_jax.evaluation import evaluate
from diface_jax.runtime import run_state

MODEL = {'train': {'num_steps': 4}}


@pytest.fixture
def results(tmp_path):
    path = tmp_path / 'evaluation.json'
    content = {'results': [], 'settings': {'training': MODEL}}
    run_state.write_json(path, content | dict.fromkeys(evaluate.EXTRAS))
    return path


def attached(results, extra):
    path = results.with_name('sweep.json')
    run_state.write_json(path, extra)
    evaluate.attach_extras(results, {'sweep': path, 'ablation': results.with_name('ablation.json')})
    return json.loads(results.read_text())


def test_a_complete_sweep_of_the_model_is_put_in(results):
    settings = {'training': MODEL, 'sweep': {}}
    found = attached(results, {'settings': settings, 'complete': True, 'rows': [{'auc': 0.5}]})
    assert found['sweep'] == {'rows': [{'auc': 0.5}]}
    assert found['ablation'] is None


@pytest.mark.parametrize(
    ('complete', 'steps', 'why'), [(False, 4, 'not complete'), (True, 5, 'another model')]
)
def test_others_are_left_out_with_a_warning(results, caplog, complete, steps, why):
    settings = {'training': {'train': {'num_steps': steps}}}
    with caplog.at_level(logging.WARNING):
        found = attached(results, {'settings': settings, 'complete': complete, 'rows': []})
    assert found['sweep'] is None
    assert why in caplog.text
