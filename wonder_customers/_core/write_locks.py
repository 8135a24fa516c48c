"""Writes for one customer take turns, and a doubtful write holds back a different one.

A write whose answer was lost may still be on its way. Were a newer one sent at once, the late first could land after it
and undo it. So inside one session writes for one customer go one after the other, and after an unknown outcome another
body waits until the first can be expected to have landed or died.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterable

import anyio
from attrs import define, field

Key = Hashable


@define(eq=False)
class WriteLocks:
    """The turns of one session.

    Attributes:
        clock: Seconds on the event loop's clock.
        finished: How many turns have ended; tells whether any write ended since an earlier look.
    """

    clock: Callable[[], float]
    finished: int = 0
    _turns: dict[Key, deque[anyio.Event]] = field(factory=dict)
    _doubts: dict[Key, tuple[int, float]] = field(factory=dict)

    @property
    def waiting(self) -> int:
        """How many wait for a turn now."""
        return sum(len(waiting) for waiting in list(self._turns.values()))

    def take_at_once(self, key: Key) -> bool:
        """Hold the turn of `key` until `give_back`; False when somebody holds it."""
        if key in self._turns:
            return False
        self._turns[key] = deque()
        return True

    async def take(self, key: Key, within: float) -> bool:
        """Hold the turn of `key` until `give_back`; False when others kept it for all of `within` seconds."""
        if self.take_at_once(key):
            return True
        waiting, mine = self._turns[key], anyio.Event()
        waiting.append(mine)
        try:
            with anyio.move_on_after(within):
                await mine.wait()
        except BaseException:
            # A cancellation may come just after the turn did: then it goes on to the next.
            self._stop_waiting(key, mine)
            raise
        if not mine.is_set():
            waiting.remove(mine)
        return mine.is_set()

    def _stop_waiting(self, key: Key, mine: anyio.Event) -> None:
        if mine.is_set():
            self._pass_on(key)
        else:
            self._turns[key].remove(mine)

    def give_back(self, key: Key) -> None:
        """End the turn of `key`; whoever waited longest has it now."""
        self.finished += 1
        self._pass_on(key)

    def _pass_on(self, key: Key) -> None:
        waiting = self._turns[key]
        if waiting:
            waiting.popleft().set()
        else:
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
        if not self._doubts:
            return 0.0
        now, same = self.clock(), hash(body)
        doubts = (self._doubts[key] for key in keys if key in self._doubts)
        return max((until - now for mark, until in doubts if mark != same), default=0.0)
