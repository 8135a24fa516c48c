"""An observer that creates a span for every call, attempt, lookup and wait.

| span                                 | kind     | parent and content |
|--------------------------------------|----------|---|
| ``monri upsert``: gateway, operation | INTERNAL | the caller's current span; one call |
| ``POST /v2/customers``: method, route | CLIENT  | the call, or the lookup; one attempt |
| ``lookup``                           | INTERNAL | the call; determines whether an unanswered write was applied |
| ``wait``                             | INTERNAL | the call, or the lookup; ``wonder_customers.reason`` is the reason |

The spans are not made current, and no trace headers are added to requests. The attribute ``url.template`` replaces
``url.full``, because paths contain ids and references. Attributes with default values are omitted
(``wonder_customers.outcome`` = ``response``, ``wonder_customers.applied`` = ``no``).
"""

from time import time_ns

from attrs import define, field
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

from wonder_customers.contrib.otel._observer import (
    APPLIED,
    DRIFT,
    FOUND,
    GATEWAY,
    OPERATION,
    OUTCOME,
    REASON,
    RECOVERED,
    REQUEST_ID,
    SCHEMA,
    SCOPE,
    Attributes,
    OpenTelemetryObserver,
    request_attributes,
)
from wonder_customers.events import (
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    CallStarted,
    LookupEnded,
    LookupStarted,
    ResponseDrift,
    WaitEnded,
    Waiting,
)

__all__ = ["Spans"]

_ERROR = Status(StatusCode.ERROR)


@define(eq=False)
class _CallSpans:
    """The open spans of one call, and start times in nanoseconds."""

    call: Span
    call_context: Context
    context: Context
    attempt_start: int = 0
    wait_start: int = 0
    lookup: Span | None = None
    drift: list[str] = field(factory=list)


class Spans(OpenTelemetryObserver):
    """Creates spans for any number of sessions.

    Args:
        provider: The tracer provider; None for the program's global tracer provider.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = get_tracer(SCOPE, tracer_provider=provider, schema_url=SCHEMA)
        self._calls: dict[CallStarted, _CallSpans] = {}

    def _on_call_started(self, event: CallStarted) -> None:
        attributes: Attributes = {GATEWAY: event.gateway, OPERATION: event.operation}
        current = get_current()  # passed explicitly, because reading the context again takes time
        span = self._tracer.start_span(f"{event.gateway} {event.operation}", current, SpanKind.INTERNAL, attributes)
        context = set_span_in_context(span, current)
        self._calls[event] = _CallSpans(span, context, context)

    def _on_call_ended(self, event: CallEnded) -> None:
        spans = self._calls.pop(event.call)
        attributes: Attributes = {}
        if event.applied != "no":
            attributes[APPLIED] = event.applied
        if event.recovered:
            attributes[RECOVERED] = True
        if spans.drift:
            spans.call.set_attribute(DRIFT, sorted(set(spans.drift)))
        _end(spans.call, attributes, event.error)

    def _on_attempt_started(self, event: AttemptStarted) -> None:
        self._calls[event.call].attempt_start = time_ns()

    def _on_attempt_ended(self, event: AttemptEnded) -> None:
        # The span of an attempt has no children, so it can be created at its end, which takes half the time.
        spans, attempt = self._calls[event.call], event.attempt
        attributes = request_attributes(event)
        if event.outcome != "response":
            attributes[OUTCOME] = event.outcome
        if event.applied != "no":
            attributes[APPLIED] = event.applied
        if event.request_id is not None:
            attributes[REQUEST_ID] = event.request_id
        if attempt.number > 1:
            attributes["http.request.resend_count"] = attempt.number - 1
        name = f"{attempt.method} {attempt.route}"
        span = self._tracer.start_span(name, spans.context, SpanKind.CLIENT, attributes, start_time=spans.attempt_start)
        if "error.type" in attributes:
            span.set_status(_ERROR)
        span.end()

    def _on_waiting(self, event: Waiting) -> None:
        self._calls[event.call].wait_start = time_ns()

    def _on_wait_ended(self, event: WaitEnded) -> None:
        spans, attributes = self._calls[event.call], {REASON: event.wait.reason}
        self._tracer.start_span("wait", spans.context, attributes=attributes, start_time=spans.wait_start).end()

    def _on_response_drift(self, event: ResponseDrift) -> None:
        self._calls[event.call].drift.append(event.field)

    def _on_lookup_started(self, event: LookupStarted) -> None:
        spans = self._calls[event.call]
        spans.lookup = self._tracer.start_span("lookup", spans.call_context)
        spans.context = set_span_in_context(spans.lookup)

    def _on_lookup_ended(self, event: LookupEnded) -> None:
        spans = self._calls[event.call]
        if spans.lookup is not None:
            _end(spans.lookup, {FOUND: event.found}, event.error)
        spans.lookup, spans.context = None, spans.call_context


def _end(span: Span, attributes: Attributes, error: str | None) -> None:
    if error is not None:
        attributes["error.type"] = error
        span.set_status(_ERROR)
    if attributes:
        span.set_attributes(attributes)
    span.end()
