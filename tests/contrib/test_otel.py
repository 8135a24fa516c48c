"""OpenTelemetry spans and metrics of calls and bulk jobs; they contain no customer data."""

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import time_ns
from typing import Any
from urllib.parse import urlsplit

import anyio
import attrs
import pytest
from fault_injection.sessions import session
from gateway_responses import UUID

from scripted_transport import (
    CONNECTION_REFUSED,
    CREATED,
    NO_RESPONSE,
    NOT_FOUND,
    Harness,
    draft,
    hang,
    make_harness,
    respond,
)
from wonder_customers import (
    CustomerDraft,
    CustomerPatch,
    CustomerSession,
    InvalidRequestError,
    NotFoundError,
    Phone,
    RateLimit,
    RetryPolicy,
)
from wonder_customers._core.observers import ObserverGroup
from wonder_customers.bulk import Journal, Options, sync
from wonder_customers.dialects import package, simulator
from wonder_customers.events import CallEnded, CallStarted, Observer, ResponseDrift
from wonder_customers.simulator import SimulatorServer
from wonder_customers.testing import no_waits

sdk = pytest.importorskip("opentelemetry.sdk", reason="needs the extra `otel` and OpenTelemetry's SDK")

from opentelemetry.sdk.metrics import MeterProvider  # noqa: E402 - only where it is installed, here and below
from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: E402
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: E402
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF  # noqa: E402
from opentelemetry.trace import SpanKind, StatusCode  # noqa: E402

from wonder_customers.contrib.otel import Metrics, Spans  # noqa: E402

FIND = "GET /v2/merchants/customers/{merchant_customer_id}"
OURS = "wonder_customers."


@attrs.define
class Kept:
    """The collected spans and metrics."""

    traces: TracerProvider
    spans: InMemorySpanExporter
    meters: MeterProvider
    reader: InMemoryMetricReader

    @property
    def observers(self) -> list[Observer]:
        return [Spans(self.traces), Metrics(self.meters)]

    def tree(self) -> list[str]:
        """Return the finished spans as an indented tree, with their distinguishing attributes."""
        below: defaultdict[int | None, list[ReadableSpan]] = defaultdict(list)
        finished = self.spans.get_finished_spans()
        known = {span.context.span_id for span in finished}
        for span in sorted(finished, key=lambda it: it.start_time or 0):
            parent = span.parent.span_id if span.parent is not None and span.parent.span_id in known else None
            below[parent].append(span)
        return list(_lines(below, None, ""))

    def metrics(self) -> dict[str, list[tuple[dict[str, Any], Any]]]:
        """Return attributes and value of all metrics by name; the value of histograms is the count and the sum."""
        data = self.reader.get_metrics_data()
        scopes = [scope for one in data.resource_metrics for scope in one.scope_metrics] if data else []
        metrics = [metric for scope in scopes for metric in scope.metrics]
        return {it.name: [(dict(p.attributes or {}), _value(p)) for p in it.data.data_points] for it in metrics}


def _lines(below: Any, parent: int | None, indent: str) -> Iterator[str]:
    for span in below[parent]:
        attributes = dict(span.attributes or {})
        facts = [str(attributes[key]) for key in ("http.response.status_code", "error.type") if key in attributes]
        facts += [
            f"{key.removeprefix(OURS).removeprefix('http.request.')}={attributes[key]}"
            for key in sorted(attributes)
            if key.startswith(OURS) and key not in {OURS + "gateway", OURS + "operation", OURS + "request_id"}
        ]
        if "http.request.resend_count" in attributes:
            facts.append(f"resend={attributes['http.request.resend_count']}")
        if span.status.status_code is StatusCode.ERROR:
            facts.append("ERROR")
        yield " ".join([indent + span.name, *facts])
        yield from _lines(below, span.context.span_id, indent + "  ")


def _value(point: Any) -> Any:
    return (point.count, round(point.sum, 6)) if hasattr(point, "bucket_counts") else point.value


@pytest.fixture
def kept() -> Iterator[Kept]:
    reader, spans = InMemoryMetricReader(), InMemorySpanExporter()
    traces, meters = TracerProvider(), MeterProvider(metric_readers=[reader])
    traces.add_span_processor(SimpleSpanProcessor(spans))
    yield Kept(traces, spans, meters, reader)
    meters.shutdown()
    traces.shutdown()


def observed(it: Harness, kept: Kept) -> Harness:
    it.executor.observers = ObserverGroup(kept.observers)
    return it


class TestSpans:
    async def test_spans_of_a_read(self, kept: Kept) -> None:
        it = observed(make_harness(CREATED), kept)
        with kept.traces.get_tracer("caller").start_as_current_span("the caller's") as mine:
            await it.get(UUID)
        attempt, call, _ = kept.spans.get_finished_spans()
        assert (call.name, call.kind, call.status.status_code) == ("monri get", SpanKind.INTERNAL, StatusCode.UNSET)
        assert call.parent is not None
        assert call.parent.span_id == mine.get_span_context().span_id
        assert call.attributes == {"wonder_customers.gateway": "monri", "wonder_customers.operation": "get"}
        assert attempt.parent is not None
        assert attempt.parent.span_id == call.context.span_id
        assert (attempt.name, attempt.kind) == ("GET /v2/customers/{uuid}", SpanKind.CLIENT)
        assert attempt.attributes == {
            "wonder_customers.request_id": (attempt.attributes or {})["wonder_customers.request_id"],
            "http.request.method": "GET",
            "url.template": "/v2/customers/{uuid}",
            "server.address": it.dialect.origin.host,
            "server.port": 443,
            "http.response.status_code": 200,
        }
        assert (call.start_time or 0) <= (attempt.start_time or 0) <= (attempt.end_time or 0) <= (call.end_time or 0)
        scope = attempt.instrumentation_scope
        assert scope is not None
        assert (scope.name, (scope.schema_url or "").rpartition("/")[0]) == (
            "wonder_customers",
            "https://opentelemetry.io/schemas",
        )

    async def test_spans_of_retries_and_waits(self, kept: Kept) -> None:
        it = observed(make_harness(CONNECTION_REFUSED, respond(429, {}), CREATED), kept)
        await it.get(UUID)
        assert kept.tree() == [
            "monri get",
            "  GET /v2/customers/{uuid} NotSentError outcome=not sent ERROR",
            "  wait reason=retry",
            "  GET /v2/customers/{uuid} 429 RateLimitError resend=1 ERROR",
            "  wait reason=throttled",
            "  GET /v2/customers/{uuid} 200 resend=2",
        ]

    async def test_not_found_is_an_error_of_the_call_only(self, kept: Kept) -> None:
        with pytest.raises(NotFoundError):
            await observed(make_harness(NOT_FOUND), kept).get(UUID)
        with pytest.raises(NotFoundError):
            await observed(make_harness(NOT_FOUND), kept).update(UUID, CustomerPatch(name="Ada"))
        assert kept.tree() == [
            "monri get NotFoundError ERROR",
            "  GET /v2/customers/{uuid} 404",
            "monri update NotFoundError ERROR",
            "  POST /v2/customers/{uuid} 404 NotFoundError ERROR",
        ]

    async def test_cancellation_ends_all_spans(self, kept: Kept) -> None:
        it = observed(make_harness(hang(sent=True)), kept)
        async with anyio.create_task_group() as group:
            group.start_soon(partial(it.update, UUID, CustomerPatch(name="Ada")))
            while it.script.steps:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        assert kept.tree() == [
            "monri update Cancelled applied=unknown ERROR",
            "  POST /v2/customers/{uuid} Cancelled applied=unknown outcome=no response ERROR",
        ]

    async def test_concurrent_calls_have_separate_traces(self, kept: Kept) -> None:
        it = observed(make_harness(CREATED, endless=True), kept)
        tracer = kept.traces.get_tracer("caller")

        async def caller(number: int) -> None:
            with tracer.start_as_current_span(f"caller {number}"):
                await it.get(UUID)

        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(caller, number)
        read = ["  monri get", "    GET /v2/customers/{uuid} 200"]
        lines = kept.tree()
        assert sorted(lines[::3]) == sorted(f"caller {number}" for number in range(50))
        assert (lines[1::3], lines[2::3]) == ([read[0]] * 50, [read[1]] * 50)

    async def test_unsampled_spans_are_not_exported(self, kept: Kept) -> None:
        spans = InMemorySpanExporter()
        provider = TracerProvider(sampler=ALWAYS_OFF)
        provider.add_span_processor(SimpleSpanProcessor(spans))
        it = make_harness(CREATED)
        it.executor.observers = observers = ObserverGroup([Spans(provider)])
        await it.get(UUID)
        assert (spans.get_finished_spans(), observers.failures) == ((), 0)

    async def test_without_sdk_nothing_is_stored(self) -> None:
        it, spans = make_harness(NO_RESPONSE, NOT_FOUND, CREATED), Spans()
        it.executor.observers = observers = ObserverGroup([spans, Metrics()])
        await it.create(draft())
        assert (observers.failures, spans._calls) == (0, {})


class TestMetrics:
    async def test_metrics_of_calls_attempts_retries_and_lookups(self, kept: Kept) -> None:
        refused = respond(400, {"message": "no"})
        it = observed(make_harness(CONNECTION_REFUSED, NO_RESPONSE, NOT_FOUND, CREATED, refused), kept)
        it.script.takes = 0.125
        await it.create(draft())
        with pytest.raises(InvalidRequestError):
            await it.update(UUID, CustomerPatch(name="Ada"))
        create = {"wonder_customers.gateway": "monri", "wonder_customers.operation": "create"}
        update = {"wonder_customers.gateway": "monri", "wonder_customers.operation": "update"}
        server = {"server.address": it.dialect.origin.host, "server.port": 443, OURS + "gateway": "monri"}
        post = {**server, "http.request.method": "POST", "url.template": "/v2/customers"}
        find = {**server, "http.request.method": "GET", "url.template": FIND.removeprefix("GET ")}
        change = {**server, "http.request.method": "POST", "url.template": "/v2/customers/{uuid}"}
        found = kept.metrics()
        assert found["wonder_customers.call.duration"] == [
            ({**create, "wonder_customers.recovered": True}, (1, 2.25)),
            ({**update, "error.type": "InvalidRequestError"}, (1, 0.125)),
        ]
        assert found["http.client.request.duration"] == [
            ({**post, "error.type": "NotSentError"}, (1, 0.125)),
            ({**post, "error.type": "NoResponseError"}, (1, 0.125)),
            ({**find, "http.response.status_code": 404}, (1, 0.125)),
            ({**find, "http.response.status_code": 200}, (1, 0.125)),
            ({**change, "http.response.status_code": 400, "error.type": "InvalidRequestError"}, (1, 0.125)),
        ]
        assert found["wonder_customers.retries"] == [({**create, "wonder_customers.reason": "retry"}, 1)]
        assert found["wonder_customers.lookups"] == [
            ({**create, "wonder_customers.found": False}, 1),
            ({**create, "wonder_customers.found": True}, 1),
        ]
        assert found["wonder_customers.wait.duration"] == [
            ({**create, "wonder_customers.reason": "retry"}, (1, 0.25)),
            ({**create, "wonder_customers.reason": "confirmation"}, (2, 1.5)),
        ]

    async def test_buckets_follow_the_semantic_conventions(self, kept: Kept) -> None:
        await observed(make_harness(CREATED), kept).get(UUID)
        data = kept.reader.get_metrics_data()
        assert data is not None
        (scope,) = data.resource_metrics[0].scope_metrics
        bounds = {
            metric.name: list(metric.data.data_points[0].explicit_bounds)  # type: ignore[union-attr]
            for metric in scope.metrics
        }
        advised = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
        assert bounds == {"http.client.request.duration": advised, "wonder_customers.call.duration": [*advised, 30, 60]}

    async def test_gauges_are_sums_over_open_sessions(self, kept: Kept, simulator: SimulatorServer) -> None:
        simulator.faults.add("read_hang", times=None, method="POST")
        observers = kept.observers
        async with session(simulator, "paydock", observers=observers, max_connections=2) as one:
            async with session(simulator, "monri", observers=observers) as other, anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(partial(one.update, "5f0c2f7a9b1e8d00deadbeef", CustomerPatch(first_name="Ada")))
                group.start_soon(other.create, CustomerDraft(reference="g-1", name="Ada"))
                group.start_soon(one.create, CustomerDraft(reference="g-2", first_name="Ada"))
                with anyio.fail_after(120):
                    while (one.stats().attempts, other.stats().attempts, one.stats().waiting_for_lock) != (2, 1, 2):
                        await anyio.lowlevel.checkpoint()
                found = await anyio.to_thread.run_sync(kept.metrics)
                group.cancel_scope.cancel()
            after = kept.metrics()
        host = {"server.address": "127.0.0.1", "server.port": urlsplit(simulator.origin).port}
        assert found["wonder_customers.retry_budget"] == [(host, 1000)]
        assert after["wonder_customers.retry_budget"] == [(host, 500)]
        state = "http.connection.state"
        assert found["http.client.open_connections"] == [({state: "active"}, 3), ({state: "idle"}, 0)]
        assert found["wonder_customers.calls.active"] == [({}, 5)]
        assert found["wonder_customers.calls.waiting"] == [({}, 2)]
        assert found["wonder_customers.requests.waiting"] == [({}, 0)]
        assert after["wonder_customers.calls.active"] == [({}, 0)]
        assert "http.client.open_connections" not in kept.metrics()


PATIENT = RetryPolicy(attempts=3, read_timeout=20, base=0.01, confirmation_window=0.05)


def people() -> list[CustomerDraft]:
    """Return twenty customers with unique values that occur in no other text."""
    return [
        CustomerDraft(
            reference=f"kunde-{number:04}",
            name=f"Kanarija Vrabac{number:03}",
            email=f"vrabac{number:03}@ptica.example",
            phone=Phone("+385", f"9123{number:05}"),
            description=f"kanta{number:03}",
            metadata={"segment": f"jato{number:03}"},
        )
        for number in range(20)
    ]


def values(record: Any) -> list[str]:
    """Return all strings in a record, at any depth."""
    if isinstance(record, dict):
        return [value for item in record.values() for value in values(item)]
    return [record] if isinstance(record, str) and record else []


async def test_trace_of_a_bulk_job(kept: Kept, tmp_path: Path) -> None:
    with SimulatorServer([simulator("monri")], faults=True) as server:
        account = package("monri").ACCOUNT.from_environment(server.environment())
        create: dict[str, Any] = {"gateway": "monri", "method": "POST", "path": "/v2/customers"}
        server.faults.add("server_error", applied=False, **create)
        server.faults.add("read_close", applied=True, **create)
        drafts = people()
        journal = Journal.open(tmp_path / "journal", gateway="monri", endpoint=account.base_url)
        async with CustomerSession(account, retry=PATIENT, observers=kept.observers) as opened:
            with kept.traces.get_tracer("caller").start_as_current_span("nightly import"):
                options = Options(workers=1, retry=PATIENT)
                async with sync(opened, drafts, journal=journal, options=options) as job:
                    outcomes = [outcome async for outcome in job]
            assert opened.stats().observer_failures == 0
            measured = kept.metrics()
        assert [outcome.status for outcome in outcomes] == ["created"] * 20
        assert server.store.ledger("monri") == {str(it.reference): 1 for it in drafts}
        ids = {str(it["uuid"]) for it in server.store.customers("monri")}
        keys = [value for name, value in server.environment().items() if not name.endswith("_URL")]
    usual = ["  monri upsert applied=yes", f"    {FIND} 404", "    POST /v2/customers 200 applied=yes"]
    assert kept.tree() == [
        "nightly import",
        "  monri upsert applied=yes recovered=True",
        f"    {FIND} 404",
        "    POST /v2/customers 503 GatewayUnavailableError applied=unknown ERROR",
        "    wait reason=confirmation",
        "    lookup found=False",
        f"      {FIND} 404",
        "    wait reason=retry",
        "    POST /v2/customers NoResponseError applied=unknown outcome=no response resend=1 ERROR",
        "    wait reason=confirmation",
        "    lookup found=True",
        f"      {FIND} 200",
        *usual * 19,
    ]
    spans = kept.spans.get_finished_spans()
    assert len({span.context.trace_id for span in spans}) == 1
    assert [value[0] for _, value in measured["wonder_customers.call.duration"]] == [1, 19]
    written = "\n".join([*(span.to_json() for span in spans), repr(measured)])
    personal = {value for it in drafts for value in values(attrs.asdict(it))}
    assert (len(personal), len(ids), len(keys)) == (121, 20, 2)
    assert [value for value in (*personal - {"+385"}, *ids, *keys) if value in written] == []


async def test_wait_for_the_rate_limit_ends_when_the_request_is_permitted(kept: Kept) -> None:
    sent: list[int] = []

    def answer(signed_request: Any, transmission: Any) -> Any:
        sent.append(time_ns())
        transmission.sent = True
        return CREATED(signed_request, transmission)

    it = observed(make_harness(answer, answer), kept)
    with no_waits():
        it.executor.runner.rate_limit = RateLimit(1, per=7.0)
        await it.get(UUID)
        await it.get(UUID)
    ((_, (count, seconds)),) = kept.metrics()["wonder_customers.wait.duration"]
    (wait,) = (span for span in kept.spans.get_finished_spans() if span.name == "wait")
    assert (count, round(seconds), (wait.end_time or 0) <= sent[1]) == (1, 7, True)


def test_response_drift_is_an_attribute_of_the_call(kept: Kept) -> None:
    spans = Spans(kept.traces)
    call = CallStarted(1, "monri", "get", "127.0.0.1", 80)
    spans(call)
    for field in ("zip_code", "deleted", "zip_code"):
        spans(ResponseDrift(call, field, "text", "number", 1))
    spans(CallEnded(call, None, "no", 1, False, 0.1))
    (span,) = kept.spans.get_finished_spans()
    assert dict(span.attributes or {})["wonder_customers.response.drift"] == ("deleted", "zip_code")
