"""Logging in on the page: a token in a form becomes a session in a cookie."""

import html
import urllib.parse

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

from diface_jax.web import answers
from diface_jax.web.access import COOKIE, LOGIN, Access
from diface_jax.web.audit import record_of
from diface_jax.web.page import read_login_page
from diface_jax.web.routes import described
from diface_jax.web.tokens import SESSION_SECONDS

_NO_ERROR = '<p class="error" role="alert"></p>'
_COOKIE = {'httponly': True, 'samesite': 'strict', 'secure': True}
_FORM = {
    'requestBody': {
        'required': True,
        'content': {
            'application/x-www-form-urlencoded': {
                'schema': {
                    'type': 'object',
                    'properties': {'token': {'type': 'string'}},
                    'required': ['token'],
                }
            }
        },
    }
}
_DONE = {303: {'description': 'logged in: the page'}}


def login_page(error: str = '') -> Response:
    """The page that asks for a token, and says what was wrong with the last one."""
    page = read_login_page()
    shown = f'<p class="error" role="alert">{html.escape(error)}</p>'
    return HTMLResponse(
        page.text.replace(_NO_ERROR, shown),
        401,
        {
            'Content-Security-Policy': page.policy,
            'Referrer-Policy': 'same-origin',  # with no-referrer, its form would have no origin
            'WWW-Authenticate': 'Bearer',
        },
    )


def login_router(access: Access) -> APIRouter:
    """The addresses to log in and out at."""
    router = APIRouter()

    @router.get(LOGIN, response_class=RedirectResponse, responses=described({}) | _DONE)
    async def log_in_on_page() -> Response:
        """Leads to the page, which asks for the token; a browser may reload this address."""
        return RedirectResponse('/', 303)

    @router.post(
        LOGIN,
        response_class=HTMLResponse,
        responses=described({}, 408, 413, 429, 503) | _DONE,
        openapi_extra=_FORM,
    )
    async def log_in(request: Request) -> Response:
        """Starts a session of the browser."""
        body = (await request.body()).decode('utf-8', 'replace')
        form = urllib.parse.parse_qs(body, max_num_fields=10)
        user = access.check_token(request, form.get('token', [''])[0].strip())
        if isinstance(user, Response):
            return login_page('This token is not known.') if user.status_code == 401 else user
        record_of(request.scope).user = user
        answer = RedirectResponse('/', 303)
        secret = access.sessions.start(user)
        answer.set_cookie(COOKIE, secret, max_age=SESSION_SECONDS, **_COOKIE)
        return answer

    @router.post(
        '/logout',
        response_model=None,
        responses=described({'model': answers.HealthAnswer}, 408, 413, 429, 503),
    )
    def log_out(request: Request) -> Response:
        """Ends the session of the browser."""
        access.sessions.end(request.cookies.get(COOKIE, ''))
        answer = JSONResponse({'status': 'logged out'})
        answer.delete_cookie(COOKIE, **_COOKIE)
        return answer

    return router
