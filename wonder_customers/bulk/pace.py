"""When a row may go: a ceiling the user sets, and the limits that the gateway's answers set."""

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import anyio
from attrs import define, field

from wonder_customers.bulk.capacity import Capacity, Decision

__all__ = ["Halted", "Limiter", "Pace"]


class Halted(Exception):
    """The job stopped before the call was made."""


class Limiter(Protocol):
    """Says when requests may go."""

    async def take(self, requests: int) -> None:
        """Wait until so many requests may go. While the limit cannot be asked, nothing may."""


@define(eq=False)
class Pace:
    """Lets rows go, one token per request, and never more of them at a time than the capacity says.

    Tokens are handed out evenly and without a reserve, so that no second sees more of them than the rate. A row's
    requests are not known beforehand: the usual number is paid first, the rest afterwards.

    Attributes:
        capacity: What the gateway takes.
        ceiling: Requests per second at most, None for no ceiling.
        usual: Requests that a row usually takes.
        clock: Seconds that only grow.
        sleep: Waits.
        limiter: Keeps a rate together with other processes; None when there are none.
        busy: Rows under way.
    """

    capacity: Capacity
    ceiling: float | None
    usual: float = 1.0
    clock: Callable[[], float] = anyio.current_time
    sleep: Callable[[float], Any] = anyio.sleep
    limiter: Limiter | None = None
    busy: int = field(default=0, init=False)
    _next: float = field(default=0.0, init=False)
    _held: int = field(default=0, init=False)
    _queue: "deque[anyio.Event]" = field(factory=deque, init=False)
    _owed: float = field(default=0.0, init=False)
    _asking: "set[anyio.CancelScope]" = field(factory=set, init=False)
    _halted: bool = field(default=False, init=False)

    @property
    def rate(self) -> float | None:
        """Requests per second that may go now, None for as many as there are."""
        limits = [limit for limit in (self.ceiling, self.capacity.rate) if limit is not None]
        return min(limits, default=None)

    async def enter(self) -> float:
        """Wait until a row may go. `leave` has to follow, whatever happens.

        Returns:
            When it went, on the clock.

        Raises:
            Halted: `halt` was called while the limiter was asked; no `leave` follows then.
        """
        await self._place()
        try:
            await self._token()
            if self.limiter is not None:
                await self._ask(self.limiter)
        except BaseException:
            self._free()
            raise
        self.busy += 1
        return self.clock()

    def leave(self, began: float, requests: int, verdict: Decision | None, retry_after: float | None = None) -> None:
        """Give the place back.

        Args:
            began: What `enter` returned.
            requests: How many requests the row took.
            verdict: How the last one ended; None when the row was given up and nothing is known.
            retry_after: Seconds that the gateway asked to wait.
        """
        now, rate = self.clock(), self.rate
        if rate is not None:
            self._next += (requests - self.usual) / rate
        self._owed += requests - self.usual
        if verdict is not None:
            self.usual += (requests - self.usual) * 0.02
            again = self.capacity.ended(verdict, began=began, now=now, requests=requests, busy=self.busy)
            if again and retry_after is not None:
                # The rate was cut and the gateway still refuses: then it means all requests, not some.
                self._next = max(self._next, now + retry_after)
        self.busy -= 1
        self._free()

    def halt(self) -> None:
        """Let nobody wait for the limiter any more: it may be away, and a job has to end."""
        self._halted = True
        for scope in self._asking:
            scope.cancel()

    async def _ask(self, limiter: Limiter) -> None:
        """Pay the limiter for the row's usual requests, and for what the rows before have left unpaid."""
        self._owed += self.usual
        due = int(self._owed)
        if due < 1:
            return
        self._owed -= due
        with anyio.CancelScope() as scope:
            self._asking.add(scope)
            try:
                if self._halted:
                    scope.cancel()
                await limiter.take(due)
            finally:
                self._asking.discard(scope)
        if scope.cancelled_caught:
            raise Halted

    async def _place(self) -> None:
        if self._held < int(self.capacity.concurrency) and not self._queue:
            self._held += 1
            return
        turn = anyio.Event()
        self._queue.append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():
                self._free()
            else:
                self._queue.remove(turn)
            raise

    def _free(self) -> None:
        self._held -= 1
        while self._queue and self._held < int(self.capacity.concurrency):
            self._held += 1
            self._queue.popleft().set()

    async def _token(self) -> None:
        rate, now = self.rate, self.clock()
        if rate is None:
            wait = self._next - now
        else:
            start = max(now, self._next)
            self._next = start + self.usual / rate
            wait = start - now
        if wait > 0:
            await self.sleep(wait)
