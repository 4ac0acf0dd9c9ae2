"""R, the refinement network: embeddings to F, the space made for matching.

It is applied to both sides, what D recovers from a text and what E sees in a photo (DiFace, section
3; the paper does not describe the network: this one is our choice).
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

from diface_jax.models.rows import drop, dropout_streams, row_product


class RefinementNetwork(nnx.Module):
    """f = unit(A x + MLP(x)), where the MLP starts at zero.

    Args:
      embedding_dim: D, the width of x0.
      feature_dim: F, the width of f.
      width: hidden units of the MLP.
      dropout: share of hidden units dropped in training.
      dtype: of the matrix products; parameters are float32.
    """

    def __init__(
        self,
        embedding_dim: int,
        feature_dim: int,
        *,
        width: int,
        dropout: float,
        dtype: jnp.dtype = jnp.float32,
        rngs: nnx.Rngs,
    ) -> None:
        linear = functools.partial(nnx.Linear, dtype=dtype, dot_general=row_product, rngs=rngs)
        self.linear = linear(embedding_dim, feature_dim, kernel_init=_identity, use_bias=False)
        self.up = linear(embedding_dim, width)
        self.dropout = nnx.Dropout(dropout)
        self.down = linear(width, feature_dim, kernel_init=nnx.initializers.zeros)

    def __call__(self, x0_BxD: jax.Array, dropout_key: jax.Array | None = None) -> jax.Array:
        """Unit vectors f_BxF; `dropout_key` is given in training, None means no dropout."""
        hidden = drop(self.dropout, nnx.silu(self.up(x0_BxD)), dropout_streams(dropout_key))
        return l2_normalise((self.linear(x0_BxD) + self.down(hidden)).astype(jnp.float32))


def l2_normalise(x_BxF: jax.Array) -> jax.Array:
    """Rows scaled to length 1; a zero row stays zero, and so does its gradient."""
    return x_BxF * jax.lax.rsqrt(jnp.maximum(jnp.sum(x_BxF**2, axis=-1, keepdims=True), 1e-12))


def _identity(key: jax.Array, shape: tuple[int, int], dtype: jnp.dtype) -> jax.Array:
    return jnp.eye(*shape, dtype=dtype)
