"""The device mesh, and moving arrays onto it and back.

The mesh has two axes. 'data' cuts batches and, with FSDP, parameters; 'model' cuts the networks'
hidden units (tensor parallelism). One device runs the same program, with axes of size 1.
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
      model: size of the axis 'model', along neighbouring devices; 'data' has the rest.

    Raises:
      ValueError: the number of devices is no multiple of `model`.
    """
    count = jax.device_count()
    if model < 1 or count % model:
        raise ValueError(f'mesh.model={model} does not divide the {count} devices there are')
    return jax.make_mesh((count // model, model), AXES, axis_types=(AxisType.Auto,) * 2)


def one_device_mesh() -> Mesh:
    """A mesh of one device of this process, for work too small to share."""
    device = np.reshape(jax.local_devices()[0], (1, 1))
    return Mesh(device, AXES, axis_types=(AxisType.Auto,) * 2)


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def sharded_by_row(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """One axis is cut over all devices: for rows that no cut parameter is applied to."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, AXES))


def sharded_by_data(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """One axis is cut over 'data' and replicated along 'model': for training batches."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, 'data'))


def put_on_mesh(tree: Any, sharding: NamedSharding) -> Any:
    """Moves host arrays onto the devices.

    Args:
      tree: arrays that every process has in full.
      sharding: of all arrays.

    Returns:
      Arrays over the whole mesh; each process moves only the part of its own devices.
    """

    def put(array: Any) -> jax.Array:
        array = np.asarray(array)
        return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)

    return jax.tree.map(put, tree)


def fetch_from_mesh(tree: Any) -> Any:
    """Copies arrays of the whole mesh into numpy arrays, in full on every process.

    Every process must call it at the same point, as it may gather from the others.
    """

    def fetch(array: jax.Array) -> np.ndarray:
        if array.is_fully_addressable or array.is_fully_replicated:
            return np.asarray(array)
        return multihost_utils.process_allgather(array, tiled=True)

    for array in jax.tree.leaves(tree):
        if array.is_fully_addressable:
            array.copy_to_host_async()  # so that they travel together
    return jax.tree.map(fetch, tree)


def check_batch(batch_size: int, mesh: Mesh) -> None:
    """Raises ValueError unless a batch divides over the devices."""
    if batch_size % mesh.size:
        raise ValueError(
            f'train.batch_size={batch_size} does not divide over {mesh.size} devices: '
            f'choose a multiple of {mesh.size}'
        )


def local_rows(batch_size: int, mesh: Mesh) -> np.ndarray:
    """The rows, in order, that this process's devices hold of a batch cut over 'data'."""
    slices = sharded_by_data(mesh).addressable_devices_indices_map((batch_size,)).values()
    return np.unique(np.concatenate([np.arange(batch_size)[rows] for rows in slices]))
