"""An observer that records OpenTelemetry metrics of calls, attempts, waits and sessions.

Gauges and up-down counters are sums over all open sessions that use the observer.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry.metrics import CallbackOptions, Histogram, MeterProvider, Observation, get_meter

from wonder_customers.contrib.otel._observer import (
    APPLIED,
    FOUND,
    GATEWAY,
    OPERATION,
    REASON,
    RECOVERED,
    SCHEMA,
    SCOPE,
    Attributes,
    OpenTelemetryObserver,
    request_attributes,
)
from wonder_customers.events import (
    AttemptEnded,
    CallEnded,
    LookupEnded,
    SessionEnded,
    SessionStarted,
    Stats,
    WaitEnded,
)

__all__ = ["Metrics"]

_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""The buckets that the semantic conventions recommend for ``http.client.request.duration``."""
_LONG_BUCKETS: Final = (*_BUCKETS, 30.0, 60.0)
"""The buckets for the duration of calls, which have a deadline of 60 s by default."""


Read = Callable[[Stats], Iterable[tuple[Attributes, int]]]
"""A function that returns the attributes and values of one session."""


def _retry_budget(stats: Stats) -> Iterator[tuple[Attributes, int]]:
    for origin, tokens in stats.retry_tokens.items():
        url = urlsplit(origin)
        port = url.port or {"https": 443, "http": 80}[url.scheme]
        yield {"server.address": url.hostname or "", "server.port": port}, tokens


def _open_connections(stats: Stats) -> Iterator[tuple[Attributes, int]]:
    if stats.connections is not None:
        yield {"http.connection.state": "active"}, stats.connections.busy
        yield {"http.connection.state": "idle"}, stats.connections.idle


_SESSION_COUNTERS: Final[tuple[tuple[str, Read, str, str], ...]] = (
    (
        "http.client.open_connections",
        _open_connections,
        "{connection}",
        "Number of open connections, active or idle.",
    ),
    ("wonder_customers.calls.active", lambda it: [({}, it.in_progress)], "{call}", "Number of calls in progress."),
    (
        "wonder_customers.calls.waiting",
        lambda it: [({}, it.waiting_for_lock)],
        "{call}",
        "Number of calls waiting for another write for the same customer.",
    ),
    (
        "wonder_customers.requests.waiting",
        lambda it: [({}, it.connections.waiting)] if it.connections is not None else [],
        "{request}",
        "Number of requests waiting for a connection.",
    ),
)


class Metrics(OpenTelemetryObserver):
    """Records metrics of any number of sessions.

    Args:
        provider: The meter provider; None for the program's global meter provider.
    """

    def __init__(self, provider: MeterProvider | None = None) -> None:
        self._sessions: dict[SessionStarted, Callable[[], Stats]] = {}
        meter = get_meter(SCOPE, meter_provider=provider, schema_url=SCHEMA)

        def histogram(name: str, description: str, buckets: Sequence[float]) -> Histogram:
            return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=buckets)

        self._calls = histogram(
            "wonder_customers.call.duration", "Duration of calls, including waits and all attempts.", _LONG_BUCKETS
        )
        self._attempts = histogram("http.client.request.duration", "Duration of HTTP client requests.", _BUCKETS)
        self._waits = histogram("wonder_customers.wait.duration", "Duration of waits during calls.", _LONG_BUCKETS)
        self._retries = meter.create_counter(
            "wonder_customers.retries", "{request}", "Number of retries of failed requests."
        )
        self._lookups = meter.create_counter(
            "wonder_customers.lookups",
            "{lookup}",
            "Number of lookups that determine whether an unanswered write was applied.",
        )
        meter.create_observable_gauge(
            "wonder_customers.retry_budget",
            self._total(_retry_budget),
            "{token}",
            "Number of available retry tokens.",
        )
        for name, read, unit, description in _SESSION_COUNTERS:
            meter.create_observable_up_down_counter(name, self._total(read), unit, description)

    def _total(self, read: Read) -> list[Callable[[CallbackOptions], Iterable[Observation]]]:
        """Return the callbacks of an instrument that sums `read` over all open sessions."""

        def observe(_: CallbackOptions) -> Iterator[Observation]:
            sums: Counter[tuple[tuple[str, Any], ...]] = Counter()
            for stats in list(self._sessions.values()):
                for attributes, value in read(stats()):
                    sums[tuple(attributes.items())] += value
            for key, value in sums.items():
                yield Observation(value, dict(key))

        return [observe]

    def _on_session_started(self, event: SessionStarted) -> None:
        self._sessions[event] = event.stats

    def _on_session_ended(self, event: SessionEnded) -> None:
        self._sessions.pop(event.session, None)

    def _on_attempt_ended(self, event: AttemptEnded) -> None:
        attributes = request_attributes(event)
        attributes[GATEWAY] = event.call.gateway  # distinguishes these requests from those of other HTTP clients
        self._attempts.record(event.elapsed, attributes)

    def _on_call_ended(self, event: CallEnded) -> None:
        attributes: Attributes = {GATEWAY: event.call.gateway, OPERATION: event.call.operation}
        if event.applied == "unknown":
            attributes[APPLIED] = event.applied
        if event.recovered:
            attributes[RECOVERED] = True
        if event.error is not None:
            attributes["error.type"] = event.error
        self._calls.record(event.elapsed, attributes)

    def _on_wait_ended(self, event: WaitEnded) -> None:
        reason = event.wait.reason
        attributes: Attributes = {GATEWAY: event.call.gateway, OPERATION: event.call.operation, REASON: reason}
        self._waits.record(event.elapsed, attributes)
        if reason in {"retry", "throttled"}:
            self._retries.add(1, attributes)

    def _on_lookup_ended(self, event: LookupEnded) -> None:
        call = event.call
        self._lookups.add(1, {GATEWAY: call.gateway, OPERATION: call.operation, FOUND: event.found})
