"""The event loop and the sessions of commands."""

from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import Any, TypeVar

import anyio

from wonder_customers.cli.accounts import account_from_environment
from wonder_customers.retry import RetryPolicy
from wonder_customers.session import CustomerSession

__all__ = ["run", "run_with_session"]

T = TypeVar("T")


def run(work: Callable[[], Awaitable[T]]) -> T:
    """Run `work` on a new event loop, and return the result."""
    return anyio.run(work, backend_options={"use_uvloop": find_spec("uvloop") is not None})


def run_with_session(
    gateway: str, operation: Callable[[CustomerSession[Any]], Awaitable[T]], retry: RetryPolicy | None = None
) -> T:
    """Run one operation with the credentials of the environment, and return the result."""

    async def work() -> T:
        async with CustomerSession(account_from_environment(gateway), retry=retry) as session:
            return await operation(session)

    return run(work)
