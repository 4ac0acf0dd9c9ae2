"""SIGTERM: the machine is about to be taken away, and the same command will be run again.

Training stops at a step that all hosts agree on, and saves. Everything else stops where it is, as
it goes on from what it has put on disk. Either way the program ends with `EXIT_CODE`.
"""

import contextlib
import signal
from collections.abc import Iterator

from diface_jax import hosts

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: the same command goes on
MESSAGE = 'stopped by SIGTERM; the same command goes on from here'


class Preempted(BaseException):
    """SIGTERM has come; like KeyboardInterrupt it is no error, and no `except Exception` takes it.

    Attributes:
      everywhere: all hosts stop together, at the same point.
    """

    def __init__(self, everywhere: bool) -> None:
        super().__init__(MESSAGE)
        self.everywhere = everywhere


class _Notice:
    """What the handler of the signal and the program say to each other."""

    heard = False
    awaited = False


def listen() -> None:
    """From now on SIGTERM raises Preempted; within `between_steps` it waits to be asked for."""
    signal.signal(signal.SIGTERM, _hear)


def _hear(*_: object) -> None:
    _Notice.heard = True
    if not _Notice.awaited:
        raise Preempted(everywhere=False)


@contextlib.contextmanager
def between_steps() -> Iterator[None]:
    """Within, SIGTERM waits until the program asks `stop_now`, or has come to the end.

    Raises:
      Preempted: it came too late to be asked for; everything within is done.
    """
    _Notice.awaited = True
    try:
        yield
    finally:
        _Notice.awaited = False
    if stop_now():
        raise Preempted(everywhere=True)


def stop_now() -> bool:
    """Whether any host has been told to stop; all must ask, at the same point."""
    return hosts.any_of(_Notice.heard)
