"""Sessions that are closed while calls are in progress: nothing is sent afterwards, and errors say what was applied."""

import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from attrs import evolve
from core.monri_responses import DOWN, KEY
from core.test_access_tokens import ACCOUNT, token_response
from gateway_responses import HEX24, UUID, monri_customer, paydock_customer, paydock_list
from mock_gateway import MockGateway, json_response, monri, wonder

from raw_sockets import OK, Peer, RawServer
from scripted_transport import (
    CREATED,
    MONRI,
    NO_RESPONSE,
    NOT_FOUND,
    PAYDOCK,
    Harness,
    Step,
    WithoutConnections,
    draft,
    make_harness,
    no_response,
    respond,
)
from wonder_customers import (
    BankAccountSource,
    CallError,
    CustomerPatch,
    CustomerSession,
    GatewayUnavailableError,
    InvalidResponseError,
    Monri,
    OutcomeUnknownError,
    RateLimit,
    SessionClosedError,
)
from wonder_customers._core.signing import SignerPool
from wonder_customers.dialects.base import Account
from wonder_customers.wire import HttpResponse, SignedRequest, Transmission

SOURCE = BankAccountSource("123456789", "Ada Lovelace", bsb="012-345")
FULL_PAGE = respond(200, paydock_list(*({"_id": f"{it:024x}", "reference": "x"} for it in range(1000)), count=2000))


def closing_harness(*steps: Step, account: Account = MONRI) -> Harness:
    """Return a harness whose session is closed while the last of `steps` is in progress."""

    def close(signed_request: SignedRequest, transmission: Transmission) -> Any:
        it.executor.runner.closed = True
        return steps[-1](signed_request, transmission)

    it = make_harness(*steps[:-1], close, account=account)
    return it


@pytest.mark.parametrize(
    ("steps", "account"),
    [
        ([NO_RESPONSE], MONRI),
        ([NO_RESPONSE, DOWN], MONRI),
        ([NO_RESPONSE, NOT_FOUND], MONRI),
        ([NO_RESPONSE, *[NOT_FOUND] * 5], MONRI),
        ([NO_RESPONSE, FULL_PAGE], PAYDOCK),
        ([token_response("first"), NO_RESPONSE, respond(401, {}), token_response("second")], ACCOUNT),
    ],
    ids=["first lookup", "retry of the lookup", "second lookup", "second create", "second page", "token"],
)
async def test_unconfirmed_create_stays_unconfirmed(steps: list[Step], account: Account) -> None:
    it = closing_harness(*steps, account=account)
    with pytest.raises(OutcomeUnknownError, match="because the session was closed") as caught:
        await it.create(draft())
    error = caught.value
    assert (error.applied, error.reference, error.attempts, error.operation) == ("unknown", "r-1", 1, "create")
    remaining = it.executor.order.locks.unconfirmed.remaining([KEY], None)
    assert remaining > 0 or it.clock.now == 1010.0, "the second create is sent after the confirmation window"
    assert len(it.script.sent) == it.account_context.account.counts.attempts == len(steps)


async def test_create_with_a_lost_body_stays_applied() -> None:
    it = closing_harness(no_response(sent=True, status=201), FULL_PAGE, account=PAYDOCK)
    with pytest.raises(InvalidResponseError, match="because the session was closed") as caught:
        await it.create(draft())
    assert (caught.value.applied, caught.value.reference, it.clock.waits) == ("yes", "r-1", [0.0])


@pytest.mark.parametrize("answer", [NO_RESPONSE, DOWN])
async def test_retry_that_waits_for_a_permit_ends_with_the_error_of_the_first_attempt(answer: Step) -> None:
    it = make_harness(answer)
    it.executor.runner.rate_limit = closing = ClosingLimit(it, 2)
    with pytest.raises(OutcomeUnknownError, match="not retried, because the session was closed") as caught:
        await it.update(UUID, CustomerPatch(name="Grace"))
    assert (caught.value.attempts, closing.results) == (1, ["failed", "cancelled"])
    it = make_harness(DOWN)
    it.executor.runner.rate_limit = ClosingLimit(it, 2)
    with pytest.raises(GatewayUnavailableError, match="not retried, because the session was closed"):
        await it.get(UUID)


class ClosingLimit:
    """A rate limit that closes the session before it grants the permit with `number`."""

    def __init__(self, it: Harness, number: int) -> None:
        self.it, self.number, self.results = it, number, list[str]()

    async def acquire(self, transmission: Transmission) -> None:
        self.number -= 1
        if not self.number:
            self.it.executor.runner.closed = True

    def release(self, transmission: Transmission, result: Any) -> None:
        self.results.append(result.kind)


async def test_added_source_is_reported_if_the_default_cannot_be_restored() -> None:
    sources = [{"_id": HEX24}, {"_id": HEX24[::-1]}]
    read = respond(200, paydock_customer(default_source=HEX24, payment_sources=sources[:1]))
    added = respond(200, paydock_customer(default_source=HEX24[::-1], payment_sources=sources))
    it = closing_harness(read, added, account=evolve(PAYDOCK, keep_default_source=True))
    with pytest.raises(
        InvalidResponseError, match=r"the payment source was added, but.*the session was closed"
    ) as caught:
        await it.update(HEX24, CustomerPatch(payment_source=SOURCE))
    assert (caught.value.applied, caught.value.id) == ("yes", HEX24)


async def test_taken_reference_after_an_unconfirmed_create_leaves_the_outcome_unknown() -> None:
    taken = respond(409, {"status": "invalid-request", "message": "merchant_customer_id has already been taken"})
    it = closing_harness(NOT_FOUND, NO_RESPONSE, *[NOT_FOUND] * 5, taken)
    with pytest.raises(CallError, match="the session was closed") as caught:
        await it.upsert(draft())
    assert (caught.value.applied, caught.value.reference) == ("unknown", "r-1")


# Nothing is sent after the block


async def run_and_close(
    session: CustomerSession[Any], calls: int, *, wait: Callable[[], Any], then: Callable[[], object] = lambda: None
) -> list[BaseException]:
    """Start calls in a session, await `wait`, close the session and call `then`; return the errors of the calls."""
    errors: list[BaseException] = []

    async def call() -> None:
        try:
            await session.get(UUID)
        except (CallError, SessionClosedError) as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        async with session:
            for _ in range(calls):
                group.start_soon(call)
            await wait()
        then()
    return errors


@pytest.mark.parametrize("limit", ["rate_limit", "max_connections"])
async def test_calls_that_wait_for_a_permit_or_a_slot_send_nothing(limit: str) -> None:
    sent = list[str]()
    options: Any = {"rate_limit": RateLimit(1, per=0.1)} if limit == "rate_limit" else {"max_connections": 1}

    async def gateway(request: httpx.Request) -> httpx.Response:
        sent.append(request.method)
        await anyio.sleep(0.05)
        return json_response(200, monri_customer())

    session = CustomerSession(monri(), transport=lambda: httpx.MockTransport(gateway), **options)
    errors = await run_and_close(session, 3, wait=anyio.wait_all_tasks_blocked)
    assert (sent, [type(it) for it in errors]) == (["GET"], [SessionClosedError] * 2)


async def test_call_that_waits_for_a_retry_sends_nothing() -> None:
    gateway = MockGateway(httpx.Response(503))
    session = gateway.session(monri(), attempts=9, base=0.2)
    (error,) = await run_and_close(session, 1, wait=anyio.wait_all_tasks_blocked)
    assert "the session was closed" in str(error)
    assert len(gateway.requests) == 1


async def test_call_that_waits_for_a_signature_sends_nothing() -> None:
    it = make_harness(CREATED, account=wonder())
    it.executor.runner._signers = Signers(it)
    it.executor.runner._in_progress = 1  # another request, so that the signature is made in a thread
    with pytest.raises(SessionClosedError, match="was not sent"):
        await it.get(UUID)
    assert it.script.sent == []


class Signers(SignerPool):
    """Closes the session while a signature is made."""

    def __init__(self, it: Harness) -> None:
        super().__init__(2)
        self.it = it

    async def make(self, sign: Callable[[], Any]) -> Any:
        self.it.executor.runner.closed = True
        return await super().make(sign)


async def test_call_that_waits_for_a_connection_of_the_callers_transport_sends_nothing(
    kind: Callable[..., Any],
) -> None:
    requests, arrived, closed = list[bytes](), threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        while data := peer.request():
            requests.append(data)
            arrived.set()
            closed.wait(60)
            peer.say(OK)

    async def wait() -> None:
        await anyio.to_thread.run_sync(arrived.wait, 60)

    transport = kind(max_connections=1)
    with RawServer(script) as server:
        account = Monri("k", "t", base_url=f"http://127.0.0.1:{server.port}")
        errors = await run_and_close(CustomerSession(account, transport=transport), 3, wait=wait, then=closed.set)
        await transport.aclose()
    assert [type(it) for it in errors] == [InvalidResponseError, SessionClosedError, SessionClosedError]
    assert len(requests) == 1


async def test_call_that_opens_a_connection_sends_nothing(kind: Callable[..., Any]) -> None:
    requests: list[bytes] = []
    with RawServer(lambda peer: requests.append(peer.request())) as server:
        account = Monri("k", "t", base_url=f"http://127.0.0.1:{server.port}")
        session = CustomerSession(account, transport=kind())
        errors = await run_and_close(session, 1, wait=anyio.lowlevel.checkpoint)
    assert [type(it) for it in errors] == [SessionClosedError]
    assert not any(requests)


async def test_own_transport_learns_in_leave_that_the_session_was_closed() -> None:
    class Slow(WithoutConnections):
        async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
            await anyio.sleep(0.05)
            await transmission.leave()
            raise AssertionError("the request must not be sent")

    errors = await run_and_close(CustomerSession(monri(), transport=Slow()), 1, wait=anyio.wait_all_tasks_blocked)
    assert [type(it) for it in errors] == [SessionClosedError]
