"""Tiny networks with random weights, and what PyTorch computes with them (golden_networks)."""

import json
import pathlib

import numpy as np
import safetensors
import safetensors.numpy
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors

PATH = pathlib.Path(__file__).with_name('golden_networks.safetensors')
WORDS = ('bald', 'blond', 'beard', 'hat', 'nose', 'pale', 'young', 'smiling')


def tensors(name):
    """All of a network: 'weights/...' and its inputs and results."""
    whole = safetensors.numpy.load_file(PATH)
    return {
        key.removeprefix(f'{name}/'): tensor
        for key, tensor in whole.items()
        if key.startswith(f'{name}/')
    }


def config(name):
    """The config.json of a network."""
    with safetensors.safe_open(PATH, 'np') as file:
        return json.loads(file.metadata()[name])


def weights(name):
    """The weights of a network, under the names of PyTorch's class."""
    return {
        key.removeprefix('weights/'): tensor
        for key, tensor in tensors(name).items()
        if key.startswith('weights/')
    }


def save(folder, name, **files):
    """Writes a network as a folder, with a tokenizer of a few words and a licence; returns it.

    Args:
      folder: to make.
      name: of the network.
      files: further JSON files by their names, without '.json'.
    """
    folder.mkdir(parents=True)
    safetensors.numpy.save_file(weights(name), folder / 'model.safetensors')
    save_tokenizer(folder)
    (folder / 'README.md').write_text('---\nlicense: mit\n---\n')
    for file, content in {'config': config(name), **files}.items():
        path = folder / f'{file}.json'
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    return folder


def save_tokenizer(folder):
    """A tokenizer.json of whole words between '[begin]' and '[end]', which has the highest id."""
    vocabulary = {word: at for at, word in enumerate(('[begin]', '[pad]', '[UNK]', *WORDS))}
    vocabulary['[end]'] = 23
    tokenizer = tokenizers.Tokenizer(models.WordLevel(vocabulary, '[UNK]'))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single='[begin] $A [end]', special_tokens=[('[begin]', 0), ('[end]', 23)]
    )
    tokenizer.save(str(folder / 'tokenizer.json'))


def root_mean_square(x):
    """Of the last axis, which is kept."""
    return np.sqrt(np.square(x).mean(axis=-1, keepdims=True))
