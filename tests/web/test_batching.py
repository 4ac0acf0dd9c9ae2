"""Searches that arrive together are scored in one pass, and answered as if alone."""

import threading

import pytest

from diface_jax.web.batching import MAX_PROBES, SearchBatcher, SearchRequest
from tests.gallery import world


def asking(text, k=10, where=(), people=False, photo=None):
    return SearchRequest((text,), photo, k, where, people)


class Held:
    """A model whose next call waits for `go`."""

    def __init__(self, model):
        self.model, self.go, self.calls = model, threading.Event(), []

    def search_many(self, gallery, descriptions, *options, **more):
        self.go.wait(10)
        self.calls.append(len(descriptions))
        return self.model.search_many(gallery, descriptions, *options, **more)


@pytest.fixture
def gallery(model, tmp_path):
    world.folder_of(tmp_path / 'photos', people=5, photos=2)
    model.enroll(tmp_path / 'gallery', tmp_path / 'photos', people=True)
    return tmp_path / 'gallery'


@pytest.fixture
def held(model):
    return Held(model)


@pytest.fixture
def batcher(held, gallery):
    batcher = SearchBatcher(held, gallery, lambda probes: None)
    yield batcher
    held.go.set()
    batcher.close()


def test_answers_are_those_of_single_searches(batcher, held, model, gallery):
    photo = model.probe_photo(world.poor_photo(2))
    first = batcher.submit(asking('person 0'))  # keeps the thread busy meanwhile
    requests = [asking(f'person {who}') for who in range(5)]
    requests += [asking('person 1', photo=photo), SearchRequest((), photo, 10, (), False)]
    requests += [asking(f'person {who}', people=True) for who in range(3)]
    requests += [asking('person 1', k=2), asking('person 1', where=(('person', 'person-3'),))]
    answers = [batcher.submit(request) for request in requests]
    held.go.set()
    assert first.result(10).results
    for request, answer in zip(requests, answers, strict=True):
        verb = model.identify if request.people else model.search
        alone = verb(gallery, request.texts, request.k, request.where, photo=request.photo)
        assert answer.result(10).to_json() == alone.to_json()
    # By equal options, after the first: searches, people, two results, and a condition.
    assert held.calls in ([1, 7, 3, 1, 1], [8, 3, 1, 1])


def test_an_error_is_that_of_its_own_request_alone(batcher, held):
    first = batcher.submit(asking('person 0'))
    good, bad, empty = map(batcher.submit, map(asking, ('person 1', 'мужчина', ' ')))
    held.go.set()
    assert first.result(10).results[0].entry.person == 'person-0'
    assert good.result(10).results[0].entry.person == 'person-1'
    with pytest.raises(ValueError, match='not in English'):
        bad.result(10)
    with pytest.raises(ValueError, match='no word'):
        empty.result(10)


@pytest.mark.parametrize('error', [OSError('the server is gone'), TypeError('a fault')])
def test_an_error_that_is_no_requests_fault_is_that_of_all_and_tried_once(batcher, held, error):
    def fail(*_, **__):
        held.go.wait(10)
        held.calls.append(0)
        raise error

    held.search_many = fail
    answers = [batcher.submit(asking(f'person {who}')) for who in range(5)]
    held.go.set()
    for answer in answers:
        with pytest.raises(type(error), match=str(error)):
            answer.result(10)
    assert len(held.calls) <= 2  # the first alone perhaps, then all others
    assert batcher.is_running


def test_a_pass_has_a_largest_size_and_leaves_out_who_is_gone(batcher, held):
    first = batcher.submit(asking('person 0'))
    gone = batcher.submit(asking('person 1'))
    assert gone.cancel()
    answers = [batcher.submit(asking('person 1')) for _ in range(2 * MAX_PROBES)]
    held.go.set()
    assert all(answer.result(10).results for answer in (first, *answers))
    assert max(held.calls) <= MAX_PROBES
    assert sum(held.calls) == 2 * MAX_PROBES + 1


def test_what_was_submitted_is_answered_before_the_end(batcher, held):
    answers = [batcher.submit(asking('person 1')) for _ in range(3)]
    batcher.close()
    held.go.set()
    assert all(answer.result(10).results for answer in answers)
    batcher._thread.join(10)
    assert not batcher.is_running
