"""A connection to a PostgreSQL server, and its errors in one sentence each."""

import contextlib
import os
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from diface_jax.gallery.address import shown_address
from diface_jax.gallery.row_checks import GalleryError
from diface_jax.runtime.extras import import_extra

_CONNECT_SECONDS = 10
_REASON = 300  # characters of a server's message
_LOCAL = ('localhost', '127.0.0.1', '::1')
# Values of any length that are in an index, by its name.
_INDEXED = {
    'entry_name_key': 'the name of an embedding',
    **dict.fromkeys(('entry_of_person', 'file_person_label'), 'the name of a person'),
}
# So a server notices soon that a client's machine is gone, and the reverse.
_KEEPALIVE = {
    **{'keepalives': 1, 'keepalives_idle': 30, 'keepalives_interval': 10, 'keepalives_count': 3},
    'tcp_user_timeout': 60_000,
}


def postgres_module(name: str) -> ModuleType:
    """A module of the extra [postgres]; ImportError, which says what to install, without it."""
    return import_extra(name, 'postgres', 'PostgreSQL databases')


def connect(url: str, **options: Any) -> Any:
    """A connection of psycopg. A server on another machine must speak TLS unless the URL says.

    Args:
      url: postgresql://USER@HOST/DATABASE, or any other that libpq understands. A password is
        better kept in ~/.pgpass or PGPASSWORD, which libpq reads.
      **options: of `psycopg.connect`.

    Raises:
      ImportError: the extra [postgres] is not installed.
      OSError: the server cannot be reached, or does not let this user in.
      ValueError: the URL cannot be read.
    """
    psycopg, location = postgres_module('psycopg'), shown_address(url)
    try:
        given = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error as error:
        raise ValueError(f'{location} cannot be read as an address: {reason_of(error)}') from error
    host = given.get('host', os.environ.get('PGHOST', ''))
    if 'sslmode' not in given and 'PGSSLMODE' not in os.environ:
        is_local = not host or host.startswith('/') or host in _LOCAL
        options['sslmode'] = 'prefer' if is_local else 'require'
    seconds = given.get('connect_timeout', _CONNECT_SECONDS)
    try:
        return psycopg.connect(url, connect_timeout=seconds, **_KEEPALIVE, **options)
    except psycopg.Error as error:
        reason = re.sub('(user|role) "[^"]*"', 'this user', reason_of(error))
        raise OSError(f'{location} cannot be reached: {reason}') from error


def reason_of(error: Exception) -> str:
    """The message of an error in a line."""
    return ' '.join(str(error).split())[:_REASON]


@contextlib.contextmanager
def explained(location: str) -> Iterator[None]:
    """Turns the errors of psycopg into OSError (the server is gone) and GalleryError."""
    psycopg = postgres_module('psycopg')
    try:
        yield
    except psycopg.Error as error:
        state = error.sqlstate or ''
        if isinstance(error, psycopg.OperationalError) and state[:2] in ('', '08', '57'):
            raise OSError(
                f'{location}: the server is gone ({reason_of(error)}); what was committed is kept'
            ) from error
        if isinstance(error, psycopg.errors.LockNotAvailable):
            raise GalleryError(
                f'{location}: another program is changing the gallery; try again'
            ) from error
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            raise GalleryError(
                f'{location}: this user may not do that ({reason_of(error)}); docs/postgres.md '
                'lists the roles'
            ) from error
        if isinstance(error, psycopg.errors.ProgramLimitExceeded):
            value = _INDEXED.get(error.diag.constraint_name, 'a value')
            raise GalleryError(
                f'{location}: {value} is longer than the 2,600 bytes that PostgreSQL takes: '
                f'shorten it ({reason_of(error)})'
            ) from error
        raise GalleryError(f'{location}: {reason_of(error)}') from error
