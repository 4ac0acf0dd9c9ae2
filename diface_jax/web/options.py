"""The settings of the server, and which of them go together."""

import dataclasses
import ipaddress
import pathlib
import ssl

from diface_jax.gallery import address

LOOPBACK = '127.0.0.1'
NO_LOG = 'none'  # as --audit_log
_LOOPBACK_NAMES = frozenset({LOOPBACK, 'localhost', '::1'})
_HELP = '(docs/server.md)'


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """How the server is reached, by whom, and what it records.

    Attributes:
      port: it listens on.
      host: address it listens on; the default is of this machine alone.
      server_names: further names by which browsers reach it, such as 'photos.example'.
      token_file: who may ask (see `tokens.read_tokens`); None: everybody on this machine.
      tls_certificate: PEM file with the certificate chain; None: no TLS.
      tls_key: PEM file with its private key.
      proxy: IP address of the reverse proxy in front; no other address is answered, and forwarded
        headers are believed from there alone.
      audit_log: file that records who asked what; None: none.
      rate_limit: requests a minute that search, enrol, delete or open a photo, of each person with
        a token.
      photos: photographs are shown from below this folder alone; None: from where they were
        enrolled.
      open_page: opens the page in the user's browser.

    Raises:
      ValueError: settings that would let others in without a token, or a token out in clear text;
        says which flag to give.
    """

    port: int = 8080
    host: str = LOOPBACK
    server_names: tuple[str, ...] = ()
    token_file: pathlib.Path | None = None
    tls_certificate: pathlib.Path | None = None
    tls_key: pathlib.Path | None = None
    proxy: str | None = None
    audit_log: pathlib.Path | None = None
    rate_limit: int = 300
    photos: pathlib.Path | None = None
    open_page: bool = False

    def __post_init__(self) -> None:
        self._check_tls()
        if self.proxy and not _is_address(self.proxy):
            raise ValueError(f'--proxy={self.proxy} is no IP address: give that of the proxy')
        if self.proxy and not (self.token_file and self.server_names):
            raise ValueError(
                '--proxy lets others in: give --token_file=FILE, and --server_name=NAME, the name '
                f'that browsers use {_HELP}'
            )
        if self.is_local:
            return
        if not self.token_file:
            raise ValueError(
                f'--host={self.host} can be reached by others: give --token_file=FILE with who may '
                f'ask {_HELP}, or leave --host out'
            )
        if not (self.tls_certificate or self.proxy):
            raise ValueError(
                f'--host={self.host} would send tokens in clear text: give --tls_certificate=FILE '
                f'and --tls_key=FILE, or --proxy=ADDRESS of a reverse proxy with TLS {_HELP}'
            )
        if self._is_wildcard and not self.server_names:
            raise ValueError(
                f'--host={self.host} is every address of this machine: give --server_name=NAME, '
                'the name or address that browsers use'
            )

    def _check_tls(self) -> None:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError('--tls_certificate and --tls_key go together')
        if self.tls_certificate:
            try:
                # An empty password: a key with another one is refused, in place of a prompt.
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                    self.tls_certificate, self.tls_key, password=''
                )
            except OSError as error:
                raise ValueError(
                    f'--tls_certificate={self.tls_certificate} and --tls_key={self.tls_key} cannot '
                    f'be used: {error}. Give a PEM certificate and its key, without a password'
                ) from error

    @property
    def is_local(self) -> bool:
        """Whether it listens on this machine alone."""
        return self.host in _LOOPBACK_NAMES or (
            _is_address(self.host) and ipaddress.ip_address(self.host).is_loopback
        )

    @property
    def _is_wildcard(self) -> bool:
        return _is_address(self.host) and ipaddress.ip_address(self.host).is_unspecified

    @property
    def names(self) -> frozenset[str]:
        """Every host name under which it answers, in lower case."""
        local = _LOOPBACK_NAMES if self.is_local or self._is_wildcard else frozenset()
        return local | {name.lower() for name in (self.host, *self.server_names)}

    @property
    def address(self) -> str:
        """Of the page, for a browser on this machine."""
        name = self.server_names[0] if self._is_wildcard else self.host
        name = f'[{name}]' if ':' in name else name
        return f'{"https" if self.tls_certificate else "http"}://{name}:{self.port}'


def default_audit_log(gallery: str) -> pathlib.Path:
    """The log of a gallery in a folder: a file beside it.

    Raises:
      ValueError: the gallery is in a database.
    """
    if address.is_database(gallery):
        raise ValueError(
            'a gallery in a database needs --audit_log=FILE, which records who asks what; '
            f'--audit_log={NO_LOG} records nothing'
        )
    folder = pathlib.Path(gallery).absolute()
    return folder.with_name(f'{folder.name}.audit.jsonl')


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
