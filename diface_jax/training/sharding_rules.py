"""Shardings of the training state, from a table of rules.

Averages and optimiser states are cut like their parameters, since their paths end alike.
"""

import re
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

# The end of a path, and how the array's axes are cut; the first rule that matches applies. A layer
# that widens is cut along its outputs and the next one along its inputs, so that hidden units stay
# on their device (Shoeybi et al. 2019, "Megatron-LM", section 3). 'fsdp' means 'data' with FSDP,
# and no cut without.
RULES = (
    (r'(embed_c|embed_t|up)/kernel', P('fsdp', 'model')),
    (r'(embed_c|embed_t|up)/bias', P('model')),
    (r'(modulation|down)/kernel', P('model', 'fsdp')),
    (r'(embed_x|out|linear)/kernel', P('fsdp', None)),
    (r'prototypes', P('model', 'fsdp')),
    (r'bias|scale|no_c|log_scale', P()),
)


def rule_of(path: str) -> P | None:
    """The rule for a path such as 'params/score/blocks/0/up/kernel'; None if no rule matches."""
    matches = (spec for end, spec in RULES if re.search(f'(^|/)({end})$', path))
    return next(matches, None)


def state_shardings(tree: Any, mesh: Mesh, fsdp: bool) -> Any:
    """Shardings of a tree of arrays, or of their shapes.

    An axis that does not divide over its axis of the mesh is not cut. An array without a rule (such
    as a step count), or of another rank than its parameter (Adafactor's factors), is replicated.

    Args:
      tree: a training state, or parameters.
      mesh: the devices.
      fsdp: whether parameters are cut over 'data' as well.

    Returns:
      A NamedSharding in place of each array.
    """

    def sharding_of(path: tuple, leaf: Any) -> NamedSharding:
        name = jax.tree_util.keystr(path, simple=True, separator='/').removesuffix('/value')
        spec = rule_of(name)
        if spec is None or len(spec) != leaf.ndim:
            return NamedSharding(mesh, P())
        axes = ['data' if fsdp and axis == 'fsdp' else axis for axis in spec]
        sizes = zip(leaf.shape, axes, strict=True)
        return NamedSharding(
            mesh, P(*(a if _divides(size, a, mesh) else None for size, a in sizes))
        )

    return jax.tree_util.tree_map_with_path(sharding_of, tree)


def constrain_to_rules(tree: Any, mesh: Mesh, fsdp: bool) -> Any:
    """Constrains a tree to its `state_shardings`; call it in a jitted function."""
    return jax.lax.with_sharding_constraint(tree, state_shardings(tree, mesh, fsdp))


def _divides(size: int, axis: str | None, mesh: Mesh) -> bool:
    return axis in mesh.shape and size % mesh.shape[axis] == 0
