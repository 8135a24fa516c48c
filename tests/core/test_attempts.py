"""Single attempts: large responses, results for a job, and requests of a session that was closed meanwhile."""

import threading
from typing import Any

import anyio
import pytest
from attrs import evolve
from core.monri_responses import FIND
from gateway_responses import UUID

from scripted_transport import CREATED, NO_RESPONSE, draft, make_harness, respond
from wonder_customers import (
    CallError,
    InvalidResponseError,
    NoResponseError,
    NotSentError,
    OutcomeUnknownError,
    SessionClosedError,
    StopSignal,
)
from wonder_customers._core import attempt
from wonder_customers.dialects.base import Steps, send
from wonder_customers.retry import Evidence
from wonder_customers.wire import HttpResponse, Transmission, TransportError


@pytest.mark.parametrize("larger", [False, True])
async def test_large_response_is_decoded_in_a_thread_even_if_the_call_is_cancelled_then(larger: bool) -> None:
    body = b" " * (attempt._LARGE + larger)
    scope = anyio.CancelScope()

    def cancel(*request: Any) -> HttpResponse:
        scope.cancel()
        response = respond(200, body)(*request)
        assert isinstance(response, HttpResponse)
        return response

    it = make_harness(cancel)

    def steps() -> Steps[Any]:
        return (yield from send(evolve(next(it.dialect.get(UUID)), decode=lambda response: threading.get_ident())))

    thread = None
    with scope:
        thread = (await it.executor.run(it.account_context, "get", steps(), None)).record
    assert (thread is not None, thread != threading.get_ident()) == (True, larger)
    assert getattr(it.executor.runner._decoders, "total_tokens", None) == (2 if larger else None)


def broken(*, sent: bool, status: int | None = None, retryable: bool = True) -> Any:
    """Return a step that ends with a `TransportError`."""

    def step(signed_request: object, transmission: Transmission) -> HttpResponse:
        transmission.sent, transmission.status = sent, status
        raise TransportError("the connection broke", retryable=retryable, hint="Check the cable.")

    return step


@pytest.mark.parametrize(
    ("operation", "step", "error", "attempts", "applied"),
    [
        ("get", broken(sent=False), NotSentError, 3, "no"),
        ("get", broken(sent=False, retryable=False), NotSentError, 1, "no"),
        ("get", broken(sent=True), NoResponseError, 3, "no"),
        ("get", broken(sent=True, status=200), NoResponseError, 3, "no"),
        ("get", broken(sent=True, status=200, retryable=False), InvalidResponseError, 1, "no"),
        ("create", broken(sent=False), NotSentError, 3, "no"),
        ("create", broken(sent=True), OutcomeUnknownError, 1, "unknown"),
        ("create", broken(sent=True, status=201), InvalidResponseError, 1, "yes"),
        ("create", broken(sent=True, status=200, retryable=False), InvalidResponseError, 1, "unknown"),
    ],
)
async def test_error_without_response_names_its_request(
    operation: str, step: Any, error: type[CallError], attempts: int, applied: str
) -> None:
    it = make_harness(step, endless=True)
    with pytest.raises(error) as caught:
        await (it.get(UUID) if operation == "get" else it.create(draft(reference=None)))
    sent = dict(it.script.sent[-1].headers)[b"X-Request-ID"].decode()
    assert (caught.value.request_id, caught.value.attempts, len(it.script.sent)) == (sent, attempts, attempts)
    assert (caught.value.hint == "Check the cable.") == (error is NotSentError)
    assert (caught.value.applied, caught.value.gateway, caught.value.operation) == (applied, "monri", operation)


async def test_job_receives_the_result_of_each_request() -> None:
    it, seen = make_harness(NO_RESPONSE, CREATED), list[Evidence]()
    it.account_context.stop = StopSignal(observe=lambda evidence, error, permitted: seen.append(evidence))
    await it.get(UUID)
    assert seen == [Evidence.UNKNOWN, Evidence.RESPONSE]


async def test_operation_sends_no_request_after_its_session_was_closed() -> None:
    def close(*request: Any) -> Any:
        it.executor.runner.closed = True
        return CREATED(*request)

    it = make_harness(close)
    with pytest.raises(SessionClosedError, match="was not sent"):
        await it.upsert(draft(name="Grace"))
    assert it.script.lines() == [FIND]
