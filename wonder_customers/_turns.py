"""Writes for one customer take turns, and a doubtful write holds back a different one.

A write whose answer was lost may still be on its way. Were a newer one sent at once, the late first could land after it
and undo it. So inside one session writes for one customer go one after the other, and after an unknown outcome another
body waits until the first can be expected to have landed or died.
"""

from collections.abc import AsyncIterator, Callable, Hashable, Iterable
from contextlib import asynccontextmanager

import anyio
from attrs import define, field

Key = Hashable


@define(eq=False)
class _Turn:
    lock: anyio.Lock = field(factory=anyio.Lock)
    holders: int = 0


@define(eq=False)
class Turns:
    """The turns of one session.

    Attributes:
        clock: Seconds on the event loop's clock.
        finished: How many turns have ended; tells whether any write ended since an earlier look.
    """

    clock: Callable[[], float]
    finished: int = 0
    _turns: dict[Key, _Turn] = field(factory=dict)
    _doubts: dict[Key, tuple[int, float]] = field(factory=dict)

    @asynccontextmanager
    async def taken(self, key: Key) -> AsyncIterator[None]:
        """Hold the turn of `key`; others who want it wait."""
        turn = self._turns.setdefault(key, _Turn())
        turn.holders += 1
        try:
            async with turn.lock:
                try:
                    yield
                finally:
                    self.finished += 1
        finally:
            turn.holders -= 1
            if not turn.holders:
                del self._turns[key]

    def doubt(self, keys: Iterable[Key], body: bytes, seconds: float) -> None:
        """Remember that a write with `body` may still land within `seconds`."""
        now = self.clock()
        self._doubts = {key: it for key, it in self._doubts.items() if it[1] > now}
        for key in keys:
            self._doubts[key] = (hash(body), now + seconds)

    def landed(self, keys: Iterable[Key]) -> None:
        """Forget the doubt: the write was seen at the gateway."""
        for key in keys:
            self._doubts.pop(key, None)

    def wait(self, keys: Iterable[Key], body: bytes | None) -> float:
        """Seconds that a write with `body` must still hold back; 0 for the bytes that are in doubt themselves."""
        now, same = self.clock(), hash(body)
        doubts = (self._doubts[key] for key in keys if key in self._doubts)
        return max((until - now for mark, until in doubts if mark != same), default=0.0)
