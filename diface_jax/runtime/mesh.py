"""The device mesh, and how arrays get onto it and back.

The mesh has two axes. 'data' cuts batches, and parameters too where they are fully sharded (FSDP);
'model' cuts the networks' hidden units (tensor parallelism). One process and one device are the
same program with axes of size 1.
"""

from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXES = ('data', 'model')


def make_mesh(model: int = 1) -> Mesh:
    """A mesh over all devices of all hosts.

    Args:
      model: size of the axis 'model', neighbouring devices; all others are on 'data'.

    Raises:
      ValueError: the devices do not divide by it.
    """
    count = jax.device_count()
    if model < 1 or count % model:
        raise ValueError(f'mesh.model={model} does not divide the {count} devices there are')
    return jax.make_mesh((count // model, model), AXES, axis_types=(AxisType.Auto,) * 2)


def one_device_mesh() -> Mesh:
    """A mesh of one device of this process: for what is too small to share."""
    device = np.reshape(jax.local_devices()[0], (1, 1))
    return Mesh(device, AXES, axis_types=(AxisType.Auto,) * 2)


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())


def sharded_by_row(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Cut along one axis over all devices: rows that meet no cut parameter."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, AXES))


def sharded_by_data(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Cut along one axis over 'data', the same along 'model': a training batch."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, 'data'))


def put_on_mesh(tree: Any, sharding: NamedSharding) -> Any:
    """Host arrays onto the devices.

    Args:
      tree: arrays that every process has in full.
      sharding: where they go; devices of other processes are left to those.

    Returns:
      The arrays of the whole mesh; each process moves only what its own devices hold.
    """

    def one(array: Any) -> jax.Array:
        array = np.asarray(array)
        return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)

    return jax.tree.map(one, tree)


def fetch_from_mesh(tree: Any) -> Any:
    """Arrays of the whole mesh as numpy arrays, in full on every process.

    Every process must call it at the same point, as it may have to ask the others.
    """

    def one(array: jax.Array) -> np.ndarray:
        if array.is_fully_addressable or array.is_fully_replicated:
            return np.asarray(array)
        return multihost_utils.process_allgather(array, tiled=True)

    return jax.tree.map(one, tree)


def check_batch(batch_size: int, mesh: Mesh) -> None:
    """ValueError unless a batch divides over the mesh."""
    if batch_size % mesh.size:
        raise ValueError(
            f'train.batch_size={batch_size} does not divide over {mesh.size} devices: '
            f'choose a multiple of {mesh.size}'
        )


def local_rows(batch_size: int, mesh: Mesh) -> np.ndarray:
    """Which rows of a batch cut over 'data' the devices of this process hold, in order."""
    cuts = sharded_by_data(mesh).addressable_devices_indices_map((batch_size,)).values()
    return np.unique(np.concatenate([np.arange(batch_size)[rows] for rows in cuts]))
