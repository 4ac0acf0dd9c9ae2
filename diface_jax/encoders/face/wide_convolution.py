"""Convolutions of few channels, several neighbouring outputs at once, for CPUs.

With 3 channels in and 10 to 32 out, XLA's convolution reaches a tenth of a CPU's speed. A row of
the image is therefore read as blocks of pixels, which become channels, and as many outputs become
channels too. That multiplies more, by zeros, and takes a fifth to a half of the time.
"""

import jax
import jax.numpy as jnp
from jax import lax


def convolve_few_channels(
    x_BxHxWxC: jax.Array, kernel_HWIO: jax.Array, strides: tuple[int, int], group: int
) -> jax.Array:
    """An unpadded convolution, equal to `lax.conv_general_dilated` up to rounding.

    Args:
      x_BxHxWxC: the image.
      kernel_HWIO: of height and width H and W.
      strides: down and to the right.
      group: of neighbouring outputs that are computed at once.
    """
    stride_y, stride_x = strides
    batch, height, width, channels = x_BxHxWxC.shape
    height_k, width_k, _, outputs = kernel_HWIO.shape
    width_y = (width - width_k) // stride_x + 1
    groups, block = -(-width_y // group), group * stride_x
    blocks = -(-((group - 1) * stride_x + width_k) // block)  # that a group of outputs sees
    wide_HxUxCxNxO = jnp.stack(
        [
            jnp.pad(kernel_HWIO, [(0, 0), (at, blocks * block - width_k - at), (0, 0), (0, 0)])
            for at in range(0, block, stride_x)
        ],
        axis=3,
    )
    missing = (groups + blocks - 1) * block - width
    x_BxHxWxC = jnp.pad(x_BxHxWxC, [(0, 0), (0, 0), (0, max(0, missing)), (0, 0)])
    x_BxHxWxC = x_BxHxWxC[:, :, : width + missing]
    y_BxHxNxGO = lax.conv_general_dilated(
        x_BxHxWxC.reshape(batch, height, -1, block * channels),
        wide_HxUxCxNxO.reshape(height_k, blocks, block * channels, group * outputs),
        (stride_y, 1),
        'VALID',
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        precision=lax.Precision.HIGHEST,  # the TPU's default of bfloat16 loses three digits
    )
    return y_BxHxNxGO.reshape(batch, -1, groups * group, outputs)[:, :, :width_y]
