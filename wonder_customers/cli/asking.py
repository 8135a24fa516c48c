"""One question to a gateway, from a command that runs no event loop of its own."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from wonder_customers.cli import runtime
from wonder_customers.cli.accounts import account_from_environment
from wonder_customers.retry import RetryPolicy
from wonder_customers.session import CustomerSession

__all__ = ["ask"]

T = TypeVar("T")


def ask(gateway: str, question: Callable[[CustomerSession[Any]], Awaitable[T]], retry: RetryPolicy | None = None) -> T:
    """Ask the gateway one thing, with the credentials of the environment.

    Args:
        gateway: The gateway's name.
        question: What to do with the open session.
        retry: When to send again; None for the usual policy.

    Raises:
        ConfigurationError: There are no credentials, or they cannot work.
        WonderCustomersError: Whatever the question raises.
    """

    async def asked() -> T:
        async with runtime.session(account_from_environment(gateway), retry=retry) as session:
            return await question(session)

    return runtime.run(asked)
