"""A training that starts from a pack has its networks, in the parameters and in their average."""

import jax
import numpy as np
import pytest

from diface_jax.models.diface import init_networks
from diface_jax.runtime import mesh as meshes
from diface_jax.training import init_from
from diface_jax.training import state as states
from tests import tiny


def test_networks_take_their_places_and_nothing_else_changes():
    config, sizes = tiny.config(), states.ModelSizes(16, 24, 4)
    state = states.init_sharded(config, sizes, meshes.make_mesh())
    params = init_networks(config.model, 16, 24, jax.random.key(7))
    started = init_from.with_networks(state, jax.tree.map(np.asarray, params))
    for of_state, before in ((started.params, state.params), (started.average, state.average)):
        jax.tree.map(
            np.testing.assert_array_equal, {name: of_state[name] for name in params}, params
        )
        np.testing.assert_array_equal(of_state['head']['log_scale'], before['head']['log_scale'])
    # A step donates the state: no array may be in it twice.
    pairs = zip(jax.tree.leaves(started.params), jax.tree.leaves(started.average), strict=True)
    assert all(first is not second for first, second in pairs)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, started)
    assert shardings == jax.tree.map(lambda leaf: leaf.sharding, state)


def test_what_is_not_a_pack_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'train\.init_from=.* is not a model pack'):
        init_from.read_start(str(tmp_path))
