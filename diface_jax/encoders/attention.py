"""Attention of a transformer's layers."""

import jax
import jax.numpy as jnp

_MASKED = -1e30  # added to a logit: its weight is 0


def attend(
    qkv_BxLxI: jax.Array,
    heads: int,
    mask_BxHxLxL: jax.Array | None = None,
    bias_BxHxLxL: jax.Array | None = None,
    scale: float | None = None,
) -> jax.Array:
    """Attention of several heads (Vaswani et al., 2017, section 3.2.2); [B, L, I / 3].

    Equals `jax.nn.dot_product_attention` up to rounding, which takes three times as long to trace.

    Args:
      qkv_BxLxI: queries, keys and values of all heads, side by side.
      heads: H.
      mask_BxHxLxL: which keys (the last axis) a query sees; axes may be of size 1. None: all.
      bias_BxHxLxL: added to the logits; axes may be of size 1.
      scale: of the logits; None: one over the root of a head's width.
    """
    batch, length, _ = qkv_BxLxI.shape
    q, k, v = jnp.unstack(qkv_BxLxI.reshape(batch, length, 3, heads, -1), axis=2)
    logits_BxHxLxL = jnp.einsum('blhk,bmhk->bhlm', q * (scale or q.shape[-1] ** -0.5), k)
    if bias_BxHxLxL is not None:
        logits_BxHxLxL += bias_BxHxLxL
    if mask_BxHxLxL is not None:
        logits_BxHxLxL += jnp.where(mask_BxHxLxL, 0.0, _MASKED)
    largest_BxHxLx1 = jax.lax.stop_gradient(logits_BxHxLxL.max(axis=-1, keepdims=True))
    weight_BxHxLxL = jnp.exp(logits_BxHxLxL - largest_BxHxLx1)
    # Divided after the product, which is smaller.
    seen_BxHxLxK = jnp.einsum('bhlm,bmhk->bhlk', weight_BxHxLxL, v)
    seen_BxHxLxK /= weight_BxHxLxL.sum(axis=-1, keepdims=True)
    return seen_BxHxLxK.transpose(0, 2, 1, 3).reshape(batch, length, -1)
