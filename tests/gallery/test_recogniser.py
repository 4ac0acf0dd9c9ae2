"""Embeddings of another recogniser are refused, however they name it."""

import pytest

from diface_jax.gallery.recogniser import require_recogniser

E = [{'name': 'onnx:w600k_r50.onnx', 'sha256': 'ab12cd34ef', 'width': 512}]


@pytest.mark.parametrize(
    'given', [None, 'w600k_r50', 'W600K_R50.onnx', 'onnx:w600k_r50.onnx', 'models/w600k_r50.onnx']
)
def test_the_same_recogniser_by_any_name(given):
    require_recogniser(given, E)


def test_the_same_recogniser_by_hash():
    require_recogniser('AB12CD34', E)
    with pytest.raises(ValueError, match='recogniser ab12cd3,'):
        require_recogniser('ab12cd3', E)  # too short to tell


def test_another_one_is_refused_with_both_names():
    with pytest.raises(
        ValueError, match='recogniser glint360k, and this model was trained on onnx:w6'
    ):
        require_recogniser('glint360k', E)


def test_a_model_of_several_encoders_takes_none_alone():
    several = [*E, {'name': 'appearance', 'width': 4}]
    with pytest.raises(
        ValueError, match=r'reads 2 encoders together \(onnx:w600k_r50\.onnx, appea'
    ):
        require_recogniser('w600k_r50', several)
