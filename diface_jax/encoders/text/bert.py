"""BERT's encoder (Devlin et al., 2018), also of RoBERTa and XLM-RoBERTa: tokens to hidden states.

Sentence encoders of this architecture: MiniLM, bge, e5, gte, paraphrase-multilingual and others.
"""

import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import safetensors.numpy
from flax import nnx

from diface_jax.encoders import folder_files, name_table
from diface_jax.encoders.attention import attend
from diface_jax.encoders.layer_stack import gelu, hidden_states, layer_norm, stack_layers

EMBEDDINGS = {
    'words': ('embeddings.word_embeddings',),
    'positions': ('embeddings.position_embeddings',),
    'norm': ('embeddings.LayerNorm',),
}
FEED_FORWARD = {
    'layers/up': ('encoder.layer.{}.intermediate.dense',),
    'layers/down': ('encoder.layer.{}.output.dense',),
    'layers/down_norm': ('encoder.layer.{}.output.LayerNorm',),
}
_TABLE = {
    **EMBEDDINGS,
    'types': ('embeddings.token_type_embeddings',),
    'layers/qkv': tuple(
        f'encoder.layer.{{}}.attention.self.{name}' for name in ('query', 'key', 'value')
    ),
    'layers/mix': ('encoder.layer.{}.attention.output.dense',),
    'layers/mix_norm': ('encoder.layer.{}.attention.output.LayerNorm',),
    **FEED_FORWARD,
}
# Buffers, the integers from 0, and the head of the training task.
SKIPPED = ('embeddings.position_ids', 'embeddings.token_type_ids', 'pooler.', 'lm_head.')


class BertSizes(NamedTuple):
    """Sizes of a Bert, and the epsilon of its norms; named as in its config.json.

    Attributes:
      first_position: position of the first token; RoBERTa counts from the number after padding.
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    first_position: int = 0


class Bert(nnx.Module):
    """BERT's encoder: post-norm transformer layers, stacked so that XLA compiles a single layer.

    Args:
        sizes: of the network; gelu and absolute positions are assumed.
    """

    pooling = 'mean'

    def __init__(self, sizes: BertSizes, *, rngs: nnx.Rngs) -> None:
        self.width = sizes.hidden_size
        self.first_position = sizes.first_position
        self.max_tokens = sizes.max_position_embeddings - sizes.first_position
        self.words = nnx.Embed(sizes.vocab_size, self.width, rngs=rngs)
        self.positions = nnx.Embed(sizes.max_position_embeddings, self.width, rngs=rngs)
        self.types = nnx.Embed(sizes.type_vocab_size, self.width, rngs=rngs)
        self.norm = layer_norm(self.width, sizes.layer_norm_eps, rngs)
        self.layers = stack_layers(
            lambda rngs: BertLayer(sizes, rngs=rngs), sizes.num_hidden_layers, rngs
        )

    def __call__(self, tokens_BxL: jax.Array, mask_BxL: jax.Array) -> jax.Array:
        """Hidden states [S, B, L, C], float32, of the input and of each layer.

        Tokens where the mask is False are not attended to.
        """
        position_L = jnp.arange(tokens_BxL.shape[1]) + self.first_position
        x_BxLxC = self.words(tokens_BxL) + self.positions(position_L) + self.types.embedding[0]
        return hidden_states(self.layers, self.norm(x_BxLxC), mask_BxL)


class BertLayer(nnx.Module):
    """Attention and two dense maps, each added to its input and normalised."""

    def __init__(self, sizes: BertSizes, *, rngs: nnx.Rngs) -> None:
        width = sizes.hidden_size
        self.heads = sizes.num_attention_heads
        self.qkv = nnx.Linear(width, 3 * width, rngs=rngs)
        self.mix = nnx.Linear(width, width, rngs=rngs)
        self.mix_norm = layer_norm(width, sizes.layer_norm_eps, rngs)
        self.up = nnx.Linear(width, sizes.intermediate_size, rngs=rngs)
        self.down = nnx.Linear(sizes.intermediate_size, width, rngs=rngs)
        self.down_norm = layer_norm(width, sizes.layer_norm_eps, rngs)

    def __call__(
        self, x_BxLxC: jax.Array, mask_BxL: jax.Array, bias_1xHxLxL: jax.Array | None = None
    ) -> jax.Array:
        """States [B, L, C] after this layer; `bias_1xHxLxL` is added to the attention's logits."""
        mask_Bx1x1xL = mask_BxL[:, None, None, :]
        seen_BxLxC = attend(self.qkv(x_BxLxC), self.heads, mask_Bx1x1xL, bias_1xHxLxL)
        x_BxLxC = self.mix_norm(x_BxLxC + self.mix(seen_BxLxC))
        hidden = gelu(self.up(x_BxLxC))
        return self.down_norm(x_BxLxC + self.down(hidden))


def load_bert(folder: pathlib.Path | str) -> Bert:
    """The Bert of a folder: built by its config.json, with the weights of its model.safetensors.

    Raises:
        ValueError: the config asks for an unsupported network, a tensor is missing or has another
            shape than the config says, or the name table lacks a tensor of the file.
    """
    folder = pathlib.Path(folder)
    sizes = _read_sizes(folder)
    path = folder / folder_files.WEIGHTS
    return name_table.fill(
        lambda: Bert(sizes, rngs=nnx.Rngs(0)),
        _TABLE,
        safetensors.numpy.load_file(path),
        SKIPPED,
        str(path),
    )


def _read_sizes(folder: pathlib.Path) -> BertSizes:
    config = folder_files.read_json(folder / 'config.json')
    model = config.get('model_type')
    if config.get('position_embedding_type', 'absolute') != 'absolute':
        raise ValueError(f'{folder} uses relative positions, which are not supported for {model}')
    require_gelu(folder, config.get('hidden_act', 'gelu'), model)
    first = 0 if model == 'bert' else config.get('pad_token_id', 1) + 1
    given = {name: config[name] for name in BertSizes._fields if name in config}
    return BertSizes(**given | {'first_position': first})


def require_gelu(folder: pathlib.Path, activation: str, model: str) -> None:
    """Raises ValueError for another activation than gelu, with the name of the model's kind."""
    if activation != 'gelu':
        raise ValueError(f'{folder} holds a {model} with {activation}; only gelu is supported')
