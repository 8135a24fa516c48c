"""The event loop and the sessions of commands."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any, TypeVar

import anyio

from wonder_customers.cli.accounts import account_from_environment
from wonder_customers.dialects.base import Account
from wonder_customers.retry import RetryPolicy
from wonder_customers.session import CustomerSession
from wonder_customers.transports import select_transport
from wonder_customers.wire import Transport

__all__ = ["open_session", "run", "run_with_session"]

T = TypeVar("T")
WrapTransport = Callable[[Transport], Transport]


def run(work: Callable[[], Awaitable[T]]) -> T:
    """Run `work` on a new event loop, with uvloop where it is installed."""
    return anyio.run(work, backend_options={"use_uvloop": find_spec("uvloop") is not None})


def run_with_session(
    gateway: str, operation: Callable[[CustomerSession[Any]], Awaitable[T]], retry: RetryPolicy | None = None
) -> T:
    """Run one operation on a new event loop, in a session with the credentials of the environment.

    Args:
        gateway: The gateway's name.
        operation: Called with the open session.
        retry: The retry policy; None for the default.

    Raises:
        ConfigurationError: Credentials are missing or invalid.
        WonderCustomersError: The operation failed.
    """

    async def work() -> T:
        async with open_session(account_from_environment(gateway), retry=retry) as session:
            return await operation(session)

    return run(work)


@asynccontextmanager
async def open_session(
    owner: Account,
    *,
    retry: RetryPolicy | None = None,
    max_connections: int = 32,
    wrap_transport: WrapTransport | None = None,
) -> AsyncIterator[CustomerSession[Any]]:
    """Open a session on the event loop of `run`.

    Args:
        owner: The account whose customers are handled.
        retry: The retry policy; None for the default.
        max_connections: The most connections open at a time.
        wrap_transport: Returns the transport to use in place of the default one.
    """

    def make_transport() -> Transport:
        transport = select_transport(None, max_connections)[0]
        return transport if wrap_transport is None else wrap_transport(transport)

    async with CustomerSession(owner, retry=retry, transport=make_transport, max_connections=max_connections) as it:
        yield it
