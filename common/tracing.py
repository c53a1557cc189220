"""Spans of OpenTelemetry, where it is installed (extra ``tracing``) and its standard environment asks for them.

``OTEL_EXPORTER_OTLP_ENDPOINT`` or ``OTEL_TRACES_EXPORTER`` (``otlp``, ``console``) switches it on; whatever else the
SDK reads from ``OTEL_*`` holds as well.  Without it no part of OpenTelemetry is imported, and nothing is wrapped.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.trace.export import SpanExporter

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_FAILED_FROM: Final = 500
"""HTTP statuses from here on are failures of the service."""

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


class Span:
    """One piece of work under way."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        """What its callees are told, in W3C's form."""
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def end(self, *, name: str = "", failed: str = "", attributes: Mapping[str, str | int] | None = None) -> None:
        """End it; ``failed`` says why where it did."""
        from opentelemetry.trace import Status, StatusCode

        if name:
            self._span.update_name(name)
        self._span.set_attributes({key: value for key, value in (attributes or {}).items() if value != ""})
        if failed:
            self._span.set_status(Status(StatusCode.ERROR, failed))
        self._span.end()

    def end_http(self, *, name: str, status: int, attributes: Mapping[str, str | int]) -> None:
        """End that of an HTTP request."""
        failed = str(status) if status >= _FAILED_FROM else ""
        self.end(name=name, failed=failed, attributes={"http.response.status_code": status, **attributes})


class Tracer:
    """Begins spans of one process, which the SDK sends out in batches."""

    def __init__(self, service: str, exporter: SpanExporter) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        is_named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get(
            "OTEL_RESOURCE_ATTRIBUTES", ""
        )
        provider = TracerProvider(resource=Resource.create({} if is_named else {"service.name": service}))
        provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = provider.get_tracer("queuey")
        self._propagator = TraceContextTextMapPropagator()
        self._kind = SpanKind.SERVER

    def begin(self, name: str, *, traceparent: str) -> Span:
        """Begin a span, a child of the caller's where it named one."""
        context = self._propagator.extract({"traceparent": traceparent}) if traceparent else None
        return Span(self._tracer.start_span(name, context=context, kind=self._kind))


def tracer_or_none(service: str) -> Tracer | None:
    """Return a tracer where the environment asks for one; call it in the process that works, not before a fork."""
    exporters = os.environ.get("OTEL_TRACES_EXPORTER", "otlp" if any(map(os.environ.get, _ENDPOINTS)) else "none")
    if exporters == "none" or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        exporter = _exporter(exporters)
    except ImportError as error:
        _log.warning("tracing_not_installed", missing=error.name, extra="queuey-service[tracing]")
        return None
    if exporter is None:
        _log.warning("tracing_exporter_unknown", exporters=exporters, known=["otlp", "console", "none"])
        return None
    return Tracer(service, exporter)


def _exporter(name: str) -> SpanExporter | None:
    if name == "otlp":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter()
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    return None
