"""Products and dropout of embeddings that have an axis of passes or samples: [B, P, W]."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx


def row_product(x: jax.Array, kernel: jax.Array, _: Any = None, **options: Any) -> jax.Array:
    """Rows times kernel; the `dot_general` of an `nnx.Linear`.

    The leading axes become one: of a product with several, XLA computes the gradient of the kernel
    from a transposed copy, which makes a training step 10% slower on CPUs. A batch that is cut over
    devices must be the first axis.

    Args:
      x: [..., W].
      kernel: [W, V].
      options: of `jax.lax.dot_general`.

    Returns:
      [..., V].
    """
    rows = x.reshape(-1, x.shape[-1])
    y = jax.lax.dot_general(rows, kernel, (((1,), (0,)), ((), ())), **options)
    return y.reshape(*x.shape[:-1], y.shape[-1])


def dropout_streams(key: jax.Array | None) -> list[nnx.Rngs]:
    """A stream of masks for each random key; none without a key."""
    return [] if key is None else [nnx.Rngs(dropout=each) for each in key.reshape(-1)]


def drop(dropout: nnx.Dropout, x: jax.Array, streams: Sequence[nnx.Rngs]) -> jax.Array:
    """Dropout by the next mask of each stream; without streams, x itself.

    Args:
      dropout: with the share of units to drop.
      x: [..., H]; of P > 1 streams [..., P, H], a pass each.
      streams: from `dropout_streams`.
    """
    if not streams:
        return x
    passes = zip(jnp.split(x, len(streams), axis=-2), streams, strict=True)
    return jnp.concatenate([dropout(part, rngs=stream) for part, stream in passes], axis=-2)
