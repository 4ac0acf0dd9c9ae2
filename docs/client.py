"""A client of the server of `diface --mode=serve`: one file, for Python's standard library alone.

In Python:

  client = Client('https://localhost:8443', token, certificate='certificate.pem')
  for result in client.search('a man with a short beard')['results']:
      print(result['likelihood'], result['person'], result['photo'])

As a command, with the token in DIFACE_TOKEN:

  python client.py --server=https://localhost:8443 --certificate=certificate.pem search 'a man'

What the answers hold: /api/openapi.json of the server, and docs/searching.md.
"""

import argparse
import json
import os
import pathlib
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any

_TRIES = 5


class RefusedError(Exception):
    """The server refused a request; the message is its sentence.

    Attributes:
      status: of the answer.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Client:
    """Asks a server. A request that comes too often, or to a busy server, is repeated later.

    Args:
      address: of the server, such as 'https://localhost:8443'.
      token: of who asks; None where the server needs none.
      certificate: PEM file of a certificate that signs itself; None: one of a known authority.
      timeout: in seconds, of one try.

    All methods raise RefusedError, or urllib.error.URLError where the server cannot be reached.
    """

    def __init__(
        self,
        address: str,
        token: str | None = None,
        certificate: str | None = None,
        timeout: float = 150,
    ) -> None:
        self._address, self._timeout = address.rstrip('/'), timeout
        self._headers = {'Authorization': f'Bearer {token}'} if token else {}
        tls = ssl.create_default_context(cafile=certificate)
        handlers = [urllib.request.HTTPSHandler(context=tls), urllib.request.ProxyHandler({})]
        self._open = urllib.request.build_opener(*handlers).open

    def gallery(self) -> dict[str, Any]:
        """How many faces and people there are, and what they can be filtered by."""
        return json.loads(self._ask('GET', '/api/gallery'))

    def search(
        self,
        *texts: str,
        k: int = 10,
        people: bool = False,
        where: Sequence[tuple[str, str]] = (),
        photo: bytes | None = None,
    ) -> dict[str, Any]:
        """The faces that fit a description, a photograph, or both; best first in 'results'.

        Args:
          *texts: sentences about one person.
          k: how many results.
          people: results are people, each by their best face.
          where: conditions such as ('person', 'An*'), all of which must hold.
          photo: the bytes of a photograph of the person, however poor.
        """
        probe = json.loads(self._ask('POST', '/api/probe', photo))['probe'] if photo else ''
        asked = {'texts': texts, 'k': k, 'people': people, 'where': where, 'probe': probe}
        body = json.dumps(asked).encode()
        return json.loads(self._ask('POST', '/api/search', body, 'application/json'))

    def enroll(self, name: str, photo: bytes, person: str = '') -> dict[str, Any]:
        """Adds the faces of a photograph, given its file's name, its bytes, and who it shows."""
        query = urllib.parse.urlencode({'name': name, 'person': person})
        return json.loads(self._ask('POST', f'/api/photos?{query}', photo))

    def face(self, entry: int) -> bytes:
        """The small JPEG of a result's face, by its 'entry'."""
        return self._ask('GET', f'/api/faces/{entry}')

    def photo(self, entry: int) -> bytes:
        """The JPEG of the photograph that a result is from, by its 'entry'."""
        return self._ask('GET', f'/api/photos/{entry}')

    def delete(self, entry: int) -> int:
        """Deletes an entry for good; returns how many went."""
        return json.loads(self._ask('DELETE', f'/api/entries/{entry}'))['removed']

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        kind: str = 'application/octet-stream',
    ) -> bytes:
        headers = self._headers | ({'Content-Type': kind} if body is not None else {})
        for tries in range(_TRIES, 0, -1):
            request = urllib.request.Request(
                self._address + path, body, headers=headers, method=method
            )
            try:
                with self._open(request, timeout=self._timeout) as answer:
                    return answer.read()
            except urllib.error.HTTPError as error:
                wait = error.headers.get('Retry-After')
                if not wait or tries == 1:
                    raise RefusedError(error.code, _sentence(error)) from None
                time.sleep(float(wait))
        raise AssertionError('unreachable')


def _sentence(error: urllib.error.HTTPError) -> str:
    try:
        return json.loads(error.read())['error']
    except (ValueError, KeyError, TypeError):
        return f'the server answered {error.code}'


def _result_line(result: dict[str, Any]) -> str:
    who = result['person'] or result['name'] or ''
    kind = 'match' if result['match'] else 'lead'
    place = f'{result["photo"] or ""} (entry {result["entry"]})'
    return f'{result["rank"]:3} {result["likelihood"]}, a {kind}: {who} {place}'


def _run(client: Client, asked: argparse.Namespace) -> None:
    if asked.command == 'search':
        photo = pathlib.Path(asked.photo).read_bytes() if asked.photo else None
        where = [tuple(condition.split('=', 1)) for condition in asked.where]
        answer = client.search(*asked.text, k=asked.k, where=where, photo=photo)
        print('\n'.join([answer['summary'], *map(_result_line, answer['results'])]))
    elif asked.command == 'enroll':
        for file in map(pathlib.Path, asked.files):
            report = client.enroll(file.name, file.read_bytes(), asked.person)
            print(f'{file}: {report["faces"]} faces', *report['problems'].values())
    elif asked.command == 'delete':
        print(f'removed {sum(map(client.delete, asked.entries))}')
    else:
        print(json.dumps(client.gallery(), indent=1))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description='Asks a DiFace server; the token: DIFACE_TOKEN.')
    parser.add_argument('--server', default='http://127.0.0.1:8080')
    parser.add_argument('--certificate', help='PEM file of a certificate that signs itself')
    commands = parser.add_subparsers(dest='command', required=True)
    search = commands.add_parser('search', help='faces that fit a description')
    search.add_argument('text', nargs='*', help='sentences about one person')
    search.add_argument('--k', type=int, default=10, help='how many results')
    search.add_argument('--where', action='append', default=[], help='NAME=PATTERN')
    search.add_argument('--photo', help='a photograph of the person')
    enroll = commands.add_parser('enroll', help='add photographs')
    enroll.add_argument('files', nargs='+')
    enroll.add_argument('--person', default='', help='whom they show')
    delete = commands.add_parser('delete', help='delete entries for good')
    delete.add_argument('entries', nargs='+', type=int)
    commands.add_parser('gallery', help='what the gallery holds')
    asked = parser.parse_args()
    client = Client(asked.server, os.environ.get('DIFACE_TOKEN'), asked.certificate)
    try:
        _run(client, asked)
    except (RefusedError, OSError) as error:
        sys.exit(f'{asked.command}: {error}')


if __name__ == '__main__':
    main()
