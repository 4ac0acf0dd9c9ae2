"""The hosts of a run: how they join, which of them writes, where they wait for each other.

Every host runs the same program with the same settings (on GPUs there may be a process for each
device). Each computes its share, and the first one writes, to storage that all of them share. With
one host every function here is trivial. JAX is imported by the functions that need it, since many
commands end before they do.
"""

import os
import pathlib
import secrets
import sys
import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

import numpy as np
from absl import logging

from diface_jax.runtime import devices
from diface_jax.runtime.progress_bar import ProgressBar

T = TypeVar('T')

# How long a file may take to appear on other hosts, and how long a host waits for others to end.
_VISIBLE_SECONDS, _SHUTDOWN_SECONDS = 30, 60


def join_hosts(
    distributed: bool, coordinator: str | None, num_processes: int | None, process_id: int | None
) -> None:
    """Joins the other hosts; call it before any other function of JAX.

    Args:
      distributed: JAX detects the cluster: a TPU pod, GKE, SLURM or Open MPI.
      coordinator: HOST:PORT of the first process, for other clusters; needs the next two as well.
      num_processes: number of processes.
      process_id: number of this process, from 0.

    Raises:
      ValueError: a flag is missing or wrong, or no cluster was found; says which flags to give.
    """
    given = {
        '--coordinator': coordinator,
        '--num_processes': num_processes,
        '--process_id': process_id,
    }
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == len(given) and not distributed:
        return
    if missing and len(missing) < len(given):
        raise ValueError(
            f'{" and ".join(missing)} must be given too: {", ".join(given)} go together'
        )
    if not missing:
        _check(coordinator, num_processes, process_id)
    import jax

    jax.config.update('jax_cpu_collectives_implementation', 'gloo')
    # JAX's own service would take SIGTERM over; runtime/preemption.py handles it in every mode.
    jax.config.update('jax_enable_preemption_service', False)
    try:
        jax.distributed.initialize(
            coordinator, num_processes, process_id, shutdown_timeout_seconds=_SHUTDOWN_SECONDS
        )
    except (ValueError, KeyError) as error:
        raise ValueError(
            f'--distributed found no cluster ({error}). JAX knows TPU pods, GKE, SLURM (srun) and '
            'Open MPI (mpirun); elsewhere give --coordinator=HOST:PORT --num_processes=N '
            '--process_id=I to each process, and the coordinator is the host of process 0'
        ) from error
    devices.require_devices()
    logging.info('process %d of 0 to %d', jax.process_index(), jax.process_count() - 1)


def _check(coordinator: str, num_processes: int, process_id: int) -> None:
    host, _, port = coordinator.rpartition(':')
    if not host or not port.isdigit():
        raise ValueError(f'--coordinator={coordinator} is not of the form HOST:PORT')
    if not 0 <= process_id < num_processes:
        raise ValueError(
            f'--process_id={process_id} is not between 0 and {num_processes - 1}, as '
            f'--num_processes={num_processes} has it'
        )


def is_multihost() -> bool:
    """Whether there are several hosts; does not initialise the devices if there is only one."""
    if 'jax' not in sys.modules:
        return False
    import jax

    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_first() -> bool:
    """Whether this host writes files and shows progress."""
    return _index() == 0


def is_mine(number: int) -> bool:
    """Whether this host does the piece of work of this number."""
    if not is_multihost():
        return True
    import jax

    return number % jax.process_count() == jax.process_index()


def _index() -> int:
    if not is_multihost():
        return 0
    import jax

    return jax.process_index()


def barrier(name: str) -> None:
    """Waits until all hosts have reached this point."""
    if is_multihost():
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def any_host(condition: bool) -> bool:
    """Whether a condition holds on any host; all hosts must call it at the same point."""
    if not is_multihost():
        return condition
    from jax.experimental import multihost_utils

    return bool(multihost_utils.process_allgather(np.array(condition)).any())


def first_then_others(name: str, work: Callable[[], T]) -> T:
    """Runs work that caches its result on disk: first on the first host, then on the others."""
    if not is_first():
        barrier(name)
    result = work()
    if is_first():
        barrier(name)
    return result


def progress(*args: object, **settings: object) -> ProgressBar:
    """A progress bar, shown by the first host only."""
    return ProgressBar(*args, disable=not is_first(), **settings)


def working(what: str) -> ProgressBar:
    """A context for work of unknown length: a line with the time that it has taken so far."""
    return progress(desc=what, bar_format='{desc}: {elapsed}', leave=False, delay=1)


def check_shared(folder: pathlib.Path) -> None:
    """Creates a folder, and checks that it is the same one on all hosts.

    Raises:
      ValueError: another host sees another folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not is_multihost():
        return
    from jax.experimental import multihost_utils

    token = str(multihost_utils.broadcast_one_to_all(np.uint32(secrets.randbits(32))))
    path = folder / f'.shared-{token}'
    if is_first():
        path.touch()
    barrier('token written')
    is_missing = any_host(not _appears(path))
    if is_first():
        path.unlink()
    if is_missing:
        raise ValueError(
            f'--workdir={folder} is not the same folder on all hosts: put it on storage that every '
            'host has mounted (NFS, Lustre, Filestore, a bucket by gcsfuse)'
        )


def _appears(path: pathlib.Path) -> bool:
    """Waits for a file to appear, which takes time on network file systems."""
    deadline = time.monotonic() + _VISIBLE_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            return False
        path.parent.stat()
        time.sleep(0.2)
    return True


def exit_program(status: int | str) -> NoReturn:
    """Like `sys.exit`; with several hosts it ends at once, so that the others notice soon."""
    if not is_multihost():
        sys.exit(status)
    if isinstance(status, str):
        print(f'host {_index()}: {status}', file=sys.stderr)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
