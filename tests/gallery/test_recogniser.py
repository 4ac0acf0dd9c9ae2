"""Embeddings of another recogniser are refused, however they name it."""

import numpy as np
import pytest

from diface_jax.gallery.recogniser import require_raw_length, require_recogniser

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


def test_embeddings_of_length_1_are_refused_where_those_of_training_were_longer():
    raw_NxD = 20 * np.random.default_rng(0).normal(size=(5, 8)) + 3
    unit_NxD = raw_NxD / np.linalg.norm(raw_NxD, axis=1, keepdims=True)
    require_raw_length(raw_NxD, raw_NxD.mean(axis=0))
    require_raw_length(unit_NxD, unit_NxD.mean(axis=0))  # such as of a graph that scales them
    require_raw_length(unit_NxD[:0], raw_NxD.mean(axis=0))
    for scaled_NxD in (unit_NxD, unit_NxD.astype(np.float16)):
        with pytest.raises(ValueError, match=r'scaled to length 1.*export them without the scal'):
            require_raw_length(scaled_NxD, raw_NxD.mean(axis=0))
