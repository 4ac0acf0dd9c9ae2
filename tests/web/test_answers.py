"""/api/openapi.json describes every route, and real answers are as it says."""

import pytest

from tests.gallery import world

testclient = pytest.importorskip('fastapi.testclient')
jsonschema = pytest.importorskip('jsonschema')

from diface_jax.web import access  # noqa: E402
from diface_jax.web.application import application  # noqa: E402
from diface_jax.web.options import ServerOptions  # noqa: E402
from tests.web.conftest import TOKEN  # noqa: E402
from tests.web.requests import drop, search  # noqa: E402


@pytest.fixture
def client(model, tmp_path, token_file):
    options = ServerOptions(token_file=token_file, rate_limit=60)
    app = application(model, tmp_path / 'gallery', options)
    with testclient.TestClient(app, 'https://localhost', follow_redirects=False) as client:
        client.headers['authorization'] = f'Bearer {TOKEN}'
        yield client


class Described:
    """Checks answers against the document."""

    def __init__(self, document):
        self.document, self.seen = document, set()

    def check(self, answer, path):
        method = answer.request.method.lower()
        responses = self.document['paths'][path][method]['responses']
        status = str(answer.status_code)
        assert status in responses, (path, status)
        kinds = responses[status].get('content', {})
        self.seen.add((path, method))
        if not kinds:
            return
        ((kind, content),) = kinds.items()
        assert answer.headers['content-type'].startswith(kind)
        if kind == 'application/json':
            schema = content['schema'] | {'components': self.document['components']}
            jsonschema.Draft202012Validator(schema).validate(answer.json())


def test_every_route_and_its_real_answers_are_described(client, tmp_path):
    (photo, *_) = world.folder_of(tmp_path / 'photos', people=1, photos=1)
    client.get('/api/gallery')
    document = client.get('/api/openapi.json').json()
    described = Described(document)
    check = described.check
    check(drop(client, world.photo(1, 2), name=str(photo), person='Anna'), '/api/photos')
    check(drop(client, b'no image'), '/api/photos')
    check(client.get('/api/gallery'), '/api/gallery')
    taken = client.post('/api/probe', content=world.poor_photo(1, 2))
    check(taken, '/api/probe')
    check(client.post('/api/probe', content=b''), '/api/probe')
    probe = taken.json()['probe']
    check(search(client, 'person 1 or person 2 with a car', where=[['person', 'A*']]), *SEARCH)
    check(search(client, 'person 1 or person 2', probe=probe, people=True), *SEARCH)
    check(client.post('/api/search', json={'texts': [], 'probe': probe}), *SEARCH)
    check(search(client, 'person 1', where=[['person', 'nobody']]), *SEARCH)
    check(search(client, ' '), *SEARCH)
    check(search(client, 'person 1', k=0), *SEARCH)
    check(client.get('/api/faces/1'), '/api/faces/{entry}')
    check(client.get('/api/faces/9'), '/api/faces/{entry}')
    check(client.get('/api/faces/a'), '/api/faces/{entry}')
    check(client.get('/api/photos/1'), '/api/photos/{entry}')
    check(client.delete('/api/entries/1'), '/api/entries/{entry}')
    check(client.delete('/api/entries/a'), '/api/entries/{entry}')
    check(client.get('/'), '/')
    check(client.get('/healthz'), '/healthz')
    check(client.get('/metrics'), '/metrics')
    check(client.get('/login'), '/login')
    check(client.post('/login', data={'token': TOKEN}), '/login')
    check(client.post('/logout'), '/logout')
    del client.headers['authorization'], client.cookies[access.COOKIE]
    check(search(client, 'person 1'), *SEARCH)
    check(client.get('/api/gallery', headers={'origin': 'http://evil'}), '/api/gallery')
    check(client.post('/login', data={'token': 'wrong'}), '/login')
    every = {(path, method) for path, routes in document['paths'].items() for method in routes}
    assert described.seen == every
    bearer = document['components']['securitySchemes']['HTTPBearer']
    assert bearer == {'type': 'http', 'scheme': 'bearer'}
    assert document['paths']['/api/search']['post']['security'] == [{'HTTPBearer': []}]


SEARCH = ('/api/search',)


def test_limits_are_among_the_described_answers(client):
    document = client.get('/api/openapi.json').json()
    for path in ('/api/search', '/api/photos', '/api/probe'):
        described = document['paths'][path]['post']['responses']
        assert described.keys() >= {'200', '400', '401', '403', '408', '413', '422', '429', '503'}
