"""Connections to PostgreSQL that stay open after use: connecting takes longer than a search.

Why not psycopg_pool? It connects in threads of its own, and repeats what fails until a time limit:
whoever asks a server that is down would wait for the limit, and not learn the reason.
"""

import atexit
import contextlib
import os
import threading
from typing import Any, NamedTuple

from diface_jax.gallery.postgres_client import postgres_module

_MOST = 8  # of a process
# The server ends an idle one after a while. Locks of a session must not outlive its use.
_RESET = "SELECT pg_advisory_unlock_all(), set_config('idle_session_timeout', '300s', false)"


class Session(NamedTuple):
    """A connection that is set up for the gallery in a schema."""

    connection: Any
    schema: str


# A process that is forked leaves those of its parent alone.
_kept: list[tuple[int, str, Session]] = []
_lock = threading.Lock()


def take(url: str) -> Session | None:
    """The session that was kept last for a URL. The server may have ended it meanwhile."""
    with _lock:
        for place in reversed(range(len(_kept))):
            if _kept[place][:2] == (os.getpid(), url):
                return _kept.pop(place)[2]
    return None


def keep(url: str, session: Session) -> None:
    """Keeps a session without its locks. One within a transaction is closed, or the oldest."""
    psycopg, connection = postgres_module('psycopg'), session.connection
    is_idle = connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    with contextlib.suppress(psycopg.Error):
        if is_idle and connection.execute(_RESET):
            with _lock:
                _kept.append((os.getpid(), url, session))
                connection = _kept.pop(0)[2].connection if len(_kept) > _MOST else None
    if connection:
        connection.close()


def close_kept() -> None:
    """Closes all; called when the program ends."""
    with _lock:
        sessions = [session for process, _, session in _kept if process == os.getpid()]
        _kept.clear()
    for session in sessions:
        session.connection.close()


atexit.register(close_kept)
