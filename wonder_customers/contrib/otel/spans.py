"""An observer that makes a span of every call, attempt, look and wait.

| span                               | kind     | parent and meaning |
|------------------------------------|----------|---|
| ``monri upsert``: gateway and verb | INTERNAL | the caller's current span; one verb of the session |
| ``POST /v2/customers``: a request  | CLIENT   | the verb, or the look that sends it; one attempt |
| ``look``                           | INTERNAL | the verb; asks what a write without an answer has left |
| ``wait``                           | INTERNAL | the verb, or the look; why is its ``wonder_customers.reason`` |

Looks and waits are spans and no span events: they take time, and OpenTelemetry is giving its span events up. No span is
made the current one, and no header is added to requests: a gateway is no part of your trace.

``url.full`` is left out although the conventions ask for it, because paths hold ids and references; ``url.template``
stands in its place. ``error.type`` is the class name of the library's error. A GET that finds nobody is not marked as
an error: it is an answer, and the call says whether it was the one that was hoped for. What goes without saying
(``answered``, ``applied`` where it is ``no``) is not written, because every attribute costs time.
"""

from collections.abc import Callable, Mapping
from time import time_ns
from typing import Any

from attrs import define
from opentelemetry.context import Context, get_current
from opentelemetry.trace import (
    Span,
    SpanKind,
    Status,
    StatusCode,
    TracerProvider,
    get_tracer,
    set_span_in_context,
)

from wonder_customers.contrib.otel._attributes import (
    APPLIED,
    FOUND,
    GATEWAY,
    OPERATION,
    OUTCOME,
    REASON,
    RECOVERED,
    SCHEMA,
    SCOPE,
)
from wonder_customers.events import (
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    CallStarted,
    Event,
    LookupEnded,
    LookupStarted,
    Waiting,
)

__all__ = ["Spans"]

Attributes = dict[str, str | bool | int | float]


@define(eq=False)
class _CallSpans:
    """One call's open spans, the context in which its next one begins, and since when its attempt is under way."""

    call: Span
    outside: Context
    within: Context
    since: int = 0
    look: Span | None = None
    wait: Span | None = None


class Spans:
    """Makes spans of what sessions do; one may observe any number of sessions.

    Args:
        provider: Where the spans go; None for the program's own.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = get_tracer(SCOPE, tracer_provider=provider, schema_url=SCHEMA)
        self._calls: dict[CallStarted, _CallSpans] = {}
        self._handlers: Mapping[type[Event], Callable[[Any], None]] = {
            CallStarted: self._call_started,
            AttemptStarted: self._attempt_started,
            AttemptEnded: self._attempt_ended,
            Waiting: self._wait_started,
            LookupStarted: self._looking,
            LookupEnded: self._looked,
            CallEnded: self._call_ended,
        }

    def __call__(self, event: Event) -> None:
        """Take one event of a session."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def _call_started(self, event: CallStarted) -> None:
        attributes: Attributes = {GATEWAY: event.gateway, OPERATION: event.operation}
        current = get_current()  # said once, it is not looked for again and again
        span = self._tracer.start_span(f"{event.gateway} {event.operation}", current, SpanKind.INTERNAL, attributes)
        context = set_span_in_context(span, current)
        self._calls[event] = _CallSpans(span, context, context)

    def _call_ended(self, event: CallEnded) -> None:
        spans = self._calls.pop(event.call)
        _end_wait(spans)
        attributes: Attributes = {}
        if event.applied != "no":
            attributes[APPLIED] = event.applied
        if event.recovered:
            attributes[RECOVERED] = True
        _end(spans.call, attributes, event.error)

    def _attempt_started(self, event: AttemptStarted) -> None:
        spans = self._calls[event.call]
        _end_wait(spans)
        spans.since = time_ns()

    def _attempt_ended(self, event: AttemptEnded) -> None:
        # Nothing can be inside an attempt, so its span is made when all is known: half the work of filling it later.
        spans, attempt = self._calls[event.call], event.attempt
        attributes: Attributes = {
            "http.request.method": attempt.method,
            "url.template": attempt.route,
            "server.address": event.call.host,
            "server.port": event.call.port,
        }
        if event.status is not None:
            attributes["http.response.status_code"] = event.status
        if event.outcome != "response":
            attributes[OUTCOME] = event.outcome
        if event.applied != "no":
            attributes[APPLIED] = event.applied
        if attempt.number > 1:
            attributes["http.request.resend_count"] = attempt.number - 1
        failed = event.error is not None and not is_not_found_read(event)
        if failed:
            attributes["error.type"] = str(event.error)
        name = f"{attempt.method} {attempt.route}"
        span = self._tracer.start_span(name, spans.within, SpanKind.CLIENT, attributes, start_time=spans.since)
        if failed:
            span.set_status(_FAILED)
        span.end()

    def _wait_started(self, event: Waiting) -> None:
        spans = self._calls[event.call]
        _end_wait(spans)
        spans.wait = self._tracer.start_span("wait", spans.within, attributes={REASON: event.reason})

    def _looking(self, event: LookupStarted) -> None:
        spans = self._calls[event.call]
        _end_wait(spans)
        spans.look = self._tracer.start_span("look", spans.outside)
        spans.within = set_span_in_context(spans.look)

    def _looked(self, event: LookupEnded) -> None:
        spans = self._calls[event.call]
        _end_wait(spans)
        if spans.look is not None:
            _end(spans.look, {FOUND: event.found}, event.error)
        spans.look, spans.within = None, spans.outside


_FAILED = Status(StatusCode.ERROR)


def is_not_found_read(event: AttemptEnded) -> bool:
    """Whether a read found nobody, which the conventions let a client count as an answer like any other."""
    return event.error == "NotFoundError" and event.attempt.method == "GET"


def _end_wait(spans: _CallSpans) -> None:
    if spans.wait is not None:
        spans.wait.end()
        spans.wait = None


def _end(span: Span, attributes: Attributes, error: str | None) -> None:
    if error is not None:
        attributes["error.type"] = error
        span.set_status(_FAILED)
    if attributes:
        span.set_attributes(attributes)
    span.end()
