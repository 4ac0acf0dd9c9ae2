"""Handles the signals that stop a run: SIGTERM (the machine is taken away) and SIGINT (Ctrl-C).

Training stops at a step that all hosts agree on, and saves. Every other mode stops at once, and
continues from its files on disk. A second Ctrl-C stops training at once too.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

from diface_jax.runtime import hosts

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: the same command continues
INTERRUPTED_EXIT_CODE = 130  # 128 + SIGINT: a launcher must not restart it

RESUMABLE_MODES = ('all', 'prepare', 'train', 'sweep', 'ablate', 'enroll')

_WILL_SAVE = b'\nCtrl-C: training saves at the next step and stops; press again to stop at once\n'


class Preempted(BaseException):
    """A signal asked the program to stop; like KeyboardInterrupt, `except Exception` misses it.

    Attributes:
      everywhere: whether all hosts stop together, at the same point.
      exit_code: exit code of the program.
    """

    def __init__(self, everywhere: bool, interrupted: bool = False, saved: str = '') -> None:
        """Builds the message.

        Args:
          everywhere: whether all hosts stop together, at the same point.
          interrupted: whether the signal was Ctrl-C, not SIGTERM.
          saved: what was saved, such as 'saved at step 120'; '' if nothing was just now.
        """
        signal_name = 'Ctrl-C' if interrupted else 'SIGTERM'
        where = f': {saved}; the same command continues from there'
        if not saved:
            where = '; the same command continues from what was saved last'
        super().__init__(f'stopped by {signal_name}{where}')
        self.everywhere = everywhere
        self.exit_code = INTERRUPTED_EXIT_CODE if interrupted else EXIT_CODE


class _Notice:
    """State shared by the signal handlers and the program.

    Attributes:
      terminated: SIGTERM has come.
      interrupted: Ctrl-C has come.
      deferred: signals wait for `stop_now` instead of raising.
    """

    terminated = False
    interrupted = False
    deferred = False


def install_handlers() -> None:
    """Installs the signal handlers of the program.

    SIGTERM raises Preempted and SIGINT KeyboardInterrupt; within `between_steps` the first signal
    waits for `stop_now`. If the caller ignores SIGINT, as for a command in the background, it stays
    ignored.
    """
    signal.signal(signal.SIGTERM, _on_terminate)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _on_interrupt)


def _on_terminate(*_: object) -> None:
    _Notice.terminated = True
    if not _Notice.deferred:
        raise Preempted(everywhere=False)


def _on_interrupt(*_: object) -> None:
    if _Notice.interrupted or not _Notice.deferred:
        raise KeyboardInterrupt
    _Notice.interrupted = True
    os.write(sys.__stderr__.fileno(), _WILL_SAVE)  # the signal may have interrupted print


@contextlib.contextmanager
def between_steps() -> Iterator[None]:
    """Within this context the first signal waits until `stop_now` is called or the context ends.

    Raises:
      Preempted: a signal came after the last call of `stop_now`; all work within is done.
    """
    _Notice.deferred = True
    try:
        yield
    finally:
        _Notice.deferred = False
    if stop_now():
        raise stopped('training is done')


def stop_now() -> bool:
    """Whether a signal has come on any host; all hosts must call it at the same point."""
    return hosts.any_host(_Notice.terminated or _Notice.interrupted)


def stopped(saved: str) -> Preempted:
    """The exception that all hosts raise after `stop_now`; `saved` names what was saved."""
    return Preempted(True, hosts.any_host(_Notice.interrupted), saved)


def interrupt_message(mode: str) -> str:
    """The message after a KeyboardInterrupt in a mode of the program."""
    if mode in RESUMABLE_MODES:
        return 'interrupted; the same command continues from what was saved last'
    return 'interrupted'
