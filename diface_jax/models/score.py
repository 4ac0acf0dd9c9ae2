"""D, the score network: (x_t, t, c) to its estimate of x0, perhaps with an observation of x0.

An MLP-ResNet whose blocks are modulated by time and text through AdaLN-zero (Peebles & Xie 2023,
"Scalable diffusion models with transformers", section 3.2): every block starts as the identity.
The DiFace paper does not describe its network; this one is our choice.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from diface_jax.diffusion.parameterization import to_x0
from diface_jax.models.observation import Observation
from diface_jax.models.rows import drop, dropout_streams, row_product

_zeros = nnx.initializers.zeros_init()


class EmbeddedProbe(NamedTuple):
    """What D takes from texts and observations, H units a row; rows broadcast to the batch's.

    Attributes:
      text_BxH: of the text.
      observed_BxH: of the observation; zero where D takes none.
    """

    text_BxH: jax.Array
    observed_BxH: jax.Array


def fourier_features(log_snr_Bx1: jax.Array, width: int) -> jax.Array:
    """Sines and cosines of the log SNR at geometric frequencies; [B, width]."""
    frequencies = jnp.exp(jnp.linspace(jnp.log(0.1), jnp.log(10.0), width // 2))
    angles = log_snr_Bx1 * frequencies
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


class Block(nnx.Module):
    """h + gate * MLP(LayerNorm(h) * (1 + scale) + shift); shift, scale and gate come from y."""

    def __init__(
        self, width: int, dropout: float, *, dtype: jnp.dtype = jnp.float32, rngs: nnx.Rngs
    ) -> None:
        linear = functools.partial(nnx.Linear, dtype=dtype, dot_general=row_product, rngs=rngs)
        self.norm = nnx.LayerNorm(width, use_bias=False, use_scale=False, rngs=rngs)
        self.modulation = linear(width, 3 * width, kernel_init=_zeros, bias_init=_zeros)
        self.up = linear(width, 2 * width)
        self.dropout = nnx.Dropout(dropout)
        self.down = linear(2 * width, width)

    def __call__(
        self, h_BxH: jax.Array, y_BxH: jax.Array, streams: Sequence[nnx.Rngs]
    ) -> jax.Array:
        """The next h_BxH; `streams` are of dropout, as `drop` takes them."""
        shift, scale, gate = jnp.split(self.modulation(y_BxH), 3, axis=-1)
        h = self.norm(h_BxH) * (1.0 + scale) + shift
        h = drop(self.dropout, nnx.silu(self.up(h)), streams)
        return h_BxH + gate * self.down(h)


class ScoreNetwork(nnx.Module):
    """D: estimates x0 from (x_t, log SNR, c), whatever it predicts inside.

    Args:
      embedding_dim: D, the width of x0.
      condition_dim: C, the width of c.
      width: H, the width of the residual stream.
      depth: number of blocks.
      dropout: share of hidden units dropped in training.
      prediction: 'x0', 'eps' or 'v'.
      quality_dim: Q, the width of a photo's quality; 0: D takes no observation.
      dtype: of the matrix products; parameters, the residual stream and its normalisations are
        float32.
    """

    def __init__(
        self,
        embedding_dim: int,
        condition_dim: int,
        *,
        width: int,
        depth: int,
        dropout: float,
        prediction: str,
        quality_dim: int = 0,
        dtype: jnp.dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        self.prediction = prediction
        linear = functools.partial(nnx.Linear, dtype=dtype, dot_general=row_product, rngs=rngs)
        self.embed_x = linear(embedding_dim + width, width)
        self.embed_c = linear(condition_dim, width)
        self.no_c = nnx.Param(jnp.zeros((condition_dim,)))
        self.embed_t = linear(width, width)
        self.dropout = nnx.Dropout(dropout)
        self.blocks = nnx.List(
            [Block(width, dropout, dtype=dtype, rngs=rngs) for _ in range(depth)]
        )
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.out = linear(width, embedding_dim)
        self.quality_dim = quality_dim
        if quality_dim:
            self.embed_y = linear(embedding_dim + quality_dim, width)
            self.no_y = nnx.Param(jnp.zeros((embedding_dim + quality_dim,)))

    def embed_probe(
        self,
        c_BxC: jax.Array | None,
        keep_c_Bx1: jax.Array | None = None,
        observation: Observation | None = None,
        keep_y_Bx1: jax.Array | None = None,
    ) -> EmbeddedProbe:
        """What D takes from texts and observations, which does not depend on the noise level.

        Args:
          c_BxC: text conditions; None drops all.
          keep_c_Bx1: False where the text is dropped (classifier-free guidance); None keeps all.
          observation: of the same faces; None drops all.
          keep_y_Bx1: False where the observation is dropped; None keeps all.

        Returns:
          Of B rows, or of 1 where every row is dropped.

        Raises:
          ValueError: D takes no observation, and one is given.
        """
        text = _kept(self.embed_c, c_BxC, keep_c_Bx1, self.no_c[...])
        if self.quality_dim:
            y_BxY = None if observation is None else jnp.concatenate(observation, axis=-1)
            observed = _kept(self.embed_y, y_BxY, keep_y_Bx1, self.no_y[...])
            return EmbeddedProbe(text, observed.astype(jnp.float32))
        if observation is not None:
            raise ValueError('this model was trained without photos as probes: give a text')
        return EmbeddedProbe(text, jnp.zeros((1, 1)))

    def __call__(
        self,
        x_t: jax.Array,
        log_snr: jax.Array,
        probe: EmbeddedProbe,
        dropout_key: jax.Array | None = None,
    ) -> jax.Array:
        """The estimate of x0.

        Time and text are computed for as many rows as they have: once for all noisy embeddings of
        a text, if those have an axis of their own.

        Args:
          x_t: noisy embeddings; [..., D].
          log_snr: their log SNR, which stands for t; broadcasts to [..., 1].
          probe: what is known of the faces; its arrays broadcast to [..., H].
          dropout_key: random key of dropout in training, or one for each of the P passes of x_t
            [B, P, D]; None means no dropout.

        Returns:
          x0, [..., D].
        """
        streams = dropout_streams(dropout_key)
        time = self.embed_t(fourier_features(log_snr, self.embed_t.in_features))
        y = nnx.silu(time + probe.text_BxH + probe.observed_BxH)
        if streams:  # every row of the batch drops its own units
            y = jnp.broadcast_to(y, (*x_t.shape[:-1], y.shape[-1]))
        y = drop(self.dropout, y, streams)
        # The text enters the stream too: through modulation alone it is hard to read.
        h = self._enter(x_t, y).astype(jnp.float32) + probe.observed_BxH
        for block in self.blocks:
            h = block(h, y, streams)
        output = self.out(self.norm(h)).astype(jnp.float32)
        return to_x0(output, x_t, log_snr, self.prediction)

    def _enter(self, x_t: jax.Array, y: jax.Array) -> jax.Array:
        """`embed_x` of (x_t, y) side by side, as two products: y may have fewer rows than x_t."""
        width = x_t.shape[-1]
        x_t, y, kernel, bias = self.embed_x.promote_dtype(
            (x_t, y, self.embed_x.kernel[...], self.embed_x.bias[...]), dtype=self.embed_x.dtype
        )
        return row_product(x_t, kernel[:width]) + (row_product(y, kernel[width:]) + bias)


def _kept(
    embed: nnx.Linear, x_BxW: jax.Array | None, keep_Bx1: jax.Array | None, absent_W: jax.Array
) -> jax.Array:
    """Embedded rows, with the one of `absent_W` in place of those that are dropped."""
    if x_BxW is None:
        return embed(absent_W[None])
    if keep_Bx1 is None:
        return embed(x_BxW)
    return jnp.where(keep_Bx1, embed(x_BxW), embed(absent_W[None]))
