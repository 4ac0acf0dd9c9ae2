"""Numbers for Prometheus, and the server's health."""

import threading

import pytest

from tests.gallery import world

testclient = pytest.importorskip('fastapi.testclient')
parser = pytest.importorskip('prometheus_client.parser')

from diface_jax.web.application import application  # noqa: E402
from tests.web.requests import LOCAL, drop, search  # noqa: E402


def numbers(page):
    families = parser.text_string_to_metric_families(page.get('/metrics').text)
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def test_requests_are_counted_by_route(page):
    drop(page, world.photo(1))
    search(page, 'person 1')
    search(page, ' ')
    page.get('/no/such/path')
    page.request('BREW', '/api/gallery')
    counted = numbers(page)
    assert counted['diface_requests_total', '/api/search', '200', 'POST'] == 1
    assert counted['diface_requests_total', '/api/search', '400', 'POST'] == 1
    assert counted['diface_request_seconds_count', '/api/photos'] == 1
    assert counted['diface_pass_probes_sum',] == 2
    assert counted['diface_requests_in_progress',] == 1
    assert not [name for name in counted if '/no/such/path' in name or 'BREW' in name]


def test_a_long_search_does_not_block_the_health(model, tmp_path, monkeypatch):
    started, go = threading.Event(), threading.Event()
    search_many = model.search_many

    def long_search(*arguments, **options):
        started.set()
        go.wait(10)
        return search_many(*arguments, **options)

    monkeypatch.setattr(model, 'search_many', long_search)
    with testclient.TestClient(application(model, tmp_path / 'gallery'), LOCAL) as page:
        drop(page, world.photo(1), person='Anna')
        answers = []
        searching = threading.Thread(target=lambda: answers.append(search(page, 'person 1')))
        searching.start()
        assert started.wait(10)
        assert page.get('/healthz').json() == {'status': 'ok'}
        # Nor does it block what needs no search.
        assert page.get('/api/faces/1').status_code == 200
        assert drop(page, world.photo(2), name='b.png').json()['faces'] == 1
        go.set()
        searching.join(10)
        assert answers[0].json()['results'][0]['person'] == 'Anna'


@pytest.mark.filterwarnings('ignore::pytest.PytestUnhandledThreadExceptionWarning')
def test_a_search_thread_that_has_died_is_said(model, tmp_path, monkeypatch):
    def die(*_, **__):
        raise SystemExit

    monkeypatch.setattr(model, 'search_many', die)
    app = application(model, tmp_path / 'gallery')
    with testclient.TestClient(app, LOCAL) as page:
        drop(page, world.photo(1))
        monkeypatch.setattr('diface_jax.web.limits.REQUEST_SECONDS', 0.2)
        answer = search(page, 'person 1')
        assert (answer.status_code, 'not done within' in answer.text) == (503, True)
        for answer in (page.get('/healthz'), search(page, 'person 1')):
            assert (answer.status_code, 'restart the server' in answer.text) == (503, True)
