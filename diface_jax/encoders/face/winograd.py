"""3x3 convolutions of stride 1 that multiply a quarter as often, for CPUs.

Winograd's F(4x4, 3x3): Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks" (2016),
section 4.3. A tile of 4x4 outputs depends on 6x6 inputs. Linear maps along both sides take these,
and the kernel, to 36 products, for which a matrix product sums over the channels; another linear
map takes the 36 sums to the outputs. XLA's convolution of a 17x17x64 map takes twice the time.
"""

import functools
import operator
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_TILE = 4  # outputs a side

_FROM_INPUTS_6x6 = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_FROM_KERNEL_6x3 = (
    np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
)
_TO_OUTPUTS_4x6 = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
)


def transform_kernel(kernel_3x3xCxO: np.ndarray) -> np.ndarray:
    """The kernel as `convolve` takes it: [6, 6, C, O], columns first."""
    matrix_36x9 = np.kron(_FROM_KERNEL_6x3, _FROM_KERNEL_6x3)
    kernel_PQxCO = matrix_36x9 @ kernel_3x3xCxO.reshape(9, -1)
    return kernel_PQxCO.reshape(6, 6, *kernel_3x3xCxO.shape[2:]).swapaxes(0, 1)


@jax.jit  # a network has several maps of a shape: each shape is traced once
def convolve(x_BxHxWxC: jax.Array, kernel_QxPxCxO: jax.Array) -> jax.Array:
    """Convolves a map, padded with one row or column of zeros on each side; returns y_BxHxWxO.

    Differs from lax.conv_general_dilated by up to 1e-5 of the largest output, from rounding.
    """
    batch, height, width, _ = x_BxHxWxC.shape
    down, right = -(-height // _TILE), -(-width // _TILE)  # tiles
    missing = [(1, tiles * _TILE + 1 - side) for tiles, side in ((down, height), (right, width))]
    x_BxHxWxC = jnp.pad(x_BxHxWxC, [(0, 0), *missing, (0, 0)])
    v_PxBxDxWxC = _combine(_FROM_INPUTS_6x6, _inputs(x_BxHxWxC, 1, down))
    v_QxPxBxDxRxC = _combine(_FROM_INPUTS_6x6, _inputs(v_PxBxDxWxC, 3, right))
    sums = 'qpbdrc,qpco->qpbdro'
    y_QxPxBxDxRxO = jnp.einsum(sums, v_QxPxBxDxRxC, kernel_QxPxCxO, precision='highest')
    y_JxPxBxDxRxO = _combine(_TO_OUTPUTS_4x6, jnp.unstack(y_QxPxBxDxRxO))
    y_IxJxBxDxRxO = _combine(_TO_OUTPUTS_4x6, jnp.unstack(y_JxPxBxDxRxO, axis=1))
    y_BxDxIxRxJxO = y_IxJxBxDxRxO.transpose(2, 3, 0, 4, 1, 5)
    y_BxHxWxO = y_BxDxIxRxJxO.reshape(batch, down * _TILE, right * _TILE, -1)
    return y_BxHxWxO[:, :height, :width]


def _inputs(x: jax.Array, axis: int, tiles: int) -> list[jax.Array]:
    """The first, second, ... sixth input of every tile along an axis."""
    length = (tiles - 1) * _TILE + 1
    return [lax.slice_in_dim(x, at, at + length, _TILE, axis) for at in range(_TILE + 2)]


def _combine(matrix_NxM: np.ndarray, parts_M: Iterable[jax.Array]) -> jax.Array:
    """Stacks the N linear combinations of M arrays."""
    parts_M = list(parts_M)
    sums_N = [
        functools.reduce(operator.add, (c * x for c, x in zip(row, parts_M, strict=True) if c))
        for row in matrix_NxM.astype(np.float32)
    ]
    # Without a barrier XLA fuses the maps along both sides, and computes the first six times.
    return lax.optimization_barrier(jnp.stack(sums_N))
