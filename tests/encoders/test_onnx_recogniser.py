"""Recognisers in ONNX files: their embeddings are known, and other files are refused by name."""

import importlib

import numpy as np
import pytest

from configs import celeba
from diface_jax.encoders.face import align
from diface_jax.encoders.face.onnx_recogniser import OnnxRecogniser
from diface_jax.runtime.settings import OnnxSettings
from tests import onnx_graphs

onnxruntime = pytest.importorskip('onnxruntime', reason="needs pip install 'diface_jax[onnx]'")

CHIPS = np.random.default_rng(0).integers(0, 256, (5, 3, 150, 150, 3), np.uint8)
FACES = align.arcface_images(CHIPS).astype(np.float32)
USUAL = (FACES - 127.5) / 127.5
SHIFTED = (FACES - (1, 2, 3)) / (4, 5, 6)
SHIFTED_BGR = SHIFTED[..., ::-1]


def read(path, **settings):
    onnx = celeba.get_config().encoders.onnx
    onnx.update(settings)
    return OnnxRecogniser.read(path, onnx)


@pytest.mark.parametrize(
    ('graph', 'settings', 'images'),
    [
        ({}, {}, USUAL),
        ({}, {'channels': 'bgr'}, USUAL[..., ::-1]),
        ({}, {'mean': (1.0, 2.0, 3.0), 'scale': (4.0, 5.0, 6.0)}, SHIFTED),
        ({}, {'mean': (1.0, 2.0, 3.0), 'scale': (4.0, 5.0, 6.0), 'channels': 'bgr'}, SHIFTED_BGR),
        ({'shape': (1, 3, 112, 112)}, {}, USUAL),
        ({'shape': (2, 3, 112, 112)}, {}, USUAL),
        ({'shape': ('N', 112, 112, 3)}, {}, USUAL),
        ({'shape': ('N', 3, 'H', 'W')}, {}, USUAL),
        ({'first': [('Sub', 127.5), ('Mul', 1 / 128)]}, {}, (FACES - 127.5) / 128),
        ({'outputs': [1]}, {}, USUAL),  # a norm, as of AdaFace
    ],
)
def test_embeddings_are_those_of_the_graph(tmp_path, graph, settings, images):
    recogniser = read(onnx_graphs.write(tmp_path / 'tiny.onnx', **graph), **settings)
    assert (recogniser.name, recogniser.width) == ('onnx:tiny.onnx', onnx_graphs.WIDTH)
    expected = onnx_graphs.embedding(images)
    np.testing.assert_allclose(recogniser.embed(CHIPS), expected, rtol=1e-4, atol=1e-4)
    assert recogniser.embed(CHIPS[:0]).shape == (0, onnx_graphs.WIDTH)


def test_faces_are_resized_to_the_side_of_the_graph(tmp_path):
    recogniser = read(onnx_graphs.write(tmp_path / 'tiny.onnx', ('N', 3, 'H', 'W')), side=113)
    # The cells of 28 pixels leave out the last row and column.
    np.testing.assert_allclose(recogniser.embed(CHIPS), onnx_graphs.embedding(USUAL), atol=0.5)
    assert recogniser.image_format.images(align.arcface_images(CHIPS)).shape == (5, 113, 113, 3)


def test_a_scale_of_0_is_for_all_channels_or_none():
    with pytest.raises(ValueError, match='scale must be above 0 for all channels'):
        OnnxSettings('rgb', (0.0, 0.0, 0.0), (58.4, 0.0, 57.4), 0)


UNSUITABLE = {
    'input of other rank': ({'shape': ('N', 48)}, 'no images of three channels'),
    'not square': ({'shape': ('N', 3, 112, 115)}, 'not square'),
    'several widths': ({'outputs': [64]}, 'several outputs of other widths'),
    'classes': ({'width': 8000}, '8,000 wide, like scores of classes'),
    'softmax': ({'last': ['Softmax']}, 'ends in scores of classes'),
}


@pytest.mark.parametrize('name', UNSUITABLE)
def test_unsuitable_graphs_are_refused_by_name(tmp_path, name):
    graph, reason = UNSUITABLE[name]
    path = onnx_graphs.write(tmp_path / 'other.onnx', **graph)
    with pytest.raises(ValueError, match=rf'other\.onnx cannot be used .*{reason}'):
        read(path)


def test_what_is_no_onnx_file_is_refused(tmp_path):
    path = tmp_path / 'weights.onnx'
    with pytest.raises(FileNotFoundError, match=r'there is no file .*weights\.onnx'):
        read(path)
    path.write_bytes(b'weights of another kind')
    with pytest.raises(ValueError, match=r'weights\.onnx cannot be used .*onnxruntime cannot load'):
        read(path)


def test_another_side_than_the_graph_has_is_refused(tmp_path):
    path = onnx_graphs.write(tmp_path / 'tiny.onnx')
    with pytest.raises(
        ValueError, match=r'takes images of 112 pixels, not of encoders\.onnx\.side'
    ):
        read(path, side=128)


def test_the_file_of_a_trained_model_is_found_and_checked(tmp_path):
    recogniser = read(onnx_graphs.write(tmp_path / 'tiny.onnx'), channels='bgr')
    description = {
        **{name: getattr(recogniser, name) for name in ('name', 'width', 'sha256')},
        **recogniser.details,
    }
    folders = [tmp_path / 'nowhere', tmp_path]
    again = OnnxRecogniser.of_description(description, folders)
    np.testing.assert_array_equal(again.embed(CHIPS), recogniser.embed(CHIPS))
    lost = OnnxRecogniser.of_description(description, folders[:1])
    with pytest.raises(FileNotFoundError, match=r'tiny\.onnx of this model .* is not in .*nowhere'):
        lost.embed(CHIPS)
    onnx_graphs.write(tmp_path / 'tiny.onnx', first=[('Mul', 2.0)])
    replaced = OnnxRecogniser.of_description(description, folders)
    with pytest.raises(ValueError, match=r'tiny\.onnx is not the expected file'):
        replaced.embed(CHIPS)


def test_without_onnxruntime_the_error_names_the_extra(tmp_path, monkeypatch):
    path = onnx_graphs.write(tmp_path / 'tiny.onnx')

    def refuse(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, 'import_module', refuse)
    with pytest.raises(ImportError, match=r"pip install 'diface_jax\[onnx\]'"):
        read(path)


def test_a_real_recogniser_gives_what_onnxruntime_gives(shared):
    path = shared / 'weights/MobileFaceNet.onnx'
    if not path.is_file():
        pytest.skip('no MobileFaceNet.onnx in ../shared/weights')
    recogniser = read(path)
    assert (recogniser.width, recogniser.licence) == (128, 'unknown')
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    for face, x_D in zip(USUAL, recogniser.embed(CHIPS), strict=True):
        (expected,) = session.run(None, {'input0': face.transpose(2, 0, 1)[None]})[0]
        np.testing.assert_array_equal(x_D, expected)
    with pytest.raises(ValueError, match='none of its outputs is a vector for each face'):
        read(shared / 'weights/face_detection_yunet_2026may.onnx')
