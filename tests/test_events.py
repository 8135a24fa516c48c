"""The story of a call: which events tell it, in which order, and with which facts."""

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
    Waiting,
)

pytestmark = pytest.mark.anyio

ROUTE = "/v2/customers/{uuid}"
REFERENCE_ROUTE = "/v2/merchants/customers/{merchant_customer_id}"


def watched(it: Harness) -> list[Event]:
    """Everything that an observer of the bench is told."""
    told: list[Event] = []
    it.executor.observers = ObserverGroup([told.append])
    return told


def outline(events: list[Event]) -> list[str]:
    """One line per event, with what sets it apart."""
    lines = []
    for event in events:
        match event:
            case AttemptStarted():
                lines.append(f"{event.method} {event.route} #{event.number} ({event.request})")
            case AttemptEnded():
                lines.append(f"{event.outcome} {event.status} {event.error} applied={event.applied}")
            case Waiting():
                lines.append(f"wait {event.reason} {event.seconds:g} {event.tokens}")
            case LookupEnded():
                lines.append(f"looked {event.found} {event.error}")
            case CallEnded():
                end = f"end {event.error} applied={event.applied} requests={event.requests}"
                lines.append(end + (" adopted" if event.recovered else ""))
            case _:
                lines.append(event.name)
    return lines


class TestTheStoryOfACall:
    async def test_a_read(self) -> None:
        it = make_harness(CREATED)
        told = watched(it)
        it.script.takes = 0.25
        await it.get(UUID)
        started, attempt, ended, end = told
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
        assert outline(told)[2:] == ["response 200 None applied=no", "end None applied=no requests=1"]

    async def test_each_call_has_a_number_and_an_identity_of_its_own(self) -> None:
        it = make_harness(CREATED, endless=True)
        told = watched(it)
        await it.get(UUID)
        await it.get(UUID)
        one, other = (event for event in told if isinstance(event, CallStarted))
        assert other.number == one.number + 1
        assert len({one, other}) == 2

    async def test_a_retry_names_the_wait_and_the_tokens(self) -> None:
        it = make_harness(
            no_response(sent=True),
            respond(429, {}, retry_after="3"),
            CONNECTION_REFUSED,
            CREATED,
            policy=RetryPolicy(attempts=4),
        )
        told = watched(it)
        await it.get(UUID)
        assert outline(told)[1:] == [
            f"GET {ROUTE} #1 (1)",
            "no response None NoResponseError applied=no",
            "wait retry 0.25 486",
            f"GET {ROUTE} #2 (2)",
            "response 429 RateLimitError applied=no",
            "wait throttled 3 481",
            f"GET {ROUTE} #3 (3)",
            "not sent None NotSentError applied=no",
            "wait retry 1 481",
            f"GET {ROUTE} #4 (4)",
            "response 200 None applied=no",
            "end None applied=no requests=4",
        ]

    async def test_a_create_in_doubt_is_looked_for_and_adopted(self) -> None:
        it = make_harness(NO_RESPONSE, NOT_FOUND, CREATED)
        told = watched(it)
        await it.create(draft())
        assert outline(told) == [
            "call_started",
            "POST /v2/customers #1 (1)",
            "no response None NoResponseError applied=unknown",
            "wait confirmation 0.5 500",
            "lookup_started",
            f"GET {REFERENCE_ROUTE} #1 (2)",
            "response 404 NotFoundError applied=no",
            "looked False None",
            "wait confirmation 1 500",
            "lookup_started",
            f"GET {REFERENCE_ROUTE} #1 (3)",
            "response 200 None applied=no",
            "looked True None",
            "end None applied=yes requests=3 adopted",
        ]
        lookups = [event for event in told if isinstance(event, LookupStarted)]
        assert [event.lookup for event in told if isinstance(event, LookupEnded)] == lookups

    async def test_a_create_that_nobody_can_settle(self) -> None:
        it = make_harness(NO_RESPONSE, endless=True)
        told = watched(it)
        with pytest.raises(OutcomeUnknownError):
            await it.create(draft(reference=None))
        assert outline(told)[-2:] == [
            "no response None NoResponseError applied=unknown",
            "end OutcomeUnknownError applied=unknown requests=1",
        ]

    async def test_a_look_that_fails(self) -> None:
        it = make_harness(NO_RESPONSE, respond(502, b""), endless=False, policy=RetryPolicy(attempts=1))
        told = watched(it)
        with pytest.raises(OutcomeUnknownError):
            await it.create(draft())
        assert outline(told)[-3:] == [
            "response 502 Unavailable applied=no",
            "looked False Unavailable",
            "end OutcomeUnknownError applied=unknown requests=2",
        ]

    @pytest.mark.parametrize("operation", ["get", "delete"])
    async def test_a_lost_body(self, operation: str) -> None:
        it = make_harness(no_response(sent=True, status=200), CREATED, policy=RetryPolicy(attempts=1))
        told = watched(it)
        if operation == "get":
            with pytest.raises(CallError):
                await it.get(UUID)
            assert outline(told)[2] == "body lost 200 NoResponseError applied=no"
        else:
            await it.update(UUID, CustomerPatch(name="Ada"))
            assert outline(told)[2] == "body lost 200 InvalidResponseError applied=yes"
            assert outline(told)[-1] == "end None applied=yes requests=2 adopted"

    async def test_a_refused_token_is_the_same_request_again(self) -> None:
        token = respond(200, {"access_token": "t", "token_type": "Bearer", "expires_in": 900, "status": "approved"})
        it = make_harness(token, respond(401, {}), token, CREATED, account=Monri("key", "token", auth="oauth"))
        told = watched(it)
        await it.get(UUID)
        assert [line for line in outline(told) if "#" in line] == [
            "POST /v2/oauth #1 (1)",
            f"GET {ROUTE} #1 (2)",
            "POST /v2/oauth #1 (3)",
            f"GET {ROUTE} #2 (4)",
        ]

    async def test_a_write_waits_for_its_turn_and_for_a_doubt(self) -> None:
        it = make_harness(hang(sent=True), CREATED, policy=RetryPolicy(confirmation_window=0.05))
        told = watched(use_real_time(it))
        async with anyio.create_task_group() as group, anyio.create_task_group() as first:
            first.start_soon(partial(it.update, UUID, CustomerPatch(name="Ada")))
            while len(it.script.steps) > 1:
                await anyio.lowlevel.checkpoint()
            group.start_soon(partial(it.update, UUID, CustomerPatch(name="Grace")))
            while it.executor.turns.waiting == 0:
                await anyio.lowlevel.checkpoint()
            first.cancel_scope.cancel()
        waits = [event for event in told if isinstance(event, Waiting)]
        assert [event.reason for event in waits] == ["lock", "unconfirmed"]
        assert 59 < waits[0].seconds <= 60
        assert 0 < waits[1].seconds <= 0.05
        assert outline(told)[-1] == "end None applied=yes requests=1"

    @pytest.mark.parametrize(
        ("step", "attempt", "end"),
        [
            (hang(sent=True), "no response None Cancelled applied=unknown", "unknown"),
            (hang(sent=False), "not sent None Cancelled applied=no", "no"),
            (hang(sent=True, status=200), "body lost 200 Cancelled applied=unknown", "unknown"),
        ],
    )
    async def test_a_cancelled_call_ends_like_any_other(self, step: Any, attempt: str, end: str) -> None:
        it = make_harness(step)
        told = watched(it)
        async with anyio.create_task_group() as group:
            group.start_soon(partial(it.update, UUID, CustomerPatch(name="Ada")))
            while it.script.steps:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        assert outline(told)[2:] == [attempt, f"end Cancelled applied={end} requests=1"]

    @pytest.mark.parametrize(
        ("step", "attempt"),
        [
            (CREATED, "response 200 None applied=yes"),
            (respond(422, {"status": "invalid-request"}), "response 422 Rejected applied=no"),
            (respond(200, b"no JSON"), "response 200 InvalidResponseError applied=unknown"),
        ],
    )
    async def test_an_answered_write_has_done_what_the_answer_says(self, step: Any, attempt: str) -> None:
        it = make_harness(step)
        told = watched(it)
        with suppress(CallError):
            await it.update(UUID, CustomerPatch(name="Ada"))
        assert outline(told)[2] == attempt

    async def test_a_cancelled_attempt_tells_how_long_it_took(self) -> None:
        it = make_harness(hang(sent=True))
        it.script.takes = 0.25
        told = watched(it)
        async with anyio.create_task_group() as group:
            group.start_soon(it.get, UUID)
            while it.script.steps:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        assert [event.elapsed for event in told if isinstance(event, AttemptEnded)] == [0.25]

    async def test_a_doubt_that_stays_is_told_like_any_other_end(self) -> None:
        other = respond(200, monri_customer(merchant_customer_id="r-1", name="ADA", phone="+447911123456"))
        it = make_harness(NOT_FOUND, NO_RESPONSE, other, NO_RESPONSE, NO_RESPONSE, NO_RESPONSE)
        told = watched(it)
        began = it.clock.now
        with pytest.raises(OutcomeUnknownError):
            await it.upsert(draft())
        end = told[-1]
        assert isinstance(end, CallEnded)
        assert (end.error, end.applied, end.elapsed) == ("OutcomeUnknownError", "unknown", it.clock.now - began)

    async def test_a_call_that_fails_tells_how_long_it_took(self) -> None:
        it = make_harness(NOT_FOUND)
        it.script.takes = 0.25
        told = watched(it)
        with pytest.raises(NotFoundError):
            await it.get(UUID)
        end = told[-1]
        assert isinstance(end, CallEnded)
        assert (end.elapsed, end.recovered, end.error) == (0.25, False, "NotFoundError")

    async def test_an_error_that_is_no_outcome_ends_it_too(self) -> None:
        def refuse(signed_request: object, transmission: object) -> Any:
            raise ConfigurationError("no request may leave this machine")

        it = make_harness(refuse)
        told = watched(it)
        with pytest.raises(ConfigurationError):
            await it.create(draft())
        assert outline(told)[2:] == [
            "not sent None ConfigurationError applied=no",
            "end ConfigurationError applied=no requests=1",
        ]
