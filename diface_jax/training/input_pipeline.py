"""From the number of a step to its rows on the devices: gathered there, or sent.

Resident, the whole table is in device memory, cut over 'data' by its columns: each device looks up
its columns of every row of the batch, and one all-to-all brings each row together where it is
needed. That moves as many bytes a device however many devices there are, where a table cut by rows
would move the whole batch past every device.
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
from diface_jax.runtime import mesh as meshes
from diface_jax.training.contrastive_loss import ContrastSide


class TrainingTable(NamedTuple):
    """The training data: embeddings, conditions, identities, sentence numbers.

    `sentence_T` is one number for each different sentence, so that equal captions are known.
    """

    x0_NxD: Any
    identity_N: Any
    c_TxC: Any
    sentence_T: Any


class BatchRows(NamedTuple):
    """What a step learns from: photos, another photo of each person, conditions, who and what."""

    x0_BxD: Any
    mate_BxD: Any
    c_BxC: Any
    identity_B: Any
    photo_B: Any
    mate_B: Any
    sentence_B: Any


def rows_of(table: TrainingTable, batch: Batch) -> BatchRows:
    """The rows of a batch, or of several, by index: on the host or in a jitted function."""
    return BatchRows(
        x0_BxD=table.x0_NxD[batch.photo_B],
        mate_BxD=table.x0_NxD[batch.mate_B],
        c_BxC=table.c_TxC[batch.text_B],
        identity_B=table.identity_N[batch.photo_B],
        photo_B=batch.photo_B,
        mate_B=batch.mate_B,
        sentence_B=table.sentence_T[batch.text_B],
    )


def contrast_sides(
    f_text_BxF: jax.Array, f_photo_2xBxF: jax.Array, rows: BatchRows
) -> tuple[ContrastSide, ContrastSide]:
    """Both sides of the contrast: texts, and photos with their mates."""

    def marks(photo_B: jax.Array) -> jax.Array:
        return jnp.stack([rows.identity_B, photo_B, rows.sentence_B], axis=-1)

    mark_2xBx3 = jnp.stack([marks(rows.photo_B), marks(rows.mate_B)])
    return ContrastSide(f_text_BxF, mark_2xBx3[0]), ContrastSide(f_photo_2xBxF, mark_2xBx3)


def gather_rows(
    table: TrainingTable, batch: Batch, widths: tuple[int, int], mesh: Mesh
) -> BatchRows:
    """`rows_of` a table that `InputPipeline` put on the devices, each row whole where it is needed.

    Args:
      table: cut by columns, these filled up to divide.
      batch: indices, the same on every device.
      widths: D and C, without what was filled up.
      mesh: the devices.
    """

    def place(part: jax.Array, width: int | None = None) -> jax.Array:
        if width is None:
            return jax.lax.with_sharding_constraint(part, meshes.sharded_by_data(mesh))
        looked_up = jax.lax.with_sharding_constraint(part, _by_column(mesh))
        return jax.lax.with_sharding_constraint(looked_up, meshes.sharded_by_data(mesh))[:, :width]

    dim, condition = widths
    return BatchRows(*map(place, rows_of(table, batch), (dim, dim, condition, *[None] * 4)))


def _by_column(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, P(None, 'data'))


class InputPipeline:
    """What the training step takes, by step: batch = f(seed, step), whatever the devices.

    Args:
      table: the training data on the host.
      batches: which rows, by step.
      mesh: the devices.
      resident: keep the table on the devices and send indices; otherwise send rows, of which each
        process reads only those that its own devices work on.

    Attributes:
      table: on the devices; None where rows are sent.
      counts: of texts and of photos.
    """

    def __init__(self, table: TrainingTable, batches: Batches, mesh: Mesh, resident: bool) -> None:
        self._host, self._batches, self._mesh = table, batches, mesh
        self.counts = len(table.c_TxC), len(table.x0_NxD)
        self.table = _on_devices(table, mesh) if resident else None

    def dispatches(self, first: int, sizes: Sequence[int]) -> Iterator[Batch | BatchRows]:
        """What dispatches of these numbers of steps take, from step `first` on.

        Each is made on a thread while the one before is in use. Fields are [steps, B, ...].
        """
        starts = first + np.cumsum([0, *sizes])
        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(self._make, starts[0], sizes[0])
            for start, size in zip(starts[1:], [*sizes[1:], 0], strict=True):
                ready = coming.result()
                coming = pool.submit(self._make, start, size) if size else None
                yield ready

    def _make(self, first: int, count: int) -> Batch | BatchRows:
        steps = stacked_batches(self._batches, int(first), count)
        if self.table is not None:
            return meshes.put_on_mesh(steps, meshes.replicated(self._mesh))
        return self._send(steps)

    def _send(self, steps: Batch) -> BatchRows:
        place, (count, size) = meshes.sharded_by_data(self._mesh, axis=1), steps.photo_B.shape
        here = meshes.local_rows(size, self._mesh)
        rows = rows_of(self._host, Batch(*(index_SxB[:, here] for index_SxB in steps)))
        return BatchRows(
            *(
                jax.make_array_from_process_local_data(place, part, (count, size, *part.shape[2:]))
                for part in rows
            )
        )


def _on_devices(table: TrainingTable, mesh: Mesh) -> TrainingTable:
    everywhere = meshes.replicated(mesh)
    return TrainingTable(
        x0_NxD=meshes.put_on_mesh(_filled_up(table.x0_NxD, mesh), _by_column(mesh)),
        identity_N=meshes.put_on_mesh(table.identity_N, everywhere),
        c_TxC=meshes.put_on_mesh(_filled_up(table.c_TxC, mesh), _by_column(mesh)),
        sentence_T=meshes.put_on_mesh(table.sentence_T, everywhere),
    )


def _filled_up(part_RxW: np.ndarray, mesh: Mesh) -> np.ndarray:
    """With columns of zeros, so that its width divides over 'data'."""
    missing = -part_RxW.shape[1] % mesh.shape['data']
    return np.pad(part_RxW, ((0, 0), (0, missing))) if missing else part_RxW
