"""E: dlib's face recognition ResNet-29 as a Flax module that runs dlib's own weights.

King, "High Quality Face Recognition with Deep Metric Learning" (dlib, 2017): a 150x150 chip to 128
numbers, trained so that the faces of a person lie within a Euclidean distance of 0.6. The weights
are CC0 and come with the package face-recognition-models.
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
from diface_jax.encoders.face import dlib_format, winograd
from diface_jax.encoders.face.pooling_windows import pooling_windows
from diface_jax.encoders.face.wide_convolution import convolve_few_channels
from diface_jax.runtime import devices
from diface_jax.runtime.batch_threads import run_batches

NAME = 'dlib_face_recognition_resnet_model_v1'
WIDTH = 128
LICENCE = 'CC0-1.0'
SHA256 = '55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30'

CELLS = 4  # `embed_with_maps` resizes each map to this many cells a side, at most

# Crops at once: on two cores the fastest, on an accelerator as many as callers have at a time.
_BATCH, _ACCELERATOR_BATCH = 8, 64
_GROUP = 3  # neighbouring outputs of `Stem`

_STEM = ('input_rgb_image_sized', 'con_4', 'affine_', 'relu_', 'max_pool_2')
_BLOCK = ('tag', 'con_4', 'affine_', 'relu_', 'con_4', 'affine_')
_SHORTCUT = ('tag', 'tag', 'avg_pool_2')
_HEAD = ('avg_pool_2', 'fc_2')


class DlibResNet(nnx.Module):
    """Embeds chips; the embeddings are those of dlib, not centred and not normalised."""

    def __init__(self, layers: Sequence[dlib_format.DlibLayer]) -> None:
        """Builds the network from its layers, which are in order from input to output.

        Raises:
          ValueError: the layers are not a residual network of this kind.
        """
        source = _Layers(layers)
        image, conv, affine, _, pool = source.take(_STEM)
        self.size = image.sizes
        self.mean_3 = nnx.Param(jax.device_put(image.arrays[0]))
        self.stem = Stem(conv, affine)
        self.pool = Pool.read(pool)
        self.blocks = nnx.List()
        while source.next_is('tag'):
            self.blocks.append(ResidualBlock(source))
        average, dense = source.take(_HEAD)
        if average.sizes[:2] != (0, 0):
            raise ValueError(f'the last pooling averages {average.sizes[:2]}, not everything')
        self.weights_CxD = nnx.Param(jax.device_put(dense.arrays[0]))
        source.expect_end()

    def __call__(self, chips_BxHxWx3: jax.Array) -> jax.Array:
        """Embeds aligned 150x150 RGB chips of 0 to 255, uint8 or float; returns x_BxD float32."""
        return self.with_maps(chips_BxHxWx3)[0]

    def with_maps(self, chips_BxHxWx3: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
        """The embeddings x_BxD, and the last feature map [B, H, W, C] of each size."""
        if chips_BxHxWx3.shape[1:] != (*self.size, 3):
            raise ValueError(f'chips have shape {chips_BxHxWx3.shape[1:]}, not {(*self.size, 3)}')
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
    """Two convolutions and a shortcut, which is average-pooled if the block halves the sides."""

    def __init__(self, source: '_Layers') -> None:
        _, conv1, affine1, _, conv2, affine2 = source.take(_BLOCK)
        self.conv1 = Conv(conv1, affine1)
        self.conv2 = Conv(conv2, affine2)
        down = source.next_is('tag')  # dlib tags one side of the sum and skips back to the input
        self.shortcut = Pool.read(source.take(_SHORTCUT)[-1]) if down else None
        source.take(('add_prev_', 'relu_'))

    def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
        """Returns a map of the same shape, or of half the height and width."""
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
        self.kernel_HWIO = nnx.Param(jax.device_put(kernel_HWIO.astype(np.float32)))
        self.kernel_QxPxCxO = _kernel_for_winograd(kernel_HWIO, conv)
        self.bias_O = nnx.Param(jax.device_put((bias_O * gamma_O + beta_O).astype(np.float32)))

    def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
        """Returns y_BxHxWxO, its sides divided by the strides."""
        if self.kernel_QxPxCxO is not None:
            return winograd.convolve(x_BxHxWxC, self.kernel_QxPxCxO[...]) + self.bias_O[...]
        y_BxHxWxO = lax.conv_general_dilated(
            x_BxHxWxC,
            self.kernel_HWIO[...],
            self.strides,
            self.padding,
            dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
            precision=lax.Precision.HIGHEST,  # the TPU's default of bfloat16 loses three digits
        )
        return y_BxHxWxO + self.bias_O[...]


def _kernel_for_winograd(kernel_HWIO: np.ndarray, conv: dlib_format.DlibLayer) -> nnx.Param | None:
    """The kernel for `winograd.convolve`, or None where XLA's convolution is the better one."""
    is_3x3_of_stride_1 = conv.sizes[1:] == (3, 3, 1, 1, 1, 1)  # kernel, strides and padding
    if devices.has_accelerator() or not is_3x3_of_stride_1:
        return None
    return nnx.Param(jax.device_put(winograd.transform_kernel(kernel_HWIO).astype(np.float32)))


class Stem(Conv):
    """The first convolution, of 3 channels, computed for `_GROUP` neighbouring outputs at once."""

    def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
        """Returns y_BxHxWxO, its sides divided by the strides; the padding must be 0."""
        y_BxHxWxO = convolve_few_channels(x_BxHxWxC, self.kernel_HWIO[...], self.strides, _GROUP)
        return y_BxHxWxO + self.bias_O[...]


@dataclasses.dataclass(frozen=True)
class Pool:
    """The maximum or the average over a window (height, width); never padded in this network."""

    name: str
    window: tuple[int, int]
    strides: tuple[int, int]

    @classmethod
    def read(cls, layer: dlib_format.DlibLayer) -> 'Pool':
        """Reads the window of a layer of the file. Raises ValueError if the layer is padded."""
        if layer.sizes[4:] != (0, 0):
            raise ValueError(f'a padded pooling layer: {layer.name} {layer.sizes}')
        return cls(layer.name, layer.sizes[:2], layer.sizes[2:4])

    def __call__(self, x_BxHxWxC: jax.Array) -> jax.Array:
        """Pools the height and the width of x_BxHxWxC."""
        in_window = pooling_windows(x_BxHxWxC, self.window, self.strides)
        if self.name == 'max_pool_2':
            return functools.reduce(jnp.maximum, in_window)
        return sum(in_window) / len(in_window)


def _add_padded(a_BxHxWxC: jax.Array, b_BxHxWxC: jax.Array) -> jax.Array:
    """The sum of two maps, the smaller padded with zeros at the end of each axis, as in dlib."""
    shape = np.maximum(a_BxHxWxC.shape, b_BxHxWxC.shape)
    a, b = (jnp.pad(x, [(0, n) for n in shape - x.shape]) for x in (a_BxHxWxC, b_BxHxWxC))
    return a + b


class _Layers:
    """Takes layers in order, and checks their names."""

    def __init__(self, layers: Sequence[dlib_format.DlibLayer]) -> None:
        self.left = list(layers)

    def next_is(self, name: str) -> bool:
        return bool(self.left) and self.left[0].name == name

    def take(self, names: Sequence[str]) -> list[dlib_format.DlibLayer]:
        taken, self.left = self.left[: len(names)], self.left[len(names) :]
        taken_names = tuple(layer.name for layer in taken)
        if taken_names != tuple(names):
            raise ValueError(f'layers {taken_names} instead of {tuple(names)}')
        return taken

    def expect_end(self) -> None:
        if self.left:
            raise ValueError(f'{len(self.left)} layers left over, from {self.left[0].name}')


def load_dlib_resnet(path: pathlib.Path | str | None = None) -> DlibResNet:
    """Reads dlib_face_recognition_resnet_model_v1.dat.

    Args:
      path: the file; None for the file in the package face-recognition-models.

    Raises:
      FileNotFoundError: the package or its file is missing; the message says what to install.
      ValueError: the file is truncated, or is another file.
    """
    if path is None:
        path = weights.find_in_package('face_recognition_models', f'models/{NAME}.dat')
        weights.check_sha256(path, SHA256)
    return DlibResNet(dlib_format.read_dlib_network(path))


def embed_chips(
    model: DlibResNet, chips_NxHxWx3: np.ndarray, batch_size: int | None = None
) -> np.ndarray:
    """Embeds any number of uint8 RGB chips; returns x_NxD float32.

    Compiled once for each batch size: the last batch is padded with black chips. None: the batch
    size that suits the device.
    """
    batch_size = batch_size or _crops_at_once()
    graph, state = nnx.split(model)

    def embed(chips_BxHxWx3: np.ndarray) -> np.ndarray:
        return np.asarray(_apply(graph, state, chips_BxHxWx3))

    parts = run_batches(embed, _batches(chips_NxHxWx3, batch_size))
    return np.concatenate([np.zeros((0, WIDTH), np.float32), *parts])[: len(chips_NxHxWx3)]


def embed_with_maps(
    model: DlibResNet, chips_NxSxHxWx3: np.ndarray, batch_size: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Embeds the first chip of each photo, and returns feature maps of all its S chips.

    Args:
      model: the network.
      chips_NxSxHxWx3: S uint8 RGB chips of each photo.
      batch_size: photos in a batch; None: as many as suit the device.

    Yields:
      x_BxD and maps_BxP of the next photos, float32. The maps are, for each chip, the last map of
      each size, resized to at most `CELLS` x `CELLS` cells; P is the sum of `block_widths`.
    """
    graph, state = nnx.split(model)
    batch_size = batch_size or max(1, _crops_at_once() // chips_NxSxHxWx3.shape[1])

    def embed(chips_BxSxHxWx3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return jax.device_get(_apply_with_maps(graph, state, chips_BxSxHxWx3))

    left = len(chips_NxSxHxWx3)
    for x_BxD, maps_BxP in run_batches(embed, _batches(chips_NxSxHxWx3, batch_size)):
        yield x_BxD[:left], maps_BxP[:left]
        left -= batch_size


def block_widths(model: DlibResNet, chips: int) -> tuple[int, ...]:
    """Widths of the maps that `embed_with_maps` concatenates; they add up to P.

    Args:
      model: the network.
      chips: S, the number of chips of each photo.
    """
    chip = jax.ShapeDtypeStruct((1, *model.size, 3), jnp.uint8)
    _, maps = jax.eval_shape(lambda chips_BxHxWx3: model.with_maps(chips_BxHxWx3), chip)
    return chips * tuple(min(CELLS, m.shape[1]) * min(CELLS, m.shape[2]) * m.shape[3] for m in maps)


def _crops_at_once() -> int:
    return _ACCELERATOR_BATCH if devices.has_accelerator() else _BATCH


def _batches(chips_NxX: np.ndarray, batch_size: int) -> Iterator[tuple[np.ndarray]]:
    """Batches of the same size, the last padded with zeros."""
    for start in range(0, len(chips_NxX), batch_size):
        chips = chips_NxX[start : start + batch_size]
        missing = batch_size - len(chips)
        yield (np.pad(chips, [(0, missing)] + [(0, 0)] * (chips.ndim - 1)),)


@functools.partial(jax.jit, static_argnums=0)
def _apply(graph: nnx.GraphDef, state: nnx.State, chips_BxHxWx3: jax.Array) -> jax.Array:
    return nnx.merge(graph, state)(chips_BxHxWx3)


@functools.partial(jax.jit, static_argnums=0)
def _apply_with_maps(
    graph: nnx.GraphDef, state: nnx.State, chips_BxSxHxWx3: jax.Array
) -> tuple[jax.Array, jax.Array]:
    photos, size = chips_BxSxHxWx3.shape[0], chips_BxSxHxWx3.shape[2:]
    x_NxD, maps = nnx.merge(graph, state).with_maps(chips_BxSxHxWx3.reshape(-1, *size))
    maps_NxP = jnp.concatenate([_cells(m).reshape(len(m), -1) for m in maps], axis=1)
    return x_NxD.reshape(photos, -1, x_NxD.shape[1])[:, 0], maps_NxP.reshape(photos, -1)


def _cells(map_BxHxWxC: jax.Array) -> jax.Array:
    """The map resized to at most CELLS x CELLS cells."""
    batch, height, width, channels = map_BxHxWxC.shape
    shape = (batch, min(CELLS, height), min(CELLS, width), channels)
    return jax.image.resize(map_BxHxWxC, shape, 'linear', antialias=True)
