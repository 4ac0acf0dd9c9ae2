"""MPNet's encoder (Song et al., 2020): BERT with a bias of relative positions in all layers.

The architecture of sentence-transformers/all-mpnet-base-v2.
"""

import pathlib

import jax
import jax.numpy as jnp
import safetensors.numpy
from flax import nnx

from diface_jax.encoders import folder_files, name_table
from diface_jax.encoders.layer_stack import hidden_states, layer_norm, stack_layers
from diface_jax.encoders.text import bert
from diface_jax.encoders.text.relative_position import relative_buckets

_MAX_DISTANCE = 128  # fixed in the original implementation
_TABLE = {
    **bert.EMBEDDINGS,
    'layers/qkv': tuple(f'encoder.layer.{{}}.attention.attn.{name}' for name in 'qkv'),
    'layers/mix': ('encoder.layer.{}.attention.attn.o',),
    'layers/mix_norm': ('encoder.layer.{}.attention.LayerNorm',),
    **bert.FEED_FORWARD,
    'relative': ('encoder.relative_attention_bias',),
}


class Mpnet(nnx.Module):
    """MPNet's encoder; the bias of relative positions is the same in all layers.

    Args:
      sizes: of the network; it has no token types.
      buckets: number of buckets of relative positions.
    """

    pooling = 'mean'

    def __init__(self, sizes: bert.BertSizes, buckets: int, *, rngs: nnx.Rngs) -> None:
        self.width, self.buckets = sizes.hidden_size, buckets
        self.first_position = sizes.first_position
        self.max_tokens = sizes.max_position_embeddings - sizes.first_position
        self.words = nnx.Embed(sizes.vocab_size, self.width, rngs=rngs)
        self.positions = nnx.Embed(sizes.max_position_embeddings, self.width, rngs=rngs)
        self.norm = layer_norm(self.width, sizes.layer_norm_eps, rngs)
        self.relative = nnx.Embed(buckets, sizes.num_attention_heads, rngs=rngs)
        self.layers = stack_layers(
            lambda rngs: bert.BertLayer(sizes, rngs=rngs), sizes.num_hidden_layers, rngs
        )

    def __call__(self, tokens_BxL: jax.Array, mask_BxL: jax.Array) -> jax.Array:
        """Hidden states [S, B, L, C], float32, of the input and of each layer.

        Tokens where the mask is False are not attended to.
        """
        length = tokens_BxL.shape[1]
        position_L = jnp.arange(length) + self.first_position
        x_BxLxC = self.norm(self.words(tokens_BxL) + self.positions(position_L))
        bias_LxLxH = self.relative(relative_buckets(length, self.buckets, _MAX_DISTANCE))
        bias_1xHxLxL = bias_LxLxH.transpose(2, 0, 1)[None]
        return hidden_states(self.layers, x_BxLxC, mask_BxL, bias_1xHxLxL)


def load_mpnet(folder: pathlib.Path) -> Mpnet:
    """The Mpnet of a folder with config.json and model.safetensors; raises as `load_bert` does."""
    config = folder_files.read_json(folder / 'config.json')
    bert.require_gelu(folder, config.get('hidden_act', 'gelu'), 'mpnet')
    given = {name: config[name] for name in bert.BertSizes._fields if name in config}
    first = config.get('pad_token_id', 1) + 1
    sizes = bert.BertSizes(**given | {'type_vocab_size': 0, 'first_position': first})
    buckets = config.get('relative_attention_num_buckets', 32)
    path = folder / folder_files.WEIGHTS
    return name_table.fill(
        lambda: Mpnet(sizes, buckets, rngs=nnx.Rngs(0)),
        _TABLE,
        safetensors.numpy.load_file(path),
        bert.SKIPPED,
        str(path),
    )
