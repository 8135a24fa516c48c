"""The event loop and the sessions of commands."""

import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import FrameType
from typing import Any, TypeVar

import anyio

from wonder_customers.bulk.sources.running import end_queries
from wonder_customers.cli.accounts import account_from_environment
from wonder_customers.cli.exit_codes import SIGNALLED
from wonder_customers.dialects.base import Account
from wonder_customers.retry import RetryPolicy
from wonder_customers.session import CustomerSession
from wonder_customers.transports import transport_from_environment

__all__ = ["new_session", "run", "run_with_session", "stop_signals"]

T = TypeVar("T")


def run(work: Callable[[], Awaitable[T]]) -> T:
    """Run `work` on a new event loop, and return the result."""

    async def watched() -> T:
        with _ending_queries():
            return await work()

    return anyio.run(watched, backend_options={"use_uvloop": find_spec("uvloop") is not None})


def stop_signals() -> list[signal.Signals]:
    """Return the signals that stop a command; the first is that of Ctrl-C."""
    found = [signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in signal.Signals.__members__]
    # ``nohup`` disables SIGHUP.
    return [it for it in found if it.name != "SIGHUP" or signal.getsignal(it) is not signal.SIG_IGN]


@contextmanager
def _ending_queries() -> Iterator[None]:
    """End the process at a signal during a query, without its temporary files. A running job handles signals itself."""
    previous = {it: signal.getsignal(it) for it in stop_signals()}
    previous = {it: handler for it, handler in previous.items() if handler is not signal.SIG_IGN}

    def handle(number: int, frame: FrameType | None) -> None:
        if end_queries():
            # Not an exception: the thread of the query may not end in time.
            os._exit(SIGNALLED + number)
        handler = previous[signal.Signals(number)]
        signal.signal(number, handler)
        signal.raise_signal(number)

    for number in previous:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def new_session(account: Account, connections: int = 32, **how: Any) -> CustomerSession[Any]:
    """Return a session that uses the proxy and the certificate authorities that environment variables name."""
    transport = transport_from_environment(account.base_url, connections)
    return CustomerSession(account, transport=transport, max_connections=connections, **how)


def run_with_session(
    gateway: str, operation: Callable[[CustomerSession[Any]], Awaitable[T]], retry: RetryPolicy | None = None
) -> T:
    """Run one operation with the credentials of the environment, and return the result."""

    async def work() -> T:
        async with new_session(account_from_environment(gateway), retry=retry) as session:
            return await operation(session)

    return run(work)
