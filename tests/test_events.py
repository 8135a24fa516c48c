"""Events of a call: kinds, order and attributes."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import pytest
from gateway_responses import UUID, monri_customer

from scripted_transport import (
    CONNECTION_REFUSED,
    CREATED,
    NO_RESPONSE,
    NOT_FOUND,
    Harness,
    Step,
    draft,
    hang,
    make_harness,
    no_response,
    respond,
    use_real_time,
)
from wonder_customers import (
    CallError,
    ConfigurationError,
    CustomerDraft,
    CustomerPatch,
    Monri,
    NotFoundError,
    OutcomeUnknownError,
    RetryPolicy,
)
from wonder_customers._core.observers import ObserverGroup
from wonder_customers.events import (
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    CallStarted,
    Event,
    LookupEnded,
    LookupStarted,
    WaitEnded,
    Waiting,
)

ROUTE = "/v2/customers/{uuid}"
REFERENCE_ROUTE = "/v2/merchants/customers/{merchant_customer_id}"


def observe(it: Harness) -> list[Event]:
    """Return a list to which the events of the harness are appended."""
    events: list[Event] = []
    it.executor.observers = ObserverGroup([events.append])
    return events


def outline(events: list[Event]) -> list[str]:
    """Return one line per event with its main attributes."""
    lines = []
    for event in events:
        match event:
            case AttemptStarted():
                lines.append(f"{event.method} {event.route} #{event.number} ({event.request})")
            case AttemptEnded():
                lines.append(f"{event.outcome} {event.status} {event.error} applied={event.applied}")
            case Waiting():
                lines.append(f"wait {event.reason} {event.seconds:g} {event.tokens}")
            case WaitEnded():
                lines.append(f"waited {event.elapsed:g}")
            case LookupEnded():
                lines.append(f"lookup {event.found} {event.error}")
            case CallEnded():
                end = f"end {event.error} applied={event.applied} requests={event.requests}"
                lines.append(end + (" recovered" if event.recovered else ""))
            case _:
                lines.append(event.name)
    return lines


Call = Callable[[Harness], Awaitable[Any]]


async def update(it: Harness) -> Any:
    return await it.update(UUID, CustomerPatch(name="Ada"))


async def outline_of(call: Call, *steps: Step, **options: Any) -> list[str]:
    """Return the outline of the events of a call, which may fail."""
    it = make_harness(*steps, **options)
    events = observe(it)
    with suppress(CallError, ConfigurationError):
        await call(it)
    return outline(events)


def refuse(signed_request: object, transmission: object) -> Any:
    raise ConfigurationError("requests to other machines are not allowed")


class TestEventsOfACall:
    async def test_read(self) -> None:
        it = make_harness(CREATED)
        events = observe(it)
        it.script.takes = 0.25
        await it.get(UUID)
        started, attempt, ended, end = events
        assert isinstance(started, CallStarted)
        assert (started.gateway, started.operation, started.host, started.port) == (
            "monri",
            "get",
            it.dialect.origin.host,
            443,
        )
        assert isinstance(attempt, AttemptStarted)
        assert (attempt.call, attempt.method, attempt.route) == (started, "GET", ROUTE)
        assert (attempt.number, attempt.request) == (1, 1)
        assert isinstance(ended, AttemptEnded)
        assert (ended.attempt, ended.elapsed) == (attempt, 0.25)
        assert isinstance(end, CallEnded)
        assert (end.call, end.elapsed) == (started, 0.25)
        assert outline(events)[2:] == ["response 200 None applied=no", "end None applied=no requests=1"]

    async def test_calls_have_their_own_number_and_identity(self) -> None:
        it = make_harness(CREATED, endless=True)
        events = observe(it)
        await it.get(UUID)
        await it.get(UUID)
        one, other = (event for event in events if isinstance(event, CallStarted))
        assert other.number == one.number + 1
        assert len({one, other}) == 2

    async def test_retry_reports_wait_and_budget_tokens(self) -> None:
        steps = (no_response(sent=True), respond(429, {}, retry_after="3"), CONNECTION_REFUSED, CREATED)
        lines = await outline_of(lambda it: it.get(UUID), *steps, policy=RetryPolicy(attempts=4))
        assert lines[1:] == [
            f"GET {ROUTE} #1 (1)",
            "no response None NoResponseError applied=no",
            "wait retry 0.25 486",
            "waited 0.25",
            f"GET {ROUTE} #2 (2)",
            "response 429 RateLimitError applied=no",
            "wait throttled 4.5 486",
            "waited 4.5",
            f"GET {ROUTE} #3 (3)",
            "not sent None NotSentError applied=no",
            "wait retry 0.5 486",
            "waited 0.5",
            f"GET {ROUTE} #4 (4)",
            "response 200 None applied=no",
            "end None applied=no requests=4",
        ]

    async def test_unconfirmed_create_is_looked_up_and_recovered(self) -> None:
        it = make_harness(NO_RESPONSE, NOT_FOUND, CREATED)
        events = observe(it)
        await it.create(draft())
        assert outline(events) == [
            "call_started",
            "POST /v2/customers #1 (1)",
            "no response None NoResponseError applied=unknown",
            "wait confirmation 0.5 500",
            "waited 0.5",
            "lookup_started",
            f"GET {REFERENCE_ROUTE} #1 (2)",
            "response 404 NotFoundError applied=no",
            "lookup False None",
            "wait confirmation 1 500",
            "waited 1",
            "lookup_started",
            f"GET {REFERENCE_ROUTE} #1 (3)",
            "response 200 None applied=no",
            "lookup True None",
            "end None applied=yes requests=3 recovered",
        ]
        lookups = [event for event in events if isinstance(event, LookupStarted)]
        assert [event.lookup for event in events if isinstance(event, LookupEnded)] == lookups

    async def test_failed_lookup(self) -> None:
        it = make_harness(NO_RESPONSE, respond(502, b""), endless=False, policy=RetryPolicy(attempts=1))
        events = observe(it)
        with pytest.raises(OutcomeUnknownError):
            await it.create(draft())
        assert outline(events)[-3:] == [
            "response 502 GatewayUnavailableError applied=no",
            "lookup False GatewayUnavailableError",
            "end OutcomeUnknownError applied=unknown requests=2",
        ]
        it.script.steps.append(CREATED)
        await it.create(draft())
        assert outline(events)[-2:] == ["lookup True None", "end None applied=yes requests=1 recovered"]

    async def test_rejected_access_token_is_renewed_and_the_request_resent(self) -> None:
        token = respond(200, {"access_token": "t", "token_type": "Bearer", "expires_in": 900, "status": "approved"})
        it = make_harness(token, respond(401, {}), token, CREATED, account=Monri("key", "token", auth="oauth"))
        events = observe(it)
        await it.get(UUID)
        assert [line for line in outline(events) if "#" in line] == [
            "POST /v2/oauth #1 (1)",
            f"GET {ROUTE} #1 (2)",
            "POST /v2/oauth #1 (3)",
            f"GET {ROUTE} #2 (4)",
        ]

    async def test_write_waits_for_the_lock_and_the_confirmation_window(self) -> None:
        it = make_harness(hang(sent=True), CREATED, policy=RetryPolicy(confirmation_window=0.05))
        events = observe(use_real_time(it))
        async with anyio.create_task_group() as group, anyio.create_task_group() as first:
            first.start_soon(partial(it.update, UUID, CustomerPatch(name="Ada")))
            while len(it.script.steps) > 1:
                await anyio.lowlevel.checkpoint()
            group.start_soon(partial(it.update, UUID, CustomerPatch(name="Grace")))
            while it.account_context.account.counts.waiting_for_lock == 0:
                await anyio.lowlevel.checkpoint()
            first.cancel_scope.cancel()
        waits = [event for event in events if isinstance(event, Waiting)]
        assert [event.reason for event in waits] == ["lock", "unconfirmed"]
        assert 59 < waits[0].seconds <= 60
        assert 0 < waits[1].seconds <= 0.05
        ended = [event for event in events if isinstance(event, WaitEnded)]
        assert [event.wait for event in ended] == waits
        assert 0 <= ended[0].elapsed < 30
        assert ended[1].elapsed >= waits[1].seconds
        assert outline(events)[-1] == "end None applied=yes requests=1"

    @pytest.mark.parametrize(
        ("step", "attempt", "end"),
        [
            (hang(sent=True), "no response None Cancelled applied=unknown", "unknown"),
            (hang(sent=False), "not sent None Cancelled applied=no", "no"),
            (hang(sent=True, status=200), "body lost 200 Cancelled applied=unknown", "unknown"),
        ],
    )
    async def test_cancelled_call_has_an_end_event(self, step: Step, attempt: str, end: str) -> None:
        it = make_harness(step)
        it.script.takes = 0.25
        events = observe(it)
        async with anyio.create_task_group() as group:
            group.start_soon(update, it)
            while it.script.steps:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        assert outline(events)[2:] == [attempt, f"end Cancelled applied={end} requests=1"]
        assert [event.elapsed for event in events if isinstance(event, AttemptEnded)] == [0.25]

    @pytest.mark.parametrize(
        ("call", "steps", "lines"),
        [
            (update, [CREATED], ["response 200 None applied=yes", "end None applied=yes requests=1"]),
            (
                update,
                [respond(422, {"status": "invalid-request"})],
                ["response 422 InvalidRequestError applied=no", "end InvalidRequestError applied=no requests=1"],
            ),
            (
                update,
                [respond(200, b"no JSON")],
                [
                    "response 200 InvalidResponseError applied=unknown",
                    "end InvalidResponseError applied=unknown requests=1",
                ],
            ),
            (
                lambda it: it.get(UUID),
                [no_response(sent=True, status=200)],
                ["body lost 200 NoResponseError applied=no", "end NoResponseError applied=no requests=1"],
            ),
            (
                update,
                [no_response(sent=True, status=201), CREATED],
                ["body lost 201 InvalidResponseError applied=yes", "end None applied=yes requests=2 recovered"],
            ),
            (
                lambda it: it.create(draft(reference=None)),
                [NO_RESPONSE],
                [
                    "no response None NoResponseError applied=unknown",
                    "end OutcomeUnknownError applied=unknown requests=1",
                ],
            ),
            (
                lambda it: it.create(draft()),
                [refuse],
                ["not sent None ConfigurationError applied=no", "end ConfigurationError applied=no requests=1"],
            ),
        ],
        ids=["applied", "refused", "unreadable", "read lost", "write lost", "no reference", "not sent"],
    )
    async def test_result_of_the_first_attempt_and_of_the_call(
        self, call: Call, steps: list[Step], lines: list[str]
    ) -> None:
        found = await outline_of(call, *steps, policy=RetryPolicy(attempts=1))
        assert [found[2], found[-1]] == lines

    async def test_unconfirmed_upsert_has_an_end_event(self) -> None:
        other = respond(200, monri_customer(merchant_customer_id="r-1", name="ADA", phone="+447911123456"))
        it = make_harness(NOT_FOUND, NO_RESPONSE, other, NO_RESPONSE, NO_RESPONSE, NO_RESPONSE)
        events = observe(it)
        began = it.clock.now
        with pytest.raises(OutcomeUnknownError):
            await it.upsert(draft())
        end = events[-1]
        assert isinstance(end, CallEnded)
        assert (end.error, end.applied, end.elapsed) == ("OutcomeUnknownError", "unknown", it.clock.now - began)

    async def test_failed_call_reports_elapsed_time(self) -> None:
        it = make_harness(NOT_FOUND)
        it.script.takes = 0.25
        events = observe(it)
        with pytest.raises(NotFoundError):
            await it.get(UUID)
        end = events[-1]
        assert isinstance(end, CallEnded)
        assert (end.elapsed, end.recovered, end.error) == (0.25, False, "NotFoundError")


async def test_request_id_of_events_is_that_of_the_error() -> None:
    it = make_harness(respond(404, {}, x_request_id="gateway-7"))
    events = observe(it)
    with pytest.raises(NotFoundError) as caught:
        await it.get(UUID)
    ended = [event.request_id for event in events if isinstance(event, AttemptEnded | CallEnded)]
    assert ended == [caught.value.request_id] * 2 == ["gateway-7"] * 2


async def test_request_id_of_events_repeats_no_value_of_the_request() -> None:
    it = make_harness(respond(200, monri_customer(uuid=UUID), x_request_id="for-ada@example.org"))
    events = observe(it)
    await it.create(CustomerDraft("r-1", name="Ada", email="ada@example.org"))
    ids = [event.request_id for event in events if isinstance(event, AttemptEnded | CallEnded)]
    assert len(ids) == 2
    assert not any("ada" in str(found) for found in ids)
