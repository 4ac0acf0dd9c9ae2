"""The audit log: who asked what, when, with how many results, as lines of JSON.

A request is answered once it is recorded: when the log cannot be written, it is refused.
"""

import asyncio
import concurrent.futures
import dataclasses
import datetime
import json
import os
import pathlib
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from diface_jax.web.errors import error_answer

_RECORD = 'diface.record'  # in a request's scope
_UNRECORDED = ('/api/faces/', '/api/openapi.json')  # pictures of results, each a request


@dataclasses.dataclass
class RequestRecord:
    """What is known of a request while it is answered.

    Attributes:
      user: who asked, by the name of the token; '' without tokens.
      details: of the question and its answer, for the log.
      is_recorded: whether it goes into the log.
    """

    user: str = ''
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    is_recorded: bool = False


def record_of(scope: Scope) -> RequestRecord:
    """The record of a request."""
    return scope.setdefault(_RECORD, RequestRecord())


class AuditLog:
    """A file that lines are appended to, for its owner alone.

    Each line opens the file anew, so that it can be rotated or deleted at any time.

    Raises:
      OSError: the file cannot be written.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.write(None)
        except OSError as error:
            raise OSError(f'--audit_log={path}: {error.strerror}; give another file') from error

    def write(self, entry: dict[str, Any] | None) -> None:
        """Appends a line; all of it or nothing. None only opens the file."""
        line = b'' if entry is None else json.dumps(entry).encode() + b'\n'
        file = os.open(self._path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            os.fchmod(file, 0o600)  # of a file that was there already
            size = os.fstat(file).st_size
            if os.write(file, line) < len(line):
                os.ftruncate(file, size)
                raise OSError('no space left for the line')
        finally:
            os.close(file)


class Audited:
    """Records requests before they are answered.

    Args:
      app: answers them.
      log: the log; None records nothing.
    """

    def __init__(self, app: ASGIApp, log: AuditLog | None) -> None:
        self._app, self._log = app, log
        # One thread: lines do not mix, and a slow disk does not stop the server.
        self._writer = concurrent.futures.ThreadPoolExecutor(1, 'audit')

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope['type'] != 'http':
            await self._app(scope, receive, send)
            return
        record, started, is_refused = record_of(scope), time.monotonic(), False
        record.is_recorded = self._log is not None and _is_recorded(scope['path'])

        async def send_recorded(message: Message) -> None:
            nonlocal is_refused
            if is_refused:
                return
            if message['type'] == 'http.response.start' and record.is_recorded:
                entry = _entry(scope, record, message['status'], time.monotonic() - started)
                try:
                    await asyncio.get_running_loop().run_in_executor(
                        self._writer, self._log.write, entry
                    )
                except OSError as error:
                    is_refused = True
                    why = f'the audit log cannot be written ({error}): tell who runs the server'
                    await error_answer(503, why)(scope, receive, send)
                    return
            await send(message)

        await self._app(scope, receive, send_recorded)


def _is_recorded(path: str) -> bool:
    is_of_api = path.startswith('/api/') and not path.startswith(_UNRECORDED)
    return is_of_api or path in ('/login', '/logout')


def _entry(scope: Scope, record: RequestRecord, status: int, seconds: float) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC)
    return {
        'time': now.isoformat(timespec='milliseconds'),
        'user': record.user,
        'address': (scope.get('client') or ('',))[0],
        'request': f'{scope["method"]} {scope["path"]}',
        'status': status,
        'milliseconds': round(1e3 * seconds),
        **record.details,
    }
