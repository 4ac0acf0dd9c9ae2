"""The audit log: who asked what, when, and how many results there were."""

import datetime
import errno
import json
import os
import stat

import pytest

from tests.gallery import world

testclient = pytest.importorskip('fastapi.testclient')

from diface_jax.web import audit  # noqa: E402
from diface_jax.web.application import application  # noqa: E402
from diface_jax.web.options import ServerOptions  # noqa: E402
from tests.web.conftest import TOKEN  # noqa: E402
from tests.web.requests import LOCAL, drop, search  # noqa: E402


@pytest.fixture
def log(tmp_path):
    return tmp_path / 'gallery.audit.jsonl'


@pytest.fixture
def audited(model, tmp_path, log, token_file, still_clock):
    options = ServerOptions(token_file=token_file, audit_log=log)
    with testclient.TestClient(application(model, tmp_path / 'gallery', options), LOCAL) as client:
        client.headers['authorization'] = f'Bearer {TOKEN}'
        yield client


def lines(log):
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_every_question_is_a_line(audited, log):
    drop(audited, world.photo(1), person='Anna')
    search(audited, 'person 1', where=[['person', 'A*']], k=5)
    audited.get('/api/faces/1')
    audited.get('/healthz')
    audited.delete('/api/entries/1')
    audited.get('/api/gallery', headers={'authorization': 'Bearer wrong'})
    enrolled, searched, removed, refused = lines(log)
    assert (
        searched.items()
        >= {
            'user': 'anna',
            'address': 'testclient',
            'request': 'POST /api/search',
            'status': 200,
            'texts': ['person 1'],
            'where': [['person', 'A*']],
            'results': 1,
            'decision': 'match',
        }.items()
    )
    asked = datetime.datetime.fromisoformat(searched['time'])
    assert abs(datetime.datetime.now(datetime.UTC) - asked) < datetime.timedelta(minutes=5)
    assert enrolled.items() >= {'name': 'a.png', 'person': 'Anna', 'faces': 1}.items()
    assert removed.items() >= {'request': 'DELETE /api/entries/1', 'removed': 1}.items()
    assert (refused['status'], refused['user']) == (401, '')
    assert TOKEN not in log.read_text()


def test_the_log_is_for_its_owner_alone(audited, log):
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    log.unlink()  # as a rotation does
    audited.get('/api/gallery')
    assert len(lines(log)) == 1
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_a_flood_of_wrong_tokens_does_not_fill_the_disk(audited, log):
    for _ in range(15):
        audited.get('/api/gallery', headers={'authorization': 'Bearer wrong'})
    assert len(lines(log)) == 10


def test_what_cannot_be_recorded_is_not_answered(audited, log, monkeypatch):
    drop(audited, world.photo(1), person='Anna')
    write = os.write

    def no_space(file, data):
        raise OSError(errno.ENOSPC, 'No space left on device')

    before = log.read_bytes()
    for failing in (no_space, lambda file, data: write(file, data[:10])):
        monkeypatch.setattr(audit.os, 'write', failing)
        answer = search(audited, 'person 1')
        assert answer.status_code == 503
        assert 'the audit log cannot be written' in answer.json()['error']
        assert 'Anna' not in answer.text
    assert audited.get('/healthz').status_code == 200
    monkeypatch.setattr(audit.os, 'write', write)
    assert log.read_bytes() == before
    assert search(audited, 'person 1').status_code == 200


def test_a_log_that_cannot_be_written_is_said_at_the_start(model, tmp_path):
    (tmp_path / 'file').touch()
    options = ServerOptions(audit_log=tmp_path / 'file' / 'log')
    with pytest.raises(OSError, match=r'--audit_log=.*give another file'):
        application(model, tmp_path / 'gallery', options)


def test_without_a_log_nothing_is_written(page, tmp_path):
    page.get('/api/gallery')
    assert [path.name for path in tmp_path.iterdir()] == ['gallery']
