"""Shows what all front-end processes of this machine measured, on an address of its own.

gunicorn listens on the public address and on this one; which of them a request came in by, its socket tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Protocol, cast

import gevent
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from common.addresses import host_and_port_or_none
from common.clock import Clock
from common.metrics import GaugeName, HistogramName, Meter

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH: Final = "/metrics"
PULSE_S: Final = 0.5
"""Seconds between two measurements of a worker's event loop."""


class _Socket(Protocol):
    def getsockname(self) -> tuple[str, int]:
        """Return the address that the client connected to."""


class Pulse:
    """Measures, in every worker, by how much its event loop is late, and what stands at the moment."""

    def __init__(self, meter: Meter, clock: Clock, *, in_flight: Callable[[], int]) -> None:
        self._meter = meter
        self._clock = clock
        self._in_flight = in_flight

    def start(self) -> None:
        """Begin, in the worker's own process."""
        gevent.spawn(self._beat)

    def _beat(self) -> None:
        while True:
            due_s = self._clock.monotonic_s() + PULSE_S
            gevent.sleep(PULSE_S)
            self._meter.observe(HistogramName.LOOP_LAG, max(0.0, self._clock.monotonic_s() - due_s))
            self._meter.gauge(GaugeName.HTTP_IN_FLIGHT).set(self._in_flight())


class MetricsDoor:
    """Answers ``/metrics`` on the metrics' address, and nothing else there; elsewhere it is not to be seen."""

    def __init__(self, application: WSGIApplication, *, bind: str, directory: str) -> None:
        """``directory`` is where the processes keep their metric files."""
        place = host_and_port_or_none(bind)
        self._port = place[1] if place else 0
        self._directory = directory
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        if not self._is_inside(environ):
            return self._application(environ, start_response)
        if environ["PATH_INFO"] != PATH:
            start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "0")])
            return ()
        registry = CollectorRegistry()
        MultiProcessCollector(registry, self._directory)  # type: ignore[no-untyped-call]
        body = generate_latest(registry)
        start_response("200 OK", [("Content-Type", CONTENT_TYPE_LATEST), ("Content-Length", str(len(body)))])
        return (body,)

    def _is_inside(self, environ: WSGIEnvironment) -> bool:
        socket = environ.get("gunicorn.socket")
        if socket is None:
            return False
        name = cast(_Socket, socket).getsockname()
        return isinstance(name, tuple) and name[1] == self._port
