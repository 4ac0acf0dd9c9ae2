"""Rows on the devices: what is looked up there is what the host has, and what is sent is too."""

import jax
import numpy as np
import pytest

from diface_jax.data.batches import Batches, stacked_batches
from diface_jax.runtime import mesh as meshes
from diface_jax.training.input_pipeline import InputPipeline, TrainingTable, gather_rows, rows_of
from tests import population, subprocesses


def table_and_batches():
    """Widths that do not divide over eight devices."""
    split = population.observed(population.split(0, 60, dim=13, width=21))
    ids = np.arange(len(split.c_TxC), dtype=np.int32)
    y_NxLxD, quality_NxLxQ, _ = split.observations
    table = TrainingTable(
        split.embedding_NxD,
        split.identity_N,
        split.c_TxC,
        ids % 7,
        y_NxLxD.reshape(-1, 13),
        quality_NxLxQ.reshape(len(split.file_N) * 2, -1),
    )
    return table, Batches(split, 16, 0.5, seed=0)


def same(rows, others):
    jax.tree.map(np.testing.assert_array_equal, rows, others)


def check(model):
    """Both ways, in dispatches of two steps and of one."""
    mesh, (table, batches) = meshes.make_mesh(model), table_and_batches()
    resident, streamed = (InputPipeline(table, batches, mesh, kept) for kept in (True, False))
    part = resident.table.c_TxC.addressable_shards[0].data
    assert part.shape == (len(table.c_TxC), -(-21 // mesh.shape['data']))
    look = jax.jit(lambda table, batch: gather_rows(table, batch, (13, 21), mesh))
    fed = zip(resident.dispatches(5, [2, 1]), streamed.dispatches(5, [2, 1]), strict=True)
    for first, (indices, rows) in zip((5, 7), fed, strict=True):
        expected = rows_of(table, stacked_batches(batches, first, 2 if first == 5 else 1))
        same(rows, expected)
        same(
            look(resident.table, jax.tree.map(lambda index: index[0], indices)),
            jax.tree.map(lambda part: part[0], expected),
        )
        assert rows.c_BxC.sharding.is_equivalent_to(meshes.sharded_by_data(mesh, axis=1), 3)


def test_one_device():
    check(1)


CHECK = """
from tests.training.test_input_pipeline import check
check(1)
check(2)
"""


def test_eight_devices():
    subprocesses.run(CHECK, devices=8)


def test_an_error_on_the_thread_is_raised_where_the_rows_are_taken():
    table, batches = table_and_batches()
    broken = InputPipeline(
        table._replace(c_TxC=table.c_TxC[:3]), batches, meshes.make_mesh(), False
    )
    with pytest.raises(IndexError):
        next(broken.dispatches(0, [1]))
