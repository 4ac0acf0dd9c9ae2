"""Tests of several batches at once."""

import threading

import numpy as np
import pytest

from diface_jax.runtime import batch_threads


def batches(*shapes):
    return [(np.full(shape, number),) for number, shape in enumerate(shapes)]


def test_results_are_in_order_whichever_is_done_first(monkeypatch):
    monkeypatch.setattr(batch_threads, 'usable_cores', lambda: 2)
    second_ran = threading.Event()

    def run(batch):
        if batch[0] == 1:
            assert second_ran.wait(60)  # for the batch after it
        if batch[0] == 2:
            second_ran.set()
        return batch[0]

    results = batch_threads.run_batches(run, batches(*[(3,)] * 20))
    assert list(results) == [*range(20)]


def test_the_first_of_each_shape_runs_in_the_thread_that_asks():
    threads = []

    def run(batch):
        threads.append((batch.shape, threading.current_thread()))

    list(batch_threads.run_batches(run, batches((2,), (2,), (4,), (4,), (2,))))
    mine = [shape for shape, thread in threads if thread is threading.current_thread()]
    assert mine == [(2,), (4,)]


def test_few_batches_wait_in_memory(monkeypatch):
    monkeypatch.setattr(batch_threads, 'usable_cores', lambda: 2)
    taken = []

    def counted():
        for batch in batches(*[(1,)] * 30):
            taken.append(batch)
            yield batch

    results = batch_threads.run_batches(lambda batch: batch[0], counted())
    for number, _ in enumerate(results):
        assert len(taken) <= number + 5


def test_an_error_of_a_batch_is_raised():
    def run(batch):
        if batch[0] == 3:
            raise ValueError('batch 3')
        return batch[0]

    with pytest.raises(ValueError, match='batch 3'):
        list(batch_threads.run_batches(run, batches(*[(1,)] * 6)))
