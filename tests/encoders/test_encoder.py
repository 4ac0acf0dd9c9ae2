"""E is a list of encoders, in any order."""

import numpy as np
import pytest

from configs import celeba
from diface_jax.encoders.face import encoder
from diface_jax.encoders.face.appearance import Appearance
from diface_jax.encoders.face.onnx_recogniser import OnnxRecogniser
from diface_jax.runtime.settings import EncodersSettings
from tests import onnx_graphs

FIT = Appearance(np.zeros(8, np.float32), np.eye(8, 4, dtype=np.float32))
CHIPS = np.random.default_rng(0).integers(0, 256, (2, 3, 150, 150, 3), np.uint8)


@pytest.fixture
def recogniser(tmp_path):
    pytest.importorskip('onnxruntime', reason="needs pip install 'diface_jax[onnx]'")
    path = onnx_graphs.write(tmp_path / 'tiny.onnx')
    return OnnxRecogniser.read(path, celeba.get_config().encoders.onnx)


@pytest.fixture(autouse=True)
def dlib(monkeypatch):
    """dlib's network, replaced: counts its passes."""
    passes = []

    def embed_with_maps(network, chips):
        passes.append(len(chips))
        yield np.full((len(chips), 128), 1.0, np.float32), np.full((len(chips), 8), 2.0, np.float32)

    monkeypatch.setattr(encoder.DlibPass, '_network', None)
    monkeypatch.setattr('diface_jax.encoders.face.dlib_resnet.embed_with_maps', embed_with_maps)
    return passes


@pytest.mark.parametrize(
    'names', [('dlib', 'onnx', 'appearance'), ('onnx', 'appearance'), ('appearance', 'dlib')]
)
def test_parts_stand_in_the_order_of_the_config(recogniser, dlib, names):
    face = encoder.build_face_encoder(names, FIT, {'onnx': recogniser})
    columns = {
        'dlib': np.full((2, 128), 1.0),
        'appearance': np.full((2, 4), 2.0),
        'onnx': recogniser.embed(CHIPS),
    }
    expected = np.concatenate([columns[name] for name in names], axis=1)
    np.testing.assert_array_equal(face.embed(CHIPS), expected)
    assert dlib == [2]  # one pass for both encoders that read it
    assert face.width == expected.shape[1]
    assert [part['width'] for part in face.description] == [len(columns[n][0]) for n in names]
    assert face.appearance is FIT
    again = encoder.described_face_encoder(face.description, FIT, [recogniser.path.parent])
    assert again.description == face.description
    np.testing.assert_array_equal(again.embed(CHIPS), face.embed(CHIPS))


def test_dlib_and_appearance_are_described_as_before():
    both = encoder.build_face_encoder(('dlib', 'appearance'), FIT).description
    assert [set(part) for part in both] == [{'name', 'sha256', 'width', 'alignment'}] * 2
    other = FIT._replace(mean_P=FIT.mean_P + 1)
    replaced = encoder.build_face_encoder(('dlib', 'appearance'), FIT).with_appearance(other)
    assert replaced.description[0] == both[0]
    assert replaced.description[1]['sha256'] != both[1]['sha256']


def test_an_encoder_of_another_version_is_named():
    with pytest.raises(ValueError, match="no face encoder 'facenet'"):
        encoder.described_face_encoder([{'name': 'facenet', 'width': 4}], None, [])


def test_two_files_of_one_name_are_refused(tmp_path, recogniser):
    (tmp_path / 'other').mkdir()
    second = onnx_graphs.write(tmp_path / 'other/tiny.onnx')
    config = celeba.get_config().encoders
    config.face = (f'onnx:{recogniser.path}', f'onnx:{second}')
    with pytest.raises(ValueError, match='two files have the same name'):
        encoder.read_recognisers(config)


def test_no_components_leave_the_appearance_out():
    config = celeba.get_config().encoders
    assert encoder.encoder_names(config) == ('dlib', 'appearance')
    config.appearance_dim = 0
    assert encoder.encoder_names(config) == ('dlib',)


@pytest.mark.parametrize(
    ('changed', 'reason'),
    [
        ({'face': ('dlib', 'facenet')}, "no face encoder 'facenet': choose from dlib, appearance"),
        ({'face': ('onnx:',)}, "no face encoder 'onnx:'"),
        ({'face': ('dlib', 'dlib')}, 'names an encoder twice'),
        ({'face': ('appearance',), 'appearance_dim': 0}, 'appearance_dim=0 leaves it out'),
    ],
)
def test_lists_that_cannot_be_used_are_refused(changed, reason):
    settings = {**celeba.get_config().encoders.to_dict(), **changed}
    with pytest.raises(ValueError, match=reason):
        EncodersSettings(**settings)
