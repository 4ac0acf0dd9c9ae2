"""Windows of a pooling layer as slices of the map.

XLA's own windows are slow on CPUs, and keep one core busy while the others wait.
"""

import jax


def pooling_windows(
    x_BxHxWxC: jax.Array, window: tuple[int, int], strides: tuple[int, int]
) -> list[jax.Array]:
    """The values at each place of a window (height, width); their maximum or mean pools the map."""
    (rows, columns), (down, right) = window, strides
    height, width = x_BxHxWxC.shape[1] - rows + 1, x_BxHxWxC.shape[2] - columns + 1
    return [
        x_BxHxWxC[:, y : y + height : down, x : x + width : right]
        for y in range(rows)
        for x in range(columns)
    ]
