"""Client-side rate limits, which decide when the next request may be sent.

    CustomerSession(account, rate_limit=RateLimit(25))                   # at most 25 requests a second, evenly spaced
    CustomerSession(account, rate_limit=AdaptiveRateLimit(ceiling=200))  # finds the rate that the gateway accepts

The session awaits `RateLimiter.acquire` before it signs and sends a request. Lookups, retries and token requests count
as requests too. Several sessions on one event loop may share a limiter.
"""

from collections import deque
from collections.abc import Callable
from math import inf, isfinite
from typing import Any, Final, Literal, Protocol, runtime_checkable

from attrs import define, frozen

from wonder_customers._support import clock
from wonder_customers._support.request_meter import RequestMeter
from wonder_customers._support.wait_queue import WaitQueue
from wonder_customers.errors import ConfigurationError
from wonder_customers.wire import Transmission

__all__ = ["AdaptiveRateLimit", "RateLimit", "RateLimiter", "RequestResult"]


@frozen
class RequestResult:
    """How a request ended, for a `RateLimiter`.

    Attributes:
        kind: ``throttled``: the gateway received too many requests (HTTP 429). ``failed``: a sign of overload, such as
            a server error (5xx) or no response. ``cancelled``: the request was interrupted. ``ok``: any other result.
        elapsed: Seconds from the moment the request was permitted to its end.
        retry_after: Seconds to wait according to the gateway; None if it sent no time.
    """

    kind: Literal["ok", "throttled", "failed", "cancelled"]
    elapsed: float
    retry_after: float | None = None


@runtime_checkable
class RateLimiter(Protocol):
    """Decides when requests may be sent.

    `transmission` identifies the request in both methods. Its attribute `sent` becomes true when the first byte may
    have been sent, which may require a new connection first. A limiter may set `on_sent` to a function that is called
    at that moment.
    """

    async def acquire(self, transmission: Transmission, /) -> None:
        """Wait until the request may be sent. The request is signed and sent directly afterwards.

        If a limiter sets `Transmission.valid_until` and the request has not been sent by then, `acquire` is called
        again, without a `release` in between. If the first `acquire` is cancelled, `release` is not called.
        """

    def release(self, transmission: Transmission, result: RequestResult, /) -> None:
        """Record that a permitted request ended. Each request is released once, even if its permit was renewed."""


_MARGIN: Final = 0.05
"""Fraction by which a period is extended, and the maximum extension in seconds, because delays of requests vary."""
_CATCH_UP: Final = 0.02
"""Seconds by which a permit may be late without delaying the following permits: timers have a limited resolution."""
_SHORTEST: Final = 1e-6
"""Seconds below which a wait is skipped."""
IN_USE: Final = (
    "the rate limit is in use on another event loop. Nothing was sent. Use a separate rate limit for each event loop."
)


def _checked(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value) or value <= 0:
        raise ConfigurationError(f"{name} must be a positive finite number, not {value!r:.50}")
    return float(value)


def spacing(requests: float, per: float, margin: float) -> float:
    """Return the seconds between evenly spaced requests."""
    if requests < 1:
        return per / requests + margin
    return (per + margin) / int(requests)


def _significant(delay: float) -> float:
    """Return `delay`, or 0 if it is too short to wait."""
    return delay if delay > _SHORTEST else 0.0


class _Window:
    """Permits of the last period."""

    # A permit counts from the moment it is granted until one period after its request was sent, because opening a
    # connection takes time.
    __slots__ = ("_changed", "_left", "_outstanding", "_requests", "period")

    def __init__(self, requests: float, per: float, changed: Callable[[], object]) -> None:
        if requests < 1:
            requests, per = 1.0, per / requests
        self._requests = int(requests)
        self.period = per + min(_MARGIN, _MARGIN * per)
        self._changed = changed
        self._outstanding: set[int] = set()
        self._left: deque[float] = deque()

    def delay(self, now: float) -> float:
        """Return the seconds until a permit is free; infinite if the time is unknown."""
        while self._left and self._left[0] + self.period <= now:
            self._left.popleft()
        if len(self._outstanding) + len(self._left) < self._requests:
            return 0.0
        return max(self._left[0] + self.period - now, 1e-4) if self._left else inf

    def grant(self, transmission: Transmission) -> None:
        key = id(transmission)
        self._outstanding.add(key)
        transmission.on_sent = lambda: self._leave(key)

    def _leave(self, key: int) -> None:
        if key in self._outstanding:
            self._outstanding.remove(key)
            self._left.append(clock.monotonic())
            self._changed()

    def end(self, transmission: Transmission) -> None:
        self._outstanding.discard(id(transmission))

    def clear(self) -> None:
        self._outstanding.clear()


class _Paced:
    """Base class of both limits."""

    def __init__(self, requests: float | None, per: float) -> None:
        self._changed = WaitQueue()  # wakes the head of the queue when a request was sent or ended
        self._window = None if requests is None else _Window(requests, per, self._changed.wake)
        self._spacing = 0.0 if requests is None else spacing(requests, per, min(_MARGIN, _MARGIN * per))
        self._due = -inf
        self._head, self._queue = False, WaitQueue()
        self._held: set[int] = set()  # the ids of requests with a permit; a renewed permit counts once
        self._loop: object = None  # the event loop that used the limit last

    async def acquire(self, transmission: Transmission, /) -> None:
        """Wait until the request may be sent.

        Raises:
            ConfigurationError: Another event loop uses the limit at the same time.
        """
        if self._loop is not (loop := clock.running_loop()):
            self._check_unused()
            self._loop = loop
        if self._head or self._delay(clock.monotonic()) > 0:
            await self._wait()
        self._grant(transmission, clock.monotonic())

    def _check_unused(self) -> None:
        if (self._head or self._held) and not clock.is_closed(self._loop):
            raise ConfigurationError(IN_USE)
        self._head = False  # the tasks of a closed event loop neither send nor release anything
        left: tuple[Any, ...] = (self._held, self._queue, self._changed, self._window or self._held)
        for it in left:
            it.clear()

    async def _wait(self) -> None:
        """Wait at the head of the queue until a permit is free."""
        if self._head:
            await self._queue.wait(self._next)
        self._head = True
        try:
            while (delay := self._delay(clock.monotonic())) > 0:
                await (self._changed.wait(lambda: None) if delay == inf else clock.sleep(delay))
        finally:
            self._next()

    def _next(self) -> None:
        # The head stays occupied while it is handed over, so that no other task can take it.
        self._head = self._queue.wake()

    def _end(self, transmission: Transmission) -> None:
        self._held.discard(id(transmission))
        if self._window is not None:
            self._window.end(transmission)
        self._changed.wake()

    def _interval(self) -> float:
        return self._spacing

    def _delay(self, now: float) -> float:
        window = 0.0 if self._window is None else self._window.delay(now)
        return max(window, _significant(self._due - now))

    def _grant(self, transmission: Transmission, now: float) -> None:
        # A permit that was not used in time is lost, except for delays within the resolution of timers.
        self._held.add(id(transmission))
        self._due = max(self._due, now - _CATCH_UP) + self._interval()
        if self._window is not None:
            self._window.grant(transmission)


class RateLimit(_Paced):
    """A fixed rate: at most `requests` requests are sent within any period.

    Requests are spaced evenly. The period is extended by 5 % (0.05 s at most), because requests reach the gateway with
    varying delay.

    Args:
        requests: Number of requests per period.
        per: Length of the period in seconds.

    Raises:
        ConfigurationError: An argument is not a positive number.
    """

    def __init__(self, requests: float, per: float = 1.0) -> None:
        super().__init__(_checked("requests", requests), _checked("per", per))
        self.requests: float = requests
        self.per: float = per

    def __repr__(self) -> str:
        return f"RateLimit({self.requests:g}, per={self.per:g})"

    def release(self, transmission: Transmission, result: RequestResult, /) -> None:
        """Record that the request ended."""
        self._end(transmission)


_JUDGE_AFTER: Final = 0.25
"""Seconds after which the concurrency limit is evaluated, if there were enough requests."""
_SAMPLES: Final = 10
_FAILURES: Final = 0.1
"""The fraction of failed requests above which concurrency is reduced. Single failures do not indicate overload."""
_SHRINK: Final = 0.7
_SLOW: Final = 3.0
"""Latency is too high at this multiple of its usual value."""
_FIRST_RATE: Final = 10.0
"""Lowest accepted rate, in requests per second, that is assumed at the first refusal."""
_CUT: Final = 0.95
"""Factor applied to the accepted rate after a refusal."""
_CUT_AGAIN: Final = 0.85
"""Factor applied to the rate after another refusal within 1.3 s of the last cut."""
_HALVE, _PROBE = 0.5, 1 / 60
"""Factor applied to the rate after a refusal if nothing was accepted since the last cut, and its lowest result."""
_GRACE: Final = 0.3
"""A refusal causes another cut only if its request was permitted more than this many seconds after the last cut."""
_SEARCH: Final = 1.0
"""Relative growth of the rate per second until the second cut."""
_CREEP: Final = 0.01
"""Relative growth of the rate per second after the second cut."""
_CALM: Final = 10.0
"""Seconds after the last cut from which the growth doubles every `_CALM` / 2 seconds."""


@define(eq=False)
class _Sample:
    """Counts and latencies of the requests since the concurrency limit was last evaluated."""

    began: float = 0.0
    requests: int = 0
    failed: int = 0
    busiest: int = 0
    latency: float = 0.0
    timed: int = 0


class AdaptiveRateLimit(_Paced):
    """Finds the rate and the number of concurrent requests that the gateway accepts.

    Until the first HTTP 429, only `ceiling` limits the rate. The rate is then set below the accepted rate, and grows
    exponentially to find out whether the gateway accepts more. Further refusals reduce the rate. Concurrency grows
    while it is used, and shrinks when requests fail or become slow.

    Args:
        ceiling: Maximum number of requests per second, as for `RateLimit`; None for no maximum.

    Attributes:
        rate: Current limit in requests per second; None until the gateway has refused a request.
        concurrency: Current maximum number of concurrent requests.
        accepted: Number of requests that were neither throttled nor cancelled.
        throttled: Number of requests that the gateway refused with HTTP 429.
        failed: Number of requests with the result ``failed``.

    Raises:
        ConfigurationError: `ceiling` is not a positive number.
    """

    def __init__(self, ceiling: float | None = None) -> None:
        self.ceiling: float | None = None if ceiling is None else _checked("ceiling", ceiling)
        super().__init__(self.ceiling, 1.0)
        self.rate: float | None = None
        self.concurrency: float = 8.0
        self.accepted: int = 0
        self.throttled: int = 0
        self.failed: int = 0
        self._meter, self._sample = RequestMeter(), _Sample()
        self._usual: float | None = None
        self._cut_at: float | None = None
        self._grown_at = self._resume_at = -inf
        self._searching = self._accepted_since_cut = True

    def __repr__(self) -> str:
        rate = "unlimited" if self.rate is None else f"{self.rate:.3g}/s"
        return f"<AdaptiveRateLimit {rate}, {int(self.concurrency)} concurrent>"

    def release(self, transmission: Transmission, result: RequestResult, /) -> None:
        """Record how the request ended."""
        now = clock.monotonic()
        busy = len(self._held)
        if result.kind == "throttled":
            self.throttled += 1
            self._cut(now - result.elapsed, now, result.retry_after)
        elif result.kind != "cancelled":
            self.accepted += 1
            self._accepted_since_cut = True
            self._meter.count(now)
            self._grow(now)
        if result.kind != "cancelled":
            self._judge(result, now, busy)
        self._end(transmission)

    def _interval(self) -> float:
        return max(self._spacing, 1.0 / self.rate if self.rate else 0.0)

    def _delay(self, now: float) -> float:
        if len(self._held) >= int(self.concurrency):
            return inf
        return max(super()._delay(now), _significant(self._resume_at - now))

    def _cut(self, began: float, now: float, retry_after: float | None) -> None:
        """Reduce the rate after a refusal."""
        if self._cut_at is not None and began < self._cut_at + _GRACE:
            return  # the previous cut was made for the same congestion
        again = self._cut_at is not None and now - self._cut_at < 1.0 + _GRACE
        accepted = self._meter.rate(now)
        searching, self._searching = self._searching, self.rate is None
        if self.rate is None:
            # Only a whole second distinguishes a burst from a rate.
            self.rate = _CUT * max(_FIRST_RATE, accepted)
        elif not self._accepted_since_cut:
            self.rate = min(self.rate, max(_HALVE * self.rate, _PROBE))
        elif again:
            self.rate *= _CUT_AGAIN
        elif searching:
            # The rate has grown fast, so the mean of a whole second would be too low.
            self.rate = _CUT * min(max(self._meter.rate(now, 0.5), 0.1 * self.rate), self.rate)
        else:
            # If few requests were sent, the accepted rate does not indicate the limit.
            self.rate = max(_CUT_AGAIN * self.rate, _CUT * min(accepted, self.rate))
        if retry_after is not None and (again or not self._accepted_since_cut):
            # The gateway still refuses requests at the reduced rate, so it refuses all of them until that time.
            self._resume_at = max(self._resume_at, now + retry_after)
        self._accepted_since_cut = False
        self._cut_at = self._grown_at = now

    def _grow(self, now: float) -> None:
        """Increase the rate while it is used."""
        passed = now - self._grown_at
        if passed < 0.1 or self.rate is None or self._cut_at is None:
            return
        self._grown_at = now
        if self._meter.rate(now, min(30.0, max(1.0, 5.0 / self.rate))) < 0.7 * self.rate:
            return
        calm = max(0.0, now - self._cut_at - _CALM)
        growth = _SEARCH if self._searching else min(_SEARCH, _CREEP * 2 ** min(2 * calm / _CALM, 16.0))
        self.rate += self.rate * growth * min(passed, 1.0)

    def _judge(self, result: RequestResult, now: float, busy: int) -> None:
        sample = self._sample
        sample.began = sample.began or now
        sample.requests += 1
        sample.busiest = max(sample.busiest, busy)
        if result.kind == "failed":
            self.failed += 1
            sample.failed += 1
        elif result.kind == "ok":
            sample.latency += result.elapsed
            sample.timed += 1
        if sample.requests < _SAMPLES or now - sample.began < _JUDGE_AFTER:
            return
        self._sample = _Sample(began=now)
        if sample.failed > _FAILURES * sample.requests:
            self.concurrency = max(1.0, self.concurrency * _SHRINK)
        elif self._slow(sample):
            self.concurrency = max(1.0, self.concurrency * 0.9)
        elif sample.busiest * 2 >= self.concurrency:
            self.concurrency += 1.0

    def _slow(self, sample: _Sample) -> bool:
        """Return whether the latency is well above the usual latency."""
        if not sample.timed:
            return False
        mean = sample.latency / sample.timed
        if self._usual is None or mean < self._usual:
            self._usual = mean
            return False
        slow = mean > _SLOW * self._usual and mean > self._usual + 0.1
        self._usual *= 1.02
        return slow
