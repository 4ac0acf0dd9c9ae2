"""A jitted step as it is compiled: once for each number of steps, and what it costs."""

import collections
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
from absl import logging
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn
from jax.sharding import Mesh

COLLECTIVES = ('all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all', 'collective-permute')


class Traffic(NamedTuple):
    """How often a kind of collective runs, and the bytes that come out of it on a device."""

    count: float
    bytes: float


class ProgramCost(NamedTuple):
    """What a call costs.

    Attributes:
      flops: of all matrix products, on all devices together; loops counted in full.
      intensity: operations a byte of memory traffic on a device, as the compiler estimates them
        with every loop taken once.
      collectives: by kind; loops counted in full where the compiler knows their length.
    """

    flops: float
    intensity: float
    collectives: dict[str, Traffic]


class CompiledStep:
    """A jitted function of (state, batches, table, key), compiled when it first meets a shape.

    The first time it logs what a step costs, of the very program that then runs.
    """

    def __init__(self, steps: Any, mesh: Mesh) -> None:
        self._steps, self._mesh = steps, mesh
        self._compiled: dict[int, jax.stages.Compiled] = {}

    def __call__(self, state: Any, batches: Any, *others: Any) -> Any:
        """One dispatch; fields of `batches` are [steps, ...]."""
        count = len(jax.tree.leaves(batches)[0])
        if count not in self._compiled:
            traced = self._steps.trace(state, batches, *others)
            self._compiled[count] = traced.lower().compile()
            if len(self._compiled) == 1:
                _log(state, self._mesh, program_cost(traced, self._compiled[count]), count)
        return self._compiled[count](state, batches, *others)


def program_cost(traced: jax.stages.Traced, compiled: jax.stages.Compiled) -> ProgramCost:
    """What one call of a compiled function costs."""
    estimate = compiled.cost_analysis() or {}
    moved = estimate.get('bytes accessed', math.nan)
    return ProgramCost(
        flops=_matmul_flops(traced.jaxpr.jaxpr),
        intensity=estimate.get('flops', math.nan) / moved,
        collectives=count_collectives(compiled.as_text()),
    )


def _log(state: Any, mesh: Mesh, cost: ProgramCost, steps: int) -> None:
    devices, leaves = mesh.devices.ravel(), jax.tree.leaves(state)
    held = sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in leaves)
    logging.info(
        'train: %d device(s) of kind %s in %d process(es), mesh %s; %s parameters, state of %.1f '
        'MB a device',
        *(len(devices), devices[0].device_kind, jax.process_count(), dict(mesh.shape)),
        *(f'{sum(leaf.size for leaf in jax.tree.leaves(state.params)):,}', held / 1e6),
    )
    logging.info(
        'train: a step is %.2f GFLOP of matrix products, %.1f FLOP a byte; collectives: %s',
        *(cost.flops / steps / 1e9, cost.intensity),
        ', '.join(
            f'{kind} {traffic.count / steps:.4g} times, {traffic.bytes / steps / 1e6:.3f} MB'
            for kind, traffic in cost.collectives.items()
        )
        or 'none',
    )


def _matmul_flops(jaxpr: Jaxpr, devices: int = 1) -> float:
    """Of all `dot_general`, a multiplication and an addition each."""
    return sum(devices * _flops_of(eqn) for eqn in jaxpr.eqns)


def _flops_of(eqn: JaxprEqn) -> float:
    if eqn.primitive.name == 'dot_general':
        (contracted, _), _ = eqn.params['dimension_numbers']
        shape = eqn.invars[0].aval.shape
        return 2.0 * eqn.outvars[0].aval.size * math.prod(shape[axis] for axis in contracted)
    times = eqn.params['length'] if eqn.primitive.name == 'scan' else 1
    devices = eqn.params['mesh'].size if eqn.primitive.name == 'shard_map' else 1
    inner = [_matmul_flops(jaxpr, devices) for jaxpr in _jaxprs(eqn.params)]
    return times * (max(inner, default=0.0) if eqn.primitive.name == 'cond' else sum(inner))


def _jaxprs(params: Mapping[str, Any]) -> Iterator[Jaxpr]:
    for leaf in jax.tree.leaves(list(params.values()), is_leaf=_is_jaxpr):
        if _is_jaxpr(leaf):
            yield getattr(leaf, 'jaxpr', leaf)


def _is_jaxpr(leaf: Any) -> bool:
    return isinstance(leaf, Jaxpr | ClosedJaxpr)


def count_collectives(hlo: str) -> dict[str, Traffic]:
    """Counts the collectives of a compiled program, in all that it calls and loops over.

    Args:
      hlo: its text. An asynchronous collective is counted where it is done.

    Returns:
      The kinds that there are.
    """
    bodies, entry = _computations(hlo)
    found: collections.Counter[tuple[str, str]] = collections.Counter()

    def walk(name: str, times: int) -> None:
        for line in bodies[name]:
            if match := _OPERATION.search(line):
                kind = match['name'].removesuffix('-done')
                if kind in COLLECTIVES:
                    found[kind, 'count'] += times
                    found[kind, 'bytes'] += times * _bytes_of(match['type'])
            trips = _TRIPS.search(line)
            for called in re.findall(r'[^%, ]+', ', '.join(_CALLED.findall(line))):
                walk(called, times * int(trips['n']) if trips else times)

    walk(entry, 1)
    kinds = [kind for kind in COLLECTIVES if (kind, 'count') in found]
    return {kind: Traffic(found[kind, 'count'], found[kind, 'bytes']) for kind in kinds}


_HEAD = re.compile(r'(?P<entry>ENTRY )?%?(?P<name>[\w.\-]+) \(.*\{$')
_OPERATION = re.compile(r'= (?P<type>\(.*?\)|\S+) (?P<name>[\w\-]+)\(')
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(?P<n>\d+)"')
_CALLED = re.compile(r'(?:body|calls|to_apply|branch_computations)=\{?(%[\w.\-]+(?:, %[\w.\-]+)*)')
_ARRAY = re.compile(r'(?P<type>pred|[a-z]+(?P<bits>\d+)\w*)\[(?P<shape>[\d,]*)\]')


def _computations(hlo: str) -> tuple[dict[str, list[str]], str]:
    """The lines of each computation by its name, and the name of the first to run."""
    bodies: dict[str, list[str]] = {}
    entry = name = ''
    for line in hlo.splitlines():
        if (head := _HEAD.match(line)) and not line.startswith(' '):
            name = head['name']
            bodies[name], entry = [], name if head['entry'] else entry
        elif name:
            bodies[name].append(line)
    return bodies, entry


def _bytes_of(kind: str) -> int:
    return sum(
        int(array['bits'] or 8) * math.prod(int(n) for n in array['shape'].split(',') if n) // 8
        for array in _ARRAY.finditer(kind)
    )
