"""Text encoders chosen by a setting, from prepared data to a model that is loaded."""

import json

import numpy as np
import pytest
import safetensors.numpy

import diface_jax
from diface_jax.cli import pipeline
from diface_jax.data import prepared
from tests import moments, tiny
from tests.encoders import golden

WIDTH = 384  # of MiniLM, so that the programs of other tests serve here too


@pytest.fixture
def config(tmp_path):
    root = tmp_path / 'population'
    moments.population().save(root)
    return tiny.config_of_simulated(root)


def prepare(config, workdir, folder):
    """Prepares with the text encoder of a folder; returns the prepared data set."""
    config.encoders.update(text=str(folder), accept_licence='our own')
    pipeline.run_pipeline('prepare', config, workdir, overwrite=False)
    return prepared.load_prepared(next((workdir / 'prepared').glob('population-????????')))


@pytest.mark.parametrize('name', ['mpnet', 'clip'])
def test_an_encoder_is_chosen_by_its_folder(config, tmp_path, name):
    config.encoders.text_layers = 'several'
    data = prepare(config, tmp_path / 'work', golden.save(tmp_path / name, name))
    text = data.card['encoders']['text']
    assert (text['name'], text['width'], text['pools']) == (name, 6 * 8, 6)
    assert text.get('pooling') == ('last' if name == 'clip' else None)
    c_TxC = data.splits['train'].c_TxC
    assert c_TxC.shape[1] == 6 * 8
    # Each of the six pools has a mean squared length of 1, or less where numbers are constant.
    assert 1 < np.square(c_TxC).sum(axis=1).mean() < 6.1


def wide_t5(folder):
    """A T5 of MiniLM's width with random weights."""
    golden.save(folder, 't5')
    narrow = golden.config('t5')['d_model']
    (folder / 'config.json').write_text(json.dumps(golden.config('t5') | {'d_model': WIDTH}))
    rng = np.random.default_rng(0)
    tensors = golden.weights('t5')
    for name, tensor in tensors.items():
        if 'relative' not in name:
            shape = [WIDTH if size == narrow else size for size in tensor.shape]
            tensors[name] = rng.normal(scale=0.1, size=shape).astype(np.float32)
    safetensors.numpy.save_file(tensors, folder / 'model.safetensors')
    return folder


def test_a_model_is_trained_and_loaded_with_a_t5(config, tmp_path):
    folder = wide_t5(tmp_path / 'tiny-t5')
    data = prepare(config, tmp_path / 'work', folder)
    assert data.card['encoders']['text']['name'] == 'tiny-t5'
    pipeline.run_pipeline('train', config, tmp_path / 'work', overwrite=False)
    assert diface_jax.load(tmp_path / 'work')
    folder.rename(tmp_path / 'elsewhere')
    with pytest.raises(FileNotFoundError, match='tiny-t5 is neither a folder nor in the hub cache'):
        diface_jax.load(tmp_path / 'work')
