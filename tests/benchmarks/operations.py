"""The operations of a compiled program: what kind each is, how long it takes, its products alone.

Times are XLA's own, from a trace. They add up to the program's on one core only: on several,
operations overlap.
"""

import collections
import math
import pathlib
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp

from tests.benchmarks.programs import Program

PRODUCTS, RANDOM, GATHER, COPIES, ELEMENTS, UPDATES = (
    'matrix products',
    'random numbers',
    'gather',
    'copies and transposes',
    'element by element, and sums',
    'optimiser and average',
)
_RANDOM = re.compile(r'_(?:bernoulli|normal|uniform|shuffle)|threefry|random')
_INSTRUCTION = re.compile(
    r'^\s*(?:ROOT )?%?(?P<name>[\w.-]+) = (?P<type>\S+|\([^=]*\)) (?P<op>[\w-]+)\('
)
_DOT = re.compile(
    r'= f32\[(?P<out>[\d,]*)\]\S* dot\(%?(?P<a>[\w.-]+), %?(?P<b>[\w.-]+)\), (?P<dims>.*)'
)
_REPEATS = 9
_BYTES = 1 << 24  # of operands in turn


class Dot(NamedTuple):
    """A matrix product: shapes of its operands, and its dimension numbers."""

    a: tuple[int, ...]
    b: tuple[int, ...]
    contracted: tuple[tuple[int, ...], tuple[int, ...]]
    batched: tuple[tuple[int, ...], tuple[int, ...]]

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        shared = {*self.contracted[1], *self.batched[1]}
        free = [size for axis, size in enumerate(self.b) if axis not in shared]
        return 2 * math.prod(self.a) * math.prod(free)

    def __call__(self, a: jax.Array, b: jax.Array) -> jax.Array:
        return jax.lax.dot_general(a, b, (self.contracted, self.batched), precision='highest')


def milliseconds_by_kind(program: Program, has_optimiser: bool = False) -> dict[str, float]:
    """Milliseconds of the fastest run by kind of operation, the longest first.

    Args:
      program: to trace.
      has_optimiser: what is outside of the loss and its gradient is the optimiser's.
    """
    kind_of = dict(kinds(program.hlo, has_optimiser))
    runs = collections.defaultdict(collections.Counter)
    for run, name, milliseconds in _traced(program.run):
        if name in kind_of:
            runs[run][kind_of[name]] += milliseconds
    fastest = min(runs.values(), key=collections.Counter.total)
    return dict(fastest.most_common())


def _traced(run: Callable[[], object]) -> Iterator[tuple[int, str, float]]:
    """The run, name and duration of each operation in _REPEATS runs."""
    run()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(_REPEATS):
                run()
        (path,) = pathlib.Path(folder).rglob('*.xplane.pb')
        for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
            for line in plane.lines:
                for event in line.events:
                    stats = dict(event.stats)
                    if 'hlo_op' in stats:
                        yield stats['run_id'], event.name, event.duration_ns / 1e6


def kinds(hlo: str, has_optimiser: bool) -> Iterator[tuple[str, str]]:
    """Name and kind of each operation but loops and calls, whose parts are traced themselves."""
    body_of = _computations(hlo)
    for line in hlo.splitlines():
        match = _INSTRUCTION.match(line)
        if match and match['op'] not in ('while', 'call', 'conditional'):
            called = re.search(r'calls=%?([\w.-]+)', line)
            body = body_of.get(called[1], '') if called else ''
            yield match['name'], _kind(line + body, match, has_optimiser)


def _kind(text: str, match: re.Match[str], has_optimiser: bool) -> str:
    where = re.search(r'op_name="([^"]*)"', text)
    where = where[1] if where else ''
    if ' dot(' in text:
        return PRODUCTS
    if _RANDOM.search(where) or match['type'].startswith('u32'):
        return RANDOM
    if ' gather(' in text:
        return GATHER
    if match['op'] in ('copy', 'transpose') or match['name'].startswith(('copy', 'transpose')):
        return COPIES
    return UPDATES if has_optimiser and 'jvp(' not in where else ELEMENTS


def _computations(hlo: str) -> dict[str, str]:
    """The text of each computation by name."""
    parts = re.findall(r'^%?([\w.-]+) \(.*?\{\n(.*?)^\}', hlo, re.MULTILINE | re.DOTALL)
    return dict(parts)


def dots(hlo: str) -> collections.Counter[Dot]:
    """The matrix products of a program, and how often each runs."""
    shape_of = {
        name: _numbers(shape) for name, shape in re.findall(r'%?([\w.-]+) = \w+\[([\d,]*)\]', hlo)
    }

    def dimensions(match: re.Match[str], what: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        sides = (
            re.search(rf'{side}_{what}_dims=\{{([\d,]*)\}}', match['dims'])
            for side in ('lhs', 'rhs')
        )
        return tuple(_numbers(side[1]) if side else () for side in sides)

    return collections.Counter(
        Dot(
            shape_of[match['a']],
            shape_of[match['b']],
            dimensions(match, 'contracting'),
            dimensions(match, 'batch'),
        )
        for match in _DOT.finditer(hlo)
    )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(',') if number)


def milliseconds_of(dot: Dot) -> float:
    """The fastest run of a product alone, on operands that no cache holds."""
    in_turn = max(1, _BYTES // (4 * (math.prod(dot.a) + math.prod(dot.b))))
    operands = [(jnp.full(dot.a, float(i)), jnp.full(dot.b, float(i))) for i in range(in_turn)]
    run = jax.jit(lambda a, b: dot(a, b))
    in_all = fastest_milliseconds(lambda: jax.block_until_ready([run(*pair) for pair in operands]))
    return in_all / in_turn


def fastest_milliseconds(run: Callable[[], object], repeats: int = _REPEATS) -> float:
    """The fastest of the runs after the first: other programs may slow some down."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return min(times[1:])
