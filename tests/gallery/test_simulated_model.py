"""Models of simulated people are refused photographs by their description alone."""

import json

import pytest

from diface_jax.gallery import simulated_model


@pytest.mark.parametrize('name', ['model.json', 'training.json'])
def test_the_description_is_enough(tmp_path, name):
    settings = {'data': {'simulated': {'people': 10}}}
    (tmp_path / name).write_text(json.dumps({'settings': settings}))
    with pytest.raises(ValueError, match='simulated people, so it cannot take photographs'):
        simulated_model.refuse_simulated_model(tmp_path)


@pytest.mark.parametrize(
    'content', ['{"settings": {"data": {"data": {}}}}', '{"settings": 1}', '[']
)
def test_other_models_and_damaged_descriptions_pass(tmp_path, content):
    (tmp_path / 'training.json').write_text(content)
    simulated_model.refuse_simulated_model(tmp_path)
    simulated_model.refuse_simulated_model(tmp_path / 'none')
