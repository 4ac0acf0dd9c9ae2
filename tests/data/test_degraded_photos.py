"""Prepared degraded copies of photos: what they hold, and that a killed job goes on."""

import numpy as np
import pytest

from diface_jax.data import array_cache, photo_embeddings, prepare, prepared, sharded_work
from diface_jax.data.readers import simulated
from diface_jax.encoders.face import degrade
from diface_jax.encoders.face.quality import NAMES
from tests import celeba_tree, tiny

pytest.importorskip('dlib', reason="needs pip install 'diface_jax[faces]'")


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('faces') / 'drawn'
    celeba_tree.make(root, people=(3, 1, 1), photos=2)
    return root


def settings(root):
    config = tiny.config()
    config.data.root = str(root)
    config.degraded.per_photo = 2
    return config


@pytest.fixture(scope='module')
def folder(root, tmp_path_factory):
    config = settings(root)
    return prepare.prepare(config, config.data, tmp_path_factory.mktemp('work') / 'prepared')


def test_rows_hold_the_observations_of_their_photos(folder):
    splits = prepared.load_prepared(folder).splits
    assert splits['train'].observations.observed_LxD.shape == (6, 2, 128 + 4)
    test = splits['test']
    observed_NxLxD, quality_NxLxQ, face_px_NxL = test.observations
    assert observed_NxLxD.dtype == np.float16
    assert quality_NxLxQ.shape == (2, len(degrade.EVALUATION_WIDTHS), len(NAMES))
    np.testing.assert_allclose(face_px_NxL[:, 1:], [degrade.EVALUATION_WIDTHS[1:]] * 2)
    distance_NxL = np.linalg.norm(observed_NxLxD - test.embedding_NxD[:, None], axis=2)
    np.testing.assert_allclose(distance_NxL[:, 0], 0, atol=0.02)
    assert np.all(distance_NxL[:, 1:] > 0.1)


class Killed(Exception):
    """Stands for the machine being taken away."""


def test_a_killed_job_goes_on_and_makes_the_same(root, folder, tmp_path, monkeypatch):
    config, observe = settings(root), photo_embeddings._observe_crops
    done = []

    def die_at_the_second(*args):
        if done:
            raise Killed
        done.append(args)
        return observe(*args)

    monkeypatch.setattr(sharded_work, '_INPUTS_A_STEP', (3, 128))
    monkeypatch.setattr(array_cache, '_MAX_ROWS', 1)
    monkeypatch.setattr(photo_embeddings, '_observe_crops', die_at_the_second)
    with pytest.raises(Killed):
        prepare.prepare(config, config.data, tmp_path)
    seen = []
    monkeypatch.setattr(
        photo_embeddings, '_observe_crops', lambda *args: seen.extend(args[-2]) or observe(*args)
    )
    again = prepare.prepare(config, config.data, tmp_path)
    assert not set(seen) & set(done[0][-2])
    for name, uninterrupted in prepared.load_prepared(folder).splits.items():
        resumed = prepared.load_prepared(again).splits[name].observations
        for column, expected in zip(resumed, uninterrupted.observations, strict=True):
            np.testing.assert_allclose(column, expected, atol=0.01)


def test_simulated_people_have_no_photos_to_degrade(tmp_path):
    config = tiny.config()
    config.data.update(root=str(simulated.SHIPPED), layout='simulated')
    config.simulated.people = 20
    config.degraded.per_photo = 1
    with pytest.raises(ValueError, match='simulated people have none'):
        prepare.prepare(config, config.data, tmp_path / 'prepared')
