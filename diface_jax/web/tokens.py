"""Who somebody is: tokens, and the sessions of browsers that have given one."""

import hashlib
import hmac
import os
import pathlib
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping

SESSION_SECONDS = 12 * 3600
_SESSIONS = 1000
_SHORTEST = 20  # characters of a token
_NAME = re.compile(r'[\w.@-]{1,100}', re.ASCII)
_HASHED = re.compile(r'sha256:([0-9a-f]{64})')


class Tokens:
    """The people who may ask.

    Args:
      digests: the SHA-256 of each person's token, by name.
    """

    def __init__(self, digests: Mapping[str, bytes]) -> None:
        self._digests = dict(digests)

    def user_of(self, token: str) -> str | None:
        """The name of a token; None where nobody has it.

        The time that it takes tells nothing of the tokens: all are compared, each by its digest and
        in constant time.
        """
        digest, user = _digest(token), None
        for name, known in self._digests.items():
            if hmac.compare_digest(digest, known):
                user = name
        return user


def read_tokens(path: pathlib.Path) -> Tokens:
    """Reads a file with a line NAME:TOKEN, or NAME:sha256:HEX, for each person.

    Lines that are empty or begin with # are left out.

    Raises:
      OSError: the file cannot be read.
      ValueError: a line cannot be used, or others can read tokens in the file; says what to do.
    """
    digests, has_tokens = {}, False
    for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
        line = line.strip()
        if not line or line.startswith('#'):
            continue
        name, _, token = line.partition(':')
        hashed = _HASHED.fullmatch(token)
        if not _NAME.fullmatch(name) or not token:
            raise ValueError(f'{path}, line {number} is not of the form NAME:TOKEN')
        if name in digests:
            raise ValueError(f'{path}, line {number}: {name} has a token already')
        if not hashed and (len(token) < _SHORTEST or not token.isascii()):
            raise ValueError(
                f'{path}, line {number}: a token has at least {_SHORTEST} letters and digits, such '
                "as python -c 'import secrets; print(secrets.token_urlsafe())' prints"
            )
        digests[name] = bytes.fromhex(hashed[1]) if hashed else _digest(token)
        has_tokens |= not hashed
    if not digests:
        raise ValueError(f'{path} names nobody: write a line NAME:TOKEN for each person')
    if has_tokens and os.name == 'posix' and path.stat().st_mode & 0o077:
        raise ValueError(f'{path} holds tokens, and others can read it: chmod 600 {path}')
    return Tokens(digests)


class Sessions:
    """Browsers that have logged in, in memory alone: a restart logs everybody out."""

    def __init__(self) -> None:
        self._users: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def start(self, user: str) -> str:
        """A new session of a person; returns its secret, for the cookie."""
        secret = secrets.token_urlsafe()
        self._users[_digest(secret)] = user, time.monotonic() + SESSION_SECONDS
        while len(self._users) > _SESSIONS:
            self._users.popitem(last=False)
        return secret

    def user_of(self, secret: str) -> str | None:
        """Whose session it is; None where it is of nobody, or has ended."""
        user, end = self._users.get(_digest(secret), (None, 0.0))
        return user if time.monotonic() < end else None

    def end(self, secret: str) -> None:
        """Ends a session."""
        self._users.pop(_digest(secret), None)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode('utf-8', 'surrogatepass')).digest()
