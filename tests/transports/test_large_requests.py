"""Requests that are too large for one write."""

import socket
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import anyio
import pytest
from attrs import evolve
from fault_injection.sessions import fresh, session
from transports.sending import send, signed_request

from raw_sockets import Peer, RawServer
from wonder_customers import CallError, RetryPolicy
from wonder_customers.simulator import SimulatorServer
from wonder_customers.transports.asyncio import AsyncioTransport
from wonder_customers.transports.httpx import HttpxTransport
from wonder_customers.wire import HttpResponse, Timeouts

ONCE = RetryPolicy(attempts=1, deadline=0.5, read_timeout=0.2, write_timeout=0.2, confirmation_window=0.1)
METADATA = {f"k{number}": "x" * 400 for number in range(2300)}
"""Almost a megabyte: more than the system buffers for a server that does not read."""


@pytest.mark.parametrize("fault", ["blackhole", "accept_rst"])
async def test_large_request_that_is_not_read_ends_in_time_with_its_outcome(
    simulator: SimulatorServer, transport: Any, fault: str
) -> None:
    draft = evolve(fresh("monri"), metadata=METADATA)
    async with aclosing(transport), session(simulator, "monri", ONCE, transport=transport) as it:
        simulator.faults.add(fault, times=None)
        with anyio.fail_after(120), pytest.raises(CallError) as caught:
            await it.create(draft)
        assert transport.open_connections == 0
    assert caught.value.applied in {"no", "unknown"}
    assert simulator.store.ledger("monri").get(str(draft.reference), 0) == 0


def refuse(peer: Peer) -> None:
    """Refuse a request after its head, and close the connection without reading its body."""
    peer.socket.recv(1000)
    peer.say(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")


def refuse_and_read(peer: Peer) -> None:
    """Refuse a request after its head, and read its body before closing the connection."""
    refuse(peer)
    peer.socket.shutdown(socket.SHUT_WR)
    while peer.socket.recv(65536):
        pass


async def refusal_of_a_large_request(transport: Any, script: Callable[[Peer], None]) -> None:
    with RawServer(script) as server:
        large = signed_request(server.port, method="POST", body=b"x" * 20_000_000, timeouts=Timeouts(60, 60, 60))
        transmission, response = await send(transport, large)
    assert (transmission.sent, transmission.status) == (True, 413), response
    assert isinstance(response, HttpResponse)
    assert transport.open_connections == 0


@pytest.mark.parametrize("script", [refuse, refuse_and_read])
@pytest.mark.parametrize(
    ("kind", "backend", "options"),
    [
        (AsyncioTransport, "asyncio", {}),
        (AsyncioTransport, "asyncio", {"use_uvloop": True}),
        (HttpxTransport, "asyncio", {}),
        (HttpxTransport, "asyncio", {"use_uvloop": True}),
        (HttpxTransport, "trio", {}),
    ],
)
def test_early_refusal_of_a_large_request_is_reported(
    kind: Callable[[], Any], backend: str, options: dict[str, Any], script: Callable[[Peer], None]
) -> None:
    async def main() -> None:
        await refusal_of_a_large_request(kind(), script)

    anyio.run(main, backend=backend, backend_options=options)
