"""The cost of a program, against a count by hand."""

import json

from diface_jax.costs.hlo import count_collectives
from tests import subprocesses

# Of each device, five times: a product of [8, 32] and [32, 16], its sum over the devices, and its
# rows to the next device; in the end, all rows to all.
BY_HAND = """
import json
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from diface_jax.runtime import mesh as meshes
from diface_jax.costs.hlo import program_cost

mesh = meshes.make_mesh()
to_next = [(i, (i + 1) % 8) for i in range(8)]

def local(x, w):
    def body(x, _):
        y = x @ w
        x = jax.lax.ppermute(jnp.tanh(x), 'data', to_next)
        return x, jax.lax.psum(jnp.sum(y, axis=0), 'data')
    x, sums = jax.lax.scan(body, x, length=5)
    return jax.lax.all_gather(x, 'data', tiled=True), sums

spec = {'in_specs': (P('data'), P()), 'out_specs': P(), 'check_vma': False}
jitted = jax.jit(jax.shard_map(local, mesh=mesh, **spec))
traced = jitted.trace(jnp.ones((64, 32)), jnp.ones((32, 16)))
print(json.dumps(program_cost(traced, traced.lower().compile())))
"""


def test_a_program_counted_by_hand():
    (printed,) = subprocesses.run(BY_HAND, devices=8)
    flops, intensity, collectives = json.loads(printed)
    assert flops == 8 * 5 * 2 * 8 * 32 * 16
    assert intensity > 0
    assert collectives == {
        'all-reduce': [5, 5 * 16 * 4],
        'all-gather': [1, 64 * 32 * 4],
        'collective-permute': [5, 5 * 8 * 32 * 4],
    }


ASYNCHRONOUS = """HloModule jit_f, num_partitions=4

%sum (a: f32[], b: f32[]) -> f32[] {
  ROOT %add = f32[] add(%a, %b)
}

%scatter (p: bf16[8,4]) -> bf16[2,4] {
  ROOT %reduce-scatter.1 = bf16[2,4]{1,0:T(8,128)} reduce-scatter(%p), to_apply=%sum
}

%body (c: (s32[], f32[8])) -> (s32[], f32[8]) {
  %start = (f32[8]{0:T(256)}, f32[32]{0:T(256)}) all-gather-start(%x), dimensions={0}
  %done = f32[32]{0:T(256)} all-gather-done(%start)
  %later = ((bf16[8,4]), bf16[2,4], u32[]) async-start(%y), calls=%scatter
  %now = bf16[2,4] async-done(%later)
}

ENTRY %main (p: f32[8]) -> f32[] {
  %while.1 = (s32[]) while(%t), body=%body, backend_config={"a":1,"known_trip_count":{"n":"3"}}
  ROOT %r = (f32[], pred[6]{0}) all-reduce(%u, %v), to_apply=%sum
}
"""


def test_asynchronous_collectives_count_once():
    assert count_collectives(ASYNCHRONOUS) == {
        'all-reduce': (1, 4 + 6),
        'all-gather': (3, 3 * 32 * 4),
        'reduce-scatter': (3, 3 * 8 * 2),
    }
