"""Runs a network in an ONNX file that embeds faces, with onnxruntime; refuses what is no such file.

onnxruntime tells the shapes of a graph's input and output. Whether the graph normalises pixels
itself is read from its first nodes, by the package onnx.
"""

import pathlib
from types import ModuleType
from typing import Any, NoReturn

import numpy as np

from diface_jax.runtime.extras import import_extra

_BATCH = 16  # of a graph that takes any
_WIDEST = 4096  # of an embedding; what is wider are scores of classes
_CHANNELS = 3
# Nodes that pass pixels on, and those that scale them, or shift them.
_PASSING = frozenset(('Identity', 'Cast', 'Transpose'))
_SCALING = frozenset(('Sub', 'Add', 'Mul', 'Div', 'BatchNormalization'))
_OF_CLASSES = frozenset(('Softmax', 'LogSoftmax', 'ArgMax'))


class OnnxNetwork:
    """A network from images of faces to embeddings.

    On a machine with an NVIDIA GPU and the package onnxruntime-gpu it runs there, in float32.

    Args:
      path: the ONNX file.

    Attributes:
      side: of the square images, in pixels; None where the graph takes any.
      width: K, the width of an embedding.
      licence: what the file says of it (`model_license` of its metadata); None for nothing.

    Raises:
      FileNotFoundError: there is no such file.
      ImportError: onnxruntime is not installed; says how to install it.
      ValueError: the file holds no network that embeds faces; names the file and the reason.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._session = _session(path)
        self._input, self._batch, self._channels_last, self.side = self._read_input()
        self._output, self.width = self._read_output()
        self.licence = self._session.get_modelmeta().custom_metadata_map.get('model_license')

    def run(self, images_NxHxWx3: np.ndarray) -> np.ndarray:
        """Embeds images, float32 with pixels as the graph wants them; x_NxK, float32."""
        if not self._channels_last:
            images_NxHxWx3 = images_NxHxWx3.transpose(0, 3, 1, 2)
        size, parts = self._batch or _BATCH, [np.zeros((0, self.width), np.float32)]
        for start in range(0, len(images_NxHxWx3), size):
            batch = images_NxHxWx3[start : start + size]
            missing = (self._batch or len(batch)) - len(batch)
            padded = np.pad(batch, [(0, missing)] + [(0, 0)] * 3)
            (x_BxK,) = self._session.run([self._output], {self._input: padded})
            parts.append(x_BxK.reshape(len(padded), -1)[: len(batch)])
        return np.concatenate(parts)

    def _read_input(self) -> tuple[str, int | None, bool, int | None]:
        """The input's name, its fixed batch, whether channels come last, and the images' side."""
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            self._refuse(f'it has {len(inputs)} inputs, and a face encoder has one')
        name, shape, kind = inputs[0].name, inputs[0].shape, inputs[0].type
        if kind != 'tensor(float)':
            self._refuse(f'its input is a {kind}, and images are given as tensor(float)')
        if len(shape) != 4 or _CHANNELS not in (shape[1], shape[3]):
            self._refuse(f'its input has the shape {shape}, which are no images of three channels')
        batch, *rest = (length if isinstance(length, int) else None for length in shape)
        channels_last = shape[1] != _CHANNELS
        sides = set(rest[:2] if channels_last else rest[1:])
        if len(sides) > 1:
            self._refuse(f'its images are not square: {shape}')
        return name, batch, channels_last, sides.pop()

    def _read_output(self) -> tuple[str, int]:
        """The name of the embedding and its width; a norm beside it, as of AdaFace, is left."""
        shapes = {output.name: output.shape[1:] for output in self._session.get_outputs()}
        vectors = {name: lengths for name, lengths in shapes.items() if _is_vector(lengths)}
        if not vectors:
            self._refuse(f'none of its outputs is a vector for each face: {shapes}')
        if len({lengths[0] for lengths in vectors.values()}) > 1:
            self._refuse(f'it has several outputs of other widths: {shapes}')
        name, lengths = next(iter(vectors.items()))
        width = lengths[0] if isinstance(lengths[0], int) else self._measured_width(name)
        if width > _WIDEST:
            self._refuse(
                f'its output is {width:,} wide, like scores of classes: export it without its head'
            )
        return name, width

    def _measured_width(self, output: str) -> int:
        side = self.side or 112
        shape = (side, side, _CHANNELS) if self._channels_last else (_CHANNELS, side, side)
        black = np.zeros((self._batch or 1, *shape), np.float32)
        try:
            return self._session.run([output], {self._input: black})[0].shape[1]
        except _errors() as error:
            self._refuse(f'it does not run on an image of {side} pixels ({_first_line(error)})')

    def _refuse(self, reason: str) -> NoReturn:
        refuse(self._path, reason)


def normalises_pixels(path: pathlib.Path) -> bool:
    """Whether a graph scales or shifts pixels before its first layer, as exports of MXNet do.

    Raises:
      ImportError: the package onnx is not installed; says how to install it.
      ValueError: the weights lie in other files, which a hash of this one does not cover, or the
        graph ends in scores of classes.
    """
    onnx = _optional_module('onnx')
    graph = onnx.load(str(path), load_external_data=False).graph
    if any(map(onnx.external_data_helper.uses_external_data, graph.initializer)):
        refuse(path, 'its weights lie in other files: save them in it')
    outputs = {output.name for output in graph.output}
    last = {node.op_type for node in graph.node if outputs & set(node.output)}
    if last & _OF_CLASSES:
        refuse(path, 'it ends in scores of classes: export it without its head')
    weights = {weight.name for weight in graph.initializer}
    pixels = {graph_input.name for graph_input in graph.input} - weights
    for node in graph.node:
        if pixels & set(node.input):
            if node.op_type not in _PASSING:
                return node.op_type in _SCALING
            pixels |= set(node.output)
    return False


def _is_vector(lengths: list[int | str | None]) -> bool:
    """Whether an output has these lengths, without the batch, where it is an embedding."""
    if not lengths or lengths[0] == 1:
        return False
    # Where the first length is left open, more would be a grid of places.
    return len(lengths) == 1 or (isinstance(lengths[0], int) and set(lengths[1:]) == {1})


def refuse(path: pathlib.Path, reason: str) -> NoReturn:
    """Raises ValueError: a file cannot be a face encoder."""
    raise ValueError(f'encoders.face: {path} cannot be used as a face encoder: {reason}')


def _session(path: pathlib.Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f'encoders.face: there is no file {path}')
    onnxruntime = _optional_module('onnxruntime')
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    # TensorFloat-32 would lose three digits.
    wanted = [('CUDAExecutionProvider', {'use_tf32': '0'}), ('CPUExecutionProvider', {})]
    available = onnxruntime.get_available_providers()
    providers = [provider for provider in wanted if provider[0] in available]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except _errors() as error:
        refuse(path, f'onnxruntime cannot load it ({_first_line(error)})')


def _errors() -> tuple[type[Exception], ...]:
    """What onnxruntime raises of a file: its own errors, which have no class in common."""
    state = _optional_module('onnxruntime.capi.onnxruntime_pybind11_state')
    own = [kind for kind in vars(state).values() if isinstance(kind, type)]
    return (RuntimeError, *(kind for kind in own if issubclass(kind, Exception)))


def _first_line(error: Exception) -> str:
    return str(error).partition('\n')[0]


def _optional_module(name: str) -> ModuleType:
    return import_extra(name, 'onnx', 'face encoders in ONNX files')
