"""Text encoders chosen by a setting, from sentences to a search.

BERT's family goes the same way in test_quickstart.py, as MiniLM.
"""

import json

import numpy as np
import pytest
import safetensors.numpy

import diface_jax
from diface_jax.cli import pipeline
from diface_jax.data import prepared
from diface_jax.data.readers import simulated
from diface_jax.evaluation.analysis.error_analysis import ErrorAnalysis
from diface_jax.evaluation.methods import MethodSuite
from diface_jax.gallery import calibrate
from tests import moments, tiny
from tests.encoders import golden
from tests.gallery import world

WIDTH = 384  # of MiniLM, so that the programs of other tests serve here too
NARROW = 8  # of the golden networks


@pytest.fixture(scope='module')
def population(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'population'
    moments.population().save(root)
    return root


@pytest.fixture
def config(population):
    config = tiny.config_of_simulated(population)
    config.train.num_steps = config.train.eval_every
    return config


@pytest.fixture
def short_evaluation(monkeypatch):
    """DiFace alone, without the error analysis; scores are calibrated as in a known world."""

    def diface(suite, attributes):
        return {'diface': suite._diface(suite.sampling, refined=True)}

    monkeypatch.setattr(MethodSuite, 'methods', diface)
    monkeypatch.setattr(ErrorAnalysis, 'sections', lambda analysis: {})
    monkeypatch.setattr(calibrate, 'load_or_calibrate', lambda *_: world.decision_rule())


def wide(folder, name):
    """A golden network of MiniLM's width with random weights."""
    golden.save(folder, name)
    settings, rng = golden.config(name), np.random.default_rng(0)
    of_text = settings.get('text_config', settings)
    of_text['d_model' if name == 't5' else 'hidden_size'] = WIDTH
    (folder / 'config.json').write_text(json.dumps(settings))
    tensors = golden.weights(name)
    for key, tensor in tensors.items():
        if 'vision' not in key and 'relative' not in key:
            shape = [WIDTH if size == NARROW else size for size in tensor.shape]
            tensors[key] = rng.normal(scale=0.1, size=shape).astype(np.float32)
    safetensors.numpy.save_file(tensors, folder / 'model.safetensors')
    return folder


def prepare(config, workdir, folder):
    """Prepares with the text encoder of a folder; returns the folder of the prepared data set."""
    config.encoders.text = str(folder)
    pipeline.run_pipeline('prepare', config, workdir, overwrite=False)
    return next((workdir / 'prepared').glob('population-????????'))


@pytest.mark.usefixtures('short_evaluation')
@pytest.mark.parametrize('name', ['mpnet', 'clip', 't5'])
def test_an_encoder_goes_from_sentences_to_a_search(config, tmp_path, name):
    workdir, gallery, weights = tmp_path / 'work', tmp_path / 'gallery', tmp_path / name
    folder = prepare(config, workdir, wide(weights, name))
    for mode in ('train', 'evaluate'):
        pipeline.run_pipeline(mode, config, workdir, overwrite=False)
    evaluation = json.loads((workdir / 'evaluation.json').read_text())
    assert evaluation['data_card']['encoders']['text']['name'] == name
    assert {row['method'] for row in evaluation['results']} == {'diface'}
    model = diface_jax.load(workdir)
    faces = model.enroll_embeddings(gallery, folder / simulated.GALLERY).faces
    answer = model.search(gallery, 'a smiling young woman', k=faces)
    assert len(answer.results) == faces
    weights.rename(tmp_path / 'elsewhere')
    with pytest.raises(FileNotFoundError, match=f'{name} is neither a folder nor in the hub cache'):
        diface_jax.load(workdir)


def test_several_depths_and_the_reading_are_in_the_data_card(config, tmp_path):
    config.encoders.text_layers = 'several'
    folder = prepare(config, tmp_path / 'work', golden.save(tmp_path / 'clip', 'clip'))
    data = prepared.load_prepared(folder)
    text = data.card['encoders']['text']
    assert (text['name'], text['width'], text['pools']) == ('clip', 6 * NARROW, 6)
    assert text['pooling'] == 'last'
    c_TxC = data.splits['train'].c_TxC
    assert c_TxC.shape[1] == 6 * NARROW
    # Each of the six pools has a mean squared length of 1, or less where numbers are constant.
    assert 1 < np.square(c_TxC).sum(axis=1).mean() < 6.1
