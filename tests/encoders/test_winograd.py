import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from diface_jax.encoders.face import winograd


def random_layer(height, width, channels, outputs):
    """A batch of two maps, and a kernel that keeps their scale."""
    rng = np.random.default_rng(height * width)
    x_BxHxWxC = rng.standard_normal((2, height, width, channels)).astype(np.float32)
    return x_BxHxWxC, rng.standard_normal((3, 3, channels, outputs)) / np.sqrt(9 * channels)


@pytest.mark.parametrize(
    'sizes', [(35, 35, 32, 32), (17, 18, 3, 5), (8, 4, 64, 16), (3, 7, 1, 1), (1, 1, 256, 8)]
)
def test_is_the_convolution_of_the_padded_map(sizes):
    x_BxHxWxC, kernel_3x3xCxO = random_layer(*sizes)
    kernel_QxPxCxO = winograd.transform_kernel(kernel_3x3xCxO).astype(np.float32)
    y_BxHxWxO = winograd.convolve(x_BxHxWxC, kernel_QxPxCxO)
    expected_BxHxWxO = lax.conv_general_dilated(
        x_BxHxWxC,
        jnp.asarray(kernel_3x3xCxO, jnp.float32),
        (1, 1),
        'SAME',
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )
    np.testing.assert_allclose(y_BxHxWxO, expected_BxHxWxO, atol=3e-5)


def test_identity_kernel_returns_the_map():
    x_BxHxWxC, _ = random_layer(9, 6, 4, 4)
    kernel_3x3xCxO = np.zeros((3, 3, 4, 4))
    kernel_3x3xCxO[1, 1] = np.eye(4)
    kernel_QxPxCxO = winograd.transform_kernel(kernel_3x3xCxO).astype(np.float32)
    np.testing.assert_allclose(winograd.convolve(x_BxHxWxC, kernel_QxPxCxO), x_BxHxWxC, atol=1e-5)
