"""Layers of a transformer as one module, so that XLA compiles a single layer."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

Layer = TypeVar('Layer', bound=nnx.Module)


def stack_layers(make: Callable[[nnx.Rngs], Layer], count: int, rngs: nnx.Rngs) -> Layer:
    """Layers as one module, whose parameters have the layer as their first axis."""

    @nnx.split_rngs(splits=count)
    @nnx.vmap
    def stack(rngs: nnx.Rngs) -> Layer:
        return make(rngs)

    return stack(rngs)


def hidden_states(layers: nnx.Module, x_BxLxC: jax.Array, *inputs: Any) -> jax.Array:
    """The input of stacked layers and their outputs, [S, B, L, C].

    Args:
      layers: from `stack_layers`; a layer is called with the states and `inputs`.
      x_BxLxC: the states before the first layer.
      inputs: the same for every layer, such as the mask.
    """
    # Not nnx.scan, which takes longer to trace.
    graphdef, params_S = nnx.split(layers)

    def run(x_BxLxC: jax.Array, params: nnx.State) -> tuple[jax.Array, jax.Array]:
        x_BxLxC = nnx.merge(graphdef, params)(x_BxLxC, *inputs)
        return x_BxLxC, x_BxLxC

    return jnp.concatenate([x_BxLxC[None], jax.lax.scan(run, x_BxLxC, params_S)[1]])


def layer_norm(width: int, epsilon: float, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """A norm that computes as PyTorch's does."""
    return nnx.LayerNorm(width, epsilon=epsilon, use_fast_variance=False, rngs=rngs)


def gelu(x: jax.Array) -> jax.Array:
    """The exact gelu, by erf as in PyTorch: `jax.nn.gelu` takes erfc, twice as slow on CPUs."""
    return x * (0.5 + 0.5 * jax.lax.erf(x * np.float32(np.sqrt(0.5))))
