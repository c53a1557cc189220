"""Every metric of the service, in one closed list: what is not here can't be emitted.

A label is never a queue, a key or anything else that clients can make up: its values are applications of the
configuration, operations, codes and other names of the code.  Values of labels are looked up once and kept.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import Collector, CollectorRegistry

_FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_LONG: Final = (0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3_600.0, 86_400.0)
_SIZES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_000.0)


class _Fields(NamedTuple):
    name: str
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = _FAST


class CounterName(_Fields, Enum):
    """What is counted."""

    HTTP_ERRORS = _Fields("queuey_http_errors", "Refusals by code", ("application", "operation", "code"))
    HTTP_BYTES = _Fields("queuey_http_request_bytes", "Bytes of request bodies", ("application",))
    LINK_LOST = _Fields(
        "queuey_link_lost", "Requests that a node gave no answer to, by its address", ("node", "reason")
    )
    NODE_ERRORS = _Fields("queuey_node_errors", "Failures by code", ("application", "operation", "code"))
    STORE_ERRORS = _Fields("queuey_store_errors", "Failed calls of the store by kind", ("statement", "error"))
    DELIVERY_ROUNDS = _Fields("queuey_delivery_rounds", "Conditional writes of delivery rows")
    DELIVERY_CONFLICTS = _Fields("queuey_delivery_conflicts", "Conditional writes that were not applied")


class HistogramName(_Fields, Enum):
    """What is measured; its ``_count`` counts as well.  Seconds unless the name says otherwise."""

    HTTP = _Fields("queuey_http_request_seconds", "Until the answer's head", ("application", "operation"))
    NODE = _Fields("queuey_node_operation_seconds", "From admission to answer", ("application", "operation"))
    STORE = _Fields("queuey_store_seconds", "Calls of the store", ("statement",))
    APPEND_MESSAGES = _Fields("queuey_append_round_messages", "Messages of one append round", buckets=_SIZES)
    CLAIM_LAG = _Fields(
        "queuey_claim_lag_seconds",
        "From a message's time to its first claim (the oldest one of a claim)",
        ("application",),
        _LONG,
    )
    LOOP_LAG = _Fields("queuey_loop_lag_seconds", "By how much the event loop is late")


class GaugeName(_Fields, Enum):
    """What stands at a moment; of several processes the sum over those alive."""

    HTTP_IN_FLIGHT = _Fields("queuey_http_in_flight", "Calls of front ends to nodes under way")
    NODE_IN_FLIGHT = _Fields("queuey_node_in_flight", "Operations under way")
    NODE_WAITING = _Fields("queuey_node_waiting", "Operations that wait for messages")


DROPS: Final = _Fields("queuey_node_drops", "Requests that a node did not begin, or could not answer", ("reason",))
"""Counted by the node's server itself, and read when somebody asks."""


class Meter:
    """The metrics of one process.

    With ``registry`` they are shown from this process's memory; without one they are only written to the files that
    prometheus-client adds up over processes (where ``PROMETHEUS_MULTIPROC_DIR`` names a directory).
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry
        self._counters = {
            each: Counter(each.value.name, each.value.text, each.value.labels, registry=registry)
            for each in CounterName
        }
        self._gauges = {
            each: Gauge(
                each.value.name, each.value.text, each.value.labels, registry=registry, multiprocess_mode="livesum"
            )
            for each in GaugeName
        }
        self._histograms = {
            each: Histogram(
                each.value.name, each.value.text, each.value.labels, registry=registry, buckets=each.value.buckets
            )
            for each in HistogramName
        }
        self._counter_children: dict[tuple[object, ...], Counter] = {}
        self._histogram_children: dict[tuple[object, ...], Histogram] = {}

    def show(self, collector: Collector) -> None:
        """Show what a collector finds, besides the metrics of this meter."""
        if self.registry is not None:
            self.registry.register(collector)

    def count(self, name: CounterName, *labels: str, by: float = 1) -> None:
        """Count one more, or ``by`` more."""
        key = (name, *labels)
        child = self._counter_children.get(key)
        if child is None:
            counter = self._counters[name]
            child = self._counter_children[key] = counter.labels(*labels) if labels else counter
        child.inc(by)

    def observe(self, name: HistogramName, value: float, *labels: str) -> None:
        """Add a measurement."""
        key = (name, *labels)
        child = self._histogram_children.get(key)
        if child is None:
            histogram = self._histograms[name]
            child = self._histogram_children[key] = histogram.labels(*labels) if labels else histogram
        child.observe(value)

    def gauge(self, name: GaugeName) -> Gauge:
        """Return the gauge, to be set or to be given a function."""
        return self._gauges[name]
