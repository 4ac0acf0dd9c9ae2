"""Reads the layers of a network file of dlib (`dlib::serialize`), from input to output.

Integers are a length byte and that many little-endian bytes, floats a mantissa and a power of two,
tensors four dimensions and raw float32. The layers are nested: first come their versions, from
output to input, then their details, from input to output.
"""

import math
import pathlib
from typing import NamedTuple

import numpy as np

_OUTERMOST, _TAG, _LAYER, _INNERMOST = 1, 1, 2, 3  # versions dlib gives to kinds of layer


class DlibLayer(NamedTuple):
    """One layer, with its name in the file; both tag and skip layers of dlib are named `tag`.

    Names, sizes and arrays::

        input_rgb_image_sized   height, width; mean_3, to be taken from RGB in 0 to 255
        con_4                   filters, height, width, stride y, x, padding y, x; kernel_OIHW,
                                bias_O
        affine_                 none; gamma_C, beta_C
        max_pool_2, avg_pool_2  height, width (0: everything), stride y, x, padding y, x; none
        fc_2 (without bias)     outputs, inputs; weights_IxO
        relu_, add_prev_, tag   none; none
    """

    name: str
    sizes: tuple[int, ...] = ()
    arrays: tuple[np.ndarray, ...] = ()


def read_dlib_network(path: pathlib.Path | str) -> list[DlibLayer]:
    """Reads a metric network, such as dlib's face recognition ResNet.

    Raises:
      ValueError: the file is truncated, is not such a network, or holds more than the network.
      OSError: the file cannot be read.
    """
    reader = _Reader(pathlib.Path(path).read_bytes())
    try:
        layers = _read_network(reader)
        reader.expect_end()
    except ValueError as error:
        raise ValueError(f'{path} is not a dlib metric network: {error}') from error
    return layers


def _read_network(reader: '_Reader') -> list[DlibLayer]:
    reader.expect(_OUTERMOST)
    if (name := reader.string()) != 'loss_metric_2':
        raise ValueError(f'it starts with {name[:40]!r}, not with loss_metric_2')
    reader.numbers(2)  # the loss's margin and distance threshold
    versions = _read_nesting(reader)
    layers = [_read_details(reader)]  # the input, which keeps no state
    for version in reversed(versions):
        if version == _TAG:
            layers.append(DlibLayer('tag'))
            continue
        layers.append(_read_details(reader))
        reader.skip_training_state()
        if version == _INNERMOST:
            reader.expect(1)  # sample expansion factor
    return layers


def _read_nesting(reader: '_Reader') -> list[int]:
    versions = []
    while not versions or versions[-1] != _INNERMOST:
        versions.append(reader.integer())
        if versions[-1] not in (_TAG, _LAYER, _INNERMOST):
            raise ValueError(f'unknown layer version {versions[-1]}')
    return versions


def _read_details(reader: '_Reader') -> DlibLayer:
    name = reader.string()
    match name:
        case 'input_rgb_image_sized':
            mean_3 = np.array(reader.numbers(3), np.float32)
            return DlibLayer(name, reader.integers(2), (mean_3,))
        case 'con_4':
            params, sizes = reader.tensor(), reader.integers(7)
            arrays = _split(params, reader.shape(), reader.shape())
            reader.numbers(4)  # multipliers of the learning rate and the weight decay
            return DlibLayer(name, sizes, (arrays[0], arrays[1].ravel()))
        case 'affine_':
            arrays = _split(reader.tensor(), reader.shape(), reader.shape())
            reader.expect(0)  # a pair for each channel, not for each pixel
            return DlibLayer(name, (), tuple(array.ravel() for array in arrays))
        case 'fc_2':
            sizes = reader.integers(2)
            arrays = _split(reader.tensor(), reader.shape(), reader.shape())
            reader.expect(1)  # no bias
            reader.numbers(4)
            return DlibLayer(name, sizes, (arrays[0][:, :, 0, 0],))
        case 'max_pool_2' | 'avg_pool_2':
            return DlibLayer(name, reader.integers(6))
        case 'relu_' | 'add_prev_':
            return DlibLayer(name)
        case _:
            raise ValueError(f'unknown layer {name[:40]!r} near byte {reader.at:,}')


def _split(params: np.ndarray, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Splits the parameters of a layer into its arrays, in order."""
    counts = [math.prod(shape) for shape in shapes]
    if sum(counts) != params.size:
        raise ValueError(f'{params.size} parameters do not fill arrays of {shapes}')
    pieces = np.split(params.ravel(), np.cumsum(counts)[:-1])
    return [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)]


class _Reader:
    """Reads dlib's primitive values from a byte string, one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise ValueError(f'it ends at byte {len(self.data):,}, in the middle of a value')
        self.at += count
        return self.data[self.at - count : self.at]

    def integer(self) -> int:
        head = self.take(1)[0]
        value = int.from_bytes(self.take(head & 0x0F), 'little')
        return -value if head & 0x80 else value

    def integers(self, count: int) -> tuple[int, ...]:
        return tuple(self.integer() for _ in range(count))

    def expect(self, value: int) -> None:
        if (actual := self.integer()) != value:
            raise ValueError(f'{actual} instead of {value}, before byte {self.at:,}')

    def expect_end(self) -> None:
        if left := len(self.data) - self.at:
            raise ValueError(f'{left:,} bytes are left over after its last layer')

    def numbers(self, count: int) -> list[float]:
        pairs = [self.integers(2) for _ in range(count)]
        if any(abs(power) > 1000 for _, power in pairs):  # dlib's infinity and not-a-number too
            raise ValueError(f'a number out of range before byte {self.at:,}')
        return [math.ldexp(mantissa, power) for mantissa, power in pairs]

    def string(self) -> str:
        return self.take(self.size()).decode('ascii', errors='replace')

    def size(self) -> int:
        if (value := self.integer()) < 0:
            raise ValueError(f'a negative size before byte {self.at:,}')
        return value

    def shape(self) -> tuple[int, ...]:
        self.expect(1)
        return tuple(self.size() for _ in range(4))

    def tensor(self) -> np.ndarray:
        self.expect(2)
        shape = tuple(self.size() for _ in range(4))
        return np.frombuffer(self.take(4 * math.prod(shape)), '<f4').reshape(shape)

    def skip_training_state(self) -> None:
        flags = self.take(3)  # set up, gradient stale, output disabled: '0' or '1'
        if not set(flags) <= set(b'01'):
            raise ValueError(f'invalid flags before byte {self.at:,}')
        for _ in range(3):
            self.tensor()  # gradients and cached output; empty in a cleaned network
