"""Runs a compiled program on several batches at once.

A program has parts that keep one core busy, such as copies between two matrix products. With a
second batch at hand the other cores do not wait for it: on two, embedding crops and sentences takes
two thirds of the time. An accelerator gets its next batch while it works on the last one.
"""

import collections
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

Result = TypeVar('Result')

_MOST_THREADS = 4  # each holds the memory of a batch


def usable_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()


def run_batches(
    run: Callable[..., Result], batches: Iterable[tuple[np.ndarray, ...]]
) -> Iterator[Result]:
    """Calls `run` with the arrays of each batch, in threads; yields what it returns, in order.

    The first batch of each shape runs in this thread, so that its program is compiled once.
    """
    threads = min(_MOST_THREADS, usable_cores())
    results: collections.deque[Future[Result]] = collections.deque()
    shapes = set()
    with ThreadPoolExecutor(threads) as pool:
        for batch in batches:
            shape = tuple(array.shape for array in batch)
            if shape in shapes:
                results.append(pool.submit(run, *batch))
            else:
                shapes.add(shape)
                results.append(Future())
                results[-1].set_result(run(*batch))
            if len(results) > 2 * threads:
                yield results.popleft().result()
        while results:
            yield results.popleft().result()
