"""Spans of the real SDK, sent by front end and node to a real receiver."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.deployment import deployed
from tests.support.service import wait_until

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"


class Receiver(ThreadingHTTPServer):
    """Takes in what exporters send; keeps (service, span)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Inlet)
        self.spans: list[tuple[str, Span]] = []

    def named(self, service: str, name: str) -> list[Span]:
        """Return the spans of a service by this name, in our trace."""
        found = list(self.spans)
        return [span for by, span in found if (by, span.name) == (service, name) and span.trace_id.hex() == TRACE_ID]


class Inlet(BaseHTTPRequestHandler):
    """``POST /v1/traces`` in protobuf."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        assert isinstance(self.server, Receiver)
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {each.key: each.value.string_value for each in group.resource.attributes}
            for scope in group.scope_spans:
                self.server.spans += [(names["service.name"], span) for span in scope.spans]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        serving = threading.Thread(target=made.serve_forever)
        serving.start()
        yield made
        made.shutdown()
        serving.join()


def test_a_trace_goes_through_front_end_and_node(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client's span is the parent of the front end's, and that of the node's; the logs name the same trace."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{receiver.server_port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    with deployed(tmp_path) as deployment:
        api = deployment.api()
        headers = {"traceparent": f"00-{TRACE_ID}-{CALLER}-01"}
        assert api.post("", data={"queue_name": "traced"}).status_code == 201
        assert api.post("traced", data=b"x", headers=headers).status_code == 201
        assert api.get("missing", headers=headers).status_code == 404
        wait_until(lambda: receiver.named("queuey-storage-node", "publish"), within_s=20, what="span of the node")
        wait_until(lambda: receiver.named("queuey-api", "POST publish"), within_s=20, what="span of the front end")
        wait_until(lambda: receiver.named("queuey-storage-node", "read"), within_s=20, what="span of the refusal")
    (front,) = receiver.named("queuey-api", "POST publish")
    (node,) = receiver.named("queuey-storage-node", "publish")
    assert (front.parent_span_id.hex(), node.parent_span_id) == (CALLER, front.span_id)
    named = {each.key: each.value.string_value for each in front.attributes}
    assert (named["queuey.application"], named["queuey.queue"]) == ("queuey", "traced")
    (refused,) = receiver.named("queuey-storage-node", "read")
    assert (refused.status.code, refused.status.message) == (2, "queue_not_found")
    for process in (deployment.front, deployment.node):
        lines = [json.loads(line) for line in process.log(10_000).splitlines() if '"traced"' in line]
        assert TRACE_ID in {line["traceparent"].split("-")[1] for line in lines if line["traceparent"]}


def test_nothing_of_it_is_there_without_being_asked_for(tmp_path: Path) -> None:
    """No part of OpenTelemetry is in either process."""
    with deployed(tmp_path) as deployment:
        children = Path(f"/proc/{deployment.front.pid}/task/{deployment.front.pid}/children").read_text().split()
        for pid in (deployment.node.pid, *children):
            assert "opentelemetry" not in Path(f"/proc/{pid}/maps").read_text()
        assert deployment.api().get("").status_code == 200
