"""Probes with a text and a photo: how much each counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diface_jax.models.diface import Sampling
from diface_jax.models.observation import Observation, part_weights
from diface_jax.models.refine import l2_normalise
from tests.models.test_diface import build, normal

# Of faces 7, 12, 16, 24 and 64 pixels wide: see `quality.photo_quality`.
WIDTHS = (np.log2([[7.0], [12.0], [16.0], [24.0], [64.0]]) - 4) / 0.8


def test_the_smaller_a_face_the_more_the_words_count():
    text_Bx1, photo_Bx1 = part_weights(Observation(np.zeros((5, 8)), WIDTHS))
    assert (np.diff(text_Bx1[:, 0]) < 0).all()
    assert (np.diff(photo_Bx1[:, 0]) >= 0).all()
    assert photo_Bx1[0] == text_Bx1[-1] == 0


@pytest.mark.parametrize('width', [-1.5, 2.5])
def test_text_and_photo_are_added_to_both_by_the_width_of_the_face(width):
    model, params = build(quality_dim=3)
    # D starts with an output of zeros.
    params = jax.tree.map(lambda leaf: leaf + 0.1 * normal(9, *leaf.shape), params)
    quality = np.array(normal(4, 2, 3))
    quality[:, 0] = width
    c, observation = normal(5, 2, 12), Observation(normal(3, 2, 8), jnp.asarray(quality))
    key, sampling = jax.random.key(0), Sampling(1)

    def refined(c, observation):
        return model.refine(
            params, model.recover(params, c, key, sampling, observation=observation)
        )

    text_Bx1, photo_Bx1 = part_weights(observation)
    expected = l2_normalise(
        refined(c, observation)
        + text_Bx1 * refined(c, None)
        + photo_Bx1 * refined(None, observation)
    )
    both = model.probe_features(params, c, key, sampling, observation)
    np.testing.assert_allclose(both, expected, atol=1e-6)
    alone = model.probe_features(params, None, key, sampling, observation)
    np.testing.assert_allclose(alone, refined(None, observation), atol=1e-6)
