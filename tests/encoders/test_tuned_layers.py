"""Tuned layers: they take the place of the last ones, alone, and of the right encoder only."""

import numpy as np
import pytest
from flax import nnx

from diface_jax.encoders.text import bert, condition, tuned_layers
from tests.tiny_bert import random_tensors, save_model

SENTENCES = ['bald blond beard', 'young smiling', 'pale']


@pytest.fixture(scope='module')
def frozen(tmp_path_factory):
    folder = save_model(tmp_path_factory.mktemp('bert') / 'tiny', random_tensors())
    return bert.load_text_encoder(str(folder))


@pytest.fixture(scope='module')
def layers(frozen):
    """The last layer, every parameter larger by an eighth, which float16 holds."""
    last = tuned_layers.last_layers(nnx.state(frozen.network.layers), 1)
    return {name: (value + np.float16(0.125)).astype(np.float16) for name, value in last.items()}


def test_the_last_depth_alone_changes(frozen, layers):
    before, after = frozen.encode(SENTENCES), frozen.with_tuned_layers(layers).encode(SENTENCES)
    pools_before, pools_after = (pool.reshape(3, bert.POOLS, -1) for pool in (before, after))
    for pool in range(bert.POOLS):
        same = np.allclose(pools_before[:, pool], pools_after[:, pool], atol=1e-6)
        assert same == (pool % 3 != bert.SENTENCE_POOL)


def test_its_own_layers_change_nothing(frozen):
    own = nnx.state(frozen.network.layers)
    unrounded = tuned_layers.last_layers(own, 1)
    tuned = frozen.with_tuned_layers(unrounded)
    np.testing.assert_allclose(tuned.encode(SENTENCES), frozen.encode(SENTENCES), atol=0.01)
    assert tuned.sha256 != frozen.sha256


def test_the_hash_tells_tuned_encoders_apart(frozen, layers):
    tuned = frozen.with_tuned_layers(layers)
    other = frozen.with_tuned_layers({name: value * 2 for name, value in layers.items()})
    assert len({frozen.sha256, tuned.sha256, other.sha256}) == 3
    # Tuned twice is tuned once: the layers are replaced, and the hash is of the frozen encoder's.
    assert tuned.with_tuned_layers(layers).sha256 == tuned.sha256
    assert tuned.frozen == frozen.frozen
    standard = condition.Standardisation.fit(frozen.encode(SENTENCES), bert.POOLS)
    described = condition.ConditionEncoder(tuned, standard).description
    assert (described['sha256'], described['tuned_layers']) == (tuned.sha256, 1)


def test_saved_and_loaded(frozen, layers, tmp_path):
    path = tmp_path / 'tuned.safetensors'
    tuned_layers.save_layers(path, layers, frozen.frozen)
    loaded = tuned_layers.load_layers(path, frozen.frozen)
    assert loaded.keys() == layers.keys()
    assert all(np.array_equal(loaded[name], layers[name]) for name in layers)


def test_what_cannot_be_used_is_refused(frozen, layers, tmp_path):
    path = tmp_path / 'tuned.safetensors'
    with pytest.raises(FileNotFoundError, match='--mode=tune_text'):
        tuned_layers.load_layers(path, frozen.frozen)
    path.write_bytes(b'not a file of tensors')
    with pytest.raises(ValueError, match='damaged'):
        tuned_layers.load_layers(path, frozen.frozen)
    tuned_layers.save_layers(path, layers, frozen.frozen | {'name': 'another'})
    with pytest.raises(ValueError, match='tunes another'):
        tuned_layers.load_layers(path, frozen.frozen)
    name = min(layers)
    with pytest.raises(ValueError, match=name):
        frozen.with_tuned_layers({key: layers[key] for key in layers if key != name})
    with pytest.raises(ValueError, match='another text encoder'):
        frozen.with_tuned_layers({key: value[..., :-1] for key, value in layers.items()})
