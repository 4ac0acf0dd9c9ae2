"""The text networks compute what PyTorch does; folders that do not fit are refused."""

import json

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from diface_jax.encoders.text import encoder, relative_position
from tests.encoders import golden

NAMES = ('bert', 'xlm-roberta', 'mpnet', 't5', 't5-gated', 'clip')


def hidden_states(folder, tensors):
    graphdef, state = nnx.split(encoder._load_network(folder))
    run = jax.jit(lambda state, *inputs: nnx.merge(graphdef, state)(*inputs))
    return np.asarray(run(state, tensors['tokens'], tensors['mask']))


@pytest.mark.parametrize('name', NAMES)
def test_hidden_states_are_those_of_pytorch(tmp_path, name):
    tensors = golden.tensors(name)
    expected = tensors['hidden']
    if name.startswith('t5'):  # ours are divided by their root mean square
        expected[:2] /= golden.root_mean_square(expected[:2])
    actual = hidden_states(golden.save(tmp_path / name, name), tensors)
    assert len(actual) == len(expected)
    np.testing.assert_allclose(
        actual[:, tensors['mask']], expected[:, tensors['mask']], rtol=0, atol=1e-4
    )


def test_the_embedding_may_be_saved_under_its_name_in_the_encoder(tmp_path):
    folder = golden.save(tmp_path / 't5', 't5')
    tensors = golden.weights('t5')
    del tensors['shared.weight']
    safetensors.numpy.save_file(tensors, folder / 'model.safetensors')
    assert encoder._load_network(folder).width == 8


@pytest.mark.parametrize(
    ('name', 'tensor'),
    [
        ('mpnet', 'encoder.relative_attention_bias.weight'),
        ('t5-gated', 'encoder.block.1.layer.1.DenseReluDense.wi_1.weight'),
        ('clip', 'text_model.final_layer_norm.bias'),
    ],
)
def test_a_missing_and_a_leftover_tensor_are_named(tmp_path, name, tensor):
    folder = golden.save(tmp_path / name, name)
    tensors = golden.weights(name)
    safetensors.numpy.save_file(
        tensors | {'new.weight': tensors[tensor]}, folder / 'model.safetensors'
    )
    with pytest.raises(ValueError, match=r'does not use, such as new\.weight'):
        encoder._load_network(folder)
    del tensors[tensor]
    safetensors.numpy.save_file(tensors, folder / 'model.safetensors')
    with pytest.raises(ValueError, match=f'model.safetensors has no tensor {tensor}'):
        encoder._load_network(folder)


@pytest.mark.parametrize(
    ('name', 'change', 'message'),
    [
        ('bert', {'model_type': 'new'}, 'holds a new; the supported model_type'),
        ('bert', {'position_embedding_type': 'relative_key'}, 'relative positions'),
        ('mpnet', {'hidden_act': 'relu'}, 'mpnet with relu'),
        ('t5', {'feed_forward_proj': 'gelu'}, 't5 with gelu; supported are relu, gated-gelu'),
        ('clip', {'text_config': {'hidden_act': 'relu'}}, 'CLIP with relu'),
    ],
)
def test_another_network_is_refused(tmp_path, name, change, message):
    folder = golden.save(tmp_path / name, name)
    (folder / 'config.json').write_text(json.dumps(golden.config(name) | change))
    with pytest.raises(ValueError, match=message):
        encoder._load_network(folder)


def test_buckets_of_t5_in_full():
    bucket_LxL = relative_position.relative_buckets(200, 32, 128)
    # From the second token: before it, itself, after it; then distances at the edges of buckets.
    assert bucket_LxL[1, :3].tolist() == [1, 0, 17]
    distances = [7, 8, 11, 12, 15, 16, 22, 23, 31, 32, 63, 64, 90, 91, 127, 128, 199]
    buckets = [7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 13, 14, 14, 15, 15, 15, 15]
    assert bucket_LxL[199, [199 - d for d in distances]].tolist() == buckets
    assert (bucket_LxL[0, distances] - 16).tolist() == buckets
