"""Numbers about the server for Prometheus: requests, their times, and how many share a pass."""

import time

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
_PROBES = (1, 2, 4, 8, 16, 32)
_METHODS = ('GET', 'HEAD', 'POST', 'DELETE')


class Metrics:
    """The numbers of one server."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            'diface_requests',
            'Requests answered.',
            ('route', 'method', 'status'),
            registry=registry,
        )
        self.seconds = Histogram(
            'diface_request_seconds',
            'Time to the end of an answer.',
            ('route',),
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_progress = Gauge(
            'diface_requests_in_progress', 'Requests being answered.', registry=registry
        )
        self.pass_probes = Histogram(
            'diface_pass_probes',
            'Searches that were answered in one pass over the gallery.',
            buckets=_PROBES,
            registry=registry,
        )

    def text(self) -> bytes:
        """All numbers, in Prometheus' text format."""
        return generate_latest(self._registry)


class Measured:
    """Counts requests and their times."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope['type'] != 'http':
            await self._app(scope, receive, send)
            return
        status, started = 0, time.monotonic()

        async def send_measured(message: Message) -> None:
            nonlocal status
            if message['type'] == 'http.response.start':
                status = message['status']
            await send(message)

        with self._metrics.in_progress.track_inprogress():
            try:
                await self._app(scope, receive, send_measured)
            finally:
                # A client may choose any path and method, and each label takes memory.
                route = getattr(scope.get('route'), 'path', 'other')
                method = scope['method'] if scope['method'] in _METHODS else 'other'
                self._metrics.requests.labels(route, method, status).inc()
                self._metrics.seconds.labels(route).observe(time.monotonic() - started)
