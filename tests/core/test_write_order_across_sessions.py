"""Writes for one customer keep their order, by reference and by id, and across the sessions of a process."""

from contextlib import aclosing
from functools import partial
from typing import Any

import anyio
import httpx
import orjson
import pytest
from gateway_responses import HEX24, UUID, monri_customer, paydock_customer, paydock_list
from mock_gateway import APP_ID, private_key, wonder

from scripted_transport import NO_RESPONSE, WithoutConnections, draft, make_harness, respond
from wonder_customers import (
    CustomerPatch,
    CustomerSession,
    Monri,
    OutcomeUnknownError,
    Paydock,
    RateLimit,
    RetryPolicy,
    Wonder,
)
from wonder_customers.rate_limit import RequestResult
from wonder_customers.testing import CustomerSimulator
from wonder_customers.transports.httpx import HttpxTransport
from wonder_customers.wire import HttpResponse, SignedRequest, Transmission, TransportError


class SlowGateway(WithoutConnections):
    """A Monri with one customer; a write with an email that starts with ``old`` is applied slowly."""

    def __init__(self) -> None:
        self.emails: list[str] = []
        self.requests: list[str] = []
        self.lost = False

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        transmission.sent = True
        self.requests.append(f"{signed_request.method} {signed_request.target}")
        if self.lost:
            raise TransportError("the connection broke")
        sent = orjson.loads(signed_request.body) if signed_request.body else {}
        email = sent.get("email", "")
        await anyio.sleep(0.1 if email.startswith("old") else 0)
        if email:
            self.emails.append(email)
        transmission.status = 200
        body = monri_customer(merchant_customer_id="r-1") | sent
        return HttpResponse(200, {}, orjson.dumps(body))


async def test_update_by_id_follows_an_upsert_by_reference() -> None:
    gateway = SlowGateway()
    async with CustomerSession(Monri("k", "t"), transport=gateway) as session, anyio.create_task_group() as group:
        group.start_soon(session.upsert, draft(email="old@example.org"))
        await anyio.sleep(0.03)
        group.start_soon(session.update, UUID, CustomerPatch(email="new@example.org"))
    assert gateway.emails == ["old@example.org", "new@example.org"]


async def test_unconfirmed_write_is_known_to_other_sessions_of_the_process() -> None:
    gateway = SlowGateway()
    policy = RetryPolicy(attempts=1, deadline=5, confirmation_window=0.2)
    patch = CustomerPatch(email="old@example.org")
    async with (
        CustomerSession(Monri("k", "t"), transport=gateway, retry=policy) as first,
        CustomerSession(Monri("k", "t"), transport=gateway, retry=policy) as second,
    ):
        gateway.lost = True
        with pytest.raises(OutcomeUnknownError):
            await first.update(UUID, patch)
        gateway.lost = False
        began = anyio.current_time()
        await second.update(UUID, CustomerPatch(email="new@example.org"))
        assert anyio.current_time() - began > 0.1


class LateSearch(WithoutConnections):
    """A Paydock whose search finds a customer only from the third time on."""

    def __init__(self) -> None:
        self.searches = self.created = 0

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        held = {"_id": HEX24, "reference": "r-1", "first_name": "Ada"}
        transmission.sent, transmission.status = True, 200
        body = paydock_customer(**held)
        if signed_request.target.startswith("/v1/customers?"):
            self.searches += 1
            body = paydock_list(held) if self.searches > 2 else paydock_list()
        self.created += signed_request.method == "POST" and signed_request.target == "/v1/customers"
        return HttpResponse(200, {}, orjson.dumps(body))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_customer_created_on_an_earlier_event_loop_is_not_created_again(backend: str) -> None:
    """Some programs run each call on an event loop of its own, such as tasks of Celery."""
    gateway = LateSearch()

    async def upsert() -> None:
        policy = RetryPolicy(confirmation_window=0.1)
        async with CustomerSession(Paydock("key"), transport=gateway, retry=policy) as session:
            await session.upsert(draft())

    for _ in range(2):
        anyio.run(upsert, backend=backend)
    assert gateway.created == 1


async def test_unconfirmed_upsert_holds_back_an_update_by_id_of_the_same_customer() -> None:
    it = make_harness(respond(200, monri_customer(merchant_customer_id="r-1")), NO_RESPONSE, NO_RESPONSE, NO_RESPONSE)
    with pytest.raises(OutcomeUnknownError):
        await it.upsert(draft())
    it.script.steps[:] = [respond(200, monri_customer(merchant_customer_id="r-1"))]
    before = it.clock.now
    await it.update(UUID, CustomerPatch(name="Grace"))
    assert it.clock.now - before == pytest.approx(10.0)


def test_base_url_in_another_spelling_is_the_same_merchant() -> None:
    gateway = SlowGateway()
    urls = ("https://ipgtest.monri.com", "https://IPGTEST.monri.com:443/")
    sessions = [CustomerSession(Monri("k", "t", base_url=url), transport=gateway) for url in urls]
    other = CustomerSession(Monri("k", "other"), transport=gateway)
    first, second = (it.raw._account_context.merchant for it in sessions)
    assert first == second != other.raw._account_context.merchant


def test_two_credentials_of_one_merchant_share_the_order_of_writes() -> None:
    pairs: list[tuple[Monri | Wonder, Monri | Wonder]] = [
        (Monri("key", "merchant-token"), Monri("rotated-key", "merchant-token")),
        (wonder(), Wonder(APP_ID, private_key(1))),
        (Monri("key", "merchant-token"), Monri("key", "merchant-token", auth="oauth")),
    ]
    for accounts in pairs:
        first, second = (CustomerSession(it).raw._account_context.merchant for it in accounts)
        assert first == second
    merchants = {CustomerSession(Monri("key", it)).raw._account_context.merchant for it in ("first", "second")}
    assert len(merchants) == 2
    assert not any("first" in it or "second" in it for it in map(str, merchants)), "no credential in plain text"


def returned(transport: httpx.MockTransport) -> httpx.MockTransport:
    return transport


async def test_functions_that_return_mocks_do_not_share_the_order_of_writes() -> None:
    merchants = []
    mocks = [httpx.MockTransport(lambda _: httpx.Response(200)) for _ in range(2)]
    for mock in mocks:
        async with CustomerSession(Monri("k", "t"), transport=partial(returned, mock)) as session:
            merchants += [it.raw._account_context.merchant for it in (session, session.with_options(deadline=1))]
    assert merchants[0] == merchants[1] != merchants[2] == merchants[3]


async def test_lookups_count_for_the_rate_limit_and_waits_are_reported() -> None:
    gateway, events = SlowGateway(), list[Any]()
    async with CustomerSession(
        Monri("k", "t"), transport=gateway, rate_limit=RateLimit(1, per=0.2), observers=[events.append]
    ) as session:
        began = anyio.current_time()
        await session.upsert(draft())
        assert anyio.current_time() - began >= 0.2
        assert session.stats().waiting_for_rate_limit == 0
    assert [it.reason for it in events if it.name == "waiting"] == ["rate_limit"]


class SecondRequestWaits:
    """A rate limit that permits the second request when `open` is set."""

    def __init__(self) -> None:
        self.requests = 0
        self.waiting, self.open = anyio.Event(), anyio.Event()

    async def acquire(self, transmission: Transmission) -> None:
        self.requests += 1
        if self.requests == 2:
            self.waiting.set()
            await self.open.wait()

    def release(self, transmission: Transmission, result: RequestResult) -> None:
        pass


@pytest.mark.parametrize(
    "transport",
    [None, HttpxTransport, "instance", lambda: HttpxTransport(), httpx.AsyncHTTPTransport],  # noqa: PLW0108
)
async def test_update_that_waits_for_the_rate_limit_undoes_no_write(
    customer_simulator: CustomerSimulator, transport: Any
) -> None:
    """Wonder's update reads and writes; the customer is locked while the write waits for its permit."""
    account, limit = customer_simulator.account("wonder"), SecondRequestWaits()
    async with (
        aclosing(HttpxTransport()) as instance,
        CustomerSession(account, rate_limit=limit) as slow,
        CustomerSession(account, transport=instance if transport == "instance" else transport) as quick,
        anyio.create_task_group() as group,
    ):
        made = await quick.upsert(draft(email="old@example.org"))
        group.start_soon(slow.update, made.id, CustomerPatch(name="Grace"))
        await limit.waiting.wait()
        group.start_soon(quick.upsert, draft(email="new@example.org"))
        await anyio.wait_all_tasks_blocked()
        limit.open.set()
    (held,) = customer_simulator.customers("wonder")
    assert held["email"] == "new@example.org"
