"""The running server: TLS, slow clients, its end, and a kill."""

import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest

from tests.gallery import world

pytest.importorskip('fastapi')

from diface_jax.gallery.store import Store
from diface_jax.runtime import preemption
from diface_jax.web import limits, server
from diface_jax.web.application import application
from diface_jax.web.options import ServerOptions

HERE = pathlib.Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def running(model, gallery, **options):
    """The server in a thread: its port, and itself."""
    options = ServerOptions(**options)
    with socket.create_server(('127.0.0.1', 0)) as listening:
        started = server.server_of(application(model, gallery, options), options)
        thread = threading.Thread(target=started.run, kwargs={'sockets': [listening]}, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1], started
        finally:
            started.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


def ask(connection, method, path, body=None, **headers):
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def enroll(port, who):
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=20)
    path = f'/api/photos?name={who}.png&person=person-{who}'
    status, _ = ask(connection, 'POST', path, world.photo(who % 32, noise=who // 32))
    connection.close()
    return status


def test_it_speaks_tls(model, tmp_path, certificate):
    trusting = ssl.create_default_context(cafile=certificate['tls_certificate'])
    with running(model, tmp_path / 'gallery', **certificate) as (port, _):
        connection = http.client.HTTPSConnection('localhost', port, timeout=20, context=trusting)
        assert ask(connection, 'GET', '/healthz')[0] == 200
        own = {'Origin': f'https://localhost:{port}'}
        assert ask(connection, 'GET', '/api/gallery', **own)[0] == 200
        connection.close()


def test_slow_clients_hold_up_nobody_and_are_cut_off(model, tmp_path, monkeypatch):
    header = b'POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\n'
    with running(model, tmp_path / 'gallery') as (port, _):
        slow = [socket.create_connection(('127.0.0.1', port), timeout=60) for _ in range(30)]
        for client in slow[:20]:
            client.sendall(header)
        for client in slow[20:]:  # their bodies never come
            client.sendall(header + b'Content-Length: 9\r\n\r\n')
        assert enroll(port, 1) == 200
        monkeypatch.setattr(limits, 'HEADER_SECONDS', 0.01)
        slow.append(socket.create_connection(('127.0.0.1', port), timeout=60))
        assert slow[-1].recv(100) == b''
        for client in slow:
            client.close()


def test_running_requests_are_answered_at_the_end(model, tmp_path, monkeypatch):
    started, search_many = threading.Event(), model.search_many

    def slow_search(*arguments, **options):
        started.set()
        time.sleep(0.3)
        return search_many(*arguments, **options)

    monkeypatch.setattr(model, 'search_many', slow_search)
    answers = []
    with running(model, tmp_path / 'gallery') as (port, _):
        assert enroll(port, 1) == 200

        def search():
            connection = http.client.HTTPConnection('127.0.0.1', port, timeout=20)
            body = json.dumps({'texts': ['person 1']})
            headers = {'Content-Type': 'application/json'}
            answers.append(ask(connection, 'POST', '/api/search', body, **headers))
            connection.close()

        thread = threading.Thread(target=search)
        thread.start()
        assert started.wait(20)
    thread.join(20)
    ((status, body),) = answers
    assert status == 200
    assert json.loads(body)['results'][0]['person'] == 'person-1'


@pytest.mark.parametrize('stop', [KeyboardInterrupt(), preemption.Preempted(everywhere=False)])
def test_a_signal_ends_it_without_an_error(model, tmp_path, monkeypatch, stop):
    heard = []

    def stopped(self, sockets):
        heard.extend(listening.getsockname() for listening in sockets)
        sockets[0].close()
        raise stop

    monkeypatch.setattr(server.uvicorn.Server, 'run', stopped)
    server.serve(model, tmp_path / 'gallery', ServerOptions(port=18_080))
    assert heard == [('127.0.0.1', 18_080)]


def test_a_taken_port_is_a_clear_error(model, tmp_path):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f'port {port}.*another --port'):
            server.serve(model, tmp_path / 'gallery', ServerOptions(port=port))


_SERVE = """
import pathlib, sys
from diface_jax.web import server
from diface_jax.web.options import ServerOptions
from tests.gallery import world
server.serve(world.model(), pathlib.Path(sys.argv[1]), ServerOptions(port=int(sys.argv[2])))
"""


def test_a_killed_server_keeps_every_photo_that_it_confirmed(tmp_path):
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    gallery, confirmed = tmp_path / 'gallery', []
    process = subprocess.Popen(
        [sys.executable, '-c', _SERVE, gallery, str(port)], cwd=HERE, stderr=subprocess.DEVNULL
    )

    def enroll_many(first):
        with contextlib.suppress(OSError, http.client.HTTPException):
            for who in range(first, 900, 3):
                assert enroll(port, who) == 200
                confirmed.append(f'person-{who}')

    try:
        wait_for(port)
        threads = [threading.Thread(target=enroll_many, args=(first,)) for first in range(3)]
        for thread in threads:
            thread.start()
        while len(confirmed) < 10 and any(thread.is_alive() for thread in threads):
            time.sleep(0.005)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    for thread in threads:
        thread.join(20)
    assert len(confirmed) >= 10
    with Store(gallery) as store:
        people = [entry.person for entry in store.entries(store.where(()).tolist())]
        assert len(people) == len(set(people))
        assert set(confirmed) <= set(people)
        assert store._rows('PRAGMA integrity_check') == [('ok',)]


def wait_for(port, seconds=60):
    for _ in range(int(seconds / 0.05)):
        with contextlib.suppress(OSError):
            socket.create_connection(('127.0.0.1', port)).close()
            return
        time.sleep(0.05)
    raise AssertionError('the server has not started')
