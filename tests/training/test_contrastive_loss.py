"""The contrast: known values, and a ring of any number of devices equals the table of all pairs."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diface_jax.costs import hlo, scaling
from diface_jax.runtime import mesh as meshes
from diface_jax.training.contrastive_loss import ContrastSide, contrastive_loss
from tests import subprocesses
from tests.training import dense

# Odds of two texts (rows) to the photos that they describe and to those persons' other photos.
ODDS = np.array([[4.0, 1.0, 2.0, 1.0], [1.0, 3.0, 1.0, 3.0]])


def hand_made(sentences, same_photo_weight):
    mark = np.array([[0, 0, sentences[0]], [1, 1, sentences[1]]], np.int32)
    mate = mark + np.array([0, 2, 0], np.int32)
    photo = ContrastSide(jnp.log(ODDS.T).reshape(2, 2, 2), jnp.stack([mark, mate]))
    mesh = meshes.one_device_mesh()
    return contrastive_loss(
        ContrastSide(jnp.eye(2), mark), photo, jnp.float32(0), same_photo_weight, mesh
    )


def test_known_values():
    """Each text has two right answers of four, each photo one of two."""
    there = [0.5 * np.log(8 / 4 * 8 / 2), np.log(8 / 3)]
    back = [np.log(5 / 4), np.log(4 / 3), np.log(3 / 2), np.log(4 / 3)]
    expected = 0.5 * (np.mean(there) + np.mean(back))
    assert hand_made((0, 1), 1.0) == pytest.approx(expected, rel=1e-6)


def test_strangers_of_the_same_sentence_do_not_count():
    there = [0.5 * np.log(6 / 4 * 6 / 2), np.log(6 / 3)]
    assert hand_made((5, 5), 1.0) == pytest.approx(0.5 * np.mean(there), rel=1e-6)


def test_the_described_photo_counts_as_often_as_it_weighs():
    there = [0.75 * np.log(8 / 4) + 0.25 * np.log(8 / 2), np.log(8 / 3)]
    back = [np.log(5 / 4), np.log(4 / 3), np.log(3 / 2), np.log(4 / 3)]
    expected = 0.5 * (np.mean(there) + np.mean(back))
    assert hand_made((0, 1), 3.0) == pytest.approx(expected, rel=1e-6)


def made_up(size=16, dim=6):
    """Some people twice in the batch, some without another photo, some sentences twice."""
    rng = np.random.default_rng(0)
    mark = np.stack([rng.integers(0, 12, size), np.arange(size), rng.integers(0, 10, size)], 1)
    mate = mark + np.array([0, size, 0]) * (mark[:, :1] % 3 > 0)
    marks = np.stack([mark, mate]).astype(np.int32)
    f = rng.standard_normal((3, size, dim)).astype(np.float32)
    f /= np.linalg.norm(f, axis=-1, keepdims=True)
    return ContrastSide(f[0], marks[0]), ContrastSide(f[1:], marks)


def ring_against_table(devices):
    """How far value and gradients are off, relative to the largest, and what the ring sends."""
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:devices]).reshape(-1, 1), meshes.AXES)
    text, photo = made_up()

    def value_and_grads(loss):
        def of(f_text, f_photo, log_scale):
            return 3.0 * loss(text._replace(f=f_text), photo._replace(f=f_photo), log_scale, 8.0)

        given = text.f, photo.f, jnp.float32(2.6)
        compiled = jax.jit(jax.value_and_grad(of, (0, 1, 2))).lower(*given).compile()
        return jax.tree.leaves(jax.device_get(compiled(*given))), compiled

    ring, compiled = value_and_grads(lambda *given: contrastive_loss(*given, mesh))
    table, _ = value_and_grads(dense.contrast)
    off_by = max(
        float(np.max(np.abs(one - other)) / np.max(np.abs(other)))
        for one, other in zip(ring, table, strict=True)
    )
    return off_by, hlo.count_collectives(compiled.as_text()).get('collective-permute')


def test_one_block_equals_the_table():
    off_by, sent = ring_against_table(1)
    assert off_by < 2e-6
    assert sent is None


MORE = """
import json
from tests.training.test_contrastive_loss import ring_against_table
print(json.dumps([ring_against_table(2), ring_against_table(8)]))
"""


def test_a_ring_of_two_and_of_eight_equals_the_table_and_sends_what_is_predicted():
    (printed,) = subprocesses.run(MORE, devices=8)
    for chips, (off_by, (count, size)) in zip((2, 8), json.loads(printed), strict=True):
        assert off_by < 2e-6
        assert count == 10 * chips  # 5 arrays forwards and 5 backwards, to the next device
        assert size == scaling.ring_bytes(rows=16, features=6, chips=chips)
