"""The device mesh and where arrays live on it."""

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


def make_mesh() -> Mesh:
    """A mesh over all devices of all hosts, with one axis: 'data'."""
    return jax.make_mesh((jax.device_count(),), ('data',), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device: parameters, and a data set that fits."""
    return NamedSharding(mesh, PartitionSpec())


def by_row(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Cut along one axis over the devices: a batch."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, 'data'))


def check_batch(batch_size: int, mesh: Mesh) -> None:
    """ValueError unless a batch divides over the mesh."""
    if batch_size % mesh.size:
        raise ValueError(
            f'train.batch_size={batch_size} does not divide over {mesh.size} devices: '
            f'choose a multiple of {mesh.size}'
        )
