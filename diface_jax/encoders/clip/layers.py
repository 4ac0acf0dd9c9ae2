"""The transformer layers of CLIP's towers (Radford et al., 2021)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from diface_jax.encoders.attention import attend
from diface_jax.encoders.layer_stack import gelu, layer_norm, stack_layers

_ACTIVATIONS = {
    'quick_gelu': lambda x: x * jax.nn.sigmoid(1.702 * x),
    'gelu': gelu,
}


class TowerSizes(NamedTuple):
    """Sizes of a tower's layers; named as in config.json."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    hidden_act: str = 'quick_gelu'
    layer_norm_eps: float = 1e-5


class ClipLayer(nnx.Module):
    """Attention and two dense maps, each of the normalised states, each added to them."""

    def __init__(self, sizes: TowerSizes, *, rngs: nnx.Rngs) -> None:
        width = sizes.hidden_size
        self.heads, self.activation = sizes.num_attention_heads, sizes.hidden_act
        self.attention_norm = layer_norm(width, sizes.layer_norm_eps, rngs)
        self.qkv = nnx.Linear(width, 3 * width, rngs=rngs)
        self.mix = nnx.Linear(width, width, rngs=rngs)
        self.feed_norm = layer_norm(width, sizes.layer_norm_eps, rngs)
        self.up = nnx.Linear(width, sizes.intermediate_size, rngs=rngs)
        self.down = nnx.Linear(sizes.intermediate_size, width, rngs=rngs)

    def __call__(self, x_BxLxC: jax.Array, mask_BxL: jax.Array | None) -> jax.Array:
        """States [B, L, C] after this layer.

        With a mask, as in the text tower, a token attends to itself and to earlier tokens only, and
        to none where the mask is False.
        """
        mask_Bx1xLxL = None
        if mask_BxL is not None:
            mask_Bx1xLxL = jnp.tri(x_BxLxC.shape[1], dtype=bool) & mask_BxL[:, None, None, :]
        x_BxLxC += self.mix(
            attend(self.qkv(self.attention_norm(x_BxLxC)), self.heads, mask_Bx1xLxL)
        )
        return x_BxLxC + self.down(_ACTIVATIONS[self.activation](self.up(self.feed_norm(x_BxLxC))))


def stack_clip_layers(sizes: TowerSizes, rngs: nnx.Rngs) -> ClipLayer:
    """All layers of a tower as one module.

    Raises:
      ValueError: the activation is not implemented.
    """
    if sizes.hidden_act not in _ACTIVATIONS:
        raise ValueError(f'a CLIP with {sizes.hidden_act}: supported are {", ".join(_ACTIVATIONS)}')
    return stack_layers(lambda rngs: ClipLayer(sizes, rngs=rngs), sizes.num_hidden_layers, rngs)
