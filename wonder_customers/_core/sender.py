"""Sends single requests: access token, connection slot, rate limit, attempt."""

from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from functools import partial
from math import inf
from typing import Any, Final

import anyio
from attrs import define, field

from wonder_customers._core.attempt import AttemptResult, AttemptRunner
from wonder_customers._core.context import UNCONFIRMED, CallContext, Counts, Key
from wonder_customers._core.waits import Waits
from wonder_customers._core.write_locks import WriteOrder
from wonder_customers._support.wait_queue import WaitQueue
from wonder_customers.dialects.base import AccessToken, Call
from wonder_customers.errors import AuthenticationError, CallError, DeadlineExceededError, SessionClosedError
from wonder_customers.rate_limit import RateLimiter, RequestResult
from wonder_customers.records import Response
from wonder_customers.retry import Evidence
from wonder_customers.secret import Secret
from wonder_customers.wire import Transmission, TransportError

__all__ = ["UNLIMITED", "ConnectionSlots", "Permits", "Sender"]

Perform = Callable[[CallContext, Call[AccessToken]], Awaitable[Response[AccessToken]]]

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
        if transmission.valid_until < inf:
            transmission.renew = partial(self._renew, call_context, transmission)

    async def _renew(self, call_context: CallContext, transmission: Transmission) -> None:
        """Acquire a permit again that expired before the request left.

        Raises:
            TransportError: None was available before the deadline, or the stop signal ended the wait.
        """
        assert self.rate_limit is not None  # noqa: S101 - it set the moment
        renewed = False
        with anyio.move_on_after(call_context.remaining()), call_context.interruptible():
            await self.rate_limit.acquire(transmission)
            renewed = True
        if not renewed:
            raise TransportError("the rate limit did not permit the request in time")

    def release(self, transmission: Transmission, result: AttemptResult | None, began: float, waits: Waits) -> None:
        """Give the slot back, and report to the rate limit how the request ended.

        Args:
            transmission: Identifies the request.
            result: How the request ended; None when it was cancelled.
            began: When it was permitted.
            waits: The clock.
        """
        self.slots.release()
        if self.rate_limit is not None:
            self.rate_limit.release(transmission, _summary(result, waits.clock() - began))


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


@define(eq=False)
class Sender:
    """Sends the requests of one session.

    Attributes:
        runner: Makes single attempts.
        order: Remembers unconfirmed writes.
        counts: Statistics.
        permits: Connection slots and the rate limit.
        closed: The session has ended, so nothing more is sent.
    """

    runner: AttemptRunner
    order: WriteOrder
    counts: Counts = field(factory=Counts)
    permits: Permits = field(factory=lambda: Permits(ConnectionSlots()))
    closed: bool = False

    def attempt(
        self, call_context: CallContext, call: Call[Any], keys: Sequence[Key], number: int, perform: Perform
    ) -> Coroutine[Any, Any, AttemptResult]:
        """Make one attempt. With an access token that the gateway refuses, make a second one with a new token.

        Args:
            call_context: The operation.
            call: The request.
            keys: The customer of a write.
            number: The number of the attempt, counted from 1.
            perform: Sends the request that fetches an access token.
        """
        if call_context.account_context.access_tokens is None or not call.signed:
            return self._send(call_context, call, keys, number, None)
        return self._attempt_with_token(call_context, call, keys, number, perform)

    async def _attempt_with_token(
        self, call_context: CallContext, call: Call[Any], keys: Sequence[Key], number: int, perform: Perform
    ) -> AttemptResult:
        access_tokens = call_context.account_context.access_tokens
        assert access_tokens is not None  # noqa: S101 - checked by the caller
        try:
            bearer = await self._access_token(call_context, perform)
            result = await self._send(call_context, call, keys, number, bearer)
            if isinstance(result.error, AuthenticationError):
                access_tokens.drop(bearer)
                renewed = await self._access_token(call_context, perform)
                result = await self._send(call_context, call, keys, number + 1, renewed)
        except CallError as error:
            return AttemptResult(Evidence.RESPONSE, error=error, request_id=error.request_id)
        return result

    async def _access_token(self, call_context: CallContext, perform: Perform) -> Secret:
        access_tokens, dialect = call_context.account_context.access_tokens, call_context.account_context.dialect
        assert access_tokens is not None  # noqa: S101 - checked by the caller

        async def fetch() -> AccessToken:
            call = dialect.token_call()
            assert call is not None  # noqa: S101 - a cache exists only where the dialect fetches tokens
            return (await perform(call_context, call)).record

        token: Secret | None = None
        with anyio.move_on_after(call_context.remaining()), call_context.interruptible():
            token = await access_tokens.get(fetch)
        if token is None:
            raise call_context.not_sent("no access token was available before the deadline")
        return token

    async def _send(
        self, call_context: CallContext, call: Call[Any], keys: Sequence[Key], number: int, bearer: Secret | None
    ) -> AttemptResult:
        """Send once, when a connection and the rate limit allow it. Remember a write that may still be applied."""
        if self.closed:
            raise SessionClosedError("the session was closed before the request was sent. Nothing was sent.")
        clock = call_context.waits.clock
        began = clock()
        remaining = call_context.deadline - began
        transmission = Transmission()
        self.counts.attempts += 1
        call_context.begin_attempt(call, number)
        try:
            refused = None
            if remaining <= 0 or not self.permits.acquire_nowait():
                refused = await self._wait_for_permit(call_context, transmission, remaining)
            result = refused or await self._run(call_context, call, transmission, bearer)
        except BaseException as error:
            self.order.mark_unconfirmed(call_context, call, keys, transmission)
            call_context.break_attempt(call, transmission, error, clock() - began)
            raise
        if result.evidence in UNCONFIRMED:
            self.order.mark_unconfirmed(call_context, call, keys, transmission)
        if result.drift:
            call_context.report_drift(self.counts, result.drift)
        call_context.end_attempt(call, transmission, result, clock() - began)
        return result

    async def _wait_for_permit(
        self, call_context: CallContext, transmission: Transmission, remaining: float
    ) -> AttemptResult | None:
        """Wait until the request may be sent. Return a result when it may not be sent in time."""
        if remaining <= 0:
            return AttemptResult(Evidence.NOT_SENT, error=DeadlineExceededError("it was not sent: the deadline passed"))
        missing = await self.permits.acquire(call_context, transmission, remaining, self.counts)
        return None if missing is None else AttemptResult(Evidence.NOT_SENT, error=call_context.not_sent(missing))

    async def _run(
        self, call_context: CallContext, call: Call[Any], transmission: Transmission, bearer: Secret | None
    ) -> AttemptResult:
        """Run an attempt that was permitted, and give the permit back."""
        waits, result = call_context.waits, None
        began = waits.clock()
        try:
            result = await self.runner.run(
                call_context.account_context, call, transmission, call_context.deadline - began, bearer
            )
        finally:
            self.permits.release(transmission, result, began, waits)
        return result
