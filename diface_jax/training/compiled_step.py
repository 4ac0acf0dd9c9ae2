"""A jitted training step, compiled once for each number of steps; it logs what a step costs."""

import math
from typing import Any

import jax
from absl import logging
from jax.sharding import Mesh

from diface_jax.costs.hlo import ProgramCost, program_cost


class CompiledStep:
    """A jitted function of (state, batches, table, key), compiled when it first meets a shape.

    The first compilation logs the cost of a step, counted in the program that then runs.
    """

    def __init__(self, steps: Any, mesh: Mesh) -> None:
        self._steps, self._mesh = steps, mesh
        self._compiled: dict[int, jax.stages.Compiled] = {}

    def __call__(self, state: Any, batches: Any, table: Any, key: jax.Array) -> Any:
        """One dispatch; fields of `batches` are [steps, ...]."""
        num_steps = len(jax.tree.leaves(batches)[0])
        if num_steps not in self._compiled:
            traced = self._steps.trace(state, batches, table, key)
            self._compiled[num_steps] = traced.lower().compile()
            if len(self._compiled) == 1:
                _log_state(state, self._mesh)
                _log_cost(program_cost(traced, self._compiled[num_steps]), num_steps)
        return self._compiled[num_steps](state, batches, table, key)


def _log_state(state: Any, mesh: Mesh) -> None:
    """Logs the devices, the number of parameters and the memory of the state."""
    shard_bytes = sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(state)
    )
    logging.info(
        'train: %d device(s) of kind %s in %d process(es), mesh %s; %s parameters, state of %.1f '
        'MB a device',
        mesh.size,
        mesh.devices.flat[0].device_kind,
        jax.process_count(),
        dict(mesh.shape),
        f'{sum(leaf.size for leaf in jax.tree.leaves(state.params)):,}',
        shard_bytes / 1e6,
    )


def _log_cost(cost: ProgramCost, num_steps: int) -> None:
    """Logs the cost of one step, from that of a program of several."""
    collectives = [
        f'{kind} {traffic.count / num_steps:.4g} times, {traffic.bytes / num_steps / 1e6:.3f} MB'
        for kind, traffic in cost.collectives.items()
    ]
    logging.info(
        'train: a step is %.2f GFLOP of matrix products, %.1f FLOP a byte; collectives: %s',
        cost.flops / num_steps / 1e9,
        cost.intensity,
        ', '.join(collectives) or 'none',
    )
