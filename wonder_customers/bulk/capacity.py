"""How much a gateway takes, found by itself: additive increase, multiplicative decrease. Pure: no clock, no waiting.

Two quantities are steered. *Concurrency* grows by one per window while it is used and nothing is wrong, and shrinks
when more than a tenth of a window's requests met a fault (5xx, no answer) or its latency left the ordinary. *Rate* is
free until the first "too many requests"; from then on it is cut below what the gateway had just accepted, and creeps up
again to notice when the gateway takes more. One congestion is one cut: refusals of requests that were under way when
the rate was cut say nothing new.
"""

from collections import deque
from typing import Literal

from attrs import define, field

__all__ = ["Capacity", "Decision"]

Decision = Literal["ok", "throttled", "trouble"]
"""How requests ended: answered, refused for their number, or lost in a fault."""

WINDOW = 0.25
"""Seconds over which concurrency is judged, when there are requests enough."""
SAMPLES = 10
TROUBLE = 0.1
"""The share of faults in a window from which on concurrency shrinks: single faults say nothing about capacity."""
SHRINK = 0.7
SLOW = 3.0
"""How many times its ordinary value the latency may have."""

LEAST = 10.0
"""Requests per second to begin with after the first refusal, however few there were before it."""
CUT = 0.95
"""Of the accepted rate, after a refusal."""
CUT_AGAIN = 0.85
"""Of the rate, after a refusal within a second of the cut before."""
GRACE = 0.3
"""Seconds after a cut in which requests still go out that were due before it."""
SEARCH = 1.0
"""Growth per second until the second cut, which has seen the limit from both sides."""
CREEP = 0.01
"""Growth per second afterwards."""
CALM = 10.0
"""Seconds without refusals after which the growth doubles every `CALM` / 2."""


@define(eq=False)
class _Meter:
    """Counts what happened in the last second, in tenths."""

    tenths: "deque[tuple[int, int]]" = field(factory=deque)

    def count(self, now: float, amount: int) -> None:
        """Take note of some that happened now."""
        tenth = int(now * 10)
        if self.tenths and self.tenths[-1][0] == tenth:
            self.tenths[-1] = (tenth, self.tenths[-1][1] + amount)
        else:
            self.tenths.append((tenth, amount))

    def per_second(self, now: float) -> float:
        """The rate over the last second."""
        while self.tenths and self.tenths[0][0] <= int(now * 10) - 10:
            self.tenths.popleft()
        return float(sum(amount for _, amount in self.tenths))

    def lately(self, now: float) -> float:
        """The rate over the last half second, which lags less behind."""
        return 2.0 * sum(amount for tenth, amount in self.tenths if tenth > int(now * 10) - 5)


@define(eq=False)
class _Window:
    began: float = 0.0
    samples: int = 0
    troubled: int = 0
    busiest: int = 0
    latency: float = 0.0
    timed: int = 0


@define(eq=False)
class Capacity:
    """The limits that hold now.

    Attributes:
        most: Concurrent rows at most.
        concurrency: Concurrent rows now.
        rate: Requests per second now; None as long as the gateway never refused any.
        accepted: Requests that were not refused, in all.
        throttled: Requests that were.
        troubled: Requests that met a fault.
    """

    most: int
    concurrency: float = field(init=False)
    rate: float | None = field(default=None, init=False)
    accepted: int = field(default=0, init=False)
    throttled: int = field(default=0, init=False)
    troubled: int = field(default=0, init=False)
    _meter: _Meter = field(factory=_Meter, init=False)
    _window: _Window = field(factory=_Window, init=False)
    _ordinary: float | None = field(default=None, init=False)
    _cut_at: float | None = field(default=None, init=False)
    _grown_at: float = field(default=0.0, init=False)
    _searching: bool = field(default=True, init=False)

    def __attrs_post_init__(self) -> None:
        self.concurrency = float(min(8, self.most))

    def ended(self, verdict: Decision, *, began: float, now: float, requests: int = 1, busy: int = 1) -> bool:
        """Take note of how a row's requests ended.

        Args:
            verdict: How the last of them ended.
            began: When they began, in seconds on any clock.
            now: When they ended.
            requests: How many there were.
            busy: How many rows were under way, this one included.

        Returns:
            Whether a refusal came although the rate had been cut before the request: then waiting is what helps.
        """
        refused = 1 if verdict == "throttled" else 0
        taken = max(0, requests - refused)
        self._meter.count(now, taken)
        self.accepted += taken
        again = False
        if refused:
            self.throttled += 1
            again = self._cut(began, now)
        elif self.rate is not None:
            self._grow(now)
        self.troubled += verdict == "trouble"
        self._judge(verdict, now - began if verdict == "ok" else None, now, busy)
        return again

    def _cut(self, began: float, now: float) -> bool:
        """Cut the rate, unless the refusal belongs to the congestion of the cut before."""
        if self._cut_at is not None and began < self._cut_at + GRACE:
            return False
        again = self._cut_at is not None and now - self._cut_at < 1.0 + GRACE
        seen = self._meter.per_second(now)
        if self.rate is None:
            # Requests came in a burst, which only a whole second tells from a rate.
            self.rate = CUT * max(LEAST, seen)
        elif again:
            self.rate *= CUT_AGAIN
            self._searching = False
        elif self._searching:
            # The rate has grown fast, so a whole second would lag behind what is accepted now.
            self.rate = CUT * min(self._meter.lately(now), self.rate)
            self._searching = False
        else:
            # The limit is known about; a moment in which little was sent says nothing about it.
            self.rate = max(CUT_AGAIN * self.rate, CUT * min(seen, self.rate))
        self.rate = max(1.0, self.rate)
        self._cut_at = self._grown_at = now
        return again

    def _grow(self, now: float) -> None:
        """Creep up, unless the rate is not used anyway."""
        passed = now - self._grown_at
        if passed < 0.1 or self.rate is None or self._cut_at is None:
            return
        self._grown_at = now
        if self._meter.per_second(now) < 0.7 * self.rate:
            return
        calm = max(0.0, now - self._cut_at - CALM)
        growth = SEARCH if self._searching else min(SEARCH, CREEP * 2 ** (2 * calm / CALM))
        self.rate += max(0.1 * passed, self.rate * growth * min(passed, 1.0))

    def _judge(self, verdict: Decision, latency: float | None, now: float, busy: int) -> None:
        window = self._window
        window.began = window.began or now
        window.samples += 1
        window.troubled += verdict == "trouble"
        window.busiest = max(window.busiest, busy)
        if latency is not None:
            window.latency += latency
            window.timed += 1
        if window.samples < SAMPLES or now - window.began < WINDOW:
            return
        self._window = _Window(began=now)
        if window.troubled > TROUBLE * window.samples:
            self.concurrency = max(1.0, self.concurrency * SHRINK)
        elif self._slow(window):
            self.concurrency = max(1.0, self.concurrency * 0.9)
        elif window.busiest * 2 >= self.concurrency:
            self.concurrency = min(float(self.most), self.concurrency + 1)

    def _slow(self, window: _Window) -> bool:
        """Whether the window's latency left the ordinary, which follows slowly when it changes for good."""
        if not window.timed:
            return False
        mean = window.latency / window.timed
        if self._ordinary is None or mean < self._ordinary:
            self._ordinary = mean
            return False
        slow = mean > SLOW * self._ordinary and mean > self._ordinary + 0.1
        self._ordinary *= 1.02
        return slow
