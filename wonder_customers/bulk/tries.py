"""Calls that are tried again: at the gateway's pace, as often and as long as it makes sense."""

import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import anyio
from attrs import define, field, frozen

from wonder_customers.bulk.capacity import Decision
from wonder_customers.bulk.pace import Halted, Pace
from wonder_customers.errors import (
    CallError,
    ConflictError,
    DeadlineExceededError,
    GatewayError,
    GatewayUnavailableError,
    InvalidResponseError,
    NoResponseError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitError,
)
from wonder_customers.records import Response

__all__ = ["PASSING", "Count", "Halted", "Trier", "Tries", "each"]

T = TypeVar("T")
A = TypeVar("A")

PASSING = (
    NotSentError,
    NoResponseError,
    OutcomeUnknownError,
    DeadlineExceededError,
    InvalidResponseError,
    ConflictError,
    RateLimitError,
    GatewayUnavailableError,
)
"""Failures that another try may not meet. A `ConflictError` is one: the next upsert looks and finds the customer."""
_FAULTS = (NotSentError, NoResponseError, OutcomeUnknownError, DeadlineExceededError, GatewayUnavailableError)


@frozen
class Tries:
    """How often and how long a row is tried. Times are seconds.

    Attributes:
        most: Tries per row; refusals for the rate count too.
        deadline: For all tries of a row.
        base: First wait after a failure; the wait is drawn evenly below a bound that doubles with every try.
        cap: The bound's limit.
        settle: How long after a write in doubt its customer must be absent before it is sent again.
    """

    most: int = 8
    deadline: float = 600.0
    base: float = 0.5
    cap: float = 60.0
    confirmation_window: float = 10.0


@define
class Count:
    """How often something was tried.

    Attributes:
        tried: Tries so far.
        unconfirmed: One of them may have been applied, and may still be: what a later one meets says nothing of it.
    """

    tried: int = 0
    unconfirmed: bool = False


def _unobserved(_seconds: float, _verdict: Decision) -> None:
    """Told, and forgotten."""


@define(eq=False)
class Trier:
    """Makes calls of one session.

    Attributes:
        pace: When a call may go.
        tries: How often and how long.
        stopping: Set when nothing new is to begin: then nothing is tried again either.
        observe: Told of each call's seconds at the gateway, and how it ended.
        clock: Seconds that only grow.
        draw: A random number from 0 to 1.
    """

    pace: Pace
    tries: Tries
    stopping: anyio.Event = field(factory=anyio.Event)
    observe: Callable[[float, Decision], None] = _unobserved
    clock: Callable[[], float] = anyio.current_time
    draw: Callable[[], float] = random.random

    async def call(
        self,
        verb: Callable[[A], Awaitable[Response[T]]],
        argument: A,
        *,
        once: bool = False,
        count: Count | None = None,
    ) -> Response[T]:
        """Make a call, and make it again after a failure that may pass.

        Args:
            verb: One of ``session.raw``.
            argument: Its argument.
            once: Do not repeat it when it may have been applied.
            count: Counts the tries, and keeps their doubts.

        Raises:
            CallError: The last failure.
            Halted: The job stopped before the first try.
        """
        started, count = self.clock(), count or Count()
        first, failure = count.tried, _NO_FAILURE
        while True:
            try:
                return await self._paced(verb, argument, count)
            except Halted:
                if failure is None:
                    raise
                raise failure from None
            except PASSING as error:
                failure = error
                wait = self._wait(error, count.tried - first, self.clock() - started)
                unconfirmed = once and error.applied != "no"
                if wait is None or unconfirmed or await self._stopped_within(wait):
                    raise

    async def _paced(self, verb: Callable[[A], Awaitable[Response[T]]], argument: A, count: Count) -> Response[T]:
        began = await self.pace.enter()
        if self.stopping.is_set() and not count.tried:
            self.pace.leave(began, 0, None)
            raise Halted
        requests, verdict, after = 1, _GIVEN_UP, _NO_WAIT
        count.tried += 1
        try:
            response = await verb(argument)
            requests, verdict = response.attempts, "ok"
        except CallError as error:
            requests, verdict = max(1, len(error.history)), _verdict(error)
            count.unconfirmed = count.unconfirmed or error.applied == "unknown"
            after = error.retry_after if isinstance(error, GatewayError) else None
            raise
        finally:
            self.pace.leave(began, requests, verdict, after)
            if verdict is not None:
                self.observe(self.clock() - began, verdict)
        return response

    def _wait(self, error: CallError, tried: int, passed: float) -> float | None:
        """Seconds until the next try, None when there is none."""
        asked: float = (error.retry_after if isinstance(error, GatewayError) else None) or 0.0
        bound = min(self.tries.cap, self.tries.base * 2 ** min(tried - 1, 32))
        wait: float = max(asked, bound * self.draw())
        if tried >= self.tries.most or passed + wait >= self.tries.deadline:
            return None
        return wait

    async def _stopped_within(self, seconds: float) -> bool:
        with anyio.move_on_after(seconds):
            await self.stopping.wait()
        return self.stopping.is_set()


_GIVEN_UP: Decision | None = None
_NO_FAILURE: CallError | None = None
_NO_WAIT: float | None = None


def _verdict(error: CallError) -> Decision:
    if isinstance(error, RateLimitError):
        return "throttled"
    return "trouble" if isinstance(error, _FAULTS) else "ok"


async def each(items: Iterable[A], work: Callable[[A], Awaitable[Any]], workers: int) -> None:
    """Do `work` on every item, so many at a time.

    Raises:
        CallError: The first failure; no further item was begun after it.
    """
    waiting, failures = iter(items), list[CallError]()

    async def worker() -> None:
        for item in waiting:
            if failures:
                return
            try:
                await work(item)
            except CallError as error:
                failures.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(workers):
            group.start_soon(worker)
    if failures:
        raise failures[0]
