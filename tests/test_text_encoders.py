"""Text encoders chosen by a setting, from sentences to a search.

BERT's family goes the same way in test_quickstart.py, as MiniLM.
"""

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
from diface_jax.data.readers import simulated
from diface_jax.encoders.text import adapters, sentence_tokens
from diface_jax.encoders.text.encoder import load_text_encoder
from diface_jax.evaluation.analysis.error_analysis import ErrorAnalysis
from diface_jax.evaluation.methods import MethodSuite
from diface_jax.gallery import calibrate
from diface_jax.pretrained import packed_model, write_pack
from diface_jax.pretrained.pack_files import Pack
from tests import moments, tiny
from tests.encoders import golden
from tests.gallery import world

WIDTH = 384  # of MiniLM, so that the programs of other tests serve here too
NARROW = 8  # of the golden networks


@pytest.fixture(scope='module', autouse=True)
def one_shape():
    """Sentences are encoded in the shapes of few ones: an encoder compiles one or two programs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sentence_tokens, '_FEW', 10**6)
        yield


@pytest.fixture(scope='module')
def population(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'population'
    moments.population().save(root)
    return root


@pytest.fixture
def config(population):
    config = tiny.config_of_simulated(population)
    config.train.update(num_steps=200, eval_every=100, steps_per_dispatch=20)
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


def test_adapters_are_prepared_with_and_kept_with_the_data_set(config, tmp_path):
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
    prepared_in = prepare(config, tmp_path / 'work', folder)
    path.unlink()
    data = prepared.load_prepared(prepared_in)
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
