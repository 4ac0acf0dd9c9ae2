"""Adapters: they change the layers that they belong to, alone, and fit the right encoder only."""

import jax
import numpy as np
import pytest
from flax import nnx

from diface_jax.encoders.text import adapters, condition, encoder, pooling
from tests.tiny_bert import random_tensors, save_model

SENTENCES = ['bald blond beard', 'young smiling', 'pale']


@pytest.fixture(scope='module')
def frozen(tmp_path_factory):
    folder = save_model(tmp_path_factory.mktemp('bert') / 'tiny', random_tensors())
    return encoder.load_text_encoder(str(folder))


@pytest.fixture(scope='module')
def initial(frozen):
    layers = nnx.state(frozen.network.layers)
    return adapters.rounded(adapters.init_adapters(layers, 1, 2, jax.random.key(0)))


@pytest.fixture(scope='module')
def trained(initial):
    return {name: array + np.float16(0.25) for name, array in initial.items()}


def test_new_adapters_change_nothing(frozen, initial):
    adapted = frozen.with_adapters(initial)
    np.testing.assert_allclose(adapted.encode(SENTENCES), frozen.encode(SENTENCES), atol=1e-6)


def test_the_last_layer_alone_is_adapted(frozen, trained):
    before, after = frozen.encode(SENTENCES), frozen.with_adapters(trained).encode(SENTENCES)
    pools_before, pools_after = (pool.reshape(3, pooling.POOLS, -1) for pool in (before, after))
    for pool in range(pooling.POOLS):
        same = np.allclose(pools_before[:, pool], pools_after[:, pool], atol=1e-6)
        assert same == (pool % 3 != pooling.SENTENCE_POOL)


def test_the_product_of_both_matrices_is_added(frozen, trained):
    layers = nnx.state(frozen.network.layers)
    added = adapters.adapt(layers, trained)['up']['kernel'][...] - layers['up']['kernel'][...]
    np.testing.assert_array_equal(added[0], 0)
    expected = trained['up.a'][0].astype(np.float32) @ trained['up.b'][0].astype(np.float32)
    np.testing.assert_allclose(added[1], expected, atol=1e-6)


def test_the_hash_tells_adapted_encoders_apart(frozen, initial, trained):
    adapted = frozen.with_adapters(trained)
    hashes = {frozen.sha256, adapted.sha256, frozen.with_adapters(initial).sha256}
    assert len(hashes) == 3
    assert adapted.frozen == frozen.frozen
    standard = condition.Standardisation.fit(frozen.encode(SENTENCES), pooling.POOLS)
    assert condition.ConditionEncoder(adapted, standard).description['sha256'] == adapted.sha256


def test_saved_and_loaded(frozen, trained, tmp_path):
    path = tmp_path / 'adapters.safetensors'
    adapters.save_adapters(path, trained, frozen.frozen)
    loaded = adapters.load_adapters(path, frozen.frozen)
    assert loaded.keys() == trained.keys()
    assert all(np.array_equal(loaded[name], trained[name]) for name in trained)


def test_what_cannot_be_used_is_refused(frozen, trained, tmp_path):
    path = tmp_path / 'adapters.safetensors'
    with pytest.raises(FileNotFoundError, match='--mode=tune_text'):
        adapters.load_adapters(path, frozen.frozen)
    path.write_bytes(b'not a file of tensors')
    with pytest.raises(ValueError, match='damaged'):
        adapters.load_adapters(path, frozen.frozen)
    adapters.save_adapters(path, trained, frozen.frozen | {'name': 'another'})
    with pytest.raises(ValueError, match='adapts another'):
        adapters.load_adapters(path, frozen.frozen)
    with pytest.raises(ValueError, match=r'mix\.a'):
        frozen.with_adapters({name: trained[name] for name in trained if name != 'mix.a'})
    with pytest.raises(ValueError, match='those of up'):
        frozen.with_adapters(trained | {'up.b': trained['up.b'][..., :-1]})
    with pytest.raises(ValueError, match='adapters already'):
        frozen.with_adapters(trained).with_adapters(trained)
