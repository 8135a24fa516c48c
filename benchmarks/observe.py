"""What do observers cost per call?"""

import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from time import process_time

from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import Span, SpanKind, set_span_in_context

from benchmarks._contenders import account
from benchmarks._findings import ROUNDS, Findings, Target, alternate, microseconds, summed_up
from benchmarks._loop import run
from benchmarks.overhead import Idle
from wonder_customers import CustomerSession
from wonder_customers._core.account_state import AccountState
from wonder_customers._core.context import AccountContext, CallContext
from wonder_customers.contrib.logs import log_events
from wonder_customers.contrib.otel import Metrics, Spans
from wonder_customers.dialects.base import Call
from wonder_customers.events import AttemptEnded, CallEnded, CallStarted, Event, Observer
from wonder_customers.records import Response
from wonder_customers.retry import RetryBudget
from wonder_customers.wire import HttpRequest, Replay

_REFERENCES = [f"00000000-0000-4000-8000-{number:012d}" for number in range(2000)]

NO_OBSERVER, ONE = "no observer", "a function that does nothing"
QUIET, LOUD = "log_events, WARNING", "log_events, DEBUG"
SPANS, METRICS, BOTH, UNSAMPLED = "Spans", "Metrics", "Spans and Metrics", "the same, none sampled"
BARE, BARE_BOTH = "two bare spans by hand", "and two bare measurements"


class _Nowhere(SpanExporter):
    """An exporter that discards everything."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Do nothing."""
        return SpanExportResult.SUCCESS


def _tracing(sampler: Sampler = ALWAYS_ON) -> TracerProvider:
    provider = TracerProvider(sampler=sampler)
    provider.add_span_processor(SimpleSpanProcessor(_Nowhere()))
    return provider


def _metering() -> MeterProvider:
    return MeterProvider(metric_readers=[InMemoryMetricReader()])


def _bare_spans() -> Observer:
    """Return an observer with one bare span per call and per attempt: the lowest possible cost of spans."""
    tracer, open_calls = _tracing().get_tracer("bare"), dict[CallStarted, tuple[Span, Context]]()

    def observe(event: Event) -> None:
        if isinstance(event, CallStarted):
            span = tracer.start_span("call")
            open_calls[event] = span, set_span_in_context(span)
        elif isinstance(event, AttemptEnded):
            tracer.start_span("attempt", open_calls[event.call][1], SpanKind.CLIENT).end()
        elif isinstance(event, CallEnded):
            open_calls.pop(event.call)[0].end()

    return observe


def _bare_measurements() -> Observer:
    """Return an observer with one bare measurement per call and per attempt."""
    meter = _metering().get_meter("bare")
    instruments = {AttemptEnded: meter.create_histogram("attempts"), CallEnded: meter.create_histogram("calls")}

    def observe(event: Event) -> None:
        if isinstance(event, AttemptEnded | CallEnded):
            instruments[type(event)].record(event.elapsed)

    return observe


def _nothing(event: Event) -> None:
    """Do nothing."""


def _unwatched() -> Callable[[], None]:
    """Return the part of a call that serves observers, for a session without observers: counting calls."""
    dialect, state, response = account(1).dialect(), AccountState(RetryBudget(500)), Response(None, 200, {})
    context = CallContext(AccountContext(dialect, 1, state), "get", 0.0, 60.0)
    call = Call(HttpRequest("GET", "/", "/"), Replay.READ, str)

    def seam() -> None:
        context.begin(None)
        state.counts.attempts += 1
        context.begin_attempt(call, 1)
        context.succeed(response)

    return seam


async def _rounds(times: int, rounds: int) -> dict[str, list[float]]:
    """Return the CPU time of a read in µs, by observers and round."""
    watched: dict[str, list[Observer]] = {
        NO_OBSERVER: [],
        ONE: [_nothing],
        QUIET: [log_events],
        LOUD: [log_events],
        BARE: [_bare_spans()],
        BARE_BOTH: [_bare_spans(), _bare_measurements()],
        SPANS: [Spans(_tracing())],
        METRICS: [Metrics(_metering())],
        BOTH: [Spans(_tracing()), Metrics(_metering())],
        UNSAMPLED: [Spans(_tracing(ALWAYS_OFF)), Metrics(_metering())],
    }
    logger = logging.getLogger("wonder_customers")
    logger.propagate = False
    seen: dict[str, list[float]] = {name: [] for name in watched}
    async with AsyncExitStack() as stack:
        sessions = {
            name: await stack.enter_async_context(CustomerSession(account(1), transport=Idle(), observers=observers))
            for name, observers in watched.items()
        }
        for _ in range(rounds + 1):
            for name, session in sessions.items():
                logger.setLevel(logging.DEBUG if name == LOUD else logging.WARNING)
                began = process_time()
                for reference in _REFERENCES[:times]:
                    await session.get(reference)
                seen[name].append((process_time() - began) / times * 1e6)
    return {name: values[1:] for name, values in seen.items()}


def measure(*, quick: bool) -> Findings:
    """Measure the additional CPU time of a read with observers, over a transport with a prepared response."""
    times, rounds = (50, 1) if quick else (2000, ROUNDS)
    seen = run(_rounds(times, rounds))
    more = {
        name: [value - alone for value, alone in zip(values, seen[NO_OBSERVER], strict=True)]
        for name, values in seen.items()
        if name != NO_OBSERVER
    }
    seam = alternate({NO_OBSERVER: microseconds(_unwatched(), 0.01 if quick else 0.2)}, rounds)
    figures = (*summed_up("more for a read", "µs", seam | more), *summed_up("a whole read", "µs", seen))
    found = Findings(__doc__ or "", figures)

    def cost(name: str) -> float:
        return found.value("more for a read", name)

    return Findings(
        found.question,
        figures,
        (
            Target("no observer: < 1 µs per call", cost(NO_OBSERVER), most=1.0),
            Target("OpenTelemetry's spans, every call sampled: < 60 µs a call", cost(SPANS), most=60.0),
            Target("OpenTelemetry's metrics: < 60 µs a call", cost(METRICS), most=60.0),
            Target("both, every call sampled: < 60 µs a call", cost(BOTH), most=60.0),
            Target("both, no call sampled: < 60 µs a call", cost(UNSAMPLED), most=60.0),
        ),
        (
            "CPU time of one read in one attempt, over a transport that has its answer ready.",
            "The SDK with an exporter that drops everything; exporting costs more, elsewhere.",
            "Log lines of the level DEBUG are made and thrown away.",
            f"By hand: for call and attempt, without attributes. Both take {cost(BARE_BOTH):.0f} µs in the SDK.",
        ),
    )
