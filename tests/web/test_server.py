"""The page's server: what it answers, to whom, and that it is of this machine alone."""

import re

import pytest

from tests.gallery import world

fastapi = pytest.importorskip('fastapi')
testclient = pytest.importorskip('fastapi.testclient')

from diface_jax.gallery import enrollment  # noqa: E402
from diface_jax.web import server  # noqa: E402


@pytest.fixture
def page(model, tmp_path):
    application = server.application(model, tmp_path / 'gallery')
    with testclient.TestClient(application, base_url='http://127.0.0.1:8080') as client:
        yield client


def drop(page, data, name='a.png', person=''):
    return page.post('/api/photos', params={'name': name, 'person': person}, content=data)


def search(page, text, **options):
    return page.post('/api/search', json={'texts': [text], **options})


def test_drop_search_and_remove(page):
    assert page.get('/api/gallery').json()['entries'] == 0
    assert drop(page, world.photo(1, 2), person=' Anna ').json()['faces'] == 2
    for who in range(3, 9):
        drop(page, world.photo(who), name=f'{who}.png')
    assert drop(page, world.photo(1, 2), name='again.png').json()['copies'] == 1
    found = search(page, 'person 1', k=3).json()
    assert found['decision'] == 'match'
    assert [one['rank'] for one in found['results']] == [1, 2, 3]
    first = found['results'][0]
    assert first['person'] == 'Anna'
    assert first['photo'].endswith('/a.png')
    picture = page.get(f'/api/faces/{first["entry"]}')
    assert picture.headers['content-type'] == 'image/jpeg'
    assert picture.content[:2] == b'\xff\xd8'
    assert page.delete(f'/api/entries/{first["entry"]}').json() == {'removed': 1}
    assert page.get(f'/api/faces/{first["entry"]}').status_code == 404
    assert 'Anna' not in search(page, 'person 1', k=100).text
    assert search(page, 'person 4', people=True).json()['mode'] == 'identify'


def test_what_cannot_be_is_explained(page, monkeypatch):
    drop(page, world.photo(1))
    for response in (search(page, ''), search(page, 'x' * 9999), search(page, 'person 1', k=0)):
        assert 400 <= response.status_code < 500
    assert 'no word' in search(page, ' ').json()['error']
    (why,) = drop(page, b'no image').json()['problems'].values()
    assert why == 'not an image of JPEG, PNG, WEBP, AVIF, TIFF, BMP, GIF'
    monkeypatch.setattr(enrollment, 'MAX_BYTES', 100)
    assert drop(page, bytes(101)).status_code == 400
    assert page.get('/api/gallery').json()['entries'] == 1


@pytest.mark.parametrize('number', ['99', '0', '-1', str(1 << 63), str(10**40)])
def test_a_picture_that_is_not_there_is_not_found(page, number):
    drop(page, world.photo(1))
    assert page.get(f'/api/faces/{number}').status_code == 404
    assert page.delete(f'/api/entries/{number}').json() == {'removed': 0}


def test_the_page_is_told_what_is_not_understood(page):
    drop(page, world.photo(1))
    assert search(page, 'person 1 с бородой').json()['not_understood'] == ['с', 'бородой']
    response = search(page, 'мужчина с бородой')
    assert response.status_code == 400
    assert 'not about a face, or not in English' in response.json()['error']
    assert "$('unread').textContent = unread(answer)" in page.get('/').text


def test_the_page_says_which_face_it_is_about_to_remove(page):
    confirmed = re.search(r'const which = (.*);\n\s*if \(!confirm\(`(.*)`\)\)', page.get('/').text)
    assert all(part in confirmed[1] for part in ('name', 'found.photo', 'found.entry'))
    assert '${which}' in confirmed[2]


@pytest.mark.parametrize(
    'headers',
    [
        {'host': 'evil.example'},
        {'host': '192.168.0.7:8080'},
        {'sec-fetch-site': 'cross-site'},
        {'sec-fetch-site': 'same-site'},
    ],
)
def test_no_other_site_is_answered(page, headers):
    drop(page, world.photo(1), person='Anna')
    for method, path in (
        ('GET', '/'),
        ('GET', '/api/faces/1'),
        ('POST', '/api/search'),
        ('DELETE', '/api/entries/1'),
    ):
        response = page.request(method, path, headers=headers, json={'texts': ['person 1']})
        assert response.status_code in (400, 403)
        assert 'Anna' not in response.text
    assert page.get('/api/gallery').json()['entries'] == 1


def test_the_page_needs_nothing_from_elsewhere(page):
    response = page.get('/')
    assert response.status_code == 200
    assert not re.findall(r'(?:src|href)="(?!data:)[^"]*"|https?://|@import|url\(', response.text)
    policy = response.headers['content-security-policy']
    assert "default-src 'none'" in policy
    assert 'http' not in policy
    # Names and texts go into the page as text.
    assert 'innerHTML' not in response.text


def test_it_listens_on_this_machine_alone(model, tmp_path, monkeypatch):
    heard = []
    monkeypatch.setattr(
        server.uvicorn.Server, 'run', lambda self, sockets: heard.append(sockets[0].getsockname())
    )
    server.serve(model, tmp_path / 'gallery', 18_080)
    assert heard == [('127.0.0.1', 18_080)]


def test_a_taken_port_is_a_clear_error(model, tmp_path):
    with server.socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f'port {port}.*another --port'):
            server.serve(model, tmp_path / 'gallery', port)
