"""Text encoders chosen by a setting, from prepared data to results and a model that is loaded."""

import json

import numpy as np
import pytest

import diface_jax
from diface_jax.cli import pipeline
from diface_jax.data import prepared
from tests import moments, tiny
from tests.encoders import golden


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'population'
    moments.population().save(root)
    config = tiny.config()
    config.data.root = str(root)
    config.data.shares = (0.4, 0.3, 0.3)
    config.simulated.update(people=24, photos=2)
    config.captions.update(full=1, partial=0)
    config.encoders.text_layers = 'several'
    config.train.update(num_steps=4, eval_every=4, steps_per_dispatch=4)
    config.evaluate.update(photos_per_attribute=1, galleries=(0,), num_examples=0, draws=1)
    config.evaluate.two_tower.update(num_steps=2, eval_every=2)
    return config


def prepare(config, workdir, name):
    """Prepares with a network of random weights; returns the prepared data set."""
    config.encoders.text = str(golden.save(workdir / 'encoders' / name, name))
    pipeline.run_pipeline('prepare', config, workdir, overwrite=False)
    return prepared.load_prepared(next((workdir / 'prepared').glob('population-????????')))


@pytest.mark.parametrize('name', ['xlm-roberta', 'mpnet', 't5-gated'])
def test_an_encoder_is_chosen_by_its_folder(config, tmp_path, name):
    data = prepare(config, tmp_path, name)
    text = data.card['encoders']['text']
    assert (text['name'], text['width'], text['pools']) == (name, 6 * 8, 6)
    c_TxC = data.splits['train'].c_TxC
    assert c_TxC.shape[1] == 6 * 8
    # Each of the six pools has a mean squared length of 1, or less where numbers are constant.
    assert 1 < np.square(c_TxC).sum(axis=1).mean() < 6.1


def test_a_model_is_trained_evaluated_and_loaded_with_the_text_tower_of_a_clip(config, tmp_path):
    text = prepare(config, tmp_path, 'clip').card['encoders']['text']
    assert (text['name'], text['pooling']) == ('clip', 'last')
    for mode in ('train', 'evaluate'):
        pipeline.run_pipeline(mode, config, tmp_path, overwrite=False)

    results = json.loads((tmp_path / 'evaluation.json').read_text())
    assert {row['method'] for row in results['results']} >= {'diface', 'cca'}
    assert diface_jax.load(tmp_path)
