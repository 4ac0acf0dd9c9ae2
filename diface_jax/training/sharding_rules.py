"""Where each part of the training state lives on the mesh: one table of rules.

Averages and optimiser states are cut as the parameters they belong to, since their paths end alike.
"""

import re
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

# How a path ends, and how the array's axes are cut; the first rule that fits holds. What widens is
# cut along its outputs and what follows it along its inputs, so that hidden units stay where they
# are (Shoeybi et al. 2019, "Megatron-LM", section 3). 'fsdp' stands for 'data', or for no cut.
RULES = (
    (r'(embed_c|embed_t|up)/kernel', P('fsdp', 'model')),
    (r'(embed_c|embed_t|up)/bias', P('model')),
    (r'(modulation|down)/kernel', P('model', 'fsdp')),
    (r'(embed_x|out|linear)/kernel', P('fsdp', None)),
    (r'prototypes', P('model', 'fsdp')),
    (r'bias|scale|no_c|log_scale', P()),
)


def rule_of(path: str) -> P | None:
    """The rule for a path such as 'params/score/blocks/0/up/kernel'; None where none fits."""
    fits = (spec for end, spec in RULES if re.search(f'(^|/)({end})$', path))
    return next(fits, None)


def state_shardings(tree: Any, mesh: Mesh, fsdp: bool) -> Any:
    """Shardings for a tree of arrays, or of their shapes.

    An axis that does not divide over its part of the mesh is not cut. An array that no rule is
    about (a step count, say), or of another rank than its parameter's (Adafactor's factors), is
    the same on every device.

    Args:
      tree: a training state, or parameters.
      mesh: the devices.
      fsdp: whether parameters are cut over 'data' as well.

    Returns:
      A NamedSharding in place of each array.
    """

    def one(path: tuple, leaf: Any) -> NamedSharding:
        name = jax.tree_util.keystr(path, simple=True, separator='/').removesuffix('/value')
        spec = rule_of(name)
        if spec is None or len(spec) != leaf.ndim:
            return NamedSharding(mesh, P())
        axes = ['data' if fsdp and axis == 'fsdp' else axis for axis in spec]
        sizes = zip(leaf.shape, axes, strict=True)
        return NamedSharding(
            mesh, P(*(a if _divides(size, a, mesh) else None for size, a in sizes))
        )

    return jax.tree_util.tree_map_with_path(one, tree)


def constrain_to_rules(tree: Any, mesh: Mesh, fsdp: bool) -> Any:
    """In a jitted function: a tree as its `state_shardings` says."""
    return jax.lax.with_sharding_constraint(tree, state_shardings(tree, mesh, fsdp))


def _divides(size: int, axis: str | None, mesh: Mesh) -> bool:
    return axis in mesh.shape and size % mesh.shape[axis] == 0
