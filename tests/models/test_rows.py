"""Products and dropout of rows that have an axis of passes."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from diface_jax.models.rows import drop, dropout_streams, row_product


def test_a_product_and_its_gradients_are_those_of_matmul():
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((4, 2, 3)), rng.standard_normal((3, 5))
    weight = rng.standard_normal((4, 2, 5))
    ours, plain = (
        jax.value_and_grad(lambda x, w, f=f: jnp.sum(weight * f(x, w)), (0, 1))(x, kernel)
        for f in (row_product, jnp.matmul)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), ours, plain)


def test_a_pass_drops_what_it_drops_alone():
    keys, dropout = jax.random.split(jax.random.key(0)), nnx.Dropout(0.5)
    x_BxPxH = jnp.ones((8, 2, 16))
    both = drop(dropout, x_BxPxH, dropout_streams(keys))
    for place, key in enumerate(keys):
        alone = drop(dropout, x_BxPxH[:, place], dropout_streams(key))
        np.testing.assert_array_equal(both[:, place], alone)
    assert np.any(both[:, 0] != both[:, 1])
    assert drop(dropout, x_BxPxH, dropout_streams(None)) is x_BxPxH
