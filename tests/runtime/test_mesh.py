"""The mesh, and arrays onto it and back."""

import types

import jax
import numpy as np
import pytest

from diface_jax.runtime import mesh as meshes


def test_a_model_axis_that_does_not_divide():
    with pytest.raises(ValueError, match=r'mesh\.model=3'):
        meshes.make_mesh(model=3)


def test_a_batch_that_does_not_divide():
    with pytest.raises(ValueError, match='multiple of 8'):
        meshes.check_batch(20, types.SimpleNamespace(size=8))


def test_there_and_back():
    tree = {'rows': np.arange(12.0).reshape(4, 3), 'step': np.int32(7)}
    there = meshes.put_on_mesh(tree, meshes.replicated(meshes.make_mesh()))
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(there))
    assert there['step'].dtype == np.int32
    for leaf, back in zip(
        jax.tree.leaves(tree), jax.tree.leaves(meshes.fetch_from_mesh(there)), strict=True
    ):
        np.testing.assert_array_equal(leaf, back)
