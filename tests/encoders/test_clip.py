"""CLIP's towers compute what PyTorch does, from either layout of its files."""

import json

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from diface_jax.encoders.clip import clip_files
from diface_jax.encoders.clip.clip_encoder import ClipEncoder
from diface_jax.encoders.text import encoder
from tests.encoders import golden

TENSORS = golden.tensors('clip')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return golden.save(tmp_path_factory.mktemp('clip') / 'tiny', 'clip')


def openai_name(name):
    """The name that OpenAI's code has for a tensor of transformers."""
    for ours, theirs in (
        ('vision_model.encoder.layers.', 'visual.transformer.resblocks.'),
        ('text_model.encoder.layers.', 'transformer.resblocks.'),
        ('text_model.embeddings.position_embedding.weight', 'positional_embedding'),
        ('text_model.embeddings.', ''),
        ('text_model.final_layer_norm.', 'ln_final.'),
        ('vision_model.embeddings.position_embedding.weight', 'visual.positional_embedding'),
        ('vision_model.embeddings.patch_embedding.', 'visual.conv1.'),
        ('vision_model.embeddings.', 'visual.'),
        ('vision_model.pre_layrnorm.', 'visual.ln_pre.'),
        ('vision_model.post_layernorm.', 'visual.ln_post.'),
        ('visual_projection.weight', 'visual.proj'),
        ('text_projection.weight', 'text_projection'),
        ('.layer_norm1.', '.ln_1.'),
        ('.layer_norm2.', '.ln_2.'),
        ('.self_attn.', '.attn.'),
        ('.mlp.fc1.', '.mlp.c_fc.'),
        ('.mlp.fc2.', '.mlp.c_proj.'),
    ):
        name = name.replace(ours, theirs)
    return name


def openai_tensors(tensors):
    renamed = {}
    for name, tensor in tensors.items():
        before, is_attention, after = name.partition('.q_proj.')
        if is_attention:
            parts = [tensors[f'{before}.{q}_proj.{after}'] for q in 'qkv']
            renamed[f'{openai_name(before + ".")}in_proj_{after}'] = np.concatenate(parts)
        elif '.k_proj.' not in name and '.v_proj.' not in name:
            is_projection = name in ('visual_projection.weight', 'text_projection.weight')
            renamed[openai_name(name)] = np.ascontiguousarray(tensor.T if is_projection else tensor)
    return renamed


@pytest.fixture(scope='module')
def clip(folder):
    return ClipEncoder.from_folder(folder)


def embed_images(clip, image_Bx3xHxW):
    return nnx.jit(type(clip).embed_images)(clip, image_Bx3xHxW.astype(np.float32))


def test_both_towers_are_those_of_pytorch(folder):
    clip = clip_files.load_clip(folder)
    text_BxF = nnx.jit(type(clip).embed_texts)(clip, TENSORS['tokens'], TENSORS['mask'])
    np.testing.assert_allclose(text_BxF, TENSORS['text'], rtol=0, atol=1e-4)
    image_BxF = embed_images(clip, TENSORS['pixels'])
    np.testing.assert_allclose(image_BxF, TENSORS['image'], rtol=0, atol=1e-4)


def test_the_layout_of_openai_is_the_same_model(folder, tmp_path):
    path = tmp_path / 'model.safetensors'
    safetensors.numpy.save_file(openai_tensors(golden.weights('clip')), path)
    config = tmp_path / 'config.json'
    config.write_text(json.dumps(golden.config('clip')))
    tensors, expected = clip_files._read_tensors(tmp_path), clip_files._read_tensors(folder)
    assert tensors.keys() == expected.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, expected[name], err_msg=name)


OPEN_CLIP = {
    'embed_dim': 6,
    'vision_cfg': {'image_size': 16, 'layers': 2, 'width': 128, 'patch_size': 8},
    'text_cfg': {'context_length': 14, 'vocab_size': 24, 'width': 8, 'heads': 2, 'layers': 2},
}


def write_open_clip(folder, model):
    colours = {'mean': [0.5, 0.5, 0.5], 'std': [0.25, 0.25, 0.25]}
    content = {'model_cfg': model, 'preprocess_cfg': colours}
    (folder / 'open_clip_config.json').write_text(json.dumps(content))


def test_the_config_of_open_clip_is_read(tmp_path):
    write_open_clip(tmp_path, OPEN_CLIP)
    text, image, width = clip_files._read_sizes(tmp_path)
    assert (text.hidden_size, text.intermediate_size, text.max_position_embeddings) == (8, 32, 14)
    assert (image.hidden_size, image.num_attention_heads, image.patch_size) == (128, 2, 8)
    assert (text.hidden_act, image.hidden_act, width) == ('gelu', 'gelu', 6)
    assert clip_files.read_colours(tmp_path) == ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    write_open_clip(tmp_path, OPEN_CLIP | {'quick_gelu': True})
    assert clip_files._read_sizes(tmp_path)[0].hidden_act == 'quick_gelu'


def test_another_network_of_open_clip_is_refused(tmp_path):
    vision = OPEN_CLIP['vision_cfg'] | {'timm_model_name': 'convnext'}
    write_open_clip(tmp_path, OPEN_CLIP | {'vision_cfg': vision})
    with pytest.raises(ValueError, match=r'another network than ViT-B/32.*timm_model_name'):
        clip_files._read_sizes(tmp_path)


def test_a_folder_without_a_clip_is_refused(tmp_path):
    with pytest.raises(ValueError, match='holds a bert, not a clip'):
        ClipEncoder.from_folder(golden.save(tmp_path / 'bert', 'bert'))
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match=r'has no config\.json\. Give a folder with a CLIP'):
        ClipEncoder.from_folder(tmp_path / 'empty')


def test_sentences_and_crops_keep_their_order_in_any_batch(clip):
    sentences = ['hat', 'a young man , bald and pale', 'blond']
    text_NxF = clip.embed_texts(sentences)
    alone_NxF = np.concatenate([clip.embed_texts([sentence]) for sentence in sentences])
    np.testing.assert_allclose(text_NxF, alone_NxF, atol=1e-5)
    chips = np.random.default_rng(0).integers(0, 256, (34, 20, 20, 3)).astype(np.uint8)
    photo_NxF = clip.embed_photos(chips)
    np.testing.assert_allclose(photo_NxF[[33, 1]], clip.embed_photos(chips[[33, 1]]), atol=1e-5)


def test_colours_are_standardised(folder, clip):
    chips = np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)
    mean_3, scale_3 = clip_files.read_colours(folder)
    images = ((chips / 255 - mean_3) / scale_3).transpose(0, 3, 1, 2)
    expected = embed_images(clip_files.load_clip(folder), images)
    np.testing.assert_allclose(clip.embed_photos(chips), expected, atol=1e-4)


def test_the_text_tower_alone_is_a_text_encoder(folder, tmp_path):
    alone = golden.save(tmp_path / 'alone', 'clip')
    config = golden.config('clip')['text_config'] | {'model_type': 'clip_text_model'}
    (alone / 'config.json').write_text(json.dumps(config))
    of_text = {n: t for n, t in golden.weights('clip').items() if n.startswith('text_model')}
    safetensors.numpy.save_file(of_text, alone / 'model.safetensors')
    loaded, whole = (encoder.load_text_encoder(str(path)) for path in (alone, folder))
    assert (loaded.width, loaded.max_tokens, loaded.reading.pooling) == (8, 14, 'last')
    assert loaded._graphdef == whole._graphdef
    jax.tree.map(np.testing.assert_array_equal, loaded._state, whole._state)
