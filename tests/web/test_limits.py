"""How much may be asked: too often, too much at once, too large, too slowly."""

import asyncio
import errno

import pytest

from tests.gallery import world

testclient = pytest.importorskip('fastapi.testclient')
httpx = pytest.importorskip('httpx')

from diface_jax.gallery import entries, sqlite_database  # noqa: E402
from diface_jax.web import limits  # noqa: E402
from diface_jax.web.application import application  # noqa: E402
from diface_jax.web.options import ServerOptions  # noqa: E402
from tests.web.conftest import TOKEN  # noqa: E402
from tests.web.requests import LOCAL, drop, search  # noqa: E402


def test_a_rate_lets_a_minutes_worth_come_at_once_and_then_evenly():
    now = 100.0
    rate = limits.RateLimit(60, clock=lambda: now)
    assert [rate.wait('anna') for _ in range(60)] == [0.0] * 60
    assert rate.wait('anna') == pytest.approx(1.0)
    assert rate.wait('ben') == 0.0
    now += 1.0
    assert rate.wait('anna') == 0.0
    assert rate.wait('anna') == pytest.approx(1.0)
    now += 3600.0
    assert [rate.wait('anna') for _ in range(60)] == [0.0] * 60


def test_a_rate_remembers_no_more_clients_than_fit(monkeypatch):
    monkeypatch.setattr(limits, '_CLIENTS', 3)
    rate = limits.RateLimit(1)
    for client in range(5):
        rate.wait(str(client))
    assert list(rate._even) == ['2', '3', '4']


def test_each_person_is_told_when_to_ask_again(model, tmp_path, token_file, still_clock):
    with token_file.open('a') as file:
        file.write(f'ben:{TOKEN}-of-ben\n')
    options = ServerOptions(token_file=token_file, rate_limit=2)
    with testclient.TestClient(application(model, tmp_path / 'gallery', options), LOCAL) as client:
        client.headers['authorization'] = f'Bearer {TOKEN}'
        assert drop(client, world.photo(1)).status_code == 200
        assert search(client, 'person 1').status_code == 200
        refused = search(client, 'person 1')
        assert refused.status_code == 429
        assert refused.headers['retry-after'] == '30'
        assert refused.json()['error'] == 'too many requests: ask again in 30 s'
        assert client.get('/api/photos/1').status_code == 429
        # What asks for little is answered, and so are logins and others.
        assert client.get('/api/faces/1').status_code == 200
        logins = [client.post('/login', data={'token': TOKEN}).status_code for _ in range(4)]
        assert logins == [200] * 4
        assert client.post('/login', content=bytes(10_001)).status_code == 413
        client.headers['authorization'] = f'Bearer {TOKEN}-of-ben'
        assert search(client, 'person 1').status_code == 200


def test_bodies_are_limited_whether_announced_or_not(page):
    large = b'"' + bytes(1_000_001)
    json = {'content-type': 'application/json'}
    announced = page.post('/api/search', content=large, headers=json)
    streamed = page.post('/api/search', content=iter([large[:9], large[9:]]), headers=json)
    for answer in (announced, streamed, page.delete('/api/entries/1'.ljust(60_000, '0'))):
        assert answer.status_code in (413, 422)
    assert announced.json() == streamed.json() == {'error': 'more than 1,000,000 bytes: send less'}
    assert announced.headers['connection'] == 'close'
    huge = page.post('/api/photos?name=a', content=b'', headers={'content-length': '9' * 30})
    assert huge.status_code == 413


MALFORMED = (
    b'{',
    b'\xff\xfe',
    b'[]',
    b'{"texts": "person 1"}',
    b'{"texts": [1]}',
    b'{"texts": ["person 1"], "k": 1e99}',
    b'{"texts": ["person 1"], "where": [["person"]]}',
    b'{"texts": ["person 1"], "probe": {}}',
    b'[' * 100_000,
    b'{"texts": [%s]}' % b','.join([b'"person 1"'] * 21),
    b'{"texts": [%s]}' % b','.join([b'"%s"' % (b'man ' * 400)] * 4),
    b'{"texts": ["person 1"], "where": [%s]}' % b','.join([b'["person", "*"]'] * 51),
)


def test_malformed_bodies_are_explained(page):
    for body in MALFORMED:
        kind = {'content-type': 'application/json'}
        answer = page.post('/api/search', content=body, headers=kind)
        assert answer.status_code in (400, 422), body[:99]
        assert answer.json()['error']


def test_a_body_that_does_not_say_that_it_is_json_is_refused(page):
    """As a page of another site could send it without asking first."""
    text = {'content-type': 'text/plain'}
    assert page.post('/api/search', content=b'{"texts": []}', headers=text).status_code == 422


def test_no_more_requests_at_once_than_allowed(page, monkeypatch):
    monkeypatch.setattr(limits, 'AT_ONCE', 0)
    refused = search(page, 'person 1')
    assert refused.status_code == 503
    assert 'busy with 0 requests: ask again' in refused.json()['error']
    assert page.get('/healthz').status_code == 200


def test_photographs_are_received_a_few_at_a_time():
    """Others wait, without their bodies in memory."""
    running = most = 0

    async def app(scope, receive, send):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    async def ask_all():
        limited = limits.Limited(app, None)
        scope = {'type': 'http', 'method': 'POST', 'path': '/api/photos', 'headers': []}
        await asyncio.gather(*(limited(scope, None, None) for _ in range(20)))

    asyncio.run(ask_all())
    assert most == limits.UPLOADS


def test_a_slow_body_is_given_up(monkeypatch):
    monkeypatch.setattr(limits, 'REQUEST_SECONDS', 0.05)
    sent = []

    async def app(scope, receive, send):
        while True:
            await receive()

    async def receive():
        await asyncio.sleep(0.01)
        return {'type': 'http.request', 'body': b'.', 'more_body': True}

    async def send(message):
        sent.append(message)

    scope = {'type': 'http', 'method': 'POST', 'path': '/api/search', 'headers': []}
    asyncio.run(limits.Limited(app, None)(scope, receive, send))
    assert sent[0]['status'] == 408
    assert b'send it faster' in sent[1]['body']


@pytest.mark.parametrize('code', [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_explained(page, model, monkeypatch, code):
    def full(*_):
        raise OSError(code, 'No space left on device')

    monkeypatch.setattr(model, 'enroll_bytes', full)
    answer = drop(page, world.photo(1))
    assert answer.status_code == 503
    assert answer.json()['error'].startswith('the disk is full, and nothing was stored')


def test_a_full_disk_loses_nothing_that_was_enrolled(page, monkeypatch):
    """SQLite itself says that the disk is full, as a limit of pages makes it."""
    assert drop(page, world.photo(1), name='1.png').json()['faces'] == 1
    connect = sqlite_database._connect

    def connect_full(path):
        database = connect(path)
        pages = database.execute('PRAGMA page_count').fetchone()[0]
        database.execute(f'PRAGMA max_page_count = {pages}')
        return database

    with monkeypatch.context() as full:
        full.setattr(sqlite_database, '_connect', connect_full)
        answers = [drop(page, world.photo(who), name=f'{who}.png') for who in range(2, 12)]
    failed = [answer for answer in answers if answer.status_code != 200]
    assert failed
    assert {answer.status_code for answer in failed} == {503}
    assert 'full; nothing was stored by this request' in failed[0].json()['error']
    entries = 1 + len(answers) - len(failed)
    assert page.get('/api/gallery').json()['entries'] == entries
    assert search(page, 'person 1').json()['results'][0]['photo'].endswith('/1.png')
    assert drop(page, world.photo(11), name='11.png').json()['faces'] == 1


def test_a_failure_is_a_clear_answer_and_the_next_request_works(model, tmp_path, monkeypatch):
    app = application(model, tmp_path / 'gallery')
    with testclient.TestClient(app, LOCAL, raise_server_exceptions=False) as page:
        drop(page, world.photo(1))
        for error, status in ((MemoryError(), 503), (RuntimeError('a bug'), 500)):
            with monkeypatch.context() as failing:
                failing.setattr(model, 'search_many', lambda *_, e=error, **__: raise_it(e))
                answer = search(page, 'person 1')
            assert answer.status_code == status
            assert 'a bug' not in answer.json()['error']
            assert search(page, 'person 1').status_code == 200


def raise_it(error):
    raise error


def test_200_requests_at_once_are_all_answered_right(model, tmp_path):
    for who in range(1, 5):
        label = entries.PhotoLabel(f'person-{who}')
        model.enroll_bytes(tmp_path / 'gallery', f'{who}.png', world.photo(who), label)

    async def ask_all():
        transport = httpx.ASGITransport(application(model, tmp_path / 'gallery'))
        async with httpx.AsyncClient(transport=transport, base_url=LOCAL) as page:
            asked = (search(page, f'person {number % 4 + 1}', k=1) for number in range(200))
            return await asyncio.gather(*asked)

    best = [answer.json()['results'][0]['person'] for answer in asyncio.run(ask_all())]
    assert best == [f'person-{number % 4 + 1}' for number in range(200)]
