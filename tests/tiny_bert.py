"""A Bert of two small layers with random weights, and a tokenizer of a few words."""

import itertools
import json

import numpy as np
import safetensors.numpy
import tokenizers

from diface_jax.encoders.text import bert

WORDS = ('bald', 'blond', 'beard', 'hat', 'nose', 'pale', 'young', 'smiling')
MARKS = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')
CONFIG = bert.BertSizes(
    vocab_size=len(MARKS + WORDS),
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=40,
    max_position_embeddings=32,
)
MAX_TOKENS = 20


def tensor_shapes(config):
    width, inner = config.hidden_size, config.intermediate_size
    shapes = {
        'embeddings.word_embeddings.weight': (config.vocab_size, width),
        'embeddings.position_embeddings.weight': (config.max_position_embeddings, width),
        'embeddings.token_type_embeddings.weight': (config.type_vocab_size, width),
        'embeddings.LayerNorm.weight': (width,),
        'embeddings.LayerNorm.bias': (width,),
        'embeddings.position_ids': (1, config.max_position_embeddings),
        'pooler.dense.weight': (width, width),
        'pooler.dense.bias': (width,),
    }
    dense = {
        'attention.self.query': (width, width),
        'attention.self.key': (width, width),
        'attention.self.value': (width, width),
        'attention.output.dense': (width, width),
        'attention.output.LayerNorm': (width,),
        'intermediate.dense': (inner, width),
        'output.dense': (width, inner),
        'output.LayerNorm': (width,),
    }
    for layer, (name, shape) in itertools.product(range(config.num_hidden_layers), dense.items()):
        shapes[f'encoder.layer.{layer}.{name}.weight'] = shape
        shapes[f'encoder.layer.{layer}.{name}.bias'] = shape[:1]
    return shapes


def random_tensors():
    rng = np.random.default_rng(0)
    tensors = {}
    for name, shape in tensor_shapes(CONFIG).items():
        # Of a trained model's size: larger ones multiply rounding, larger biases make all c alike.
        scale = 0.1 if name.endswith('bias') else shape[-1] ** -0.5 if len(shape) == 2 else 1
        tensors[name] = (scale * rng.normal(size=shape)).astype(np.float32)
    return tensors


def save_tokenizer(folder):
    vocab = {word: index for index, word in enumerate(MARKS + WORDS)}
    tokenizer = tokenizers.BertWordPieceTokenizer(vocab)
    tokenizer.save(str(folder / 'tokenizer.json'))
    settings = {'tokenizer_class': 'BertTokenizer', 'model_max_length': 512}
    (folder / 'tokenizer_config.json').write_text(json.dumps(settings))


def save_model(folder, tensors):
    folder.mkdir()
    config = CONFIG._asdict() | {'model_type': 'bert', 'hidden_act': 'gelu'}
    (folder / 'config.json').write_text(json.dumps(config))
    save_tokenizer(folder)
    (folder / 'sentence_bert_config.json').write_text(json.dumps({'max_seq_length': MAX_TOKENS}))
    safetensors.numpy.save_file(tensors, folder / 'model.safetensors')
    return folder
