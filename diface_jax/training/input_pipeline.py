"""Brings the rows of each step to the devices: gathered from a table there, or sent by the host.

With `data_on_device` the whole table is in device memory, its columns cut over 'data': each device
looks up its columns of every row of the batch, and an all-to-all assembles each row on the device
that needs it. The bytes that a device receives do not depend on the number of devices; with a table
cut by rows, the whole batch would pass through every device.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from diface_jax.data.batches import Batch, Batches, stacked_batches
from diface_jax.models.observation import Observation
from diface_jax.runtime import mesh as meshes
from diface_jax.training.contrastive_loss import ContrastSide


class TrainingTable(NamedTuple):
    """The training data of N photos and T texts.

    Attributes:
      x0_NxD: embeddings of photos.
      identity_N: numbers of their identities, from 0.
      c_TxC: conditions of texts.
      sentence_T: numbers of their sentences; equal sentences have the same number.
      y_MxD, quality_MxQ: observations of degraded copies of the photos, L rows a photo, in the
        photos' order; None where there are none.
    """

    x0_NxD: Any
    identity_N: Any
    c_TxC: Any
    sentence_T: Any
    y_MxD: Any = None
    quality_MxQ: Any = None


class BatchRows(NamedTuple):
    """A batch: B texts, the photos they describe, and a mate of each: another photo of the person.

    Attributes:
      x0_BxD, mate_BxD: embeddings of the described photos and of the mates.
      c_BxC: conditions of the texts.
      identity_B, photo_B, mate_B, sentence_B: numbers of identities, photos, mates and sentences.
      observation: of a degraded copy of each described photo; None where there is none.
    """

    x0_BxD: Any
    mate_BxD: Any
    c_BxC: Any
    identity_B: Any
    photo_B: Any
    mate_B: Any
    sentence_B: Any
    observation: Observation | None = None


def rows_of(table: TrainingTable, batch: Batch) -> BatchRows:
    """Looks up the rows of a batch, or of several: on the host or in a jitted function."""
    return BatchRows(
        x0_BxD=table.x0_NxD[batch.photo_B],
        mate_BxD=table.x0_NxD[batch.mate_B],
        c_BxC=table.c_TxC[batch.text_B],
        identity_B=table.identity_N[batch.photo_B],
        photo_B=batch.photo_B,
        mate_B=batch.mate_B,
        sentence_B=table.sentence_T[batch.text_B],
        observation=_observation_of(table, batch),
    )


def _observation_of(table: TrainingTable, batch: Batch) -> Observation | None:
    if table.y_MxD is None:
        return None
    # Stored in half the memory.
    y_BxD = table.y_MxD[batch.copy_B].astype(np.float32)
    return Observation(y_BxD, table.quality_MxQ[batch.copy_B])


def contrast_sides(
    f_text_BxF: jax.Array, f_photo_2xBxF: jax.Array, rows: BatchRows
) -> tuple[ContrastSide, ContrastSide]:
    """Both sides of the contrastive loss: texts, and photos with their mates.

    Args:
      f_text_BxF: features of the texts.
      f_photo_2xBxF: features of the described photos and of the mates.
      rows: the batch.
    """

    def marks(photo_B: jax.Array) -> jax.Array:
        return jnp.stack([rows.identity_B, photo_B, rows.sentence_B], axis=-1)

    mark_2xBx3 = jnp.stack([marks(rows.photo_B), marks(rows.mate_B)])
    return ContrastSide(f_text_BxF, mark_2xBx3[0]), ContrastSide(f_photo_2xBxF, mark_2xBx3)


def gather_rows(
    table: TrainingTable, batch: Batch, widths: tuple[int, int], mesh: Mesh
) -> BatchRows:
    """Looks up a batch in a table that `InputPipeline` put on the devices, in a jitted function.

    Args:
      table: cut by columns, which are padded to divide over 'data'.
      batch: indices, the same on every device.
      widths: D and C, without padding.
      mesh: the devices.

    Returns:
      The batch, its rows cut over 'data'.
    """
    embedding_dim, condition_dim = widths
    rows = rows_of(table, batch)

    def by_row(values_B: jax.Array) -> jax.Array:
        return jax.lax.with_sharding_constraint(values_B, meshes.sharded_by_data(mesh))

    def assemble(part_BxW: jax.Array, width: int) -> jax.Array:
        columns_BxW = jax.lax.with_sharding_constraint(part_BxW, _by_column(mesh))
        return by_row(columns_BxW)[:, :width]

    observation = rows.observation
    if observation is not None:
        y_BxD = assemble(observation.y_BxD, embedding_dim)
        observation = Observation(y_BxD, by_row(observation.quality_BxQ))
    return BatchRows(
        x0_BxD=assemble(rows.x0_BxD, embedding_dim),
        mate_BxD=assemble(rows.mate_BxD, embedding_dim),
        c_BxC=assemble(rows.c_BxC, condition_dim),
        identity_B=by_row(rows.identity_B),
        photo_B=by_row(rows.photo_B),
        mate_B=by_row(rows.mate_B),
        sentence_B=by_row(rows.sentence_B),
        observation=observation,
    )


def _by_column(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, P(None, 'data'))


class InputPipeline:
    """The batches of the training steps: batch = f(seed, step), for any number of devices.

    Args:
      table: the training data on the host.
      batches: indices of the rows of each step.
      mesh: the devices.
      data_on_device: keep the table on the devices and send indices; otherwise send rows, of which
        each process reads only those of its own devices.

    Attributes:
      table: the table on the devices; None if rows are sent.
      counts: numbers of texts and of photos.
    """

    def __init__(
        self, table: TrainingTable, batches: Batches, mesh: Mesh, data_on_device: bool
    ) -> None:
        self._host, self._batches, self._mesh = table, batches, mesh
        self.counts = len(table.c_TxC), len(table.x0_NxD)
        self.table = _on_devices(table, mesh) if data_on_device else None

    def dispatches(self, first: int, sizes: Sequence[int]) -> Iterator[Batch | BatchRows]:
        """Yields the batches of consecutive dispatches, each field [steps, B, ...].

        A thread prepares the next dispatch while the current one is in use.

        Args:
          first: number of the first step.
          sizes: number of steps of each dispatch.
        """
        starts = first + np.cumsum([0, *sizes])
        with ThreadPoolExecutor(1) as pool:
            pending = pool.submit(self._prepare, starts[0], sizes[0])
            for start, size in zip(starts[1:], [*sizes[1:], 0], strict=True):
                batches = pending.result()
                pending = pool.submit(self._prepare, start, size) if size else None
                yield batches

    def _prepare(self, first: int, count: int) -> Batch | BatchRows:
        steps = stacked_batches(self._batches, int(first), count)
        if self.table is not None:
            return meshes.put_on_mesh(steps, meshes.replicated(self._mesh))
        return self._send(steps)

    def _send(self, steps: Batch) -> BatchRows:
        """Looks up the rows of this process's devices, and puts them there."""
        sharding = meshes.sharded_by_data(self._mesh, axis=1)
        num_steps, batch_size = steps.photo_B.shape
        local = meshes.local_rows(batch_size, self._mesh)
        local_steps = jax.tree.map(lambda index_SxB: index_SxB[:, local], steps)

        def put(part: np.ndarray) -> jax.Array:
            shape = num_steps, batch_size, *part.shape[2:]
            return jax.make_array_from_process_local_data(sharding, part, shape)

        return jax.tree.map(put, rows_of(self._host, local_steps))


def _on_devices(table: TrainingTable, mesh: Mesh) -> TrainingTable:
    everywhere = meshes.replicated(mesh)
    observed = {}
    if table.y_MxD is not None:
        observed = {
            'y_MxD': meshes.put_on_mesh(_pad_columns(table.y_MxD, mesh), _by_column(mesh)),
            'quality_MxQ': meshes.put_on_mesh(table.quality_MxQ, everywhere),
        }
    return TrainingTable(
        x0_NxD=meshes.put_on_mesh(_pad_columns(table.x0_NxD, mesh), _by_column(mesh)),
        identity_N=meshes.put_on_mesh(table.identity_N, everywhere),
        c_TxC=meshes.put_on_mesh(_pad_columns(table.c_TxC, mesh), _by_column(mesh)),
        sentence_T=meshes.put_on_mesh(table.sentence_T, everywhere),
        **observed,
    )


def _pad_columns(part_RxW: np.ndarray, mesh: Mesh) -> np.ndarray:
    """Appends columns of zeros, so that the width divides over 'data'."""
    missing = -part_RxW.shape[1] % mesh.shape['data']
    return np.pad(part_RxW, ((0, 0), (0, missing))) if missing else part_RxW
