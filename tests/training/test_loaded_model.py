"""A model is told from another by a hash of all that its features depend on."""

import jax
import numpy as np

from diface_jax.models.diface import init_networks
from diface_jax.models.normalise import Normalisation
from diface_jax.training.loaded_model import sha256_of_model
from tests import tiny


def test_another_model_has_another_hash():
    params = init_networks(tiny.config().model, 16, 24, jax.random.key(0))
    normalise = Normalisation(np.full(16, 0.01, np.float32), (16,))
    moved = normalise._replace(mean_D=normalise.mean_D + 1e-4)
    trained = jax.tree.map(lambda leaf: leaf + 1e-3, params)
    hashes = [
        sha256_of_model(params, normalise),
        sha256_of_model(jax.tree.map(np.asarray, params), normalise),
        sha256_of_model(trained, normalise),
        sha256_of_model(params, moved),
    ]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
