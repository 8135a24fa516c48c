"""An observer that measures calls and attempts, and reads what sessions hold.

``_count`` of ``wonder_customers.call.duration`` is the number of calls, that of ``http.client.request.duration`` the
number of attempts. The gauges are the sums over all open sessions that are observed.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation, get_meter

from wonder_customers.contrib.otel._attributes import (
    APPLIED,
    FOUND,
    GATEWAY,
    OPERATION,
    REASON,
    RECOVERED,
    SCHEMA,
    SCOPE,
    STATE,
)
from wonder_customers.contrib.otel.spans import is_not_found_read
from wonder_customers.events import (
    AttemptEnded,
    CallEnded,
    Event,
    LookupEnded,
    SessionEnded,
    SessionStarted,
    Stats,
    Waiting,
)

__all__ = ["Metrics"]

Attributes = dict[str, str | bool | int | float]

_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""What the conventions advise for ``http.client.request.duration``."""
_LONG: Final = (*_BUCKETS, 30.0, 60.0)
"""A call may take until its deadline, which is 60 s unless the retry policy says otherwise."""


class Metrics:
    """Measures what sessions do; one may observe any number of sessions.

    Args:
        provider: Where the measurements go; None for the program's own.
    """

    def __init__(self, provider: MeterProvider | None = None) -> None:
        self._sessions: dict[SessionStarted, Callable[[], Stats]] = {}
        meter = get_meter(SCOPE, meter_provider=provider, schema_url=SCHEMA)
        self._calls = meter.create_histogram(
            "wonder_customers.call.duration",
            "s",
            "Duration of calls, with their waits and all their attempts.",
            explicit_bucket_boundaries_advisory=_LONG,
        )
        self._attempts = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._waits = meter.create_histogram(
            "wonder_customers.wait.duration",
            "s",
            "How long calls were told to wait.",
            explicit_bucket_boundaries_advisory=_LONG,
        )
        self._retries = meter.create_counter(
            "wonder_customers.retries", "{request}", "Requests that went out again after a failure."
        )
        self._looks = meter.create_counter(
            "wonder_customers.lookups", "{look}", "Looks at what a write without an answer has left."
        )
        self._gauges(meter)
        self._measures: Mapping[type[Event], Callable[[Any], None]] = {
            SessionStarted: self._opened,
            AttemptEnded: self._attempt_ended,
            Waiting: self._wait_started,
            LookupEnded: self._looked,
            CallEnded: self._call_ended,
            SessionEnded: self._closed,
        }

    def _gauges(self, meter: Meter) -> None:
        gauge, sum_of = meter.create_observable_gauge, self._sum_of
        gauge("wonder_customers.retry_budget", sum_of(_budget), "{token}", "Retry tokens left.")
        gauge("wonder_customers.connections", sum_of(_lanes), "{connection}", "Connections.")
        gauge("wonder_customers.requests.waiting", sum_of(_queue), "{request}", "Requests that wait for a connection.")
        gauge("wonder_customers.calls.waiting", sum_of(_turns), "{call}", "Calls that wait for another write to end.")
        gauge("wonder_customers.calls.active", sum_of(_active), "{call}", "Calls that have begun and not ended.")

    def _sum_of(
        self, look: Callable[[Stats], Iterator[tuple[Attributes, int]]]
    ) -> list[Callable[[CallbackOptions], Iterable[Observation]]]:
        """The callback of one gauge: called from the exporter's thread, and adds up all open sessions."""

        def observe(_: CallbackOptions) -> Iterator[Observation]:
            sums: Counter[tuple[tuple[str, Any], ...]] = Counter()
            for stats in list(self._sessions.values()):
                for attributes, value in look(stats()):
                    sums[tuple(attributes.items())] += value
            for key, value in sums.items():
                yield Observation(value, dict(key))

        return [observe]

    def __call__(self, event: Event) -> None:
        """Take one event of a session."""
        measure = self._measures.get(type(event))
        if measure is not None:
            measure(event)

    def _opened(self, event: SessionStarted) -> None:
        self._sessions[event] = event.stats

    def _closed(self, event: SessionEnded) -> None:
        self._sessions.pop(event.session, None)

    def _attempt_ended(self, event: AttemptEnded) -> None:
        attributes: Attributes = {
            "http.request.method": event.attempt.method,
            "url.template": event.attempt.route,
            "server.address": event.call.host,
            "server.port": event.call.port,
            GATEWAY: event.call.gateway,  # tells these requests from those of the program's other HTTP clients
        }
        if event.status is not None:
            attributes["http.response.status_code"] = event.status
        if event.error is not None and not is_not_found_read(event):
            attributes["error.type"] = event.error
        self._attempts.record(event.elapsed, attributes)

    def _call_ended(self, event: CallEnded) -> None:
        attributes: Attributes = {
            GATEWAY: event.call.gateway,
            OPERATION: event.call.operation,
        }
        if event.applied == "unknown":
            attributes[APPLIED] = event.applied
        if event.recovered:
            attributes[RECOVERED] = True
        if event.error is not None:
            attributes["error.type"] = event.error
        self._calls.record(event.elapsed, attributes)

    def _wait_started(self, event: Waiting) -> None:
        attributes: Attributes = {
            GATEWAY: event.call.gateway,
            OPERATION: event.call.operation,
            REASON: event.reason,
        }
        self._waits.record(event.seconds, attributes)
        if event.reason in {"retry", "throttled"}:
            self._retries.add(1, attributes)

    def _looked(self, event: LookupEnded) -> None:
        call = event.call
        self._looks.add(1, {GATEWAY: call.gateway, OPERATION: call.operation, FOUND: event.found})


def _budget(stats: Stats) -> Iterator[tuple[Attributes, int]]:
    for origin, tokens in stats.retry_tokens.items():
        url = urlsplit(origin)
        port = url.port or {"https": 443, "http": 80}[url.scheme]
        yield {"server.address": url.hostname or "", "server.port": port}, tokens


def _lanes(stats: Stats) -> Iterator[tuple[Attributes, int]]:
    if stats.connections is not None:
        yield {STATE: "busy"}, stats.connections.busy
        yield {STATE: "idle"}, stats.connections.idle


def _queue(stats: Stats) -> Iterator[tuple[Attributes, int]]:
    if stats.connections is not None:
        yield {}, stats.connections.waiting


def _turns(stats: Stats) -> Iterator[tuple[Attributes, int]]:
    yield {}, stats.waiting_for_lock


def _active(stats: Stats) -> Iterator[tuple[Attributes, int]]:
    yield {}, stats.in_progress
