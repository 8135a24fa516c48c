"""The event loop and the sessions of commands."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any, TypeVar

import anyio

from wonder_customers.cli.accounts import account_from_environment
from wonder_customers.dialects.base import Account
from wonder_customers.rate_limit import RateLimiter
from wonder_customers.retry import RetryPolicy
from wonder_customers.session import CustomerSession

__all__ = ["open_session", "run", "run_with_session"]

T = TypeVar("T")


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
    rate_limit: RateLimiter | None = None,
    max_connections: int = 32,
) -> AsyncIterator[CustomerSession[Any]]:
    """Open a session, which is closed after the block.

    Args:
        owner: The account.
        retry: The retry policy; None for the default.
        max_connections: The maximum number of open connections.
        rate_limit: The rate limit; None for no limit.
    """
    async with CustomerSession(owner, retry=retry, rate_limit=rate_limit, max_connections=max_connections) as session:
        yield session
