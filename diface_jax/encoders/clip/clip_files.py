"""Reads CLIP from a folder: transformers' files, or those of OpenAI's code and OpenCLIP.

Both layouts of the tensors are read, since face-trained weights (FLIP, FaRL) come in either.
"""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy
from flax import nnx

from diface_jax.encoders import folder_files, name_table
from diface_jax.encoders.clip.towers import Clip, ClipText, ImageSizes, TextSizes

OPEN_CLIP_CONFIG = 'open_clip_config.json'

_LAYER = {
    'layers/attention_norm': '{}.layer_norm1',
    'layers/mix': '{}.self_attn.out_proj',
    'layers/feed_norm': '{}.layer_norm2',
    'layers/up': '{}.mlp.fc1',
    'layers/down': '{}.mlp.fc2',
}


def _tower_table(prefix: str) -> dict[str, tuple[str, ...]]:
    layer = f'{prefix}.encoder.layers.'
    attention = tuple(f'{layer}{{}}.self_attn.{name}_proj' for name in 'qkv')
    return {path: (layer + name,) for path, name in _LAYER.items()} | {'layers/qkv': attention}


_TEXT = {
    'words': ('text_model.embeddings.token_embedding',),
    'positions': ('text_model.embeddings.position_embedding',),
    'norm': ('text_model.final_layer_norm',),
    **_tower_table('text_model'),
}
_IMAGE = {
    'patches': ('vision_model.embeddings.patch_embedding',),
    'class_token': ('vision_model.embeddings.class_embedding',),
    'positions': ('vision_model.embeddings.position_embedding',),
    'first_norm': ('vision_model.pre_layrnorm',),
    'norm': ('vision_model.post_layernorm',),
    **_tower_table('vision_model'),
}
_CLIP = {
    **{f'text/{path}': names for path, names in _TEXT.items()},
    **{f'image/{path}': names for path, names in _IMAGE.items()},
    'text_projection': ('text_projection',),
    'image_projection': ('visual_projection',),
}
# Scales of the training loss, and buffers.
_SKIPPED = (
    *('logit_scale', 'logit_bias', 'attn_mask', 'input_resolution', 'context_length', 'vocab_size'),
    *('text_model.embeddings.position_ids', 'vision_model.embeddings.position_ids'),
)
_NOT_TEXT = ('vision_model.', 'visual_projection.', 'text_projection.')

# From the names of OpenAI's code to those of transformers, in this order.
_RENAMED = (
    (r'^visual\.transformer\.resblocks\.', 'vision_model.encoder.layers.'),
    (r'^transformer\.resblocks\.', 'text_model.encoder.layers.'),
    (r'\.ln_([12])\.', r'.layer_norm\1.'),
    (r'\.attn\.', '.self_attn.'),
    (r'\.mlp\.c_fc\.', '.mlp.fc1.'),
    (r'\.mlp\.c_proj\.', '.mlp.fc2.'),
    (r'^token_embedding\.', 'text_model.embeddings.token_embedding.'),
    (r'^positional_embedding$', 'text_model.embeddings.position_embedding.weight'),
    (r'^ln_final\.', 'text_model.final_layer_norm.'),
    (r'^text_projection$', 'text_projection.weight'),
    (r'^visual\.class_embedding$', 'vision_model.embeddings.class_embedding'),
    (r'^visual\.positional_embedding$', 'vision_model.embeddings.position_embedding.weight'),
    (r'^visual\.conv1\.', 'vision_model.embeddings.patch_embedding.'),
    (r'^visual\.ln_pre\.', 'vision_model.pre_layrnorm.'),
    (r'^visual\.ln_post\.', 'vision_model.post_layernorm.'),
    (r'^visual\.proj$', 'visual_projection.weight'),
)
# Settings of OpenCLIP's configs that are read here, or that change nothing.
_OPEN_CLIP_TEXT = {
    'context_length': 'max_position_embeddings',
    'vocab_size': 'vocab_size',
    'width': 'hidden_size',
    'heads': 'num_attention_heads',
    'layers': 'num_hidden_layers',
}
_OPEN_CLIP_IMAGE = {
    'image_size': 'image_size',
    'width': 'hidden_size',
    'layers': 'num_hidden_layers',
    'patch_size': 'patch_size',
}
_HEAD_WIDTH = 64  # of OpenCLIP's image towers
# Mean and standard deviation of red, green and blue that OpenAI's towers were trained with.
_COLOURS = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def is_open_clip(folder: pathlib.Path) -> bool:
    """Whether a folder has the config of OpenCLIP alone."""
    return not (folder / folder_files.CONFIG).is_file() and (folder / OPEN_CLIP_CONFIG).is_file()


def require_clip(folder: pathlib.Path) -> None:
    """Makes sure that a folder has a CLIP of two towers.

    Raises:
      FileNotFoundError: the config or the weights are missing.
      ValueError: it holds another model.
    """
    what = 'Give a folder with a CLIP: config.json (or open_clip_config.json) and its safetensors.'
    if not is_open_clip(folder):
        folder_files.require_file(folder, folder_files.CONFIG, what)
        kind = folder_files.read_json(folder / folder_files.CONFIG).get('model_type')
        if kind != 'clip':
            raise ValueError(f'{folder} holds a {kind}, not a clip. {what}')
    folder_files.require_file(folder, folder_files.weights_file(folder).name, what)


def read_colours(folder: pathlib.Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of red, green and blue, by which pixels of 0 to 1 are scaled."""
    settings = folder_files.read_json(folder / 'preprocessor_config.json')
    open_clip = folder_files.read_json(folder / OPEN_CLIP_CONFIG).get('preprocess_cfg', {})
    mean = settings.get('image_mean') or open_clip.get('mean') or _COLOURS[0]
    scale = settings.get('image_std') or open_clip.get('std') or _COLOURS[1]
    return tuple(mean), tuple(scale)


def load_clip_text(folder: pathlib.Path) -> ClipText:
    """The text tower of a folder with CLIP, or with its text tower alone.

    Raises:
      ValueError: the config asks for an unsupported network, a tensor is missing or has another
        shape than the config says, or the name table lacks a tensor of the file.
    """
    text, _, _ = _read_sizes(folder)
    return name_table.fill(
        lambda: ClipText(text, rngs=nnx.Rngs(0)),
        _TEXT,
        _read_tensors(folder),
        _SKIPPED + _NOT_TEXT,
        str(folder_files.weights_file(folder)),
    )


def load_clip(folder: pathlib.Path) -> Clip:
    """Both towers of a folder with CLIP; raises as `load_clip_text`."""
    sizes = _read_sizes(folder)
    return name_table.fill(
        lambda: Clip(*sizes, rngs=nnx.Rngs(0)),
        _CLIP,
        _read_tensors(folder),
        _SKIPPED,
        str(folder_files.weights_file(folder)),
    )


def _read_sizes(folder: pathlib.Path) -> tuple[TextSizes, ImageSizes, int]:
    """Sizes of the text tower and of the image tower, and the width of the shared space."""
    if is_open_clip(folder):
        return _open_clip_sizes(folder / OPEN_CLIP_CONFIG)
    config = folder_files.read_json(folder / folder_files.CONFIG)
    # A text tower alone has its sizes at the top.
    text = (
        config if config.get('model_type') == 'clip_text_model' else config.get('text_config') or {}
    )
    return (
        TextSizes(**_fields(text, TextSizes._fields)),
        ImageSizes(**_fields(config.get('vision_config') or {}, ImageSizes._fields)),
        config.get('projection_dim', 512),
    )


def _fields(settings: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: settings[name] for name in names if name in settings}


def _open_clip_sizes(path: pathlib.Path) -> tuple[TextSizes, ImageSizes, int]:
    model = folder_files.read_json(path)['model_cfg']
    activation = {'hidden_act': 'quick_gelu' if model.get('quick_gelu') else 'gelu'}
    text = _renamed_settings(path, model['text_cfg'], _OPEN_CLIP_TEXT)
    image = _renamed_settings(path, model['vision_cfg'], _OPEN_CLIP_IMAGE)
    text |= activation | {'intermediate_size': 4 * text['hidden_size']}
    image |= activation | {
        'intermediate_size': 4 * image['hidden_size'],
        'num_attention_heads': image['hidden_size'] // _HEAD_WIDTH,
    }
    return TextSizes(**text), ImageSizes(**image), model['embed_dim']


def _renamed_settings(
    path: pathlib.Path, settings: Mapping[str, Any], names: Mapping[str, str]
) -> dict[str, Any]:
    unknown = settings.keys() - names.keys() - {'hf_tokenizer_name'}
    if unknown or not all(isinstance(settings.get(name), int) for name in names):
        raise ValueError(
            f'{path} describes another network than ViT-B/32, -B/16 or -L/14 ('
            f'{", ".join(sorted(unknown)) or "sizes are missing"}): it is not implemented'
        )
    return {ours: settings[name] for name, ours in names.items()}


def _read_tensors(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors of a folder, under the names that transformers gives them."""
    tensors = safetensors.numpy.load_file(folder_files.weights_file(folder))
    if 'token_embedding.weight' in tensors:
        tensors = _named_as_in_transformers(tensors)
    patches = 'vision_model.embeddings.patch_embedding.weight'
    if patches in tensors:  # a convolution of patches that do not overlap, as a matrix
        tensors[patches] = tensors[patches].reshape(len(tensors[patches]), -1)
    return tensors


def _named_as_in_transformers(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors of OpenAI's layout: renamed, q, k and v apart, projections transposed."""
    renamed = {}
    for name, tensor in tensors.items():
        if name in ('text_projection', 'visual.proj'):
            tensor = tensor.T
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        before, joined, kind = name.partition('.in_proj_')
        if joined:
            parts = np.split(tensor, 3)
            renamed |= {
                f'{before}.{q}_proj.{kind}': part for q, part in zip('qkv', parts, strict=True)
            }
        else:
            renamed[name] = tensor
    return renamed
