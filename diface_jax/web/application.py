"""The page, its API, and what stands in front of them, as one application.

A request passes, from the outside in: the security headers, the proxy's address, the metrics, the
audit log, who may ask (`access`), how much may be asked (`limits`), and the routes.
"""

import contextlib
from collections.abc import AsyncIterator
from importlib import metadata

from fastapi import Depends, FastAPI, Response
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import HTTPBearer
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from diface_jax.gallery.address import Gallery
from diface_jax.model import Model
from diface_jax.web import answers
from diface_jax.web.access import HEALTH, Access, Guarded, OnlyProxy
from diface_jax.web.audit import Audited, AuditLog
from diface_jax.web.batching import DEAD
from diface_jax.web.errors import add_error_answers, error_answer
from diface_jax.web.limits import Limited, RateLimit
from diface_jax.web.login import login_page, login_router
from diface_jax.web.metrics import CONTENT_TYPE, Measured, Metrics
from diface_jax.web.options import ServerOptions
from diface_jax.web.page import read_page
from diface_jax.web.routes import Api, described
from diface_jax.web.tokens import read_tokens

_HEADERS = {
    # Of everything but a page, which brings its own policy.
    'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cache-Control': 'no-store',
}


def application(model: Model, gallery: Gallery, options: ServerOptions | None = None) -> FastAPI:
    """The page and its API.

    Args:
      model: a trained model.
      gallery: as `Model.search` takes it.
      options: who may ask, and what is recorded; None: everybody on this machine, and nothing.

    Raises:
      OSError, ValueError: the tokens cannot be read, or the audit log cannot be written.
    """
    options = options or ServerOptions()
    tokens = read_tokens(options.token_file) if options.token_file else None
    access, metrics = Access(options.names, tokens), Metrics()
    api = Api(model, gallery, options.photos, metrics.pass_probes.observe)
    app = FastAPI(
        title='DiFace',
        version=metadata.version('diface_jax'),
        description='Searches the photographs of a gallery by descriptions of faces.',
        docs_url=None,
        redoc_url=None,
        openapi_url='/api/openapi.json',
        lifespan=_closing(api),
    )
    add_error_answers(app)
    bearer = [Depends(HTTPBearer(auto_error=False))] if access.needs_token else []
    app.include_router(api.router(), dependencies=bearer)
    if access.needs_token:
        app.include_router(login_router(access))
    _add_pages(app, api, metrics)
    _add_guards(app, options, access, metrics)
    return app


def _closing(api: Api) -> contextlib.AbstractAsyncContextManager:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        api.close()

    return lifespan


def _add_pages(app: FastAPI, api: Api, metrics: Metrics) -> None:
    web_page = read_page()

    @app.get('/', response_class=HTMLResponse, responses=described({}))
    async def page() -> Response:
        """The page to search on."""
        return HTMLResponse(web_page.text, headers={'Content-Security-Policy': web_page.policy})

    @app.get(
        HEALTH,
        response_model=None,
        responses={
            200: {'model': answers.HealthAnswer, 'description': 'searches are answered'},
            503: {'model': answers.ErrorAnswer, 'description': 'searches are not answered'},
        },
    )
    async def health() -> Response:
        """Whether the server works; answered at once, without a token."""
        if api.batcher.is_running:
            return JSONResponse({'status': 'ok'})
        return error_answer(503, DEAD)

    text = {'content': {'text/plain': {'schema': {'type': 'string'}}}}

    @app.get('/metrics', response_class=Response, responses=described(text))
    async def numbers() -> Response:
        """Numbers for Prometheus."""
        return Response(metrics.text(), headers={'Content-Type': CONTENT_TYPE})


def _add_guards(app: FastAPI, options: ServerOptions, access: Access, metrics: Metrics) -> None:
    """Puts the guards in front of the routes, the innermost first."""
    rate = RateLimit(options.rate_limit) if access.needs_token else None
    app.add_middleware(Limited, rate=rate)
    app.add_middleware(Guarded, access=access, login_page=login_page())
    app.add_middleware(Audited, log=AuditLog(options.audit_log) if options.audit_log else None)
    app.add_middleware(Measured, metrics=metrics)
    if options.proxy:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=[options.proxy])
        app.add_middleware(OnlyProxy, proxy=options.proxy)
    app.add_middleware(_WithHeaders)


class _WithHeaders:
    """Adds the security headers to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message['type'] == 'http.response.start':
                headers = list(message.get('headers', ()))
                known = {name.lower() for name, _ in headers}
                new = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
                message['headers'] = headers + [pair for pair in new if pair[0] not in known]
            await send(message)

        await self._app(scope, receive, send_with_headers)
