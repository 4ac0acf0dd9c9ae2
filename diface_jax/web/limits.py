"""How much may be asked: how often, how many requests at once, how large, and for how long."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from diface_jax.gallery import enrollment, probe_photo
from diface_jax.web.audit import record_of
from diface_jax.web.errors import error_answer, try_again

REQUEST_SECONDS = 120  # to arrive and to be answered
HEADER_SECONDS = 20  # for the lines before the body
AT_ONCE = 256  # requests that make the server work
UPLOADS = 4  # photographs that are received at once, since each is held in memory
CONNECTIONS = 900  # below the 1,024 files that a process may usually open
_BODY_BYTES = 1_000_000  # of a request without a photograph
_LOGIN_BYTES = 10_000
_CLIENTS = 10_000  # whose rate is remembered
_CLOSE = {'Connection': 'close'}


def body_limit(path: str) -> int:
    """How many bytes the body of a request may have."""
    limits = {
        '/api/photos': enrollment.MAX_BYTES,
        '/api/probe': probe_photo.MAX_BYTES,
        '/login': _LOGIN_BYTES,
    }
    return limits.get(path, _BODY_BYTES)


class RateLimit:
    """Requests a minute of each client; a minute's worth may come at once.

    Args:
      per_minute: at least 1.
      clock: in seconds.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval, self._clock = 60 / per_minute, clock
        # When each client's requests so far would have come if they had come evenly.
        self._even: OrderedDict[str, float] = OrderedDict()

    def wait(self, client: str) -> float:
        """Counts a request; or returns, if it comes too early, in how many seconds it may come."""
        now = self._clock()
        even = max(now, self._even.get(client, now))
        too_early = even + self._interval - now - 60
        if too_early > 1e-6:
            return too_early
        self._even[client] = even + self._interval
        self._even.move_to_end(client)
        while len(self._even) > _CLIENTS:
            self._even.popitem(last=False)
        return 0.0


class Limited:
    """Refuses what is too much, with a sentence.

    Args:
      app: answers requests.
      rate: of each person; None: no limit.
    """

    def __init__(self, app: ASGIApp, rate: RateLimit | None) -> None:
        self._app, self._rate = app, rate
        self._working = 0
        self._uploads = asyncio.Semaphore(UPLOADS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or refuses it."""
        if scope['type'] != 'http' or not _is_work(scope):
            await self._app(scope, receive, send)
            return
        if self._working >= AT_ONCE:
            await try_again(503, f'busy with {AT_ONCE} requests', 1)(scope, receive, send)
            return
        user = record_of(scope).user  # '' of who is about to log in
        if self._rate and user and (wait := self._rate.wait(user)):
            await try_again(429, 'too many requests', wait)(scope, receive, send)
            return
        self._working += 1
        try:
            await _TimedRequest(scope, receive, send).answer(self._answer)
        finally:
            self._working -= 1

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope['path'] not in ('/api/photos', '/api/probe'):
            await self._app(scope, receive, send)
            return
        async with self._uploads:
            await self._app(scope, receive, send)


def _is_work(scope: Scope) -> bool:
    """Whether a request makes the server compute, or has a body."""
    return scope['method'] not in ('GET', 'HEAD') or scope['path'].startswith('/api/photos/')


class _TimedRequest:
    """A request whose body is limited in size, and whose answer must come in time."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._most, self._bytes = body_limit(scope['path']), 0
        self._has_arrived = self._has_answer = False

    async def answer(self, app: ASGIApp) -> None:
        """Answers it, or says what is too large or took too long."""
        if self._announced_bytes() > self._most:
            await self._refuse(413, self._too_large())
            return
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                await app(self._scope, self._receive_part, self._send_part)
        except TimeoutError:
            if not self._has_answer:  # else the client reads too slowly: the connection is closed
                await self._refuse_late()

    def _announced_bytes(self) -> int:
        announced = dict(self._scope['headers']).get(b'content-length', b'0')
        return int(announced) if announced.isdigit() else 0

    async def _receive_part(self) -> Message:
        message = await self._receive()
        if message['type'] == 'http.request':
            self._bytes += len(message.get('body', b''))
            if self._bytes > self._most:
                raise HTTPException(413, self._too_large(), _CLOSE)
            self._has_arrived = not message.get('more_body', False)
        return message

    async def _send_part(self, message: Message) -> None:
        self._has_answer = True
        await self._send(message)

    def _too_large(self) -> str:
        return f'more than {self._most:,} bytes: send less'

    async def _refuse_late(self) -> None:
        if self._has_arrived:
            await self._refuse(
                503, f'not done within {REQUEST_SECONDS} s: the server is busy, ask again later'
            )
        else:
            await self._refuse(
                408, f'the request did not arrive within {REQUEST_SECONDS} s: send it faster'
            )

    async def _refuse(self, status: int, sentence: str) -> None:
        answer = error_answer(status, sentence, _CLOSE)
        await answer(self._scope, self._receive, self._send)


class HeaderTimeLimit(H11Protocol):
    """A connection that is closed where the lines before the body take too long."""

    _end = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Starts the clock."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Starts the clock with the first byte of a further request, and stops it at its body."""
        super().data_received(data)
        self._watch()

    def _watch(self) -> None:
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle and self._end is None:
            self._end = self.loop.call_later(HEADER_SECONDS, self.timeout_keep_alive_handler)
        elif not is_idle and self._end is not None:
            self._end.cancel()
            self._end = None
