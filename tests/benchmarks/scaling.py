"""What a step of the main config sends between devices, and what the contrast keeps in memory.

python -m tests.benchmarks.scaling

Programs are compiled for 2, 4 and 8 simulated devices, not run: collectives and their bytes are
counted in what was compiled, memory is what the compiler sets aside. The batch a device is the same
throughout. What 256 devices would send follows from bytes(n) = a + b n, kind by kind, through what
was counted for 4 and 8 devices; how far that is from the count for 2 is printed beside it (with
model=2 there is no 'data' to cut there). Seconds are bytes on the wire of a ring at BANDWIDTH, and
LATENCY for each collective: assumed, as a CPU's time says nothing about them.
"""

import os

os.environ['XLA_FLAGS'] = '--xla_force_host_platform_device_count=8'
os.environ['XLA_FLAGS'] += ' --xla_backend_optimization_level=0'

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from tqdm import tqdm

from configs import celeba
from diface_jax.costs.hlo import COLLECTIVES, Traffic, program_cost
from diface_jax.data.batches import Batch
from diface_jax.runtime import mesh as meshes
from diface_jax.training import state
from diface_jax.training.contrastive_loss import ContrastSide, contrastive_loss
from diface_jax.training.input_pipeline import TrainingTable
from diface_jax.training.step import make_steps
from tests.training import dense

DEVICES, FAR, ROWS = (2, 4, 8), 256, 512  # rows a device
SIZES = state.ModelSizes(embedding_dim=384, condition_dim=2688, num_identities=4800)
LAYOUTS = {
    'replicated': {'model': 1, 'fsdp': False},
    'fsdp': {'model': 1, 'fsdp': True},
    'model=2': {'model': 2, 'fsdp': False},
}
# Assumed, not measured: one link of a TPU v5e in one direction, and one hop on it.
BANDWIDTH, LATENCY = 45e9, 1e-6  # bytes a second; seconds


def mesh_of(devices: int, model: int = 1) -> Mesh:
    """The first of the simulated devices."""
    return Mesh(np.array(jax.devices()[:devices]).reshape(-1, model), meshes.AXES)


def array(sharding: NamedSharding, *shape: int, dtype: type = jnp.float32) -> jax.ShapeDtypeStruct:
    """An array that is not there."""
    return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)


def traffic_of(devices: int, layout: dict[str, int | bool]) -> dict[str, Traffic]:
    """Collectives of one step of the main config, with its table on the devices."""
    config = celeba.get_config()
    config.mesh.update(layout)
    mesh = mesh_of(devices, config.mesh.model)
    everywhere, columns = meshes.replicated(mesh), NamedSharding(mesh, P(None, 'data'))
    table = TrainingTable(
        array(columns, 20_000, SIZES.embedding_dim),
        array(everywhere, 20_000, dtype=jnp.int32),
        array(columns, 100_000, SIZES.condition_dim),
        array(everywhere, 100_000, dtype=jnp.int32),
    )
    batch = Batch(*[array(everywhere, 1, ROWS * devices, dtype=jnp.int32)] * 3)
    key = jax.eval_shape(jax.random.key, 0)
    now = state.abstract_state(config, SIZES, mesh, config.mesh.fsdp)
    traced = make_steps(config, SIZES, mesh).trace(now, batch, table, key)
    return program_cost(traced, traced.lower().compile()).collectives


def wire(kind: str, out: float, devices: int) -> float:
    """Bytes a device sends for a collective whose result there is `out`, on a ring of devices."""
    share = (devices - 1) / devices
    factor = {'all-reduce': 2 * share, 'reduce-scatter': devices - 1, 'collective-permute': 1}
    return factor.get(kind, share) * out


def line(at_4: float, at_8: float, devices: int) -> float:
    """a + b n through what 4 and 8 devices have."""
    return at_8 + (at_8 - at_4) / 4 * (devices - 8)


def print_traffic(name: str, counted: dict[int, dict[str, Traffic]]) -> None:
    """A row a kind of collective, and the time of all of them on 256 devices."""
    print(f'\n{name}: collectives of a step, times / MB out of them on a device')
    print(
        f'{"":20}' + ''.join(f'{n:>18}' for n in DEVICES) + f'{"2 as told":>12}{FAR:>18}{"ms":>8}'
    )
    total = 0.0
    for kind in COLLECTIVES:
        times, size = (
            [getattr(counted[n].get(kind, Traffic(0, 0)), part) for n in DEVICES]
            for part in Traffic._fields
        )
        if any(times):
            far_times, far_size = (line(*found[1:], FAR) for found in (times, size))
            told = line(*size[1:], 2) / size[0] - 1 if size[0] else 0.0
            seconds = wire(kind, far_size, FAR) / BANDWIDTH + far_times * LATENCY
            total += seconds
            cells = [f'{t:.0f} / {s / 1e6:.3f}' for t, s in zip(times, size, strict=True)]
            cells = ''.join(f'{cell:>18}' for cell in cells)
            far = f'{far_times:.0f} / {far_size / 1e6:.3f}'
            print(f'{kind:20}{cells}{told:>+12.1%}{far:>18}{1e3 * seconds:>8.2f}')
    print(f'{"all":20}{"":>84}{1e3 * total:>8.2f}')


def contrast_bytes(devices: int, loss: Callable[..., jax.Array]) -> int:
    """Memory that the loss and its gradients need on a device, besides features and results."""
    mesh = mesh_of(devices)
    rows, pairs = meshes.sharded_by_row(mesh), meshes.sharded_by_row(mesh, axis=1)
    size, dim = ROWS * devices, SIZES.embedding_dim

    def of(f_text: jax.Array, f_photo: jax.Array, text: jax.Array, photo: jax.Array) -> jax.Array:
        return loss(ContrastSide(f_text, text), ContrastSide(f_photo, photo), jnp.float32(2.6), 8.0)

    given = (
        *(array(rows, size, dim), array(pairs, 2, size, dim)),
        *(array(rows, size, 3, dtype=jnp.int32), array(pairs, 2, size, 3, dtype=jnp.int32)),
    )
    step = jax.jit(jax.value_and_grad(of, (0, 1)), out_shardings=(None, (rows, pairs)))
    return step.lower(*given).compile().memory_analysis().temp_size_in_bytes


def main() -> None:
    """Prints the tables."""
    print(f'{ROWS} rows a device; {BANDWIDTH / 1e9:.0f} GB/s and {1e6 * LATENCY:.0f} us assumed')
    for name, layout in LAYOUTS.items():
        counted = {n: traffic_of(n, layout) for n in tqdm(DEVICES, desc=name, unit='program')}
        print_traffic(name, counted)
    print('\ncontrast: MB of memory a device, forwards and backwards')
    print(f'{"devices":>10}{"ring":>10}{"table of all pairs":>22}{"ratio":>8}')
    for n in DEVICES:
        mesh = mesh_of(n)
        ring = contrast_bytes(n, lambda *given, mesh=mesh: contrastive_loss(*given, mesh))
        table = contrast_bytes(n, dense.contrast)
        print(f'{n:>10}{ring / 1e6:>10.1f}{table / 1e6:>22.1f}{table / ring:>8.1f}')


if __name__ == '__main__':
    main()
