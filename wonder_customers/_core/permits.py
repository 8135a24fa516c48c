"""The wait for a connection slot and a permit of the rate limit."""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from math import inf
from types import coroutine
from typing import Any, Final

import anyio
import anyio.lowlevel

from wonder_customers._core.context import AttemptResult, CallContext
from wonder_customers._support.wait_queue import DividedSlots
from wonder_customers.errors import ConfigurationError
from wonder_customers.rate_limit import RateLimiter, RequestResult
from wonder_customers.retry import Evidence
from wonder_customers.wire import Transmission, TransportError

_FAILED: Final = frozenset({Evidence.UNKNOWN, Evidence.STALE, Evidence.NOT_SENT})


async def wait_for_permit(
    slots: DividedSlots, rate_limit: RateLimiter | None, call_context: CallContext, transmission: Transmission
) -> str | None:
    """Wait for a connection slot and a permit. Return the reason if the wait fails, else None."""
    account, stop = call_context.account_context.account, call_context.account_context.stop
    is_stopped = stop is not None and stop.is_set
    if is_stopped or not await slots.acquire(account, call_context.remaining(), None if stop is None else stop.ends):
        return "no connection was free before the deadline"
    if rate_limit is None:
        return None
    permitted, within = False, call_context.remaining()
    try:
        with anyio.move_on_after(within), call_context.interruptible():
            await _wait_for_rate_limit(rate_limit, call_context, transmission, within)
            permitted = True
    finally:
        if not permitted:
            slots.release(account)
    return None if permitted else "the rate limit did not permit the request before the deadline"


async def _wait_for_rate_limit(
    rate_limit: RateLimiter, call_context: CallContext, transmission: Transmission, within: float
) -> None:
    acquiring: Any = rate_limit.acquire(transmission)
    if not hasattr(acquiring, "__await__"):
        raise ConfigurationError(
            f"rate_limit.acquire must be an async method, but it returned {type(acquiring).__name__}. Nothing was sent."
        )
    with ExitStack() as wait:
        await _watched(acquiring.__await__(), lambda: wait.enter_context(_reported_wait(call_context, within)))
    if transmission.valid_until < inf:
        transmission.renew = partial(_renew, rate_limit, call_context, transmission)


@contextmanager
def _reported_wait(call_context: CallContext, within: float) -> Iterator[None]:
    """Report the body of the ``with`` block as a wait for the rate limit."""
    counts = call_context.account_context.account.counts
    counts.waiting_for_rate_limit += 1
    try:
        with call_context.waiting("rate_limit", within):
            yield
    finally:
        counts.waiting_for_rate_limit -= 1


async def _renew(rate_limit: RateLimiter, call_context: CallContext, transmission: Transmission) -> None:
    """Acquire a new permit after a permit has expired."""
    renewed = False
    with anyio.move_on_after(call_context.remaining()), call_context.interruptible():
        await anyio.lowlevel.checkpoint()  # ends at the deadline even if each permit has expired when it is granted
        await rate_limit.acquire(transmission)
        renewed = True
    if not renewed:
        reason = "the permit of the rate limit expired, and no other permit was available in time"
        raise TransportError(reason, hint="It is safe to call again.")


def request_result(result: AttemptResult | None, elapsed: float) -> RequestResult:
    """Return how a request ended, for the rate limit."""
    if result is None:
        return RequestResult("cancelled", elapsed)
    if result.evidence is Evidence.THROTTLED:
        return RequestResult("throttled", elapsed, result.retry_after)
    return RequestResult("failed" if result.evidence in _FAILED else "ok", elapsed, result.retry_after)


@coroutine
def _watched(awaiting: Generator[Any, Any, None], on_wait: Callable[[], object]) -> Generator[Any, Any, None]:
    """Await an awaitable, and call `on_wait` if it does not complete at once."""
    resume, waits = partial(awaiting.send, None), False
    while True:
        try:
            signal = resume()
        except StopIteration:
            return
        if not waits:
            on_wait()
            waits = True
        try:
            resume = partial(awaiting.send, (yield signal))
        except BaseException as error:  # noqa: BLE001 - every exception of the event loop belongs to the awaitable
            resume = partial(awaiting.throw, error)
