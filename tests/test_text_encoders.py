"""Text encoders chosen by a setting, from prepared data to a model that is loaded."""

import json

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

import diface_jax
from diface_jax.cli import pipeline
from diface_jax.data import prepared
from diface_jax.data.encoder_bundle import EncoderBundle
from diface_jax.encoders.text import adapters, sentence_tokens
from diface_jax.encoders.text.encoder import load_text_encoder
from diface_jax.pretrained import packed_model, write_pack
from diface_jax.pretrained.pack_files import Pack
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


def test_adapters_are_prepared_with_and_kept_with_the_data_set(config, tmp_path, monkeypatch):
    monkeypatch.setattr(sentence_tokens, '_FEW', 10**6)  # one shape, one program
    folder = golden.save(tmp_path / 'bert', 'bert')
    frozen = load_text_encoder(str(folder))
    layers = nnx.state(frozen.network.layers)
    trained = {
        name: array + 0.25
        for name, array in adapters.init_adapters(layers, 1, 2, jax.random.key(0)).items()
    }
    path = tmp_path / 'text_adapters.safetensors'
    adapters.save_adapters(path, trained, frozen.frozen)
    config.encoders.text_adapters = str(path)
    data = prepare(config, tmp_path / 'work', folder)
    path.unlink()
    prepared_in = next((tmp_path / 'work/prepared').glob('population-????????'))
    bundle = EncoderBundle.load(frozen, prepared_in)
    text, train = data.card['encoders']['text'], data.splits['train']
    assert bundle.description['text'] == text
    assert text['sha256'] == frozen.with_adapters(trained).sha256
    assert data.card['licences'][-1]['sha256'] == text['frozen_sha256'] == frozen.sha256
    c_TxC = bundle.text.encode(train.text_T[:8].tolist())
    np.testing.assert_allclose(c_TxC, train.c_TxC[:8], atol=0.02)
    tensors = write_pack._adapters(bundle)
    assert {array.dtype for array in tensors.values()} == {np.dtype(np.float16)}
    fitted = bundle.text.standard._asdict()
    tensors |= {f'standardisation/{field}': array for field, array in fitted.items()}
    pack = Pack('made up', 'hash', tensors, {'encoders': data.card['encoders']})
    assert packed_model.pack_encoders(pack, frozen, []).description == bundle.description


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
