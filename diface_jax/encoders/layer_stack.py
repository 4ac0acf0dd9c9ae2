"""Layers of a transformer as one module, so that one name table and one trace serve all layers."""

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


def apart(layers: nnx.State) -> nnx.State:
    """Parameters of stacked layers, with a tuple of one array a layer in place of each array.

    A program copies the weights of a layer out of a stack, which takes as long as the products of a
    short sentence.
    """
    with jax.ensure_compile_time_eval():  # the caller may be traced
        return jax.tree.map(
            lambda leaf_SxX: tuple(jax.device_put(list(np.asarray(leaf_SxX)))), layers
        )


def hidden_states(layers: nnx.Module, x_BxLxC: jax.Array, *inputs: Any) -> jax.Array:
    """The input of stacked layers and their outputs, [S, B, L, C].

    Args:
      layers: from `stack_layers`, or with parameters from `apart`; a layer is called with the
        states and `inputs`.
      x_BxLxC: the states before the first layer.
      inputs: the same for every layer, such as the mask.
    """
    graphdef, params = nnx.split(layers)
    stacks, structure = jax.tree.flatten(params, is_leaf=lambda leaf: isinstance(leaf, tuple))

    @jax.jit  # traced once for all layers
    def run(x_BxLxC: jax.Array, params: nnx.State) -> jax.Array:
        return nnx.merge(graphdef, params)(x_BxLxC, *inputs)

    states = [x_BxLxC]
    for layer in zip(*stacks, strict=True):
        states.append(run(states[-1], jax.tree.unflatten(structure, layer)))
    return jnp.stack(states)


def layer_norm(width: int, epsilon: float, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """A norm that computes as PyTorch's does."""
    return nnx.LayerNorm(width, epsilon=epsilon, use_fast_variance=False, rngs=rngs)


def gelu(x: jax.Array) -> jax.Array:
    """The exact gelu, by erf as in PyTorch: `jax.nn.gelu` takes erfc, twice as slow on CPUs."""
    return x * (0.5 + 0.5 * jax.lax.erf(x * np.float32(np.sqrt(0.5))))
