"""The client of docs/client.py, over a server with tokens and TLS."""

import importlib.util
import io
import pathlib
import subprocess
import sys

import pytest
from PIL import Image

from tests.gallery import world
from tests.web.conftest import TOKEN

pytest.importorskip('fastapi')

from tests.web.test_server import running

FILE = pathlib.Path(__file__).resolve().parents[2] / 'docs' / 'client.py'


@pytest.fixture(scope='module')
def client_module():
    spec = importlib.util.spec_from_file_location('client', FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def address(model, tmp_path, certificate, token_file):
    options = {'token_file': token_file, **certificate}
    with running(model, tmp_path / 'gallery', **options) as (port, _):
        yield f'https://localhost:{port}'


def test_it_adds_searches_and_deletes(client_module, address, certificate):
    client = client_module.Client(address, TOKEN, certificate['tls_certificate'])
    for who in (1, 2):
        report = client.enroll(f'{who} ä.png', world.photo(who), f'person-{who}')
        assert report['faces'] == 1
    found = client.search('person 2', where=[('person', 'person-*')])['results']
    assert [result['person'] for result in found] == ['person-2', 'person-1']
    assert found[0]['photo'].endswith('2 ä.png')
    by_photo = client.search(photo=world.poor_photo(1), people=True, k=1)
    assert by_photo['results'][0]['person'] == 'person-1'
    assert Image.open(io.BytesIO(client.face(found[0]['entry']))).format == 'JPEG'
    with pytest.raises(client_module.RefusedError, match='keeps no photographs') as refused:
        client.photo(found[0]['entry'])
    assert refused.value.status == 400
    assert client.delete(found[0]['entry']) == 1
    assert client.gallery()['choices']['people'] == ['person-1']


def test_it_waits_where_it_asks_too_often(client_module, monkeypatch):
    answers, waited = [429, 503, 200], []

    def open_address(request, timeout):
        status = answers.pop(0)
        body = io.BytesIO(b'{"entries": 3}')
        if status == 200:
            return body
        raise client_module.urllib.error.HTTPError(
            request.full_url, status, '', {'Retry-After': '7'}, body
        )

    client = client_module.Client('http://server')
    monkeypatch.setattr(client, '_open', open_address)
    monkeypatch.setattr(client_module.time, 'sleep', waited.append)
    assert client.gallery() == {'entries': 3}
    assert waited == [7.0, 7.0]


def test_the_command_needs_the_standard_library_alone(address, certificate, tmp_path):
    photo = tmp_path / '3.png'
    photo.write_bytes(world.photo(3))

    def run(*arguments, token=TOKEN):
        command = [sys.executable, '-I', '-S', FILE, f'--server={address}']
        command += [f'--certificate={certificate["tls_certificate"]}', *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, env={'DIFACE_TOKEN': token}, check=False
        )

    assert run('enroll', photo, '--person=Anna').stdout == f'{photo}: 1 faces\n'
    assert 'a match: Anna dropped-' in run('search', 'person 3', '--where=person=A*').stdout
    refused = run('gallery', token='wrong')
    assert (refused.returncode, refused.stderr) == (1, 'gallery: this token is not known\n')
