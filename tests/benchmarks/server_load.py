"""The server under load: clients that search at once, for a minute and for 10,000 requests.

python -m tests.benchmarks.server_load [--faces=100000] [--clients=32] [--seconds=60]
    [--requests=10000] [--model=PACK]

It enrols random embeddings, starts `diface --mode=serve` on them with a token, and asks it for
descriptions of faces, hardly any of them twice, each client as soon as it has its last answer.
After a warm-up, which compiles programs, it prints two lines of JSON: of the minute, requests a
second, errors, quantiles of the time to an answer, and how long /healthz took meanwhile; of as many
requests as asked for after it, of few words, the server's memory.
"""

import argparse
import contextlib
import http.client
import itertools
import json
import pathlib
import random
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

import diface_jax

_HAIR = ('blond hair', 'wavy brown hair', 'straight black hair', 'grey hair', 'a bald head')
_MORE = ('glasses', 'a beard', 'a hat', 'heavy makeup', 'a big nose', 'earrings', 'bangs')
_WHO = ('a young woman', 'a woman', 'an old man', 'a man', 'a young man')
_DESCRIPTIONS = [
    f'{who} of about {age} with {hair}, {more} and {last}'
    for who, hair, more, last in itertools.product(_WHO, _HAIR, _MORE, _MORE)
    for age in range(18, 80)
    if more != last
]
_WARM_UP = 6  # requests of each client
_HEALTH_SECONDS = 0.25


class Load:
    """Clients of a server, and what they have measured.

    Attributes:
      seconds: time to each answer.
      errors: answers other than 200, and connections that failed.
    """

    def __init__(self, port: int, token: str, clients: int) -> None:
        self._port, self._clients = port, clients
        self._headers = {'Authorization': f'Bearer {token}', 'Content-Type': 'application/json'}
        self.seconds: list[float] = []
        self.errors: list[str] = []

    def run(
        self, goes_on: Callable[[int], bool], descriptions: Sequence[str] = _DESCRIPTIONS
    ) -> None:
        """Searches with all clients while `goes_on` (of the number of a client's requests)."""
        threads = [
            threading.Thread(target=self._run_client, args=(number, goes_on, descriptions))
            for number in range(self._clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _run_client(
        self, number: int, goes_on: Callable[[int], bool], descriptions: Sequence[str]
    ) -> None:
        chosen, connection = random.Random(number), self.connect()
        for _ in itertools.takewhile(goes_on, itertools.count()):
            body = json.dumps({'texts': [chosen.choice(descriptions)]})
            start = time.perf_counter()
            try:
                connection.request('POST', '/api/search', body, self._headers)
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 200 or len(json.loads(text)['results']) != 10:
                    self.errors.append(f'{answer.status}: {text[:200]!r}')
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))
                connection = self.connect()
            self.seconds.append(time.perf_counter() - start)
        connection.close()

    def connect(self) -> http.client.HTTPConnection:
        """A connection to the server."""
        return http.client.HTTPConnection('127.0.0.1', self._port, timeout=300)

    def megabytes(self) -> float:
        """The server's resident memory, as its /metrics say."""
        connection = self.connect()
        connection.request('GET', '/metrics', headers=self._headers)
        text = connection.getresponse().read().decode()
        connection.close()
        return float(re.search(r'^process_resident_memory_bytes (\S+)', text, re.M)[1]) / 2**20

    @contextlib.contextmanager
    def watching_health(self) -> Iterator[list[float]]:
        """Asks for /healthz now and then; the times to its answers."""
        times, stop = [], threading.Event()

        def watch() -> None:
            connection = self.connect()
            while not stop.wait(_HEALTH_SECONDS):
                start = time.perf_counter()
                connection.request('GET', '/healthz')
                assert connection.getresponse().read() == b'{"status":"ok"}'
                times.append(time.perf_counter() - start)

        thread = threading.Thread(target=watch)
        thread.start()
        yield times
        stop.set()
        thread.join()


@contextlib.contextmanager
def serving(folder: pathlib.Path, faces: int, model: str | None) -> Iterator[tuple[int, str]]:
    """A server of random faces: its port, and a token."""
    mean_D = diface_jax.load(model)._inference.mean_D
    embedding_NxD = np.random.default_rng(0).standard_normal((faces, len(mean_D)), np.float32)
    embedding_NxD = mean_D + embedding_NxD * np.linalg.norm(mean_D) / len(mean_D) ** 0.5
    names = np.array([f'{row:07d}' for row in range(faces)])
    np.savez(folder / 'faces.npz', id=names, embedding=embedding_NxD)
    token = secrets.token_urlsafe()
    (folder / 'tokens').write_text(f'load:{token}\n')
    (folder / 'tokens').chmod(0o600)
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, '-m', 'diface_jax', f'--gallery={folder / "gallery"}']
    command += [f'--model={model}'] if model else []
    enroll = ['--mode=enroll', f'--embeddings={folder / "faces.npz"}']
    subprocess.run([*command, *enroll], check=True)
    serve = ['--mode=serve', f'--port={port}', f'--token_file={folder / "tokens"}']
    server = subprocess.Popen([*command, *serve, '--rate_limit=10000000'])
    try:
        while server.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(('127.0.0.1', port)).close()
                break
            time.sleep(0.2)
        yield port, token
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0


def measure_minute(load: Load, seconds: float) -> dict[str, object]:
    """The figures of clients that search for a while."""
    start = time.perf_counter()
    with load.watching_health() as health:
        load.run(lambda _: time.perf_counter() - start < seconds)
    took, times = time.perf_counter() - start, np.array(load.seconds)
    p50, p99 = np.percentile(times, [50, 99])
    return {
        'requests_per_second': round(len(times) / took, 1),
        'p50_ms': round(1e3 * p50),
        'p99_ms': round(1e3 * p99),
        'p99_by_p50': round(p99 / p50, 2),
        'longest_ms': round(1e3 * times.max()),
        'healthz_longest_ms': round(1e3 * max(health)),
    }


def measure_memory(load: Load, requests: int) -> dict[str, object]:
    """The server's memory every tenth of as many requests, of short descriptions."""
    start = len(load.seconds)
    megabytes = {start: round(load.megabytes())}
    for part in range(1, 11):
        end = start + part * requests // 10
        load.run(lambda _, end=end: len(load.seconds) < end, _WHO)
        megabytes[len(load.seconds)] = round(load.megabytes())
    return {'memory_mb_by_requests': megabytes}


def main() -> None:
    """Measures, and prints the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--faces', type=int, default=100_000)
    parser.add_argument('--clients', type=int, default=32)
    parser.add_argument('--seconds', type=float, default=60)
    parser.add_argument('--requests', type=int, default=10_000)
    parser.add_argument('--model')
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(pathlib.Path(folder), asked.faces, asked.model) as (port, token),
    ):
        load = Load(port, token, asked.clients)
        load.run(lambda number: number < _WARM_UP)
        load.seconds.clear()
        size = {'faces': asked.faces, 'clients': asked.clients}
        for work in (
            lambda: measure_minute(load, asked.seconds),
            lambda: measure_memory(load, asked.requests),
        ):
            figures = work() | {'requests': len(load.seconds), 'errors': len(load.errors)}
            print(json.dumps({'benchmark': 'server_load', **size, **figures}), flush=True)
    print(*load.errors[:5], sep='\n', file=sys.stderr)


if __name__ == '__main__':
    main()
