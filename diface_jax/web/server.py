"""Starts and stops the server of the page: the port, TLS, and the end of running requests.

Without further options it listens on this machine only, and answers only its own page: a request
under another host name (DNS rebinding) or from the page of another site is refused. The page loads
nothing from elsewhere. Others are let in with tokens (`access`) and TLS (docs/server.md).
"""

import contextlib
import socket

import uvicorn
from absl import logging

from diface_jax.gallery.address import Gallery
from diface_jax.model import Model
from diface_jax.runtime import preemption
from diface_jax.web.application import application
from diface_jax.web.browser import open_in_browser
from diface_jax.web.limits import CONNECTIONS, HeaderTimeLimit
from diface_jax.web.options import ServerOptions

STOP_SECONDS = 30  # within which running requests are answered at the end


def serve(model: Model, gallery: Gallery, options: ServerOptions) -> None:
    """Serves the page until it is interrupted; then answers the requests that are running.

    Args:
      model: a trained model.
      gallery: as `Model.search` takes it; created when it does not exist.
      options: how the server is reached, by whom, and what it records.

    Raises:
      ValueError: the port or the host cannot be used, or the tokens.
    """
    model.count(gallery)  # creates the gallery, or raises where it cannot be used
    app = application(model, gallery, options)
    listening = _listen(options)
    is_opened = options.open_page and open_in_browser(options.address)
    todo = 'opened in your browser' if is_opened else 'open it in a browser'
    logging.info('the page is at %s: %s (stop it with Ctrl-C)', options.address, todo)
    if options.audit_log:
        logging.info('requests are recorded in %s', options.audit_log)
    # uvicorn answers what is running, and then sends itself the signal that stopped it.
    with contextlib.suppress(KeyboardInterrupt, preemption.Preempted):
        server_of(app, options).run(sockets=[listening])
    logging.info('stopped')


def server_of(app: uvicorn.config.ASGIApplication, options: ServerOptions) -> uvicorn.Server:
    """The server of an application, with time limits for slow clients."""
    config = uvicorn.Config(
        app,
        http=HeaderTimeLimit,
        ws='none',
        log_level='warning',
        proxy_headers=False,  # the application does that, for the named proxy alone
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=STOP_SECONDS,
        ssl_certfile=options.tls_certificate,
        ssl_keyfile=options.tls_key,
    )
    return uvicorn.Server(config)


def _listen(options: ServerOptions) -> socket.socket:
    family = socket.AF_INET6 if ':' in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family)
    except socket.gaierror as error:
        raise ValueError(f'--host={options.host}: {error.strerror}') from error
    except OSError as error:
        raise ValueError(
            f'port {options.port}: {error.strerror}; give another --port (or --host)'
        ) from error
