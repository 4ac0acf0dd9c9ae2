"""Which requests are answered: by host name, by the page they come from, and by who asks."""

import ipaddress
import urllib.parse

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from diface_jax.web.audit import record_of
from diface_jax.web.errors import error_answer, try_again
from diface_jax.web.limits import RateLimit
from diface_jax.web.tokens import Sessions, Tokens

COOKIE = 'diface_session'
HEALTH = '/healthz'  # is asked by machines that have no token, under any name
LOGIN = '/login'
_WRONG_TOKENS = 10  # a minute, of an address


class Access:
    """Decides about requests.

    Args:
      names: host names under which the server answers, in lower case.
      tokens: who may ask; None: everybody who can reach the server.
    """

    def __init__(self, names: frozenset[str], tokens: Tokens | None) -> None:
        self._names, self._tokens = names, tokens
        self.sessions = Sessions()
        self._wrong_tokens = RateLimit(_WRONG_TOKENS)

    @property
    def needs_token(self) -> bool:
        """Whether one must log in."""
        return self._tokens is not None

    def refusal(self, request: Request) -> Response | None:
        """Why a request is not answered; None where it is. Records who asks."""
        return self._other_site(request) or (self._unknown(request) if self._tokens else None)

    def check_token(self, request: Request, token: str) -> str | Response:
        """The name of a token; the refusal where it is wrong."""
        user = self._tokens.user_of(token)
        if user is not None:
            return user
        if wait := self._wrong_tokens.wait(request.client.host if request.client else ''):
            record_of(request.scope).is_recorded = False  # or a flood would fill the disk
            return try_again(429, 'too many wrong tokens', wait)
        return _need_token('this token is not known')

    def _other_site(self, request: Request) -> Response | None:
        """Refuses other host names (DNS rebinding), and what the page of another site asks."""
        host = request.headers.get('host', '')
        if _host_name(host) not in self._names:
            return error_answer(
                400, f'the server does not answer as {host!r}: --server_name adds a name'
            )
        if request.headers.get('sec-fetch-site', 'none') not in ('same-origin', 'none'):
            return error_answer(403, 'another site may not ask')
        own = f'{request.url.scheme}://{host}'
        origin = request.headers.get('origin', own)
        if origin.lower() != own.lower():
            return error_answer(
                403,
                f'another site may not ask: the page is of {origin}, and the server is asked as '
                f'{own}. A reverse proxy must pass Host and X-Forwarded-Proto on',
            )
        return None

    def _unknown(self, request: Request) -> Response | None:
        """Refuses who has neither a token nor a session; remembers who has."""
        if request.url.path == LOGIN:
            return None
        scheme, _, token = request.headers.get('authorization', '').partition(' ')
        if scheme.lower() == 'bearer':
            user = self.check_token(request, token.strip())
            if isinstance(user, Response):
                return user
        else:
            user = self.sessions.user_of(request.cookies.get(COOKIE, ''))
        if user is None:
            return _need_token('log in on the page, or send Authorization: Bearer TOKEN')
        record_of(request.scope).user = user
        return None


class Guarded:
    """Answers only those who may ask.

    Args:
      app: answers them.
      access: decides.
      login_page: what a browser gets that asks for the page and has not logged in.
    """

    def __init__(self, app: ASGIApp, access: Access, login_page: Response) -> None:
        self._app, self._access, self._login_page = app, access, login_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or refuses it."""
        answer = self._app
        if scope['type'] == 'http' and scope['path'] != HEALTH:
            answer = self._access.refusal(Request(scope)) or self._app
            is_unknown = answer is not self._app and answer.status_code == 401
            if is_unknown and scope['path'] == '/' and scope['method'] == 'GET':
                answer = self._login_page
        await answer(scope, receive, send)


class OnlyProxy:
    """Answers the reverse proxy alone; this machine may ask for the server's health."""

    def __init__(self, app: ASGIApp, proxy: str) -> None:
        self._app, self._proxy = app, ipaddress.ip_address(proxy)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or refuses it."""
        answer = self._app
        if scope['type'] == 'http' and scope['path'] != HEALTH:
            client = (scope.get('client') or ('',))[0]
            if not _is_same_address(client, self._proxy):
                answer = error_answer(403, 'ask the reverse proxy in front of this server')
        await answer(scope, receive, send)


def _is_same_address(text: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        asking = ipaddress.ip_address(text)
    except ValueError:
        return False
    return (getattr(asking, 'ipv4_mapped', None) or asking) == address


def _need_token(why: str) -> Response:
    return error_answer(401, why, {'WWW-Authenticate': 'Bearer'})


def _host_name(host: str) -> str:
    """The name in a Host header, without the port and in lower case; '' of what is none."""
    try:
        return (urllib.parse.urlsplit(f'//{host}').hostname or '').lower()
    except ValueError:
        return ''
