"""Hidden states of a sentence's tokens to one vector.

A sentence encoder's own vector, of the last hidden states, loses half of the content of a face's
description. The hidden states at the input and half way still hold the words, so they are pooled
too.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

POOLS = 6
SENTENCE_POOL = 2  # the encoder's own vector


@functools.partial(jax.jit, static_argnames=('graphdef', 'pooling'))
def pooled_states(
    graphdef: nnx.GraphDef,
    state: nnx.State,
    tokens_BxL: jax.Array,
    mask_BxL: jax.Array,
    pooling: str = 'mean',
) -> jax.Array:
    """The hidden states of a network, pooled over the tokens where the mask is True.

    Returns:
      [B, POOLS * width]: the mean over tokens at the input and half way, the encoder's own vector
      by `pooling`, unscaled, then the maximum at the input, half way and at the last layer.
    """
    hidden_SxBxLxC = _hidden_states(graphdef, state, tokens_BxL, mask_BxL)
    last = len(hidden_SxBxLxC) - 1
    depths_3xBxLxC = jnp.stack([hidden_SxBxLxC[layer] for layer in (0, last // 2, last)])
    mask_BxLx1 = mask_BxL[:, :, None]
    sum_3xBxC = jnp.sum(jnp.where(mask_BxLx1, depths_3xBxLxC, 0.0), axis=2)
    mean_3xBxC = sum_3xBxC / mask_BxL.sum(axis=1)[:, None]
    max_3xBxC = jnp.max(jnp.where(mask_BxLx1, depths_3xBxLxC, -jnp.inf), axis=2)
    if pooling != 'mean':
        own_BxC = own_vector(depths_3xBxLxC[-1], mask_BxL, pooling)
        mean_3xBxC = mean_3xBxC.at[SENTENCE_POOL].set(own_BxC)
    pool_6xBxC = jnp.concatenate([mean_3xBxC, max_3xBxC])
    return pool_6xBxC.swapaxes(0, 1).reshape(tokens_BxL.shape[0], -1)


@functools.partial(jax.jit, static_argnames='graphdef')
def last_states(
    graphdef: nnx.GraphDef, state: nnx.State, tokens_BxL: jax.Array, mask_BxL: jax.Array
) -> jax.Array:
    """The last hidden states of a network, [B, L, C]."""
    return _hidden_states(graphdef, state, tokens_BxL, mask_BxL)[-1]


def last_depth_columns(width: int) -> np.ndarray:
    """Columns of `pooled_states` that are of the last layer: its own vector, then its maximum."""
    pools = np.arange(POOLS * width).reshape(POOLS, width)
    return np.concatenate([pools[SENTENCE_POOL], pools[-1]])


def _hidden_states(
    graphdef: nnx.GraphDef, state: nnx.State, tokens_BxL: jax.Array, mask_BxL: jax.Array
) -> jax.Array:
    # The default of bfloat16 on accelerators would give a text other vectors there.
    with jax.default_matmul_precision('highest'):
        return nnx.merge(graphdef, state)(tokens_BxL, mask_BxL)


def own_vector(state_BxLxC: jax.Array, mask_BxL: jax.Array, pooling: str) -> jax.Array:
    """The mean of the tokens' states, that of the first ('cls') or of the last ('last'), [B, C]."""
    if pooling == 'mean':
        return jnp.mean(state_BxLxC, axis=1, where=mask_BxL[:, :, None])
    if pooling == 'cls':
        return state_BxLxC[:, 0]
    return state_BxLxC[jnp.arange(len(mask_BxL)), mask_BxL.sum(axis=1) - 1]
