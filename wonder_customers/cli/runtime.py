"""The event loop and the sessions of commands: the fast ones, where the extra ``fast`` is installed."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any, TypeVar

import anyio

from wonder_customers.dialects.base import Account
from wonder_customers.retry import RetryPolicy
from wonder_customers.session import CustomerSession
from wonder_customers.transports import choose
from wonder_customers.wire import Transport

__all__ = ["run", "session"]

T = TypeVar("T")
Wrapping = Callable[[Transport], Transport]


def run(work: Callable[[], Awaitable[T]]) -> T:
    """Run `work` on an event loop of its own."""
    return anyio.run(work, backend_options={"use_uvloop": find_spec("uvloop") is not None})


@asynccontextmanager
async def session(
    owner: Account, *, retry: RetryPolicy | None = None, max_connections: int = 32, wrapped: Wrapping | None = None
) -> AsyncIterator[CustomerSession[Any]]:
    """An open session; only on the event loop of `run`. What `wrapped` makes of its transport, it uses."""
    transport = _transport(max_connections)
    if wrapped is not None:
        transport = wrapped(choose(transport, max_connections))
    try:
        async with CustomerSession(owner, retry=retry, transport=transport, max_connections=max_connections) as it:
            yield it
    finally:
        if transport is not None:
            await transport.aclose()


def _transport(max_connections: int) -> Any:
    if find_spec("aiohttp") is None:
        return None
    from wonder_customers.transports.aiohttp import AiohttpTransport  # noqa: PLC0415 - an extra

    return AiohttpTransport(max_connections=max_connections)
