"""Session lifecycle, views, raw operations, listings and payloads."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from operator import attrgetter
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
import trio
from gateway_responses import HEX24, UUID, monri_customer
from mock_gateway import ACCOUNTS, SECRET_KEY, MockGateway, Session, json_response, paydock, read_empty_list

from wonder_customers import (
    ConfigurationError,
    CustomerDraft,
    CustomerPatch,
    CustomerSession,
    InvalidRecordError,
    Monri,
    Paydock,
    PaymentToken,
    Phone,
    Response,
    SessionClosedError,
    VaultToken,
)

CUSTOMER = {"status": 200, "error": None, "resource": {"type": "customer", "data": {"_id": HEX24, "reference": "35"}}}
DRAFT = CustomerDraft(reference="35", name="Lovelace", phone=Phone("+852", "12345678"))


OPERATIONS: dict[str, Callable[[Session], Awaitable[Any]]] = {
    "create": lambda s: s.create(DRAFT),
    "upsert": lambda s: s.upsert(DRAFT),
    "get": lambda s: s.get(HEX24),
    "get_by_reference": lambda s: s.get_by_reference("35"),
    "update": lambda s: s.update(HEX24, CustomerPatch(name="Ada")),
    "delete": lambda s: s.delete(HEX24),
    "list": read_empty_list,
    "list_payment_tokens": lambda s: s.list_payment_tokens(HEX24),
    "create_payment_token": lambda s: s.create_payment_token(HEX24, VaultToken(UUID)),
    "check_payment_token": lambda s: s.check_payment_token(HEX24, "t"),
    "delete_payment_token": lambda s: s.delete_payment_token(HEX24, PaymentToken("t")),
    "check": lambda s: s.check(),
    "request": lambda s: s.request("GET", "/v1/customers"),
    "raw.page": lambda s: s.raw.page(),
    "raw.get": lambda s: s.raw.get(HEX24),
    "raw.request": lambda s: s.raw.request("POST", "/v1/customers", json={}),
}
EACH_OPERATION = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


@EACH_OPERATION
async def test_session_that_is_not_open_rejects_every_operation(
    gateway: str, operation: Callable[[Session], Awaitable[Any]]
) -> None:
    wire = MockGateway()
    session = wire.session(gateway)
    with pytest.raises(SessionClosedError, match=r"not open yet.*async with.*Nothing was sent"):
        await operation(session)
    async with session:
        view = session.for_account(ACCOUNTS[gateway]())
    for closed in (session, view, session.for_account(paydock())):
        with pytest.raises(SessionClosedError, match=r"is closed.*Nothing was sent") as caught:
            await operation(closed)
        assert "Lovelace" not in str(caught.value)
    assert wire.requests == []


@pytest.mark.parametrize("name", [it for it in OPERATIONS if it != "list"])
def test_every_operation_is_a_coroutine_function(name: str) -> None:
    # Background tasks and schedulers run other functions in a thread, and ignore the coroutine that they return.
    assert iscoroutinefunction(attrgetter(name)(MockGateway().session("paydock")))


async def test_closed_session_is_reported_before_an_invalid_draft() -> None:
    session = MockGateway().session("paydock")
    for write in (session.create, session.upsert):
        with pytest.raises(SessionClosedError, match="not open yet"):
            await write(CustomerDraft(reference="r" * 1000))


async def test_session_cannot_be_opened_twice() -> None:
    wire = MockGateway(CUSTOMER)
    session = wire.session("paydock")
    async with session:
        with pytest.raises(SessionClosedError, match="opened only once"):
            async with session:
                raise AssertionError("the session must not open")
        assert (await session.get(HEX24)).id == HEX24
    with pytest.raises(SessionClosedError, match="opened only once"):
        async with session:
            raise AssertionError("the session must not open")


def test_session_works_on_trio_as_a_guest_of_asyncio() -> None:
    async def use() -> str:
        async with MockGateway(json_response(200, monri_customer())).session(ACCOUNTS["monri"]()) as session:
            return (await session.get(UUID)).id

    async def host() -> str:
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Any] = loop.create_future()
        trio.lowlevel.start_guest_run(
            use, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=result.set_result
        )
        return str((await result).unwrap())

    assert asyncio.run(host()) == UUID


@EACH_OPERATION
@pytest.mark.parametrize("backends", [("asyncio", "asyncio"), ("asyncio", "trio"), ("trio", "asyncio")])
def test_session_of_another_event_loop_rejects_every_operation(
    operation: Callable[[Session], Awaitable[Any]], backends: tuple[str, str]
) -> None:
    wire = MockGateway()
    session = wire.session("paydock")

    async def open_session() -> None:
        await session.__aenter__()

    async def use_session() -> None:
        with pytest.raises(SessionClosedError, match=r"another event loop.*Nothing was sent.*on each event loop"):
            await operation(session)

    anyio.run(open_session, backend=backends[0])
    anyio.run(use_session, backend=backends[1])
    assert wire.requests == []


@EACH_OPERATION
@pytest.mark.parametrize("view", [False, True])
def test_call_may_be_made_in_another_thread_than_the_one_that_runs_it(
    operation: Callable[[Session], Awaitable[Any]], view: bool
) -> None:
    """``asyncio.run_coroutine_threadsafe`` is called in a thread without an event loop."""
    wire = MockGateway()

    async def main() -> None:
        async with wire.session("paydock") as session:
            used = session.for_account(paydock()) if view else session
            call: Any = await asyncio.to_thread(operation, used)
            other: Any = operation(used)
            with pytest.raises(AssertionError, match="unexpected request"):
                await call
            with pytest.raises(SessionClosedError, match=r"another event loop.*Nothing was sent"):
                await asyncio.to_thread(asyncio.run, other)

    asyncio.run(main())
    assert len(wire.requests) == 1


@EACH_OPERATION
def test_open_session_rejects_use_without_an_event_loop(operation: Callable[[Session], Awaitable[Any]]) -> None:
    session = MockGateway().session("paydock")

    async def open_session() -> None:
        await session.__aenter__()

    anyio.run(open_session)
    with pytest.raises(SessionClosedError, match="Nothing was sent"):
        operation(session).__await__().send(None)


def test_calls_from_an_exit_handler_raise_errors_of_the_library(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        "import asyncio, atexit\n"
        "from wonder_customers import CustomerSession, Paydock, RetryPolicy, WonderCustomersError\n"
        "once = RetryPolicy(attempts=1, deadline=5)\n"
        "made = lambda: CustomerSession(Paydock('key', base_url='http://localhost:9/'), retry=once)\n"
        "session = made()\n"
        "async def new():\n"
        "    async with made() as session:\n"
        "        await session.get('0' * 24)\n"
        "async def old():\n"
        "    await session.get('0' * 24)\n"
        "async def close():\n"
        "    await session.__aexit__(None, None, None)\n"
        "def leave():\n"
        "    for call in (new, old, close):\n"
        "        try:\n"
        "            asyncio.run(call())\n"
        "        except WonderCustomersError as error:\n"
        "            print(call.__name__, type(error).__name__)\n"
        "atexit.register(leave)\n"
        "asyncio.run(session.__aenter__())\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["new NotSentError", "old SessionClosedError"]


async def test_exception_closes_the_session() -> None:
    session = MockGateway().session("paydock")
    with pytest.raises(ZeroDivisionError):
        async with session:
            raise ZeroDivisionError
    with pytest.raises(SessionClosedError):
        await session.get(HEX24)


async def test_view_uses_its_own_account_and_the_shared_transport() -> None:
    monri = {"status": "approved", "uuid": UUID}
    wire = MockGateway(CUSTOMER, CUSTOMER, monri)
    async with wire.session("paydock") as session:
        other = session.for_account(Paydock("other-key"))
        third = other.for_account(Monri("key", "token", base_url="https://ipg.monri.com"))
        await session.get(HEX24)
        await other.get(HEX24)
        assert (await third.get(UUID)).id == UUID
        assert (session.account, other.account) == (paydock(), Paydock("other-key"))
    keys = [request.headers.get("x-user-secret-key") for request in wire.requests]
    assert keys == [SECRET_KEY, "other-key", None]
    assert [request.url.host for request in wire.requests] == [
        "api-sandbox.paydock.com",
        "api-sandbox.paydock.com",
        "ipg.monri.com",
    ]
    assert [request.headers["host"] for request in wire.requests] == [request.url.host for request in wire.requests]


async def test_raw_operation_returns_the_response_facts() -> None:
    wire = MockGateway(json_response(503, None), json_response(200, CUSTOMER, X_Correlation_ID="c-1"))
    async with wire.session("paydock", attempts=2) as session:
        response = await session.raw.get(HEX24)
    assert isinstance(response, Response)
    assert (response.record.id, response.status, response.request_id, response.attempts) == (HEX24, 200, "c-1", 2)
    assert response.headers["x-correlation-id"] == "c-1"
    assert response.elapsed >= 0
    assert not response.recovered


async def test_listing_supports_anext() -> None:
    body = {"status": 200, "error": None, "resource": {"data": [{"_id": "a"}, {"_id": "b"}], "count": 2}}
    async with MockGateway(body).session("paydock") as session:
        listing = session.list()
        assert [(await anext(listing)).id, (await anext(listing)).id] == ["a", "b"]
        with pytest.raises(StopAsyncIteration):
            await anext(listing)


async def test_check_requests_one_customer() -> None:
    wire = MockGateway({"status": 200, "error": None, "resource": {"data": [], "count": 0}})
    async with wire.session("paydock") as session:
        await session.check()
    assert wire.lines == ["GET /v1/customers?limit=1&skip=0&sortkey=created_at&sortdirection=ASC"]


async def test_payload_and_validate_send_nothing_and_omit_payment_sources() -> None:
    wire = MockGateway()
    draft = CustomerDraft(reference="35", name="Ada", payment_source=VaultToken(UUID))
    session = wire.session("paydock")
    session.validate(draft)
    assert session.payload(draft) == {"reference": "35", "first_name": "Ada"}
    assert wire.requests == []


async def test_metadata_changed_after_its_validation_is_checked_again() -> None:
    wire = MockGateway()
    draft = CustomerDraft(reference="35", name="Ada", metadata={"visits": 1})
    async with wire.session("monri") as session:
        session.validate(draft)
        cast("dict[str, Any]", draft.metadata)["visits"] = 2**80
        with pytest.raises(InvalidRecordError, match="only JSON values"):
            await session.create(draft)
    assert wire.requests == []


def test_session_repr_shows_gateway_and_state() -> None:
    async def main() -> None:
        session = MockGateway().session("paydock")
        assert repr(session) == "<CustomerSession paydock not open yet>"
        async with session:
            assert repr(session) == "<CustomerSession paydock open (HttpxTransport over MockTransport)>"
        assert repr(session) == "<CustomerSession paydock closed>"

    anyio.run(main)


BAD_SESSIONS: dict[str, dict[str, Any]] = {
    "retry of another type": {"retry": 3},
    "transport of another type": {"transport": 5},
    "rate limit of another type": {"rate_limit": 25},
    "no connections": {"max_connections": 0},
    "negative connections": {"max_connections": -1},
    "a boolean": {"max_connections": True},
    "a fraction": {"max_connections": 1.5},
    "too many connections": {"max_connections": 10**6},
}


@pytest.mark.parametrize("options", BAD_SESSIONS.values(), ids=BAD_SESSIONS)
def test_invalid_session_setting_is_rejected(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        CustomerSession(paydock(), **options)
