"""CLIP's text tower and image tower (Radford et al., 2021, ViT layout)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from diface_jax.encoders.clip.layers import TowerSizes, stack_clip_layers
from diface_jax.encoders.layer_stack import hidden_states, layer_norm


class TextSizes(NamedTuple):
    """The text tower's sizes; named, and where not given of the values, as in CLIP's config."""

    vocab_size: int = 49408
    hidden_size: int = 512
    intermediate_size: int = 2048
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    max_position_embeddings: int = 77
    hidden_act: str = 'quick_gelu'
    layer_norm_eps: float = 1e-5


class ImageSizes(NamedTuple):
    """The image tower's sizes; named, and where not given of the values, as in CLIP's config."""

    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    image_size: int = 224
    patch_size: int = 32
    hidden_act: str = 'quick_gelu'
    layer_norm_eps: float = 1e-5


class ClipText(nnx.Module):
    """The text tower, without the projection into the space shared with images.

    The vector of a text is the last hidden state of its last token, which ends the text.
    """

    pooling = 'last'

    def __init__(self, sizes: TextSizes, *, rngs: nnx.Rngs) -> None:
        self.width, self.max_tokens = sizes.hidden_size, sizes.max_position_embeddings
        tower = _tower_sizes(sizes)
        self.words = nnx.Embed(sizes.vocab_size, self.width, rngs=rngs)
        self.positions = nnx.Embed(self.max_tokens, self.width, rngs=rngs)
        self.layers = stack_clip_layers(tower, rngs)
        self.norm = layer_norm(self.width, sizes.layer_norm_eps, rngs)

    def __call__(self, tokens_BxL: jax.Array, mask_BxL: jax.Array) -> jax.Array:
        """Hidden states [S, B, L, C], float32, of the input and of each layer; the last normalised.

        A token attends to itself and earlier ones, but not to those where the mask is False.
        """
        x_BxLxC = self.words(tokens_BxL) + self.positions(jnp.arange(tokens_BxL.shape[1]))
        hidden_SxBxLxC = hidden_states(self.layers, x_BxLxC, mask_BxL)
        return hidden_SxBxLxC.at[-1].set(self.norm(hidden_SxBxLxC[-1]))


class ClipImage(nnx.Module):
    """The image tower, without the projection into the space shared with texts."""

    def __init__(self, sizes: ImageSizes, *, rngs: nnx.Rngs) -> None:
        self.width, self.size, self.patch = sizes.hidden_size, sizes.image_size, sizes.patch_size
        tower = _tower_sizes(sizes)
        self.patches = nnx.Linear(3 * self.patch**2, self.width, use_bias=False, rngs=rngs)
        self.class_token = nnx.Param(jnp.zeros(self.width))
        self.positions = nnx.Embed(1 + (self.size // self.patch) ** 2, self.width, rngs=rngs)
        self.first_norm = layer_norm(self.width, sizes.layer_norm_eps, rngs)
        self.layers = stack_clip_layers(tower, rngs)
        self.norm = layer_norm(self.width, sizes.layer_norm_eps, rngs)

    def __call__(self, image_Bx3xHxW: jax.Array) -> jax.Array:
        """The normalised last state of the class token, [B, C], of standardised images."""
        batch, side = len(image_Bx3xHxW), self.size // self.patch
        split = image_Bx3xHxW.reshape(batch, 3, side, self.patch, side, self.patch)
        patch_BxLxP = split.transpose(0, 2, 4, 1, 3, 5).reshape(batch, side**2, -1)
        first_Bx1xC = jnp.broadcast_to(self.class_token[...], (batch, 1, self.width))
        x_BxLxC = jnp.concatenate([first_Bx1xC, self.patches(patch_BxLxP)], axis=1)
        x_BxLxC = self.first_norm(x_BxLxC + self.positions.embedding[...])
        return self.norm(hidden_states(self.layers, x_BxLxC, None)[-1, :, 0])


class Clip(nnx.Module):
    """Both towers, and their projections into the space in which texts and photos are compared.

    Args:
      text: sizes of the text tower.
      image: sizes of the image tower.
      width: of the shared space.
    """

    def __init__(self, text: TextSizes, image: ImageSizes, width: int, *, rngs: nnx.Rngs) -> None:
        self.text, self.image = ClipText(text, rngs=rngs), ClipImage(image, rngs=rngs)
        self.text_projection = nnx.Linear(text.hidden_size, width, use_bias=False, rngs=rngs)
        self.image_projection = nnx.Linear(image.hidden_size, width, use_bias=False, rngs=rngs)

    def embed_texts(self, tokens_BxL: jax.Array, mask_BxL: jax.Array) -> jax.Array:
        """Vectors [B, F] of texts, not normalised; a text ends with the last token of its mask."""
        last_BxLxC = self.text(tokens_BxL, mask_BxL)[-1]
        end_B = mask_BxL.sum(axis=1) - 1
        return self.text_projection(last_BxLxC[jnp.arange(len(end_B)), end_B])

    def embed_images(self, image_Bx3xHxW: jax.Array) -> jax.Array:
        """Vectors [B, F] of standardised images, not normalised."""
        return self.image_projection(self.image(image_Bx3xHxW))


def _tower_sizes(sizes: TextSizes | ImageSizes) -> TowerSizes:
    return TowerSizes(*(getattr(sizes, field) for field in TowerSizes._fields))
