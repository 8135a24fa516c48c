"""A transport of httpx or httpx2 without trace events never makes a sent request count as not sent."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from attrs import evolve
from transports.sending import hang, request_in_progress, send, signed_request

from raw_sockets import RawServer
from wonder_customers import CustomerDraft, CustomerSession, OutcomeUnknownError, Paydock, RetryPolicy
from wonder_customers.transports.httpx import HttpxTransport
from wonder_customers.wire import Origin, SignedRequest, Timeouts, Transmission, TransportTimeout

LIBRARIES = pytest.mark.parametrize("library", [httpx, httpx2])
Gateway = Callable[[], Awaitable[None]]


def asgi(library: Any, gateway: Gateway) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await gateway()

    return library.ASGITransport(app)


def mock(library: Any, gateway: Gateway) -> Any:
    async def handle(request: Any) -> Any:
        await gateway()

    return library.MockTransport(handle)


def own(library: Any, gateway: Gateway, events: Iterable[str] = ()) -> Any:
    class Own(library.AsyncBaseTransport):  # type: ignore[misc]
        async def handle_async_request(self, request: Any) -> Any:
            for event in events:
                await request.extensions["trace"](event, {"host": "127.0.0.1", "request": request})
            await gateway()

    return Own()


def on_network(library: Any, **options: Any) -> Any:
    """Return a transport of the caller that sends over a network transport, whose trace events it passes on."""
    inner = library.AsyncHTTPTransport(trust_env=False, **options)

    class Wrapper(library.AsyncBaseTransport):  # type: ignore[misc]
        async def handle_async_request(self, request: Any) -> Any:
            return await inner.handle_async_request(request)

        async def aclose(self) -> None:
            await inner.aclose()

    return Wrapper()


def within(seconds: float, port: int = 9) -> SignedRequest:
    return evolve(signed_request(port, method="POST", timeouts=Timeouts(60, 60, 60)), within=seconds)


@LIBRARIES
@pytest.mark.parametrize("make", [asgi, mock, own])
async def test_write_that_ends_at_the_deadline_may_have_been_applied(library: Any, make: Any) -> None:
    held: list[bool] = []

    async def gateway() -> None:
        held.append(True)
        await anyio.sleep(60)

    policy = RetryPolicy(deadline=0.3)
    async with CustomerSession(Paydock("k"), transport=make(library, gateway), retry=policy) as session:
        with pytest.raises(OutcomeUnknownError) as caught:
            await session.create(CustomerDraft(first_name="Ada"))
    assert (caught.value.applied, held) == ("unknown", [True])


@LIBRARIES
@pytest.mark.parametrize("make", [asgi, mock, own])
async def test_cancelled_request_counts_as_sent(library: Any, make: Any) -> None:
    arrived, counted, transmission = anyio.Event(), [], Transmission()
    transmission.on_sent = lambda: counted.append(True)

    async def gateway() -> None:
        arrived.set()
        await anyio.sleep(60)

    transport = HttpxTransport(transport=make(library, gateway))
    async with anyio.create_task_group() as group:
        group.start_soon(transport.send, within(60), transmission)
        await arrived.wait()
        group.cancel_scope.cancel()
    assert transmission.sent
    assert counted == [True]


@LIBRARIES
@pytest.mark.parametrize(
    ("error", "sent"), [("ConnectError", False), ("ConnectTimeout", False), ("PoolTimeout", False), ("ReadError", True)]
)
async def test_exception_of_the_library_shows_whether_the_request_was_sent(
    library: Any, error: str, sent: bool
) -> None:
    async def gateway() -> None:
        raise getattr(library, error)("failed")

    transmission, _ = await send(HttpxTransport(transport=own(library, gateway)), within(60))
    assert transmission.sent == sent


async def test_other_exceptions_count_as_sent() -> None:
    async def gateway() -> None:
        raise LookupError

    transmission = Transmission()
    with pytest.raises(LookupError):
        await HttpxTransport(transport=mock(httpx, gateway)).send(within(60), transmission)
    assert transmission.sent


@LIBRARIES
@pytest.mark.parametrize(
    ("events", "sent"),
    [
        (["connection.connect_tcp.started"], False),
        (["connection.connect_unix_socket.started"], False),
        (["connection.connect_tcp.started", "http11.send_request_headers.started"], True),
        (["own.started"], True),
    ],
)
async def test_only_known_events_show_that_nothing_was_sent(library: Any, events: list[str], sent: bool) -> None:
    transport = HttpxTransport(transport=own(library, anyio.sleep_forever, events))
    transmission, end = await send(transport, within(0.1))
    assert isinstance(end, TransportTimeout)
    assert transmission.sent == sent


@LIBRARIES
@pytest.mark.parametrize(("scheme", "sent"), [("https", False), ("http", True)])
async def test_trace_events_of_an_inner_transport_are_exact(library: Any, scheme: str, sent: bool) -> None:
    with RawServer(hang) as proxy:  # the proxy does not respond: to CONNECT for https, to the request for http
        inner = on_network(library, proxy=f"http://127.0.0.1:{proxy.port}")
        transport = HttpxTransport(transport=inner, close_transport=True)
        transmission, end = await send(transport, evolve(within(0.3), origin=Origin(scheme, "127.0.0.1", 9)))
        await transport.aclose()
    assert isinstance(end, TransportTimeout)
    assert transmission.sent == sent


@LIBRARIES
@pytest.mark.filterwarnings("ignore:httpx.AsyncHTTPTransport loses connections")
async def test_request_that_waits_in_the_pool_of_a_network_transport_is_not_sent(library: Any) -> None:
    pool = library.AsyncHTTPTransport(trust_env=False, limits=library.Limits(max_connections=1))
    transport = HttpxTransport(transport=pool, close_transport=True)
    async with request_in_progress(transport) as port:
        transmission, end = await send(transport, within(0.2, port))
    await transport.aclose()
    assert isinstance(end, TransportTimeout)
    assert not transmission.sent
