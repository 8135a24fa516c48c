"""Waits of calls, which a stop signal may end."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from attrs import define

from wonder_customers._core.context import CallContext
from wonder_customers._support import clock as system_clock
from wonder_customers.errors import CallError, DeadlineExceededError, NotSentError

__all__ = ["Waits"]


@define(eq=False)
class Waits:
    """The clock of a session, and its waits.

    Attributes:
        clock: Returns seconds on a monotonic clock; deadlines and waits use it.
        sleep: Waits.
    """

    clock: Callable[[], float] = system_clock.monotonic
    sleep: Callable[[float], Any] = system_clock.sleep

    def remaining(self, call_context: CallContext) -> float:
        """Return the seconds left before the deadline."""
        return call_context.deadline - self.clock()

    def complete(self, call_context: CallContext, error: CallError) -> CallError:
        """Fill in the facts that every error has, and return it."""
        return call_context.complete(error, self.clock())

    async def pause(self, call_context: CallContext, seconds: float) -> bool:
        """Wait. Return False when the stop signal ended the wait."""
        stop = call_context.account_context.stop
        if stop is None:
            await self.sleep(seconds)
            return True
        with stop.interrupting():
            await self.sleep(seconds)
        return not stop.is_set

    def interruptible(self, call_context: CallContext) -> AbstractContextManager[None]:
        """Return a context manager whose body the stop signal cancels."""
        stop = call_context.account_context.stop
        return nullcontext() if stop is None else stop.interrupting()

    def not_sent(self, call_context: CallContext, reason: str) -> CallError:
        """Return the error of a call that waited in vain."""
        stop = call_context.account_context.stop
        if stop is not None and stop.is_set:
            return NotSentError("it was not sent: the job is stopping")
        return DeadlineExceededError(f"it was not sent: {reason}")
