"""Tuning the text encoder: it learns words whose sense the frozen one does not tell."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diface_jax.encoders.text import adapters, condition, pooling, sentence_tokens
from diface_jax.encoders.text.encoder import load_text_encoder
from diface_jax.evaluation import two_tower
from diface_jax.evaluation.two_tower import TwoTower
from diface_jax.runtime import mesh as meshes
from diface_jax.runtime import run_state
from diface_jax.runtime.settings import Settings
from diface_jax.training import text_tuning
from diface_jax.training.checkpoint import METRIC, Checkpoints
from tests import population, tiny
from tests.encoders import golden
from tests.tiny_bert import WORDS, random_tensors, save_model


def saying(split, encoder, standard=None, pools=1):
    """Each sentence says which of the first dimensions of its photo are positive."""
    texts = [
        ' '.join(word for word, value in zip(WORDS, embedding, strict=False) if value > 0) or 'hat'
        for embedding in split.embedding_NxD[split.photo_T]
    ]
    pool_TxP = encoder.encode(texts)
    vector_TxC = condition.sentence_vectors(pool_TxP) if pools == 1 else pool_TxP
    standard = standard or condition.Standardisation.fit(vector_TxC, pools)
    return dataclasses.replace(
        split, text_T=np.array(texts, object), c_TxC=standard(vector_TxC)
    ), standard


@pytest.fixture(scope='module', autouse=True)
def one_shape():
    """Sentences are encoded in the shape of few ones, whose program other tests use too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sentence_tokens, '_FEW', 1000)
        yield


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


def settings():
    config = tiny.config()
    config.evaluate.two_tower.update(learning_rate=0.04, dropout=0.1)
    config.tune_text.update(
        layers=1, rank=4, num_steps=60, batch_size=32, learning_rate=0.02, eval_every=30
    )
    return Settings.from_config(config)


def untrained_towers(settings, table, batches, judge, seed):
    return TwoTower(
        table.x0_NxD.shape[1], table.c_TxC.shape[1], settings, rngs=nnx.Rngs(params=seed, dropout=1)
    )


def test_adapters_learn_to_tell_people_apart_killed_or_not(data, monkeypatch, tmp_path):
    monkeypatch.setattr(text_tuning, '_GROUPS', 2)
    monkeypatch.setattr(two_tower, 'fit_towers', untrained_towers)
    prepared, conditions = data
    # Validated on the people of training: others are a matter of chance with so few.
    train = prepared.splits['train']
    same_people = dataclasses.replace(prepared, splits={'train': train, 'validation': train})
    with monkeypatch.context() as patch:
        values = iter([{METRIC: 0.0}])
        patch.setattr(text_tuning._Tuning, 'judge', lambda *_: next(values))
        with pytest.raises(StopIteration):  # killed at its second validation
            text_tuning.tune_text(settings(), same_people, conditions, tmp_path)
    result = text_tuning.tune_text(settings(), same_people, conditions, tmp_path)
    whole = text_tuning.tune_text(settings(), same_people, conditions, tmp_path / 'whole')
    jax.tree.map(np.testing.assert_array_equal, result.adapters, whole.adapters)
    assert result.adapted[METRIC] > result.frozen[METRIC] + 0.1
    assert {len(array) for array in result.adapters.values()} == {1}
    assert all(array.any() and array.dtype == np.float16 for array in result.adapters.values())


def test_conditions_in_training_are_those_of_the_adapted_encoder(data):
    prepared, conditions = data
    encoder = conditions.encoder
    train, standard = saying(prepared.splits['train'], encoder, pools=pooling.POOLS)
    prepared = dataclasses.replace(prepared, splits={**prepared.splits, 'train': train})
    several = condition.ConditionEncoder(encoder, standard)
    tuning = text_tuning._Tuning(settings(), prepared, several)
    initial = adapters.init_adapters(tuning._last, 1, 4, jax.random.key(0))
    trained = {name: array + 0.1 for name, array in adapters.rounded(initial).items()}
    texts = np.arange(16)
    frozen_c_BxC = tuning._train.c_TxC[texts]
    c_BxC = jax.jit(tuning._adapted)(
        trained, tuning._last, [tuning._states.padded(texts)], frozen_c_BxC
    )
    adapted = condition.ConditionEncoder(encoder.with_adapters(trained), standard)
    expected_BxC = adapted.encode(tuning._train.text_T[texts].tolist())
    np.testing.assert_allclose(c_BxC, expected_BxC, atol=5e-3)
    assert np.abs(expected_BxC - frozen_c_BxC).max() > 0.05


class Judged:
    """A tuning whose parameter counts its steps, and whose validation is given."""

    def __init__(self, values):
        self.values = iter(values)

    def start(self):
        params = text_tuning._Params({'qkv.a': jnp.zeros(1)}, {})
        return text_tuning._Progress(params, {}, params, params.adapters), {METRIC: 0.5}

    def like(self):
        sharding = meshes.replicated(meshes.one_device_mesh())
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            self.start()[0],
        )

    def batches(self):
        return lambda step: None

    def step(self, before, step, batch, key):
        params = jax.tree.map(lambda count: count + 1, before.params)
        return before._replace(params=params, average=params)

    def judge(self, params):
        value = next(self.values)
        if value is None:
            raise KeyboardInterrupt
        return {METRIC: value}


EMPTY = text_tuning._Note({}, {}, {})


def tuned(values, folder):
    tune = dataclasses.replace(settings().tune_text, num_steps=4, eval_every=1)
    with Checkpoints(folder) as checkpoints:
        latest = checkpoints.latest()
        note = text_tuning._Note(**checkpoints.note(latest)) if latest else EMPTY
        return text_tuning._best_adapters(Judged(values), tune, 0, checkpoints, note)


def test_the_adapters_of_the_best_validation_are_kept(tmp_path):
    result = tuned([0.6, 0.7, 0.4, 0.6], tmp_path / 'a')
    assert result.adapters['qkv.a'] == 2
    assert (result.frozen[METRIC], result.adapted[METRIC]) == (0.5, 0.7)
    with pytest.raises(ValueError, match=r'lower tune_text\.learning_rate'):
        tuned([0.4, 0.5, 0.4, 0.4], tmp_path / 'b')


def test_a_killed_tuning_goes_on_from_its_last_validation(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        tuned([0.6, 0.7, None], tmp_path)
    result = tuned([0.4, 0.65], tmp_path)
    assert result.adapters['qkv.a'] == 2
    assert (result.frozen[METRIC], result.adapted[METRIC]) == (0.5, 0.7)


def test_another_tuning_in_its_folder_is_refused(data, tmp_path):
    note = text_tuning._Note(run_state.to_plain_json(settings().to_dict()), {}, {})
    note.settings['tune_text']['rank'] = 5
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, Judged([]).start()[0], note._asdict())
    with pytest.raises(run_state.SettingsDifferError, match=r'tune_text\.rank'):
        text_tuning.tune_text(settings(), *data, tmp_path)


def test_more_layers_than_there_are(data, tmp_path):
    config = tiny.config()
    config.tune_text.update(layers=3)
    with pytest.raises(ValueError, match=r'tune_text\.layers=3: at most the upper half of tiny'):
        text_tuning.tune_text(Settings.from_config(config), *data, tmp_path)


def test_tuned_twice_is_refused(data, tmp_path):
    prepared, conditions = data
    layers = nnx.state(conditions.encoder.network.layers)
    initial = adapters.init_adapters(layers, 1, 2, jax.random.key(0))
    tuned = dataclasses.replace(conditions, encoder=conditions.encoder.with_adapters(initial))
    with pytest.raises(ValueError, match='with adapters already'):
        text_tuning.tune_text(settings(), prepared, tuned, tmp_path)


def test_an_encoder_of_another_kind_is_refused(data, tmp_path):
    prepared, conditions = data
    mpnet = load_text_encoder(str(golden.save(tmp_path / 'mpnet', 'mpnet')))
    tuned = dataclasses.replace(conditions, encoder=mpnet)
    with pytest.raises(
        ValueError, match=r'mpnet cannot be tuned: only .* bert, roberta or xlm-rob'
    ):
        text_tuning.tune_text(settings(), prepared, tuned, tmp_path)


def test_grammar_is_thinned_and_observations_are_left_out():
    split = population.observed(population.split(0, 20))
    phrases = np.where(split.track_T == 1, 3, split.track_T)
    for track_T, kept in ((split.track_T, 'human'), (phrases, 'phrase')):
        fewer = text_tuning._fewer(dataclasses.replace(split, track_T=track_T))
        assert fewer.observations is None
        assert len(fewer.texts(kept)) == len(split.texts('human'))
        assert len(fewer.texts('grammar')) == len(split.file_N), 'one a photo, of two'
