"""E: dlib's face recognition ResNet-29 as a Flax module that runs dlib's own weights.

King, "High Quality Face Recognition with Deep Metric Learning" (dlib, 2017): a 150x150 chip to 128
numbers, trained so that one person's faces lie within 0.6 of each other (Euclidean). The weights
are CC0; they come in the package face-recognition-models.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from diface_jax.encoders import weights
from diface_jax.encoders.face import dlib_format

NAME = 'dlib_face_recognition_resnet_model_v1'
WIDTH = 128
SHA256 = '55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30'

_STEM = ('input_rgb_image_sized', 'con_4', 'affine_', 'relu_', 'max_pool_2')
_BLOCK = ('tag', 'con_4', 'affine_', 'relu_', 'con_4', 'affine_')
_SHORTCUT = ('tag', 'tag', 'avg_pool_2')
_HEAD = ('avg_pool_2', 'fc_2')


class DlibResNet(nnx.Module):
    """Chips to raw embeddings: not centred, not normalised, as dlib gives them."""

    def __init__(self, layers: Sequence[dlib_format.Layer]) -> None:
        """Builds the network that `layers`, from input to output, describe.

        Raises:
          ValueError: they are not a residual network of this kind.
        """
        source = _Layers(layers)
        image, conv, affine, _, pool = source.take(_STEM)
        self.size = image.sizes
        self.mean_3 = nnx.Param(jnp.asarray(image.arrays[0]))
        self.stem = Conv(conv, affine)
        self.pool = Pool.read(pool)
        self.blocks = nnx.List()
        while source.next_is('tag'):
            self.blocks.append(Block(source))
        average, dense = source.take(_HEAD)
        if average.sizes[:2] != (0, 0):
            raise ValueError(f'the last pooling averages {average.sizes[:2]}, not everything')
        self.weights_CxD = nnx.Param(jnp.asarray(dense.arrays[0]))
        source.expect_end()

    def __call__(self, chips_BxHxWx3: jax.Array) -> jax.Array:
        """Embeds aligned 150x150 RGB chips of 0 to 255, uint8 or float; returns x_BxD float32."""
        if chips_BxHxWx3.shape[1:] != (*self.size, 3):
            raise ValueError(f'chips of {chips_BxHxWx3.shape[1:]}, not {(*self.size, 3)}')
        x_BxHxWxC = (chips_BxHxWx3.astype(jnp.float32) - self.mean_3[...]) / 256
        x_BxHxWxC = self.pool(nnx.relu(self.stem(x_BxHxWxC)))
        for block in self.blocks:
            x_BxHxWxC = block(x_BxHxWxC)
        x_BxC = x_BxHxWxC.mean(axis=(1, 2))
        return jnp.dot(x_BxC, self.weights_CxD[...], precision=lax.Precision.HIGHEST)


class Block(nnx.Module):
    """Two convolutions and a shortcut, which is averaged 2x2 where the block halves the sides."""

    def __init__(self, source: '_Layers') -> None:
        _, conv1, affine1, _, conv2, affine2 = source.take(_BLOCK)
        self.conv1 = Conv(conv1, affine1)
        self.conv2 = Conv(conv2, affine2)
        down = source.next_is('tag')  # dlib tags the sum's one side and skips back to the input
        self.shortcut = Pool.read(source.take(_SHORTCUT)[-1]) if down else None
        source.take(('add_prev_', 'relu_'))

    def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
        """Returns a map of half the sides if there is a shortcut, of the same shape if not."""
        y_BxHxWxC = self.conv2(nnx.relu(self.conv1(x_BxHxWxC)))
        side_BxHxWxC = self.shortcut(x_BxHxWxC) if self.shortcut else x_BxHxWxC
        return nnx.relu(_add_padded(y_BxHxWxC, side_BxHxWxC))


class Conv(nnx.Module):
    """A convolution, with the affine map that follows it (a frozen batch norm) folded in."""

    def __init__(self, conv: dlib_format.Layer, affine: dlib_format.Layer) -> None:
        _, _, _, stride_y, stride_x, padding_y, padding_x = conv.sizes
        self.strides = (stride_y, stride_x)
        self.padding = ((padding_y, padding_y), (padding_x, padding_x))
        kernel_OIHW, bias_O = (array.astype(np.float64) for array in conv.arrays)
        gamma_O, beta_O = affine.arrays
        kernel_HWIO = (kernel_OIHW * gamma_O[:, None, None, None]).transpose(2, 3, 1, 0)
        self.kernel_HWIO = nnx.Param(jnp.asarray(kernel_HWIO, jnp.float32))
        self.bias_O = nnx.Param(jnp.asarray(bias_O * gamma_O + beta_O, jnp.float32))

    def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
        """Returns y_BxHxWxO, its sides divided by the strides."""
        y_BxHxWxO = lax.conv_general_dilated(
            x_BxHxWxC,
            self.kernel_HWIO[...],
            self.strides,
            self.padding,
            dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
            precision=lax.Precision.HIGHEST,  # the TPU's default of bfloat16 loses three digits
        )
        return y_BxHxWxO + self.bias_O[...]


@dataclasses.dataclass(frozen=True)
class Pool:
    """The maximum or the average over a window (height, width); never padded in this network."""

    name: str
    window: tuple[int, int]
    strides: tuple[int, int]

    @classmethod
    def read(cls, layer: dlib_format.Layer) -> 'Pool':
        """Takes the window from the file's layer. Raises ValueError if it is padded."""
        if layer.sizes[4:] != (0, 0):
            raise ValueError(f'a padded pooling layer: {layer.name} {layer.sizes}')
        return cls(layer.name, layer.sizes[:2], layer.sizes[2:4])

    def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
        """Pools the two middle axes."""
        pool = nnx.max_pool if self.name == 'max_pool_2' else nnx.avg_pool
        return pool(x_BxHxWxC, self.window, self.strides)


def _add_padded(a_BxHxWxC: jax.Array, b_BxHxWxC: jax.Array) -> jax.Array:
    """The sum, the smaller side filled up with zeros at the end of each axis, as dlib does."""
    shape = np.maximum(a_BxHxWxC.shape, b_BxHxWxC.shape)
    a, b = (jnp.pad(x, [(0, n) for n in shape - x.shape]) for x in (a_BxHxWxC, b_BxHxWxC))
    return a + b


class _Layers:
    """Layers handed out in order, each only under the name that is expected."""

    def __init__(self, layers: Sequence[dlib_format.Layer]) -> None:
        self.left = list(layers)

    def next_is(self, name: str) -> bool:
        return bool(self.left) and self.left[0].name == name

    def take(self, names: Sequence[str]) -> list[dlib_format.Layer]:
        taken, self.left = self.left[: len(names)], self.left[len(names) :]
        found = tuple(layer.name for layer in taken)
        if found != tuple(names):
            raise ValueError(f'layers {found} where {tuple(names)} belong')
        return taken

    def expect_end(self) -> None:
        if self.left:
            raise ValueError(f'{len(self.left)} layers left over, from {self.left[0].name}')


def load(path: pathlib.Path | str | None = None) -> DlibResNet:
    """Reads dlib_face_recognition_resnet_model_v1.dat; None: the file of face-recognition-models.

    Raises:
      FileNotFoundError: it isn't there; says what to install.
      ValueError: it is truncated, or another file.
    """
    if path is None:
        path = weights.find_in_package('face_recognition_models', f'models/{NAME}.dat')
        weights.check_sha256(path, SHA256)
    return DlibResNet(dlib_format.read(path))


def embed(model: DlibResNet, chips_NxHxWx3: np.ndarray, batch_size: int = 32) -> np.ndarray:
    """Embeds any number of uint8 RGB chips; returns x_NxD float32.

    Compiled once for each batch size: the last batch is filled up with black chips.
    """
    graph, state = nnx.split(model)
    x_NxD = np.empty((len(chips_NxHxWx3), WIDTH), np.float32)
    for start in range(0, len(x_NxD), batch_size):
        chips_BxHxWx3 = chips_NxHxWx3[start : start + batch_size]
        missing = batch_size - len(chips_BxHxWx3)
        padded_BxHxWx3 = np.pad(chips_BxHxWx3, [(0, missing), (0, 0), (0, 0), (0, 0)])
        x_BxD = np.asarray(_apply(graph, state, padded_BxHxWx3))
        x_NxD[start : start + batch_size] = x_BxD[: batch_size - missing]
    return x_NxD


@functools.partial(jax.jit, static_argnums=0)
def _apply(graph: nnx.GraphDef, state: nnx.State, chips_BxHxWx3: jax.Array) -> jax.Array:
    return nnx.merge(graph, state)(chips_BxHxWx3)
