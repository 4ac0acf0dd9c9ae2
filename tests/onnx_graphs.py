"""Tiny face recognisers in ONNX files, whose embeddings are known."""

import numpy as np
import pytest

WIDTH, CELLS = 132, 4
SIDE = 112


def matrix(width=WIDTH):
    """The weights of the recogniser, from the cells of an image to its embedding."""
    return np.random.default_rng(0).standard_normal((3 * CELLS**2, width)).astype(np.float32)


def write(path, shape=('N', 3, SIDE, SIDE), width=WIDTH, first=(), last=(), outputs=(), licence=''):
    """A graph that averages an image over 4 x 4 cells and multiplies them by `matrix`.

    Args:
      path: of the file.
      shape: of the input, NCHW or NHWC; two lengths for rows that are no images.
      width: of the embedding.
      first: operators before it and the number that each takes, such as [('Sub', 127.5)].
      last: operators after it, such as ['Softmax'].
      outputs: widths of further outputs.
      licence: of the metadata.
    """
    onnx = pytest.importorskip('onnx', reason="needs pip install 'diface_jax[onnx]'")
    make, numbers = onnx.helper.make_node, {'matrix': matrix(width), 'end': np.array([0, -1])}
    nodes, before = [], 'image'
    for place, (operator, number) in enumerate(first):
        numbers[f'number {place}'] = np.float32(number)
        nodes.append(make(operator, [before, f'number {place}'], [f'first {place}']))
        before = f'first {place}'
    if shape[-1] == 3:
        nodes.append(make('Transpose', [before], ['turned'], perm=[0, 3, 1, 2]))
        before = 'turned'
    if len(shape) == 4:
        cell = [SIDE // CELLS] * 2
        nodes.append(make('AveragePool', [before], ['cells'], kernel_shape=cell, strides=cell))
        before = 'cells'
    nodes += [
        make('Reshape', [before, 'end'], ['row']),
        make('MatMul', ['row', 'matrix'], ['embedding']),
    ]
    before = 'embedding'
    for operator in last:
        nodes.append(make(operator, [before], [operator]))
        before = operator
    batch, float32 = shape[0], onnx.TensorProto.FLOAT
    declared = [onnx.helper.make_tensor_value_info(before, float32, [batch, width])]
    for place, further in enumerate(outputs):
        numbers[f'further {place}'] = matrix(further)
        nodes.append(make('MatMul', ['row', f'further {place}'], [f'output {place}']))
        declared.append(
            onnx.helper.make_tensor_value_info(f'output {place}', float32, [batch, further])
        )
    graph = onnx.helper.make_graph(
        nodes,
        'recogniser',
        [onnx.helper.make_tensor_value_info('image', float32, shape)],
        declared,
        [onnx.numpy_helper.from_array(array, name) for name, array in numbers.items()],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid('', 17)], ir_version=8
    )
    if licence:
        onnx.helper.set_model_props(model, {'model_license': licence})
    onnx.save(model, str(path))
    return path


def embedding(images_NxHxWx3):
    """What the recogniser gives for float images of 112 pixels."""
    cell = SIDE // CELLS
    cells = images_NxHxWx3.reshape(-1, CELLS, cell, CELLS, cell, 3).mean(axis=(2, 4))
    return cells.transpose(0, 3, 1, 2).reshape(len(cells), -1) @ matrix()
