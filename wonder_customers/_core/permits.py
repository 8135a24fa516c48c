"""Permission to send a request: a free connection slot, then the session's rate limit."""

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final

import anyio
from attrs import define

from wonder_customers._core.attempt import AttemptResult
from wonder_customers._core.context import CallContext, Counts
from wonder_customers._support.wait_queue import WaitQueue
from wonder_customers.rate_limit import RateLimiter, RequestResult
from wonder_customers.retry import Evidence
from wonder_customers.wire import Transmission

__all__ = ["UNLIMITED", "ConnectionSlots", "Permits"]

UNLIMITED: Final = 1 << 30


class ConnectionSlots:
    """One slot for each connection that a session may open.

    A request waits for a slot before it is permitted by the rate limit and signed. A signature holds the time, so it
    must not wait for a connection.
    """

    __slots__ = ("_free", "_queue")

    def __init__(self, size: int = UNLIMITED) -> None:
        self._free = size
        self._queue = WaitQueue()

    @property
    def waiting(self) -> int:
        """Number of requests that wait for a slot."""
        return len(self._queue)

    def acquire_nowait(self) -> bool:
        """Take a slot until `release`. Return False when none is free."""
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    async def acquire(self) -> None:
        """Wait for a slot and take it until `release`."""
        await self._queue.wait(self.release)

    def release(self) -> None:
        """Give a slot back; the request that waited longest takes it."""
        if not self._queue.wake():
            self._free += 1


_FAILED: Final = frozenset({Evidence.UNKNOWN, Evidence.STALE, Evidence.NOT_SENT})


@define(eq=False)
class Permits:
    """Grants requests a connection slot and a permit of the rate limit.

    Attributes:
        slots: One slot for each connection.
        rate_limit: The rate limit; None without one.
    """

    slots: ConnectionSlots
    rate_limit: RateLimiter | None = None

    def acquire_nowait(self) -> bool:
        """Return True when the request may be sent at once, False when `acquire` has to be awaited."""
        return self.rate_limit is None and self.slots.acquire_nowait()

    async def acquire(
        self, call_context: CallContext, transmission: Transmission, within: float, counts: Counts
    ) -> str | None:
        """Wait until the request may be sent. `release` must follow if this returns None.

        Args:
            call_context: The operation.
            transmission: Identifies the request.
            within: Seconds to wait at most.
            counts: Counts the requests that wait for the rate limit.

        Returns:
            None, or what was not available in time.
        """
        missing: str | None = "no connection was free before the deadline"
        with anyio.move_on_after(within) as scope:
            stop = call_context.account_context.stop
            if stop is not None:
                stop.scopes.add(scope)
            try:
                if stop is not None and stop.is_set:
                    scope.cancel()
                await self._slot()
                missing = "the rate limit did not permit it before the deadline"
                await self._permit(call_context, transmission, within, counts)
                missing = None
            finally:
                if stop is not None:
                    stop.scopes.discard(scope)
        return missing

    async def _slot(self) -> None:
        if not self.slots.acquire_nowait():
            await self.slots.acquire()

    async def _permit(
        self, call_context: CallContext, transmission: Transmission, within: float, counts: Counts
    ) -> None:
        if self.rate_limit is None:
            return
        waiting = False

        def begin_wait() -> None:
            nonlocal waiting
            waiting = True
            counts.waiting_for_rate_limit += 1
            call_context.wait("rate_limit", within)

        try:
            await _Watched(self.rate_limit.acquire(transmission), begin_wait)
        except BaseException:
            self.slots.release()
            raise
        finally:
            counts.waiting_for_rate_limit -= waiting

    def release(self, transmission: Transmission, result: AttemptResult | None, elapsed: float) -> None:
        """Give the slot back, and report to the rate limit how the request ended. None: it was cancelled."""
        self.slots.release()
        if self.rate_limit is not None:
            self.rate_limit.release(transmission, _summary(result, elapsed))


def _summary(result: AttemptResult | None, elapsed: float) -> RequestResult:
    if result is None:
        return RequestResult("cancelled", elapsed)
    if result.evidence is Evidence.THROTTLED:
        return RequestResult("throttled", elapsed, result.retry_after)
    return RequestResult("failed" if result.evidence in _FAILED else "ok", elapsed, result.retry_after)


class _Watched:
    """Awaits `inner` and calls `on_wait` if it does not complete at once."""

    __slots__ = ("_inner", "_on_wait")

    def __init__(self, inner: Awaitable[None], on_wait: Callable[[], None]) -> None:
        self._inner, self._on_wait = inner, on_wait

    def __await__(self) -> Generator[Any, Any, None]:
        steps = self._inner.__await__()
        try:
            signal = next(steps)
        except StopIteration:
            return
        self._on_wait()
        while True:
            try:
                value = yield signal
            except GeneratorExit:
                steps.close()
                raise
            except BaseException as error:  # noqa: BLE001 - every exception of the event loop belongs to the awaitable
                try:
                    signal = steps.throw(error)
                except StopIteration:
                    return
            else:
                try:
                    signal = steps.send(value)
                except StopIteration:
                    return
