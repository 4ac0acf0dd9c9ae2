"""Searches of several people at once, in one pass over the gallery.

One thread searches. Whatever has arrived while it was busy is scored together: probes with equal
options make one call of `Model.search_many`. Nobody waits for others to arrive.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from diface_jax.gallery.address import Gallery
from diface_jax.gallery.probe_photo import ProbePhoto
from diface_jax.gallery.results import SearchResults
from diface_jax.model import Model

MAX_PROBES = 32  # of a pass
DEAD = 'the thread that searches has died: restart the server'


class SearchRequest(NamedTuple):
    """A search: the probe, and the options by which it can share a pass with others."""

    texts: tuple[str, ...]
    photo: ProbePhoto | None
    k: int
    where: tuple[tuple[str, str], ...]
    people: bool

    @property
    def options(self) -> tuple[Any, ...]:
        """What must be equal within a pass."""
        return self[2:]


class _Waiting(NamedTuple):
    request: SearchRequest
    answer: Future[SearchResults]


class SearchBatcher:
    """Answers searches in a thread of its own.

    Args:
      model: a trained model.
      gallery: as `Model.search` takes it.
      observe: is told the number of probes of each pass.
    """

    def __init__(self, model: Model, gallery: Gallery, observe: Callable[[int], None]) -> None:
        self._model, self._gallery, self._observe = model, gallery, observe
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name='search', daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether searches are still answered."""
        return self._thread.is_alive()

    def submit(self, request: SearchRequest) -> Future[SearchResults]:
        """Starts a search; the future raises as `Model.search` does.

        Raises:
          OSError: the thread has died.
        """
        if not self.is_running:
            raise OSError(DEAD)
        answer = Future()
        self._waiting.put(_Waiting(request, answer))
        return answer

    def close(self) -> None:
        """Ends the thread once it has answered what was submitted."""
        self._waiting.put(None)

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            is_last = self._answer_all(list(self._arrived(first)))
            if is_last:
                return

    def _arrived(self, first: _Waiting) -> Iterator[_Waiting | None]:
        yield first
        for _ in range(MAX_PROBES - 1):
            try:
                yield self._waiting.get_nowait()
            except queue.Empty:
                return

    def _answer_all(self, arrived: Sequence[_Waiting | None]) -> bool:
        """Answers requests, those with equal options together; returns whether None is in them."""
        groups: dict[tuple[Any, ...], list[_Waiting]] = {}
        for each in filter(None, arrived):
            if each.answer.set_running_or_notify_cancel():  # else its client is gone
                groups.setdefault(each.request.options, []).append(each)
        for group in groups.values():
            self._answer(group)
        return None in arrived

    def _answer(self, group: Sequence[_Waiting]) -> None:
        """Answers requests with equal options; an error is raised where the answer is awaited."""
        self._observe(len(group))
        answers = [each.answer for each in group]
        try:
            results = self._search([each.request for each in group])
        except ValueError as error:
            if len(group) == 1:
                answers[0].set_exception(error)
            else:  # of one of them perhaps, such as a description that is not understood
                for each in group:
                    self._answer([each])
        except Exception as error:
            # As an executor does: a thread that dies would leave everybody waiting. Not tried again
            # for each: a server that is gone would keep all others waiting as often.
            for answer in answers:
                answer.set_exception(error)
        else:
            for answer, result in zip(answers, results, strict=True):
                answer.set_result(result)

    def _search(self, requests: Sequence[SearchRequest]) -> list[SearchResults]:
        first = requests[0]
        return self._model.search_many(
            self._gallery,
            [request.texts for request in requests],
            first.k,
            first.where,
            photos=[request.photo for request in requests],
            people=first.people,
        )
