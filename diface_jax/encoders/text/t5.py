"""T5's encoder (Raffel et al., 2020), and that of T5 1.1 and FLAN-T5 with gated activations."""

import functools
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import safetensors.numpy
from flax import nnx

from diface_jax.encoders import folder_files, name_table
from diface_jax.encoders.attention import attend
from diface_jax.encoders.layer_stack import hidden_states, stack_layers
from diface_jax.encoders.text.relative_position import relative_buckets

_ACTIVATIONS = {
    'relu': jax.nn.relu,
    'gated-gelu': functools.partial(jax.nn.gelu, approximate=True),
    'gated-silu': jax.nn.silu,
}
_BLOCK = 'encoder.block.{}.layer'
_TABLE = {
    'words': ('shared',),
    'relative': ('encoder.block.0.layer.0.SelfAttention.relative_attention_bias',),
    'layers/attention_norm': (f'{_BLOCK}.0.layer_norm',),
    'layers/qkv': tuple(f'{_BLOCK}.0.SelfAttention.{name}' for name in 'qkv'),
    'layers/mix': (f'{_BLOCK}.0.SelfAttention.o',),
    'layers/feed_norm': (f'{_BLOCK}.1.layer_norm',),
    'layers/down': (f'{_BLOCK}.1.DenseReluDense.wo',),
    'norm': ('encoder.final_layer_norm',),
}
_UP = {
    False: (f'{_BLOCK}.1.DenseReluDense.wi',),
    True: (f'{_BLOCK}.1.DenseReluDense.wi_0', f'{_BLOCK}.1.DenseReluDense.wi_1'),
}
_SKIPPED = ('decoder.', 'lm_head.', 'encoder.embed_tokens.')
_MAX_TOKENS = 512  # of pretraining; relative positions set no limit


class T5Sizes(NamedTuple):
    """Sizes of a T5; named as in its config.json."""

    vocab_size: int
    d_model: int
    d_kv: int
    d_ff: int
    num_layers: int
    num_heads: int
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    layer_norm_epsilon: float = 1e-6
    feed_forward_proj: str = 'relu'

    @property
    def is_gated(self) -> bool:
        """Whether a second map multiplies the activation."""
        return self.feed_forward_proj.startswith('gated-')


class T5Encoder(nnx.Module):
    """T5's encoder: pre-norm layers without biases; relative positions, the same in all layers."""

    pooling = 'mean'

    def __init__(self, sizes: T5Sizes, *, rngs: nnx.Rngs) -> None:
        self.sizes, self.width, self.max_tokens = sizes, sizes.d_model, _MAX_TOKENS
        self.words = nnx.Embed(sizes.vocab_size, self.width, rngs=rngs)
        buckets = sizes.relative_attention_num_buckets
        self.relative = nnx.Embed(buckets, sizes.num_heads, rngs=rngs)
        self.norm = _rms_norm(sizes, rngs)
        self.layers = stack_layers(lambda rngs: _Layer(sizes, rngs=rngs), sizes.num_layers, rngs)

    def __call__(self, tokens_BxL: jax.Array, mask_BxL: jax.Array) -> jax.Array:
        """Hidden states [S, B, L, C], float32, of the input and of each layer.

        The last is normalised as T5 does it. The others are divided by their root mean square: they
        grow from layer to layer, beyond the range of float16.
        """
        bucket_LxL = relative_buckets(
            tokens_BxL.shape[1],
            self.sizes.relative_attention_num_buckets,
            self.sizes.relative_attention_max_distance,
        )
        bias_1xHxLxL = self.relative(bucket_LxL).transpose(2, 0, 1)[None]

        *inputs, last_BxLxC = hidden_states(
            self.layers, self.words(tokens_BxL), mask_BxL, bias_1xHxLxL
        )
        inputs_SxBxLxC = jnp.stack(inputs)
        square = jnp.square(inputs_SxBxLxC).mean(axis=-1, keepdims=True)
        inputs_SxBxLxC *= jax.lax.rsqrt(square + self.sizes.layer_norm_epsilon)
        return jnp.concatenate([inputs_SxBxLxC, self.norm(last_BxLxC)[None]])


class _Layer(nnx.Module):
    def __init__(self, sizes: T5Sizes, *, rngs: nnx.Rngs) -> None:
        dense = functools.partial(nnx.Linear, use_bias=False, rngs=rngs)
        inner = sizes.num_heads * sizes.d_kv
        self.heads, self.activation = sizes.num_heads, sizes.feed_forward_proj
        self.is_gated = sizes.is_gated
        self.attention_norm = _rms_norm(sizes, rngs)
        self.qkv = dense(sizes.d_model, 3 * inner)
        self.mix = dense(inner, sizes.d_model)
        self.feed_norm = _rms_norm(sizes, rngs)
        self.up = dense(sizes.d_model, (1 + sizes.is_gated) * sizes.d_ff)
        self.down = dense(sizes.d_ff, sizes.d_model)

    def __call__(
        self, x_BxLxC: jax.Array, mask_BxL: jax.Array, bias_1xHxLxL: jax.Array
    ) -> jax.Array:
        seen_BxLxI = attend(
            self.qkv(self.attention_norm(x_BxLxC)),
            self.heads,
            mask_BxL[:, None, None, :],
            bias_1xHxLxL,
            scale=1.0,  # T5's initial weights are scaled instead
        )
        x_BxLxC += self.mix(seen_BxLxI)
        up_BxLxF = self.up(self.feed_norm(x_BxLxC))
        gate_BxLxF = 1.0
        if self.is_gated:
            up_BxLxF, gate_BxLxF = jnp.split(up_BxLxF, 2, axis=-1)
        return x_BxLxC + self.down(_ACTIVATIONS[self.activation](up_BxLxF) * gate_BxLxF)


def _rms_norm(sizes: T5Sizes, rngs: nnx.Rngs) -> nnx.RMSNorm:
    return nnx.RMSNorm(sizes.d_model, epsilon=sizes.layer_norm_epsilon, rngs=rngs)


def load_t5(folder: pathlib.Path) -> T5Encoder:
    """The encoder of a T5 in a folder with config.json and model.safetensors.

    Raises:
      ValueError: the config asks for an unsupported network, a tensor is missing or has another
        shape than the config says, or the name table lacks a tensor of the file.
    """
    config = folder_files.read_json(folder / folder_files.CONFIG)
    sizes = T5Sizes(**{name: config[name] for name in T5Sizes._fields if name in config})
    if sizes.feed_forward_proj not in _ACTIVATIONS:
        raise ValueError(
            f'{folder} holds a t5 with {sizes.feed_forward_proj}; supported are '
            f'{", ".join(_ACTIVATIONS)}'
        )
    path = folder / folder_files.WEIGHTS
    tensors = safetensors.numpy.load_file(path)
    # Saved under either name, since the decoder of a whole T5 shares it.
    if 'shared.weight' not in tensors and 'encoder.embed_tokens.weight' in tensors:
        tensors['shared.weight'] = tensors['encoder.embed_tokens.weight']
    return name_table.fill(
        lambda: T5Encoder(sizes, rngs=nnx.Rngs(0)),
        {**_TABLE, 'layers/up': _UP[sizes.is_gated]},
        tensors,
        _SKIPPED,
        str(path),
    )
