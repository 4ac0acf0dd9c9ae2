"""Convolutions that compute several neighbouring outputs at once."""

import numpy as np
import pytest
from jax import lax

from diface_jax.encoders.face.wide_convolution import convolve_few_channels


@pytest.mark.parametrize(('group', 'strides'), [(1, (1, 1)), (5, (1, 1)), (3, (2, 2))])
def test_is_the_convolution(group, strides):
    rng = np.random.default_rng(0)
    x_BxHxWxC = rng.standard_normal((2, 9, 14, 3), np.float32)
    kernel_HWIO = rng.standard_normal((3, 4, 3, 2), np.float32)
    y_BxHxWxO = convolve_few_channels(x_BxHxWxC, kernel_HWIO, strides, group)
    dimensions = ('NHWC', 'HWIO', 'NHWC')
    expected = lax.conv_general_dilated(
        x_BxHxWxC, kernel_HWIO, strides, 'VALID', dimension_numbers=dimensions
    )
    np.testing.assert_allclose(y_BxHxWxO, expected, atol=1e-4)
