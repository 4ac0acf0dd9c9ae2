"""Where the state lives: one rule for every parameter, and for all that belongs to it."""

import functools
import math

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh
from jax.sharding import PartitionSpec as P

from configs import celeba
from diface_jax.training import state
from diface_jax.training.sharding_rules import RULES, rule_of, state_shardings

MESH = AbstractMesh((4, 2), ('data', 'model'))


@pytest.fixture(scope='module')
def abstract():
    """The main config's state with a margin head, as shapes."""
    config = celeba.get_config()
    config.margin.kind = 'cosface'
    init = functools.partial(state.init_state, config, state.ModelSizes(384, 2688, 4800))
    return jax.eval_shape(init, jax.random.key(0))


def paths(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [jax.tree_util.keystr(p, simple=True, separator='/') for p, _ in leaves]


def test_there_is_a_rule_for_every_parameter_and_a_use_for_every_rule(abstract):
    names = [path.removesuffix('/value') for path in paths(abstract.params)]
    assert [name for name in names if rule_of(name) is None] == []
    assert {rule_of(name) for name in names} == {spec for _, spec in RULES}


@pytest.mark.parametrize('fsdp', [False, True])
def test_averages_and_momenta_are_cut_as_their_parameters(abstract, fsdp):
    placed = state_shardings(abstract, MESH, fsdp)
    of = {
        path: leaf.spec for path, leaf in zip(paths(placed), jax.tree.leaves(placed), strict=True)
    }
    params = {path.removeprefix('params/') for path in of if path.startswith('params/')}
    others = [path for path in of if '/mu/' in path or '/nu/' in path or 'average' in path]
    assert len(others) == 3 * len(params)
    for path in others:
        (own,) = (name for name in params if path.endswith('/' + name))
        assert of[path] == of[f'params/{own}']


@pytest.mark.parametrize(('fsdp', 'parts'), [(False, 2), (True, 8)])
def test_the_state_is_cut_nearly_evenly(abstract, fsdp, parts):
    places = jax.tree.leaves(state_shardings(abstract, MESH, fsdp))
    leaves = jax.tree.leaves(abstract)
    held = [math.prod(p.shard_shape(x.shape)) for p, x in zip(places, leaves, strict=True)]
    whole = sum(leaf.size for leaf in leaves)
    assert 1 / parts < sum(held) / whole < (1.15 if parts == 8 else 1.35) / parts


def test_what_does_not_divide_or_is_of_another_rank_is_not_cut():
    tree = {'up': {'kernel': np.zeros((8, 5))}, 'v_row': {'up': {'kernel': np.zeros(8)}}}
    placed = state_shardings(tree, MESH, True)
    assert placed['up']['kernel'].spec == P('data', None)
    assert placed['v_row']['up']['kernel'].spec == P()
