"""Signals that stop a run: SIGTERM (the machine is taken away) and SIGINT (Ctrl-C).

Training stops at a step that all hosts agree on, and saves. Everything else stops at once and goes
on from what it has put on disk. A second Ctrl-C stops training at once too.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

from diface_jax.runtime import hosts

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: the same command continues
INTERRUPTED_EXIT_CODE = 130  # 128 + SIGINT: a launcher must not start it again

RESUMABLE_MODES = ('all', 'prepare', 'train', 'sweep', 'ablate', 'enroll')

_WILL_SAVE = b'\nCtrl-C: training saves at the next step and stops; press again to stop at once\n'


class Preempted(BaseException):
    """A signal asked the program to stop; like KeyboardInterrupt, `except Exception` misses it.

    Attributes:
      everywhere: all hosts stop together, at the same point.
      exit_code: of the program.
    """

    def __init__(self, everywhere: bool, interrupted: bool = False, saved: str = '') -> None:
        """Builds the message.

        Args:
          everywhere: all hosts stop together, at the same point.
          interrupted: by Ctrl-C, not by SIGTERM.
          saved: what was saved, such as 'saved at step 120'.
        """
        signal_name = 'Ctrl-C' if interrupted else 'SIGTERM'
        where = f': {saved}; the same command continues from there'
        if not saved:
            where = '; the same command continues from what was saved last'
        super().__init__(f'stopped by {signal_name}{where}')
        self.everywhere = everywhere
        self.exit_code = INTERRUPTED_EXIT_CODE if interrupted else EXIT_CODE


class _Notice:
    """What the signal handlers and the program tell each other."""

    terminated = False
    interrupted = False
    awaited = False


def install_handlers() -> None:
    """From now on SIGTERM raises Preempted; within `between_steps` it waits to be asked for.

    SIGINT raises KeyboardInterrupt, but within `between_steps` only the second one does. Where
    the caller ignores SIGINT (a command started in the background), it stays ignored.
    """
    signal.signal(signal.SIGTERM, _on_terminate)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _on_interrupt)


def _on_terminate(*_: object) -> None:
    _Notice.terminated = True
    if not _Notice.awaited:
        raise Preempted(everywhere=False)


def _on_interrupt(*_: object) -> None:
    if _Notice.interrupted or not _Notice.awaited:
        raise KeyboardInterrupt
    _Notice.interrupted = True
    os.write(sys.__stderr__.fileno(), _WILL_SAVE)  # print may be what was interrupted


@contextlib.contextmanager
def between_steps() -> Iterator[None]:
    """Within, the first signal waits until the program asks `stop_now`, or has come to the end.

    Raises:
      Preempted: the signal came too late to be asked for; everything within is done.
    """
    _Notice.awaited = True
    try:
        yield
    finally:
        _Notice.awaited = False
    if stop_now():
        raise stopped('training is done')


def stop_now() -> bool:
    """Whether any host has been told to stop; all must ask, at the same point."""
    return hosts.any_host(_Notice.terminated or _Notice.interrupted)


def stopped(saved: str) -> Preempted:
    """The exception to raise after `stop_now`, on all hosts; `saved` says what was saved."""
    return Preempted(True, hosts.any_host(_Notice.interrupted), saved)


def interrupt_message(mode: str) -> str:
    """What is said of a KeyboardInterrupt in a mode of the program."""
    if mode in RESUMABLE_MODES:
        return 'interrupted; the same command continues from what was saved last'
    return 'interrupted'
