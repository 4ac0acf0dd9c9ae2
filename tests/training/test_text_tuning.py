"""Tuning the text encoder: it learns words whose sense the frozen one does not tell."""

import dataclasses

import jax
import numpy as np
import pytest
from flax import nnx

from diface_jax.encoders.text import adapters, condition
from diface_jax.encoders.text.encoder import load_text_encoder
from diface_jax.runtime.settings import Settings
from diface_jax.training import text_tuning
from diface_jax.training.checkpoint import METRIC
from tests import population, tiny
from tests.tiny_bert import WORDS, random_tensors, save_model


def saying(split, encoder, standard=None):
    """Each sentence says which of the first dimensions of its photo are positive."""
    texts = [
        ' '.join(word for word, value in zip(WORDS, embedding, strict=False) if value > 0) or 'hat'
        for embedding in split.embedding_NxD[split.photo_T]
    ]
    vector_TxC = condition.sentence_vectors(encoder.encode(texts))
    standard = standard or condition.Standardisation.fit(vector_TxC, 1)
    return dataclasses.replace(
        split, text_T=np.array(texts, object), c_TxC=standard(vector_TxC)
    ), standard


@pytest.fixture(scope='module')
def encoder(tmp_path_factory):
    """Its output has four dimensions that are not constant: which they are has to be learned."""
    tensors = random_tensors()
    tensors['encoder.layer.1.output.LayerNorm.weight'][4:] = 0
    folder = save_model(tmp_path_factory.mktemp('bert') / 'tiny', tensors)
    return load_text_encoder(str(folder))


@pytest.fixture(scope='module')
def data(encoder):
    data = population.prepared()
    train, standard = saying(data.splits['train'], encoder)
    validation, _ = saying(data.splits['validation'], encoder, standard)
    splits = {'train': train, 'validation': validation}
    conditions = condition.ConditionEncoder(encoder, standard)
    return dataclasses.replace(data, splits=splits), conditions


def settings(**changes):
    config = tiny.config()
    config.evaluate.two_tower.update(num_steps=20, eval_every=20)
    config.tune_text.update(
        layers=1, rank=4, num_steps=40, batch_size=16, learning_rate=0.01, eval_every=40, **changes
    )
    return Settings.from_config(config)


def test_adapters_are_better_on_validation(data):
    result = text_tuning.tune_text(settings(), *data)
    assert result.adapted[METRIC] > result.frozen[METRIC]
    assert {len(array) for array in result.adapters.values()} == {1}
    assert all(array.dtype == np.float16 for array in result.adapters.values())


def test_a_tuning_that_helps_nothing_is_refused(data, monkeypatch):
    monkeypatch.setattr(text_tuning._Tuning, 'judge', lambda self, params: {METRIC: 0.0})
    with pytest.raises(ValueError, match=r'lower tune_text\.learning_rate'):
        text_tuning.tune_text(settings(), *data)


def test_more_layers_than_there_are(data):
    config = tiny.config()
    config.tune_text.update(layers=3)
    with pytest.raises(ValueError, match=r'tune_text\.layers=3: at most the upper half of tiny'):
        text_tuning.tune_text(Settings.from_config(config), *data)


def test_tuned_twice_is_refused(data):
    prepared, conditions = data
    layers = nnx.state(conditions.encoder.network.layers)
    initial = adapters.init_adapters(layers, 1, 2, jax.random.key(0))
    tuned = dataclasses.replace(conditions, encoder=conditions.encoder.with_adapters(initial))
    with pytest.raises(ValueError, match='with adapters already'):
        text_tuning.tune_text(settings(), prepared, tuned)
