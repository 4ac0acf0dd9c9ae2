"""Who may ask: tokens, logins, host names, other sites, and a proxy."""

import re

import pytest

from tests.gallery import world

pytest.importorskip('fastapi')
testclient = pytest.importorskip('fastapi.testclient')

from diface_jax.web import access  # noqa: E402
from diface_jax.web.application import application  # noqa: E402
from diface_jax.web.options import ServerOptions  # noqa: E402
from tests.web.conftest import TOKEN  # noqa: E402
from tests.web.requests import LOCAL, drop  # noqa: E402

BEARER = {'authorization': f'Bearer {TOKEN}'}
HTTPS = 'https://127.0.0.1:8080'


@pytest.fixture
def guarded(model, tmp_path, token_file, still_clock):
    """The server with tokens. The client speaks HTTPS, or it would keep no cookie."""
    app = application(model, tmp_path / 'gallery', ServerOptions(token_file=token_file))
    with testclient.TestClient(app, HTTPS, follow_redirects=False) as client:
        yield client


def proxied(model, tmp_path, token_file, asking):
    options = ServerOptions(
        host='0.0.0.0', token_file=token_file, proxy='10.0.0.1', server_names=('photos.example',)
    )
    app = application(model, tmp_path / 'gallery', options)
    return testclient.TestClient(app, 'http://photos.example', client=(asking, 1234))


# --- other sites and names ---

ROUTES = (
    ('GET', '/'),
    ('GET', '/metrics'),
    ('GET', '/api/gallery'),
    ('GET', '/api/openapi.json'),
    ('GET', '/api/faces/1'),
    ('GET', '/api/photos/1'),
    ('POST', '/api/search'),
    ('POST', '/api/probe'),
    ('POST', '/api/photos?name=b.png'),
    ('DELETE', '/api/entries/1'),
)


OTHERS = (
    {'host': 'evil.example'},
    {'host': '192.168.0.7:8080'},
    {'host': '127.0.0.1.evil.example'},
    {'host': ''},
    {'host': '[::1'},
    {'sec-fetch-site': 'cross-site'},
    {'sec-fetch-site': 'same-site'},
    {'origin': 'http://evil.example'},
    {'origin': 'http://127.0.0.1:9999'},
    {'origin': 'null'},
)


def test_no_other_site_is_answered(page):
    drop(page, world.photo(1), person='Anna')
    for headers in OTHERS:
        for method, path in ROUTES:
            response = page.request(method, path, headers=headers, json={'texts': ['person 1']})
            assert response.status_code in (400, 403), (method, path, headers)
            assert 'Anna' not in response.text
    assert page.get('/api/gallery').json()['entries'] == 1


def test_the_own_page_is_answered(page):
    for host in ('127.0.0.1:8080', 'LOCALHOST:1', '[::1]:8080'):
        headers = {'host': host, 'origin': f'http://{host}', 'sec-fetch-site': 'same-origin'}
        assert page.get('/healthz', headers=headers).status_code == 200
        assert page.get('/metrics', headers=headers).status_code == 200


# --- tokens ---


def test_nothing_is_answered_without_a_token(guarded):
    drop(guarded, world.photo(1), person='Anna', headers=BEARER)
    wrong = ({}, {'authorization': f'Bearer {TOKEN}x'}, {'authorization': f'Basic {TOKEN}'})
    for headers in (*wrong, {'cookie': f'{access.COOKIE}=guess'}):
        for method, path in (*ROUTES, ('POST', '/logout')):
            response = guarded.request(method, path, headers=headers, json={'texts': ['person 1']})
            assert response.status_code in (401, 429), (method, path)
            assert 'Anna' not in response.text
    assert guarded.get('/api/gallery', headers=BEARER).json()['entries'] == 1
    assert guarded.get('/healthz').json() == {'status': 'ok'}


def test_a_browser_logs_in_and_out(guarded):
    asked = guarded.get('/')
    assert asked.status_code == 401
    assert 'name="token"' in asked.text
    assert '<script' not in asked.text
    assert "form-action 'self'" in asked.headers['content-security-policy']
    wrong = guarded.post('/login', data={'token': 'not the token'})
    assert (wrong.status_code, 'This token is not known.' in wrong.text) == (401, True)
    answer = guarded.post('/login', data={'token': TOKEN})
    assert (answer.status_code, answer.headers['location']) == (303, '/')
    (cookie,) = answer.headers.get_list('set-cookie')
    assert re.search('; HttpOnly; Max-Age=43200; Path=/; SameSite=strict; Secure$', cookie)
    assert TOKEN not in cookie
    assert guarded.get('/api/gallery').json()['user'] == 'anna'
    assert 'id="search"' in guarded.get('/').text
    secret = guarded.cookies[access.COOKIE]
    assert guarded.post('/logout').json() == {'status': 'logged out'}
    again = guarded.get('/api/gallery', headers={'cookie': f'{access.COOKIE}={secret}'})
    assert again.status_code == 401


def test_many_wrong_tokens_are_slowed_down_and_the_right_one_is_not(guarded):
    wrong = {'authorization': 'Bearer wrong'}
    statuses = [guarded.get('/api/gallery', headers=wrong).status_code for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    refused = guarded.post('/login', data={'token': 'wrong'})
    assert refused.status_code == 429
    assert 'ask again in' in refused.json()['error']
    assert guarded.get('/api/gallery', headers=BEARER).status_code == 200


# --- a reverse proxy ---


def test_a_proxy_alone_is_answered_and_believed(model, tmp_path, token_file):
    forwarded = {'x-forwarded-for': '203.0.113.9', 'x-forwarded-proto': 'https', **BEARER}
    with proxied(model, tmp_path, token_file, '10.0.0.1') as client:
        origin = {'origin': 'https://photos.example'}
        assert client.get('/api/gallery', headers=forwarded | origin).status_code == 200
        refused = client.get('/api/gallery', headers=BEARER | origin)
        assert 'must pass Host and X-Forwarded-Proto on' in refused.json()['error']
    with proxied(model, tmp_path, token_file, '10.0.0.2') as client:
        assert 'reverse proxy' in client.get('/', headers=forwarded).json()['error']
        assert client.get('/healthz').status_code == 200


@pytest.mark.parametrize(('proxy', 'address'), [(False, 'testclient'), (True, '203.0.113.9')])
def test_forwarded_addresses_are_believed_of_the_proxy_alone(
    model, tmp_path, token_file, proxy, address
):
    log = tmp_path / 'log.jsonl'
    options = {'token_file': token_file, 'audit_log': log}
    if proxy:
        options |= {'proxy': '10.0.0.1', 'server_names': ('photos.example',)}
    app = application(model, tmp_path / 'gallery', ServerOptions(**options))
    client = testclient.TestClient(app, LOCAL, client=('10.0.0.1' if proxy else 'testclient', 1))
    client.get('/api/gallery', headers={'x-forwarded-for': '203.0.113.9', **BEARER})
    assert f'"address": "{address}"' in log.read_text()
