"""Text encoders chosen by a setting, from sentences to a search."""

import json

import numpy as np
import pytest
import safetensors.numpy

import diface_jax
from diface_jax.cli import pipeline
from diface_jax.data import prepared
from diface_jax.data.readers import simulated
from diface_jax.evaluation.analysis import negation_test, short_queries
from tests import moments, tiny
from tests.encoders import golden

WIDTH = 384  # of MiniLM, so that the programs of other tests serve here too
NARROW = 8  # of the golden networks


@pytest.fixture(scope='module')
def population(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'population'
    moments.population().save(root)
    return root


@pytest.fixture
def config(population, monkeypatch):
    """Of simulated people, with few of the sentences that an evaluation encodes."""
    pairs, queries = negation_test.read_pairs()[:2], short_queries.read_short_queries()[:2]
    monkeypatch.setattr(negation_test, 'read_pairs', lambda: pairs)
    monkeypatch.setattr(short_queries, 'read_short_queries', lambda: queries)
    return tiny.config_of_simulated(population)


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


@pytest.mark.parametrize('name', ['bert', 'mpnet', 'clip', 't5'])
def test_an_encoder_goes_from_sentences_to_a_search(config, tmp_path, name):
    workdir, gallery = tmp_path / 'work', tmp_path / 'gallery'
    folder = prepare(config, workdir, wide(tmp_path / name, name))
    for mode in ('train', 'evaluate'):
        pipeline.run_pipeline(mode, config, workdir, overwrite=False)
    evaluation = json.loads((workdir / 'evaluation.json').read_text())
    assert evaluation['data_card']['encoders']['text']['name'] == name
    assert {row['method'] for row in evaluation['results']} > {'diface', 'towers', 'cca'}
    model = diface_jax.load(workdir)
    faces = model.enroll_embeddings(gallery, folder / simulated.GALLERY).faces
    answer = model.search(gallery, 'a smiling young woman', k=faces)
    assert len({found.scored.score for found in answer.results}) > 1


def test_a_model_is_loaded_with_the_encoder_of_its_training_alone(config, tmp_path):
    folder = wide(tmp_path / 'tiny-t5', 't5')
    prepare(config, tmp_path / 'work', folder)
    pipeline.run_pipeline('train', config, tmp_path / 'work', overwrite=False)
    folder.rename(tmp_path / 'elsewhere')
    with pytest.raises(FileNotFoundError, match='tiny-t5 is neither a folder nor in the hub cache'):
        diface_jax.load(tmp_path / 'work')


@pytest.mark.parametrize('name', ['mpnet', 'clip'])
def test_several_depths_and_the_reading_are_in_the_data_card(config, tmp_path, name):
    config.encoders.text_layers = 'several'
    folder = prepare(config, tmp_path / 'work', golden.save(tmp_path / name, name))
    data = prepared.load_prepared(folder)
    text = data.card['encoders']['text']
    assert (text['name'], text['width'], text['pools']) == (name, 6 * NARROW, 6)
    assert text.get('pooling') == ('last' if name == 'clip' else None)
    c_TxC = data.splits['train'].c_TxC
    assert c_TxC.shape[1] == 6 * NARROW
    # Each of the six pools has a mean squared length of 1, or less where numbers are constant.
    assert 1 < np.square(c_TxC).sum(axis=1).mean() < 6.1
