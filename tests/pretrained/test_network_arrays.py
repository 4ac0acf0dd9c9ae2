"""D and R by name: as they were, or refused."""

import jax
import numpy as np
import pytest

from diface_jax.models.diface import init_networks
from diface_jax.pretrained.network_arrays import named_arrays, params_of_arrays
from diface_jax.pretrained.pack_files import PackError
from tests import tiny

WIDTHS = 16, 24


def test_a_model_that_takes_photos_comes_back_too():
    model = tiny.config().model
    params = init_networks(model, *WIDTHS, jax.random.key(0), quality_dim=3)
    arrays, settings = named_arrays(params), {'model': model.to_dict()}
    jax.tree.map(
        np.testing.assert_array_equal, params_of_arrays(arrays, settings, (16, 24, 3)), params
    )
    with pytest.raises(PackError, match='embed_y'):
        params_of_arrays(arrays, settings, (16, 24, 4))


@pytest.fixture(scope='module')
def params():
    return init_networks(tiny.config().model, *WIDTHS, jax.random.key(0))


def test_networks_come_back_as_they_were(params):
    arrays = named_arrays(params)
    settings = {'model': tiny.config().model.to_dict()}
    again = params_of_arrays(arrays, settings, WIDTHS)
    assert jax.tree.structure(again) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, again, params)
    name = next(name for name in arrays if name.startswith('score/'))
    for damaged in (
        {other: array for other, array in arrays.items() if other != name},
        arrays | {name: np.zeros((1, 1), np.float32)},
    ):
        with pytest.raises(PackError, match=f'{name} is missing, or has another shape'):
            params_of_arrays(damaged, settings, WIDTHS)
