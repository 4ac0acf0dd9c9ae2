"""Where faces are cropped: in threads of this process or, for many photos, in processes.

Threads crop little faster than a single one, since they share the interpreter's lock and XLA's
threads. Processes do not, but each takes 2 s to start. They detect faces on the CPU, whatever the
devices of this process are.
"""

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool

import jax

from diface_jax.runtime import compilation_cache
from diface_jax.runtime.batch_threads import usable_cores

_MANY = 1000  # photos that are worth the start of processes
_MOST_PROCESSES = 16  # each takes 0.3 GB of memory


@contextlib.contextmanager
def crop_pool(photos: int) -> Iterator[concurrent.futures.Executor]:
    """An executor for the crops of this many photos, which ends with the block.

    Raises:
      OSError: one of its processes was killed.
    """
    pool = (
        _processes() if photos >= _MANY else concurrent.futures.ThreadPoolExecutor(usable_cores())
    )
    try:
        yield pool
    except BrokenProcessPool as error:
        raise OSError(
            'a process that crops faces was killed, as happens when memory runs out: free memory, '
            'and give the same command again to continue'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _processes() -> concurrent.futures.ProcessPoolExecutor:
    # A fork would copy locks that JAX's threads hold.
    return concurrent.futures.ProcessPoolExecutor(
        min(_MOST_PROCESSES, usable_cores()), multiprocessing.get_context('spawn'), _start_process
    )


def _start_process() -> None:
    """Prepares a process: it uses one core, and ends when its parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends the pool
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ['NPROC'] = '1'  # threads of XLA
    jax.config.update('jax_platforms', 'cpu')
    compilation_cache.keep_compiled_programs()


def _end_with_parent() -> None:
    """A parent that is killed cannot end its pool."""
    multiprocessing.parent_process().join()
    os._exit(1)
