"""Which transport a session uses, and who closes it."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import respx
from backends import ASYNCIO_ONLY
from fault_injection.sessions import fresh, session

from wonder_customers import ConfigurationError, CustomerSession, Monri, RateLimit, RetryPolicy, SessionClosedError
from wonder_customers._support.unique_ids import UniqueIds
from wonder_customers.events import ConnectionStats
from wonder_customers.simulator import SimulatorServer
from wonder_customers.transports.asyncio import AsyncioTransport
from wonder_customers.transports.httpx import HttpxTransport
from wonder_customers.transports.tls import default_context

ACCOUNT = Monri("key", "token", base_url="http://127.0.0.1:9")
CUSTOMER = {"uuid": "c-1", "merchant_customer_id": "r-1", "status": "approved"}


async def test_default_depends_on_the_event_loop(anyio_backend_name: str) -> None:
    expected = "AsyncioTransport" if anyio_backend_name == "asyncio" else "HttpxTransport"
    async with CustomerSession(ACCOUNT) as it:
        assert repr(it) == f"<CustomerSession monri open ({expected})>"


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize(
    ("host", "size"), [("256.256.256.256", 1), ("ipgtest.monri.com", 70_000)], ids=["host", "size"]
)
async def test_url_that_httpx_refuses_is_reported(library: Any, host: str, size: int) -> None:
    account = Monri("key", "token", base_url=f"https://{host}")
    async with CustomerSession(account, transport=HttpxTransport(transport=library.AsyncHTTPTransport)) as it:
        with pytest.raises(ConfigurationError, match=r"cannot be sent with httpx.* Nothing was sent"):
            await it.request("POST", "/v2/customers", query={"q": "a" * size})
        assert it.stats().connections == ConnectionStats(open=0, busy=0, idle=0, waiting=0)


async def test_patched_httpx_is_used() -> None:
    with respx.mock:
        route = respx.get("http://127.0.0.1:9/v2/customers/c-1").respond(json=CUSTOMER)
        async with CustomerSession(ACCOUNT) as it:
            assert repr(it) == "<CustomerSession monri open (HttpxTransport, because httpx is patched)>"
            assert (await it.get("c-1")).reference == "r-1"
    assert route.called


async def test_patched_httpx2_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def handle(self: Any, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=CUSTOMER)

    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", handle)
    async with CustomerSession(ACCOUNT) as it:
        assert repr(it) == "<CustomerSession monri open (HttpxTransport, because httpx2 is patched)>"
        assert (await it.get("c-1")).reference == "r-1"


@pytest.mark.parametrize(
    "more",
    [{"ssl_context": default_context()}, {"proxy": "http://127.0.0.1:9"}, {"local_address": "127.0.0.1"}],
    ids=list,
)
def test_httpx_transport_refuses_settings_beside_a_transport(more: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="must not be combined with ssl_context, proxy or local_address"):
        HttpxTransport(transport=httpx.AsyncHTTPTransport, **more)


@pytest.mark.parametrize("wrong", [5, "httpx", httpx.AsyncClient(), AsyncioTransport(), lambda proxy: None])
def test_httpx_transport_refuses_other_objects_as_transports(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^(transport must be|the transport <lambda> cannot be called)"):
        HttpxTransport(transport=wrong)


async def test_function_that_returns_no_httpx_transport_is_reported() -> None:
    wrong: Any = httpx.AsyncClient
    pool = HttpxTransport(transport=wrong, max_connections=1)
    async with CustomerSession(ACCOUNT, transport=pool) as it:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=r"must return a transport of httpx, not AsyncClient"):
                await it.get("c-1")
    assert pool.open_connections == 0


@pytest.mark.parametrize("kind", [AsyncioTransport, HttpxTransport])
def test_local_address_must_be_an_ip_address(kind: type[AsyncioTransport | HttpxTransport]) -> None:
    with pytest.raises(ConfigurationError, match="local_address must be an IP address, not 'eth0'"):
        kind(local_address="eth0")


@ASYNCIO_ONLY
async def test_httpx_is_used_without_httptools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httptools", None)
    monkeypatch.delitem(sys.modules, "wonder_customers.transports.asyncio")
    async with CustomerSession(ACCOUNT) as it:
        assert repr(it) == "<CustomerSession monri open (HttpxTransport, because httptools is not installed)>"


def test_default_session_does_not_load_httpx() -> None:
    program = """
import asyncio, sys
from wonder_customers import CustomerSession, Monri
async def main():
    async with CustomerSession(Monri("k", "t", base_url="http://127.0.0.1:9")) as session:
        try:
            await session.get("c-1")
        except Exception as error:
            print(type(error).__name__)
asyncio.run(main())
print([name for name in sys.modules if name.startswith(("httpx", "httpcore", "h11", "trio"))])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "NotSentError\n[]\n"


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_transport_of_either_library_is_used_and_left_open(library: Any) -> None:
    closed: list[bool] = []

    class Own(library.MockTransport):  # type: ignore[misc]
        async def aclose(self) -> None:
            closed.append(True)

    def respond(request: Any) -> Any:
        assert isinstance(request, library.Request)
        return library.Response(200, json=CUSTOMER)

    async with CustomerSession(ACCOUNT, transport=Own(respond)) as it:
        assert repr(it) == "<CustomerSession monri open (HttpxTransport over Own)>"
        assert (await it.get("c-1")).reference == "r-1"
    assert closed == []


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_factory_is_called_when_a_session_opens_and_its_transport_is_closed(library: Any) -> None:
    events: list[str] = []

    class Own(library.MockTransport):  # type: ignore[misc]
        async def aclose(self) -> None:
            events.append("closed")

    def make() -> Any:
        events.append("made")
        return Own(lambda request: library.Response(200, json=CUSTOMER))

    for _ in range(2):
        it = CustomerSession(ACCOUNT, transport=make)
        assert events == []
        async with it:
            await it.get("c-1")
        assert events == ["made", "closed"]
        events.clear()


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_factory_of_pooled_transports_is_called_for_each_connection(
    simulator: SimulatorServer, library: Any
) -> None:
    made: list[Any] = []

    def make() -> Any:
        made.append(library.AsyncHTTPTransport(verify=default_context(), local_address="127.0.0.1"))
        return made[-1]

    async with session(simulator, "monri", transport=make) as it:
        customer = await it.create(fresh("monri"))
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(it.get, customer.id)
        assert 2 < len(made) < 12
        connections = it.stats().connections
        assert connections is not None
        assert connections.open == connections.idle
    assert all(not transport._pool.connections for transport in made)


async def test_shared_pooled_transport_of_httpx_gives_a_warning() -> None:
    async with httpx.AsyncHTTPTransport() as own:
        with pytest.warns(UserWarning, match="loses connections when requests are cancelled"):
            async with CustomerSession(ACCOUNT, transport=own):
                pass


async def test_class_is_a_factory(kind: Callable[..., Any], simulator: SimulatorServer) -> None:
    async with session(simulator, "monri", transport=kind) as it:
        await it.create(fresh("monri"))
        transport: Any = it._shared.transport
        assert isinstance(transport, kind)  # type: ignore[arg-type]
        assert transport.open_connections == 1
    assert transport.open_connections == 0


async def test_transport_given_as_an_instance_stays_open(transport: Any, simulator: SimulatorServer) -> None:
    async with session(simulator, "monri", transport=transport) as it:
        await it.create(fresh("monri"))
    assert transport.open_connections == 1


@pytest.mark.parametrize("result", [None, 5, "https://example.org"])
async def test_factory_that_returns_something_else_is_rejected(result: Any) -> None:
    it = CustomerSession(ACCOUNT, transport=lambda: result)
    with pytest.raises(ConfigurationError, match="transport"):
        await it.__aenter__()


async def make_asynchronously() -> AsyncioTransport:
    return AsyncioTransport()


@pytest.mark.parametrize("wrong", ["https://example.org", 5, object(), make_asynchronously])
def test_value_that_is_not_a_transport_is_rejected(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="transport must be"):
        CustomerSession(ACCOUNT, transport=wrong)


@pytest.mark.parametrize("wrong", [httpx.MockTransport, lambda handler: handler])
def test_factory_that_requires_arguments_is_rejected(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="cannot be called without arguments: missing a required argument"):
        CustomerSession(ACCOUNT, transport=wrong)


@pytest.mark.parametrize(
    ("argument", "wrong", "found"),
    [
        ("account", Monri, "the class Monri"),
        ("retry", RetryPolicy, "the class RetryPolicy"),
        ("rate_limit", RateLimit, "the class RateLimit"),
        ("transport", make_asynchronously, "a coroutine function"),
    ],
    ids=["account", "retry", "rate_limit", "transport"],
)
def test_class_or_coroutine_function_as_argument_is_named_in_the_error(argument: str, wrong: Any, found: str) -> None:
    arguments: dict[str, Any] = {"account": ACCOUNT, argument: wrong}
    with pytest.raises(ConfigurationError, match=f"^{argument} must be .*, not {found}$"):
        CustomerSession(**arguments)


async def test_httpx_client_is_rejected() -> None:
    async with httpx.AsyncClient() as client:
        with pytest.raises(ConfigurationError, match="transport must be"):
            CustomerSession(ACCOUNT, transport=client)  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@ASYNCIO_ONLY
async def test_forked_process_cannot_use_an_open_session(simulator: SimulatorServer, transport: Any) -> None:
    async with session(simulator, "monri", transport=transport) as it:
        made = await it.create(fresh("monri"))
        requests = sum(simulator.faults.requests.values())
        child = os.fork()
        if child == 0:
            code = 1
            try:
                it._shared.check_open()
            except SessionClosedError as error:
                code = 0 if "forked" in str(error) else 2
            finally:
                os._exit(code)
        _, status = await anyio.to_thread.run_sync(os.waitpid, child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert sum(simulator.faults.requests.values()) == requests
        assert (await it.get(made.id)).id == made.id


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_process_has_random_digits_of_its_own() -> None:
    unique_id = UniqueIds()
    seen = {unique_id()}
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, unique_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    seen |= {unique_id(), os.read(reading, 100).decode()}
    os.close(reading)
    os.close(writing)
    assert len(seen) == 3


@pytest.mark.parametrize("library", [None, httpx, httpx2])
async def test_cancelled_calls_do_not_exhaust_the_connections(simulator: SimulatorServer, library: Any) -> None:
    factory = None if library is None else partial(library.AsyncHTTPTransport, verify=default_context())
    policy = RetryPolicy(attempts=1, connect_timeout=20)
    async with session(simulator, "monri", policy, transport=factory, max_connections=10) as it:
        made = await it.create(fresh("monri"))
        for number in range(60):
            with anyio.move_on_after(number % 30 / 10_000):
                await it.get(made.id)
        async with anyio.create_task_group() as group:
            for _ in range(30):
                group.start_soon(it.get, made.id)
        connections = it.stats().connections
        assert connections is not None
        assert connections.open <= 10
