"""The API: what each address does with the model and the gallery."""

import asyncio
import base64
import concurrent.futures
import dataclasses
import pathlib
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.responses import JSONResponse

from diface_jax.gallery import store
from diface_jax.gallery.address import Gallery
from diface_jax.gallery.entries import PhotoLabel
from diface_jax.gallery.probe_photo import ProbePhoto
from diface_jax.gallery.search_options import DEFAULT_K
from diface_jax.model import Model
from diface_jax.web import answers
from diface_jax.web.audit import record_of
from diface_jax.web.batching import SearchBatcher, SearchRequest
from diface_jax.web.probes import ProbePhotos

T = TypeVar('T')

MAX_RESULTS = 1000
# A search that holds up others for a few seconds at most.
_MOST_TEXTS, _MOST_CHARACTERS, _MOST_CONDITIONS = 20, 5000, 50
_VIEWS = 2  # photographs that are decoded at once to be shown
_ERRORS = {
    400: 'it cannot be done; the sentence says why',
    401: 'no token, or a wrong one',
    403: 'asked by the page of another site',
    404: 'there is nothing of this number or address',
    408: 'the request took too long to arrive',
    413: 'the body is too large',
    422: 'a field is missing or out of range',
    429: 'too many requests; Retry-After says when to ask again',
    500: 'the server failed',
    503: 'the server is busy, out of disk or memory, or cannot record the request',
}
_RAW_BODY = {
    'requestBody': {
        'required': True,
        'description': 'the bytes of a photograph',
        'content': {'application/octet-stream': {'schema': {'type': 'string'}}},
    }
}
_JPEG = {'content': {'image/jpeg': {'schema': {'type': 'string', 'format': 'binary'}}}}


def described(ok: dict[str, Any], *errors: int) -> dict[int | str, dict[str, Any]]:
    """The responses of a route for its documentation: of success, and of these errors."""
    said = {
        status: {'model': answers.ErrorAnswer, 'description': _ERRORS[status]}
        for status in (*errors, 400, 401, 403, 500)
    }
    return {200: {'description': 'done'} | ok, **said}


class Api:
    """The routes of a gallery, and the threads that work for them.

    Searches share a thread (see `batching`); photographs that are enrolled or searched by have
    another, those that are shown two, and what can be filtered by one, so that none waits for the
    others.

    Args:
      model: a trained model.
      gallery: as `Model.search` takes it.
      photos: photographs are shown from below this folder alone; None: from where they were
        enrolled.
      observe: is told the number of searches of each pass.
    """

    def __init__(
        self,
        model: Model,
        gallery: Gallery,
        photos: pathlib.Path | None,
        observe: Callable[[int], None],
    ) -> None:
        self._model, self._gallery, self._photos = model, gallery, photos
        self._probes = ProbePhotos()
        self._reader = concurrent.futures.ThreadPoolExecutor(1, 'choices')
        self._photo_worker = concurrent.futures.ThreadPoolExecutor(1, 'photographs')
        self._viewers = concurrent.futures.ThreadPoolExecutor(_VIEWS, 'views')
        self.batcher = SearchBatcher(model, gallery, observe)

    def close(self) -> None:
        """Ends the threads once their work is done."""
        self.batcher.close()
        for workers in (self._reader, self._photo_worker, self._viewers):
            workers.shutdown(wait=False, cancel_futures=True)

    def router(self) -> APIRouter:
        """The addresses."""
        router, add = APIRouter(prefix='/api'), _described_route
        add(router.get, '/gallery', self.gallery_info, {'model': answers.GalleryAnswer}, 503)
        add(router.post, '/search', self.search, {'model': answers.SearchAnswer}, *_WORK)
        add(
            *(router.post, '/probe', self.probe, {'model': answers.ProbeAnswer}, *_WORK),
            openapi_extra=_RAW_BODY,
        )
        add(
            *(router.post, '/photos', self.enroll, {'model': answers.EnrollAnswer}, *_WORK),
            openapi_extra=_RAW_BODY,
        )
        add(router.get, '/faces/{entry}', self.face, _JPEG, 404, 422, 503)
        add(router.get, '/photos/{entry}', self.photo, _JPEG, 404, 422, 429, 503)
        removed = {'model': answers.RemovedAnswer}
        add(router.delete, '/entries/{entry}', self.remove, removed, 422, 429, 503)
        return router

    async def gallery_info(self, request: Request) -> Response:
        """How many faces the gallery holds, and what they can be filtered by."""
        info = await _work(self._reader, self._gallery_info)
        return JSONResponse(info | {'user': record_of(request.scope).user})

    def _gallery_info(self) -> dict[str, Any]:
        return {
            **self._model.count(self._gallery),  # creates a gallery that does not exist
            'takes_photographs': self._model.takes_photographs,
            'takes_probe_photos': self._model.takes_probe_photos,
            'choices': self._model.choices(self._gallery),  # reads all of it after a change
        }

    async def enroll(
        self,
        request: Request,
        name: Annotated[str, Query(max_length=4000)],
        person: Annotated[str, Query(max_length=200)] = '',
    ) -> Response:
        """Enrols the faces of a photograph under the name of its file."""
        data, label = await request.body(), PhotoLabel(person.strip() or None)
        details = record_of(request.scope).details
        details |= {'name': name, 'person': label.person}
        report = await _work(
            self._photo_worker, lambda: self._model.enroll_bytes(self._gallery, name, data, label)
        )
        details['faces'] = report.faces
        return JSONResponse(dataclasses.asdict(report))

    async def probe(self, request: Request) -> Response:
        """Takes the face of a photograph to search by; it is kept in memory alone."""
        data, record = await request.body(), record_of(request.scope)
        photo = await _work(self._photo_worker, lambda: self._model.probe_photo(data))
        picture = base64.b64encode(photo.picture).decode()
        record.details['faces'] = photo.summary.faces
        return JSONResponse(
            {
                'probe': self._probes.keep(record.user, data, photo),
                'picture': f'data:image/jpeg;base64,{picture}',
                'size': photo.summary.size,
                'notes': photo.summary.notes,
            }
        )

    async def search(
        self,
        request: Request,
        texts: Annotated[list[str], Body(max_length=_MOST_TEXTS)],
        k: Annotated[int, Body(ge=1, le=MAX_RESULTS)] = DEFAULT_K,
        people: Annotated[bool, Body()] = False,
        where: Annotated[list[tuple[str, str]], Body(max_length=_MOST_CONDITIONS)] = (),
        probe: Annotated[str, Body(max_length=64)] = '',
    ) -> Response:
        """The faces (or people) that fit a description, a photograph from /api/probe, or both."""
        record = record_of(request.scope)
        record.details |= {
            **{'texts': texts, 'photo': bool(probe), 'where': where, 'people': people, 'k': k}
        }
        if sum(map(len, texts)) > _MOST_CHARACTERS:
            raise ValueError(f'describe the person in at most {_MOST_CHARACTERS:,} characters')
        photo: ProbePhoto | None = self._probes.photo(record.user, probe)
        conditions = tuple((name, value) for name, value in where)
        asked = SearchRequest(tuple(texts), photo, k, conditions, people)
        results = await asyncio.wrap_future(self.batcher.submit(asked))
        record.details |= {'results': len(results.results), 'decision': results.decision}
        return JSONResponse(results.to_json() | {'meaning': results.meaning})

    def face(self, entry: int) -> Response:
        """The small picture of an entry's face."""
        picture = self._model.wide_picture(self._gallery, entry)
        if not picture:
            return JSONResponse({'error': f'entry {entry} has no picture'}, 404)
        return Response(picture, media_type='image/jpeg')

    async def photo(self, entry: int) -> Response:
        """The photograph that an entry's face was found in, as its file is now."""
        view = await _work(
            self._viewers, lambda: self._model.photo(self._gallery, entry, self._photos)
        )
        size = {'X-Photo-Width': str(view.width), 'X-Photo-Height': str(view.height)}
        return Response(view.jpeg, media_type='image/jpeg', headers=size)

    def remove(self, request: Request, entry: int) -> Response:
        """Deletes an entry from the gallery for good."""
        removed = store.remove_entries(self._gallery, {'entry': str(entry)})
        record_of(request.scope).details['removed'] = removed
        return JSONResponse({'removed': removed})


_WORK = (404, 408, 413, 422, 429, 503)


def _described_route(
    method: Callable[..., Callable[..., Any]],
    path: str,
    endpoint: Callable[..., Any],
    ok: dict[str, Any],
    *errors: int,
    **options: Any,
) -> None:
    """Adds a route whose answers are described; they are sent as they are, not checked again."""
    if 'model' not in ok:
        options['response_class'] = Response
    described_route = method(path, response_model=None, responses=described(ok, *errors), **options)
    described_route(endpoint)


async def _work(workers: concurrent.futures.Executor, task: Callable[[], T]) -> T:
    """What a task returns; a request that is given up leaves it to end by itself."""
    return await asyncio.wrap_future(workers.submit(task))
