"""What gunicorn loads: the application of one worker process, from the file that ``QUEUEY_CONFIG`` names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import gevent
from flask import Flask

from api.app import create_app
from api.auth.build import HttpsFetchers, build_authenticator
from api.metrics import MetricsDoor, Pulse
from api.node_client import NodeClient
from api.tracing import TracingDoor
from common.clock import SYSTEM_CLOCK
from common.link_keys import read_curve_secret
from common.logs import LineWriter, configure_logs
from common.metrics import CounterName, Meter
from common.settings import config_file, load_settings, metrics_dir, run_dir
from common.tracing import tracer_or_none


def build() -> Flask:
    """Return the application; its sockets are made by the first request, after the fork.

    Raises:
        BadSettingsError: the configuration can't be used.
        IdentityFilesError: files that it names can't be used.
        LinkKeyError: the file for the front ends' secret key holds none.
    """
    configure_logs("api")
    file = config_file()
    settings = load_settings(file)
    authenticator = build_authenticator(
        settings.applications,
        directory=file.parent,
        run_directory=run_dir(file),
        fetchers=HttpsFetchers(SYSTEM_CLOCK),
        processes=settings.api.workers,
    )
    secret = read_curve_secret(settings.api.curve_secret_file)
    meter = Meter()
    client = NodeClient(
        settings.seeds,
        clock=SYSTEM_CLOCK,
        curve_secret=secret,
        on_lost=lambda node, why: meter.count(CounterName.LINK_LOST, node, why.value),
    )
    created = create_app(
        settings,
        client,
        SYSTEM_CLOCK,
        authenticator=authenticator,
        meter=meter,
        lines=LineWriter("api", SYSTEM_CLOCK, defer=_after_this_turn),
        is_crowded=client.is_crowded,
    )
    created.extensions["pulse"] = Pulse(meter, SYSTEM_CLOCK, in_flight=lambda: client.in_flight)
    created.extensions["end_waits"] = client.end_waits
    tracer = tracer_or_none("queuey-api")
    if tracer is not None:
        created.wsgi_app = TracingDoor(created.wsgi_app, tracer)  # type: ignore[method-assign]
    if settings.api.metrics_bind:
        created.wsgi_app = MetricsDoor(  # type: ignore[method-assign]
            created.wsgi_app, bind=settings.api.metrics_bind, directory=str(metrics_dir(file))
        )
    return created


def _after_this_turn(function: Callable[[], None]) -> None:
    gevent.get_hub().loop.run_callback(function)


app: Final = build()
