"""Waits of calls, and the signal that ends them for jobs that are to stop."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import anyio
from attrs import define, field

from wonder_customers._support import clock as system_clock
from wonder_customers.errors import CallError, DeadlineExceededError, NotSentError

if TYPE_CHECKING:
    from wonder_customers._core.context import CallContext

__all__ = ["StopSignal", "Waits"]


@define(eq=False)
class StopSignal:
    """Ends all waits of the calls that were given it; requests in progress are completed.

    A call whose wait ends ends with the failure it has met, or with `NotSentError` when it has not sent anything.

    Attributes:
        is_set: Whether `set` was called.
        scopes: The waits that it ends.
    """

    is_set: bool = False
    scopes: set[anyio.CancelScope] = field(factory=set)

    def set(self) -> None:
        """End all waits, present and future."""
        self.is_set = True
        for scope in list(self.scopes):
            scope.cancel()

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Cancel the body of the block when the signal is set."""
        with anyio.CancelScope() as scope:
            self.scopes.add(scope)
            try:
                if self.is_set:
                    scope.cancel()
                yield
            finally:
                self.scopes.discard(scope)


@define(eq=False)
class Waits:
    """The clock of a session, and its waits.

    Attributes:
        clock: Returns seconds on a monotonic clock; deadlines and waits use it.
        sleep: Waits.
    """

    clock: Callable[[], float] = system_clock.monotonic
    sleep: Callable[[float], Any] = system_clock.sleep

    def remaining(self, call_context: "CallContext") -> float:
        """Return the seconds left before the deadline."""
        return call_context.deadline - self.clock()

    def complete(self, call_context: "CallContext", error: CallError) -> CallError:
        """Fill in the facts that every error has, and return it."""
        return call_context.complete(error, self.clock())

    async def pause(self, call_context: "CallContext", seconds: float) -> bool:
        """Wait. Return False when the stop signal ended the wait."""
        stop = call_context.account_context.stop
        if stop is None:
            await self.sleep(seconds)
            return True
        with stop.interrupting():
            await self.sleep(seconds)
        return not stop.is_set

    def interruptible(self, call_context: "CallContext") -> AbstractContextManager[None]:
        """Return a context manager whose body the stop signal cancels."""
        stop = call_context.account_context.stop
        return nullcontext() if stop is None else stop.interrupting()

    def not_sent(self, call_context: "CallContext", reason: str) -> CallError:
        """Return the error of a call that waited in vain."""
        stop = call_context.account_context.stop
        if stop is not None and stop.is_set:
            return NotSentError("it was not sent: the job is stopping")
        return DeadlineExceededError(f"it was not sent: {reason}")
