"""A folder of a random text encoder of two layers, in the layout of MiniLM."""

import json

import numpy as np
import safetensors.numpy
import tokenizers

WORDS = ('a', 'man', 'woman', 'young', 'with', 'short', 'beard', 'wavy', 'blond', 'hair')
MARKS = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')
WIDTH, INNER, LAYERS, MAX_TOKENS = 24, 40, 2, 16


def write(folder):
    """Writes config, tokenizer and weights; returns the folder."""
    folder.mkdir()
    config = {
        'model_type': 'bert',
        'hidden_act': 'gelu',
        'vocab_size': len(MARKS + WORDS),
        'hidden_size': WIDTH,
        'num_hidden_layers': LAYERS,
        'num_attention_heads': 3,
        'intermediate_size': INNER,
        'max_position_embeddings': MAX_TOKENS,
        'type_vocab_size': 2,
    }
    (folder / 'config.json').write_text(json.dumps(config))
    vocabulary = {word: number for number, word in enumerate(MARKS + WORDS)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token='[UNK]'))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    ends = [(mark, vocabulary[mark]) for mark in ('[CLS]', '[SEP]')]
    tokenizer.post_processor = tokenizers.processors.BertProcessing(ends[1], ends[0])
    tokenizer.save(str(folder / 'tokenizer.json'))
    rng = np.random.default_rng(0)
    tensors = {
        name: (0.3 * rng.standard_normal(shape)).astype(np.float32) for name, shape in _shapes()
    }
    safetensors.numpy.save_file(tensors, folder / 'model.safetensors')
    return folder


def _shapes():
    yield 'embeddings.word_embeddings.weight', (len(MARKS + WORDS), WIDTH)
    yield 'embeddings.position_embeddings.weight', (MAX_TOKENS, WIDTH)
    yield 'embeddings.token_type_embeddings.weight', (2, WIDTH)
    yield 'embeddings.LayerNorm.weight', (WIDTH,)
    yield 'embeddings.LayerNorm.bias', (WIDTH,)
    dense = {
        'attention.self.query': (WIDTH, WIDTH),
        'attention.self.key': (WIDTH, WIDTH),
        'attention.self.value': (WIDTH, WIDTH),
        'attention.output.dense': (WIDTH, WIDTH),
        'attention.output.LayerNorm': (WIDTH,),
        'intermediate.dense': (INNER, WIDTH),
        'output.dense': (WIDTH, INNER),
        'output.LayerNorm': (WIDTH,),
    }
    for layer in range(LAYERS):
        for name, shape in dense.items():
            yield f'encoder.layer.{layer}.{name}.weight', shape
            yield f'encoder.layer.{layer}.{name}.bias', shape[:1]
