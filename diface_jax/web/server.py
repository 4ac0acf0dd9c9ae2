"""The server of a page in the browser: add photographs, type a description, see the results.

It listens on this machine only, and answers only its own page: a request under another host name
(DNS rebinding) or from the page of another site is refused. The page loads nothing from elsewhere.
"""

import base64
import collections
import dataclasses
import hashlib
import socket
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from absl import logging

from diface_jax.gallery import enrollment, probe_photo, store
from diface_jax.gallery.address import Gallery
from diface_jax.gallery.probe_photo import ProbePhoto
from diface_jax.gallery.search_options import DEFAULT_K
from diface_jax.model import Model
from diface_jax.web.browser import open_in_browser
from diface_jax.web.page import read_page

try:
    import uvicorn
    from fastapi import Body, FastAPI, Request, Response
    from fastapi.concurrency import run_in_threadpool
    from fastapi.responses import HTMLResponse, JSONResponse
    from starlette.middleware.trustedhost import TrustedHostMiddleware
except ImportError as error:
    raise ImportError(f"the page needs {error.name}: pip install 'diface_jax[web]'") from error

HOST = '127.0.0.1'
MAX_RESULTS = 1000
_PROBES = 16  # photographs to search by that are kept in memory, of all open pages
_HEADERS = {
    # Of everything but the page, which brings its own.
    'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cache-Control': 'no-store',
}


def serve(model: Model, gallery: Gallery, port: int, open_page: bool = False) -> None:
    """Serves the page until it is interrupted.

    Args:
      model: a trained model.
      gallery: its folder or database; created when it does not exist.
      port: on this machine alone.
      open_page: opens the page in the user's browser.

    Raises:
      ValueError: the port is taken.
    """
    model.count(gallery)  # creates the gallery, or raises where it cannot be used
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        raise ValueError(f'port {port}: {error.strerror}; give another --port') from error
    address = f'http://{HOST}:{port}'
    is_opened = open_page and open_in_browser(address)
    todo = 'opened in your browser' if is_opened else 'open it in a browser'
    logging.info('the page is at %s: %s (stop it with Ctrl-C)', address, todo)
    server = uvicorn.Server(uvicorn.Config(application(model, gallery), log_level='warning'))
    server.run(sockets=[listening])


def application(model: Model, gallery: Gallery) -> FastAPI:
    """The page and its API; requests to the model are handled one at a time."""
    app, turn = FastAPI(docs_url=None, redoc_url=None, openapi_url=None), threading.Lock()
    web_page = read_page()
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, 'localhost'])

    app.middleware('http')(_guard)
    for kind in (ValueError, OSError, sqlite3.Error):
        app.add_exception_handler(kind, _explain)

    @app.get('/')
    def page() -> Response:
        return HTMLResponse(web_page.text, headers={'Content-Security-Policy': web_page.policy})

    probes = _ProbePhotos()
    _add_gallery_routes(app, model, gallery, turn)
    _add_search_routes(app, model, gallery, turn, probes)
    _add_entry_routes(app, model, gallery, turn)
    return app


def _add_gallery_routes(app: FastAPI, model: Model, gallery: Gallery, turn: threading.Lock) -> None:
    @app.get('/api/gallery')
    def gallery_info() -> dict[str, Any]:
        with turn:
            return {
                **model.count(gallery),
                'takes_photographs': model.takes_photographs,
                'takes_probe_photos': model.takes_probe_photos,
                'choices': model.choices(gallery),
            }

    @app.post('/api/photos')
    async def enroll(request: Request, name: str, person: str = '') -> dict[str, Any]:
        data = await _body(request, enrollment.MAX_BYTES)
        label = store.PhotoLabel(person.strip() or None)

        def enroll_it() -> enrollment.EnrollReport:
            with turn:
                return model.enroll_bytes(gallery, name, data, label)

        return dataclasses.asdict(await run_in_threadpool(enroll_it))


def _add_search_routes(
    app: FastAPI,
    model: Model,
    gallery: Gallery,
    turn: threading.Lock,
    probes: '_ProbePhotos',
) -> None:
    @app.post('/api/probe')
    async def probe(request: Request) -> dict[str, Any]:
        data = await _body(request, probe_photo.MAX_BYTES)

        def read_it() -> ProbePhoto:
            with turn:
                return model.probe_photo(data)

        photo = await run_in_threadpool(read_it)
        picture = base64.b64encode(photo.picture).decode()
        return {
            'probe': probes.keep(data, photo),
            'picture': f'data:image/jpeg;base64,{picture}',
            'size': photo.summary.size,
            'notes': photo.summary.notes,
        }

    @app.post('/api/search')
    def search(
        texts: Annotated[list[str], Body()],
        k: Annotated[int, Body(ge=1, le=MAX_RESULTS)] = DEFAULT_K,
        people: Annotated[bool, Body()] = False,
        where: Annotated[list[tuple[str, str]], Body()] = (),
        probe: Annotated[str, Body()] = '',
    ) -> dict[str, Any]:
        verb, photo = model.identify if people else model.search, probes.photo(probe)
        with turn:
            results = verb(gallery, texts, k, where, photo=photo)
        return results.to_json() | {'meaning': results.meaning}


def _add_entry_routes(app: FastAPI, model: Model, gallery: Gallery, turn: threading.Lock) -> None:
    @app.get('/api/faces/{entry}')
    def face(entry: int) -> Response:
        with turn:
            picture = model.wide_picture(gallery, entry)
        return Response(picture, media_type='image/jpeg') if picture else Response(status_code=404)

    @app.get('/api/photos/{entry}')
    def photo(entry: int) -> Response:
        view = model.photo(gallery, entry)
        size = {'X-Photo-Width': str(view.width), 'X-Photo-Height': str(view.height)}
        return Response(view.jpeg, media_type='image/jpeg', headers=size)

    @app.delete('/api/entries/{entry}')
    def remove(entry: int) -> dict[str, int]:
        with turn:
            return {'removed': store.remove_entries(gallery, {'entry': str(entry)})}


async def _guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuses requests that the page of another site makes."""
    if request.headers.get('sec-fetch-site', 'none') not in ('same-origin', 'none'):
        return JSONResponse({'error': 'another site may not ask'}, 403)
    response = await call_next(request)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _explain(_: Request, error: Exception) -> Response:
    return JSONResponse({'error': str(error)}, 400)


async def _body(request: Request, most: int) -> bytes:
    """The body of a request; ValueError where it has more bytes than that."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > most:
            raise ValueError(f'more than {most:,} bytes')
    return bytes(data)


class _ProbePhotos:
    """The faces of the photographs that pages search by, in memory alone; the latest are kept."""

    def __init__(self) -> None:
        self._photos: collections.OrderedDict[str, ProbePhoto] = collections.OrderedDict()

    def keep(self, data: bytes, photo: ProbePhoto) -> str:
        """Keeps what was made of a photo's bytes; returns its key."""
        key = hashlib.sha256(data).hexdigest()
        self._photos[key] = photo
        self._photos.move_to_end(key)
        while len(self._photos) > _PROBES:
            self._photos.popitem(last=False)
        return key

    def photo(self, key: str) -> ProbePhoto | None:
        """The photo of a key; None of '', which is no photo. Raises ValueError where it is gone."""
        if key and key not in self._photos:
            raise ValueError('the photo is no longer in memory: choose it again')
        return self._photos[key] if key else None
