import pytest

from diface_jax.encoders.face.dlib_encoder import DlibEncoder, DlibPass
from diface_jax.encoders.licence import UNKNOWN, WeightsLicence, accepted_licences
from diface_jax.encoders.text.encoder import MODEL_LICENCE


def weights(licence):
    return WeightsLicence('onnx:tiny.onnx', 'ab' * 32, licence)


def test_free_licences_pass_and_are_recorded():
    dlib = DlibEncoder(DlibPass(with_maps=False))
    ours = [weights(dlib.licence), weights(MODEL_LICENCE)]
    recorded = accepted_licences([*ours, weights('MIT')], '')
    assert [row['licence'].lower() for row in recorded] == ['cc0-1.0', 'apache-2.0', 'mit']
    assert recorded[0]['sha256'] == 'ab' * 32


def test_a_licence_that_limits_use_is_accepted_by_its_name():
    limited = [weights('CC-BY-NC-4.0')]
    with pytest.raises(ValueError, match=r"onnx:tiny.onnx .*accept_licence='CC-BY-NC-4.0'"):
        accepted_licences(limited, '')
    with pytest.raises(ValueError, match=r"accept_licence='CC-BY-NC-4.0'"):
        accepted_licences(limited, 'MIT')
    (recorded,) = accepted_licences(limited, 'cc-by-nc-4.0')
    assert recorded['licence'] == 'CC-BY-NC-4.0, accepted by the user'


def test_an_unknown_licence_is_stated_by_the_user():
    with pytest.raises(
        ValueError, match=r'the licence of the weights of onnx:tiny.onnx is unknown'
    ):
        accepted_licences([weights(UNKNOWN)], '')
    (recorded,) = accepted_licences([weights(UNKNOWN)], 'their terms of 2024')
    assert recorded['licence'] == 'their terms of 2024, as the user states'
