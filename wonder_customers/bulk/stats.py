"""The statistics of a running job."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, evolve, field, frozen

from wonder_customers._support import clock
from wonder_customers.bulk.rows import Outcome
from wonder_customers.rate_limit import RateLimit, RateLimiter

__all__ = ["JobStats", "Latencies", "LimitMonitor", "Point", "RequestStats"]

_BOUNDS = tuple(0.0005 * 1.15**power for power in range(90))
"""Upper bounds of the latency buckets in seconds: from 0.5 ms to two minutes, each 15 % above the previous bound."""
MOST_POINTS = 600
MOST_REASONS = 200
"""The maximum number of different failure reasons; a gateway may use a new code for each error."""
MOST_EXAMPLES = 5
"""The number of example rows of each reason."""


class Latencies(Counter[int]):
    """A histogram of latencies: their number by bucket."""

    def quantile(self, fraction: float) -> float | None:
        """Return a quantile in seconds; None without latencies."""
        left = fraction * self.total()
        for bucket in sorted(self):
            left -= self[bucket]
            if left <= 0:
                return _BOUNDS[min(bucket, len(_BOUNDS) - 1)]
        return None


@define
class Point:
    """One point of the curves.

    Attributes:
        at: Seconds since the start, at the end of the interval.
        seconds: The length of the interval.
        rows: Rows that ended in the interval.
        sent: Rows that the gateway accepted.
        requests, throttled, failed: Requests in the interval, as `issued`, `throttled` and `failed` of `RequestStats`.
        p50: The median duration of a sent row in seconds; None if no such row ended.
        p95: The 95th percentile of that duration in seconds; None if no such row ended.
        concurrency, rate: As in `RequestStats`.
    """

    at: float
    seconds: float
    rows: int
    sent: int
    requests: int
    throttled: int
    failed: int
    p50: float | None
    p95: float | None
    concurrency: float
    rate: float | None


@define
class RequestStats:
    """The requests of a job, and the limits that apply to them.

    Attributes:
        sent: Requests sent for rows that ended, including retries and lookups.
        issued: Requests sent so far.
        throttled: Requests refused by the gateway's rate limit.
        failed: Requests that failed with a server error or without a response.
        concurrency: The current limit on concurrent rows.
        rate: The measured number of requests per second that the gateway accepts; None if it is not measured.
    """

    sent: int = 0
    issued: int = 0
    throttled: int = 0
    failed: int = 0
    concurrency: float = 0.0
    rate: float | None = None


@frozen
class LimitMonitor:
    """Reads the statistics of a session's rate limit."""

    _limit: RateLimiter | None

    @property
    def rate(self) -> float | None:
        """The current limit in requests per second; None without a limit, or if it is not known."""
        it: Any = self._limit
        limits = [getattr(it, "rate", None), getattr(it, "ceiling", None)]
        if isinstance(it, RateLimit):
            limits.append(it.requests / it.per)
        return min((limit for limit in limits if limit is not None), default=None)

    @property
    def unreachable_seconds(self) -> float:
        """The time for which the server of a shared limit has not responded."""
        since = getattr(self._limit, "unreachable_since", None)
        return 0.0 if since is None else clock.monotonic() - since

    def update(self, requests: RequestStats, workers: int) -> None:
        """Write the current values into `requests`."""
        it: Any = self._limit
        requests.concurrency = min(float(workers), getattr(it, "concurrency", workers))
        requests.rate = getattr(it, "rate", None) if hasattr(it, "ceiling") else None


@define(eq=False)
class JobStats:
    """The statistics of one run.

    Attributes:
        requests: The requests and their limits.
        started: When the run started, on the job's clock.
        counts: Rows by status.
        reasons: Outcomes with a failure code, by code; ``other`` for further codes.
        examples: The numbers of the first rows of each code.
        sent: Rows that the gateway accepted.
        cleared: Rows that cleared a field, by field. Local jobs only.
        drift: Response fields that differed from the gateway's documentation, as in `Stats.drift`.
        points: The curves.
        interval: Seconds between two points.
    """

    requests: RequestStats = field(factory=RequestStats)
    started: float = 0.0
    counts: "Counter[str]" = field(factory=Counter)
    reasons: "Counter[str]" = field(factory=Counter)
    examples: dict[str, list[int]] = field(factory=dict)
    sent: int = 0
    cleared: "Counter[str]" = field(factory=Counter)
    drift: "Counter[str]" = field(factory=Counter)
    points: list[Point] = field(factory=list)
    interval: float = 0.2
    _latencies: Latencies = field(factory=Latencies, init=False)
    _latencies_before: Latencies = field(factory=Latencies, init=False)
    _durations: list[float] = field(factory=list, init=False)
    _closed_at: float = field(default=0.0, init=False)
    _before: "Counter[str]" = field(factory=Counter, init=False)

    def begin(self, now: float) -> None:
        """Record the start of the run."""
        self.started = self._closed_at = now

    @property
    def rows(self) -> int:
        """The number of rows that have an outcome."""
        return self.counts.total()

    @property
    def failures(self) -> int:
        """The number of rows that failed, were invalid or were duplicates."""
        return self.counts["failed"] + self.counts["invalid"] + self.counts["duplicate"]

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Count outcomes."""
        counts = self.counts
        for outcome in outcomes:
            counts[outcome.status] += 1
            if (code := outcome.code) is not None:
                known = code in self.reasons or len(self.reasons) < MOST_REASONS
                code = code if known else "other"
                self.reasons[code] += 1
                examples = self.examples.setdefault(code, [])
                if len(examples) < MOST_EXAMPLES:
                    examples.append(outcome.number)
            if outcome.cleared:
                self.cleared.update(outcome.cleared)

    def replace(
        self, counts: Mapping[str, int], reasons: Mapping[str, int], sent: int, latencies: Mapping[int, int]
    ) -> None:
        """Set the counts to the totals of other processes."""
        self.counts, self.reasons, self.sent = Counter(counts), Counter(reasons), sent
        self._latencies = Latencies(latencies)

    def observe(self, seconds: float) -> None:
        """Add the duration of a row in seconds."""
        self._durations.append(seconds)

    @property
    def latencies(self) -> Latencies:
        """The durations of rows that were sent."""
        self._count_durations()
        return self._latencies

    def _count_durations(self) -> None:
        # Counted in groups, which is faster than counting each row.
        self._latencies.update([bisect_right(_BOUNDS, seconds) for seconds in self._durations])
        self._durations.clear()

    def tick(self, now: float, *, last: bool = False) -> None:
        """Add a point to the curves if it is due."""
        self._count_durations()
        seconds = now - self._closed_at
        if seconds < self.interval and not (last and seconds > 0 and self.rows > self._before["rows"]):
            return
        requests, latencies = self.requests, self._latencies.copy()
        recent = Latencies(latencies - self._latencies_before)
        counts = Counter(rows=self.rows, sent=self.sent, requests=requests.issued)
        counts.update(throttled=requests.throttled, failed=requests.failed)
        self.points.append(
            Point(
                at=round(now - self.started, 3),
                seconds=round(seconds, 3),
                **{name: count - self._before[name] for name, count in counts.items()},
                p50=recent.quantile(0.5),
                p95=recent.quantile(0.95),
                concurrency=round(requests.concurrency, 1),
                rate=None if requests.rate is None else round(requests.rate, 1),
            )
        )
        self._before, self._latencies_before, self._closed_at = counts, latencies, now
        if len(self.points) >= MOST_POINTS:
            # Keep the number of points bounded: merge pairs, and make the following intervals twice as long.
            self.points = [_joined(*pair) for pair in zip(self.points[::2], self.points[1::2], strict=False)]
            self.interval *= 2


def _joined(first: Point, second: Point) -> Point:
    summed = ("seconds", "rows", "sent", "requests", "throttled", "failed")
    middle = [it for it in (first.p50, second.p50) if it is not None]
    return evolve(
        second,
        **{name: getattr(first, name) + getattr(second, name) for name in summed},
        p50=sum(middle) / len(middle) if middle else None,
        p95=max((it for it in (first.p95, second.p95) if it is not None), default=None),
    )
