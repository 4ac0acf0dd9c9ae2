"""Counts what a compiled program costs: FLOPs of matrix products, and collectives with bytes.

FLOPs are counted in the jaxpr, where loops have a known length; collectives in the HLO text that
XLA compiled.
"""

import collections
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

COLLECTIVES = ('all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all', 'collective-permute')


class Traffic(NamedTuple):
    """How often a kind of collective runs, and the bytes of its results on a device."""

    count: float
    bytes: float


class ProgramCost(NamedTuple):
    """The cost of one call.

    Attributes:
      flops: of all matrix products, over all devices; loops are counted in full.
      intensity: FLOPs a byte of memory traffic on a device, as the compiler estimates them, with
        every loop counted once.
      collectives: by kind; loops are counted in full where the compiler knows their length.
    """

    flops: float
    intensity: float
    collectives: dict[str, Traffic]


def program_cost(traced: jax.stages.Traced, compiled: jax.stages.Compiled) -> ProgramCost:
    """The cost of one call of a compiled function."""
    estimate = compiled.cost_analysis() or {}
    bytes_accessed = estimate.get('bytes accessed', math.nan)
    return ProgramCost(
        flops=matmul_flops(traced),
        intensity=estimate.get('flops', math.nan) / bytes_accessed,
        collectives=count_collectives(compiled.as_text()),
    )


def matmul_flops(traced: jax.stages.Traced) -> float:
    """FLOPs of all matrix products of one call, over all devices; loops are counted in full."""
    return _matmul_flops(traced.jaxpr.jaxpr)


def _matmul_flops(jaxpr: Jaxpr, devices: int = 1) -> float:
    """FLOPs of all `dot_general`: a multiplication and an addition are two."""
    return sum(devices * _equation_flops(eqn) for eqn in jaxpr.eqns)


def _equation_flops(eqn: JaxprEqn) -> float:
    if eqn.primitive.name == 'dot_general':
        (contracted, _), _ = eqn.params['dimension_numbers']
        shape = eqn.invars[0].aval.shape
        return 2.0 * eqn.outvars[0].aval.size * math.prod(shape[axis] for axis in contracted)
    repeats = eqn.params['length'] if eqn.primitive.name == 'scan' else 1
    devices = eqn.params['mesh'].size if eqn.primitive.name == 'shard_map' else 1
    inner = [_matmul_flops(jaxpr, devices) for jaxpr in _inner_jaxprs(eqn.params)]
    return repeats * (max(inner, default=0.0) if eqn.primitive.name == 'cond' else sum(inner))


def _inner_jaxprs(params: Mapping[str, Any]) -> Iterator[Jaxpr]:
    for leaf in jax.tree.leaves(list(params.values()), is_leaf=_is_jaxpr):
        if _is_jaxpr(leaf):
            yield getattr(leaf, 'jaxpr', leaf)


def _is_jaxpr(leaf: Any) -> bool:
    return isinstance(leaf, Jaxpr | ClosedJaxpr)


def count_collectives(hlo: str) -> dict[str, Traffic]:
    """Counts the collectives of a compiled program, inside functions and loops too.

    Args:
      hlo: text of the program. An asynchronous collective counts where it is done.

    Returns:
      The kinds of collectives that the program contains.
    """
    bodies, entry = _computations(hlo)
    counts: collections.Counter[str] = collections.Counter()
    num_bytes: collections.Counter[str] = collections.Counter()

    def walk(name: str, repeats: int) -> None:
        for line in bodies[name]:
            if match := _OPERATION.search(line):
                kind = match['name'].removesuffix('-done')
                if kind in COLLECTIVES:
                    counts[kind] += repeats
                    num_bytes[kind] += repeats * _type_bytes(match['type'])
            trips = _TRIPS.search(line)
            for called in re.findall(r'[^%, ]+', ', '.join(_CALLED.findall(line))):
                walk(called, repeats * int(trips['n']) if trips else repeats)

    walk(entry, 1)
    return {kind: Traffic(counts[kind], num_bytes[kind]) for kind in COLLECTIVES if kind in counts}


_HEAD = re.compile(r'(?P<entry>ENTRY )?%?(?P<name>[\w.\-]+) \(.*\{$')
_OPERATION = re.compile(r'= (?P<type>\(.*?\)|\S+) (?P<name>[\w\-]+)\(')
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(?P<n>\d+)"')
_CALLED = re.compile(r'(?:body|calls|to_apply|branch_computations)=\{?(%[\w.\-]+(?:, %[\w.\-]+)*)')
_ARRAY = re.compile(r'(?P<type>pred|[a-z]+(?P<bits>\d+)\w*)\[(?P<shape>[\d,]*)\]')


def _computations(hlo: str) -> tuple[dict[str, list[str]], str]:
    """The lines of each computation by name, and the name of the entry computation."""
    bodies: dict[str, list[str]] = {}
    entry = name = ''
    for line in hlo.splitlines():
        if (head := _HEAD.match(line)) and not line.startswith(' '):
            name = head['name']
            bodies[name], entry = [], name if head['entry'] else entry
        elif name:
            bodies[name].append(line)
    return bodies, entry


def _type_bytes(hlo_type: str) -> int:
    """The size of an array, or of all arrays of a tuple."""
    return sum(
        int(array['bits'] or 8) * math.prod(int(n) for n in array['shape'].split(',') if n) // 8
        for array in _ARRAY.finditer(hlo_type)
    )
