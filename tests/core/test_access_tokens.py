"""Access tokens: fetched when needed, renewed before they expire, and renewed once after a refusal."""

from collections.abc import Awaitable
from contextlib import nullcontext
from itertools import chain
from typing import Any

import anyio
import pytest
from attrs import evolve
from gateway_responses import UUID

from scripted_transport import CREATED, Step, draft, hang, make_harness, respond, use_real_time
from wonder_customers import (
    AuthenticationError,
    CallError,
    DeadlineExceededError,
    GatewayUnavailableError,
    Monri,
    RetryPolicy,
    Secret,
)
from wonder_customers.wire import HttpResponse, SignedRequest, Transmission


def token_response(token: str, seconds: float = 900) -> Step:
    return respond(200, {"access_token": token, "token_type": "Bearer", "expires_in": seconds, "status": "approved"})


FIRST, SECOND = token_response("first"), token_response("second")
ACCOUNT = Monri("key", "token", auth="oauth")


async def test_refused_token_is_renewed_once() -> None:
    it = make_harness(FIRST, respond(401, {}), SECOND, CREATED, account=ACCOUNT, policy=RetryPolicy(attempts=1))
    await it.create(draft())
    sent = [dict(out.headers).get(b"Authorization") for out in it.script.sent]
    assert sent == [None, b"Bearer first", None, b"Bearer second"]


async def test_second_refused_token_raises_authentication_error() -> None:
    it = make_harness(FIRST, respond(401, {}), SECOND, respond(401, {}), account=ACCOUNT)
    with pytest.raises(AuthenticationError):
        await it.create(draft())
    assert len(it.script.sent) == 4


@pytest.mark.parametrize("refusals", [2, 4])
async def test_tokens_that_expire_while_their_requests_wait_are_renewed_again(refusals: int) -> None:
    def expired(signed_request: SignedRequest, transmission: Transmission) -> HttpResponse | Awaitable[HttpResponse]:
        it.clock.now += 5
        return respond(401, {})(signed_request, transmission)

    tokens = [token_response(f"token-{number}", seconds=5) for number in range(5)]
    it = make_harness(*chain.from_iterable((it, expired) for it in tokens[:refusals]), account=ACCOUNT)
    it.script.steps += [tokens[4], CREATED]
    with pytest.raises(AuthenticationError) if refusals > 3 else nullcontext():
        await it.create(draft())
    assert len(it.script.sent) == (8 if refusals > 3 else 6)


async def test_token_is_renewed_at_the_exact_renewal_time() -> None:
    it = make_harness(FIRST, CREATED, CREATED, SECOND, CREATED, account=ACCOUNT)
    for seconds, fetched in ((0, 1), (809, 1), (1, 2)):
        it.clock.now += seconds
        await it.get(UUID)
        assert it.script.lines().count("POST /v2/oauth") == fetched


async def test_dropping_an_older_token_keeps_the_current_one() -> None:
    it = make_harness(FIRST, CREATED, CREATED, account=ACCOUNT)
    await it.get(UUID)
    credentials: Any = it.account_context.account.credentials
    tokens = credentials._tokens
    tokens.drop(Secret("first"))  # an equal token that was fetched earlier
    await it.get(UUID)
    assert it.script.lines().count("POST /v2/oauth") == 1
    tokens.drop(tokens._value)
    assert tokens._value is None


async def test_waiting_callers_share_a_failure_that_is_not_retried() -> None:
    async def refused(signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        await anyio.wait_all_tasks_blocked()
        transmission.sent, transmission.status = True, 429
        return HttpResponse(429, {"retry-after": "1e9"}, b"{}")

    it, failed = make_harness(*[refused] * 3, account=ACCOUNT), list[CallError]()

    async def call() -> None:
        try:
            await it.get(UUID)
        except CallError as error:
            failed.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(call)
    assert (len(failed), it.script.lines()) == (3, ["POST /v2/oauth"])


@pytest.mark.parametrize("policy", [RetryPolicy(attempts=1), RetryPolicy(deadline=5)])
async def test_waiting_callers_do_not_share_the_failure_of_a_caller_that_made_fewer_attempts(
    policy: RetryPolicy,
) -> None:
    hanging = anyio.Event()

    async def unavailable(signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        await hanging.wait()
        transmission.sent, transmission.status = True, 503
        return HttpResponse(503, {"retry-after": "10"}, b"{}")

    it = make_harness(unavailable, FIRST, CREATED, account=ACCOUNT)
    once = evolve(it.account_context, policy=policy)
    failed: list[CallError] = []

    async def call_once() -> None:
        try:
            await it.executor.run(once, "get", once.dialect.get(UUID), None)
        except CallError as error:
            failed.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(call_once)
        await anyio.wait_all_tasks_blocked()
        group.start_soon(it.get, UUID)
        await anyio.wait_all_tasks_blocked()
        hanging.set()
    assert [type(error) for error in failed] == [GatewayUnavailableError]
    assert it.script.lines() == ["POST /v2/oauth", "POST /v2/oauth", f"GET /v2/customers/{UUID}"]


WITHOUT_TOKEN = r"^monri get: the request was not sent: the credentials were not available before the deadline \("


async def test_wait_for_a_token_ends_with_the_deadline_of_its_caller() -> None:
    it = use_real_time(make_harness(hang(sent=True), endless=True, account=Monri("k", "t", auth="oauth")))

    async def young(*, task_status: Any) -> None:
        it.account_context.policy = RetryPolicy(deadline=5)
        task_status.started()
        with anyio.move_on_after(30):
            await it.get(UUID)

    async with anyio.create_task_group() as group:
        await group.start(young)
        await anyio.wait_all_tasks_blocked()
        it.account_context.policy = RetryPolicy(deadline=0.3)
        with anyio.fail_after(120), pytest.raises(DeadlineExceededError, match=WITHOUT_TOKEN):
            await it.get(UUID)
        group.cancel_scope.cancel()
