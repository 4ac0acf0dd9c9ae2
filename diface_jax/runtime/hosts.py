"""The hosts of a run: how they start, who writes, where they wait for each other.

Every host runs the same program with the same settings (on GPUs, every process with its own). Each
computes its share, the first one writes; files are on storage that all of them see. Where nothing
was started there is one host, and all of this is trivial.
"""

import os
import pathlib
import secrets
import sys
import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

import jax
import numpy as np
from absl import logging
from jax.experimental import multihost_utils
from tqdm import tqdm

from diface_jax.runtime import devices

T = TypeVar('T')

# How long a file may take from one host to the others, and a host to its end behind the others.
_VISIBLE_SECONDS, _SHUTDOWN_SECONDS = 30, 60


def join_hosts(
    distributed: bool, coordinator: str | None, num_processes: int | None, process_id: int | None
) -> None:
    """Joins the other hosts; call it before anything else of JAX.

    Args:
      distributed: JAX finds the cluster by itself: a TPU pod, GKE, SLURM, Open MPI.
      coordinator: HOST:PORT of the first process, where nothing is to be found. It and the next
        two go together.
      num_processes: how many there are.
      process_id: which this one is, from 0.

    Raises:
      ValueError: a flag is missing or wrong, or no cluster was found; says what to give.
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
        raise ValueError(f'{" and ".join(missing)} must be given too: {", ".join(given)} are one')
    if not missing:
        _check(coordinator, num_processes, process_id)
    jax.config.update('jax_cpu_collectives_implementation', 'gloo')
    # It would take SIGTERM for itself, and tell none but training loops; see runtime/preemption.py.
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
    """Whether there is more than one; it does not take hold of the devices where there is one."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_first() -> bool:
    """Whether this is the one that writes and shows."""
    return not is_multihost() or jax.process_index() == 0


def is_mine(number: int) -> bool:
    """Whether a piece of work, by its number, is this host's to do."""
    return not is_multihost() or number % jax.process_count() == jax.process_index()


def barrier(name: str) -> None:
    """Waits until all hosts are here."""
    if is_multihost():
        multihost_utils.sync_global_devices(name)


def any_host(here: bool) -> bool:
    """Whether it is so on any host; all must ask, at the same point."""
    if not is_multihost():
        return here
    return bool(multihost_utils.process_allgather(np.array(here)).any())


def first_then_others(name: str, work: Callable[[], T]) -> T:
    """Work that keeps what it makes on disk: the first host makes it, the others find it there."""
    if not is_first():
        barrier(name)
    made = work()
    if is_first():
        barrier(name)
    return made


def progress(*args: object, **settings: object) -> tqdm:
    """A progress bar, shown by the first host alone."""
    return tqdm(*args, disable=not is_first(), **settings)


def check_shared(folder: pathlib.Path) -> None:
    """Makes a folder, and makes sure that it is the same one on all hosts.

    Raises:
      ValueError: it is not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not is_multihost():
        return
    token = str(multihost_utils.broadcast_one_to_all(np.uint32(secrets.randbits(32))))
    path = folder / f'.shared-{token}'
    if is_first():
        path.touch()
    barrier('token written')
    lost = any_host(not _appears(path))
    if is_first():
        path.unlink()
    if lost:
        raise ValueError(
            f'--workdir={folder} is not the same folder on all hosts: put it on storage that every '
            'host has mounted (NFS, Lustre, Filestore, a bucket by gcsfuse)'
        )


def _appears(path: pathlib.Path) -> bool:
    """Whether a file is there, soon: network file systems take their time."""
    until = time.monotonic() + _VISIBLE_SECONDS
    while not path.exists():
        if time.monotonic() > until:
            return False
        path.parent.stat()
        time.sleep(0.2)
    return True


def exit_program(status: int | str) -> NoReturn:
    """`sys.exit`, but among several hosts it waits for none, so that they soon learn of it."""
    if not is_multihost():
        sys.exit(status)
    if isinstance(status, str):
        print(f'host {jax.process_index()}: {status}', file=sys.stderr)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
