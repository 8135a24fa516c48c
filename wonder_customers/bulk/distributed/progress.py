"""The progress of a part of a job as plain data, and the sum over all parts."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from attrs import asdict, define, field

from wonder_customers.bulk.job import Job
from wonder_customers.bulk.rows import Outcome

__all__ = ["Progress", "outcome_from_dict", "outcome_to_dict"]


@define
class Progress:
    """Counts of rows and requests.

    Attributes:
        read: Rows read from the source.
        skipped: Rows read that do not belong to the run.
        counts: Rows by status.
        reasons: Failed, invalid and duplicate rows by code.
        sent: Rows that the gateway accepted.
        requests: Requests sent for rows.
        throttled: Requests refused by the gateway's rate limit.
        failed: Requests that failed with a server error or without a response.
        latencies: Rows by latency bucket.
        concurrency: The measured number of concurrent rows that the gateway accepts.
        rate: The measured number of requests per second that the gateway accepts; None until it refuses a request.
        drift: Response fields that differed from the gateway's documentation, as in `wonder_customers.events.Stats`.
    """

    read: int = 0
    skipped: int = 0
    counts: "Counter[str]" = field(factory=Counter)
    reasons: "Counter[str]" = field(factory=Counter)
    sent: int = 0
    requests: int = 0
    throttled: int = 0
    failed: int = 0
    latencies: "Counter[int]" = field(factory=Counter)
    concurrency: float = 0.0
    rate: float | None = None
    drift: "Counter[str]" = field(factory=Counter)

    @classmethod
    def of(cls, job: Job) -> "Progress":
        """Return the progress of a job."""
        stats, requests = job.stats, job.stats.requests
        return cls(
            job.rows_read, job.skipped, Counter(stats.counts), Counter(stats.reasons), stats.sent,
            requests.sent, requests.throttled, requests.failed, Counter(stats.latencies.classes),
            requests.concurrency, requests.rate, Counter(stats.drift),
        )  # fmt: skip

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Progress":
        """Return the progress from the output of `to_dict`, also after a round trip through JSON."""
        counters = {name: Counter(values.get(name, {})) for name in ("counts", "reasons", "drift")}
        latencies = Counter({int(name): count for name, count in values["latencies"].items()})
        return cls(**{**values, **counters, "latencies": latencies})

    def to_dict(self) -> dict[str, Any]:
        """Return plain data with string keys."""
        plain = asdict(self)
        return {**plain, "latencies": {str(name): count for name, count in self.latencies.items()}}

    def add(self, other: "Progress", *, rows: bool = True) -> None:
        """Add the counts of another part.

        Args:
            other: The other part.
            rows: Add its rows too, not only its requests. False for a part that another worker repeats.
        """
        if rows:
            self.read += other.read
            self.skipped += other.skipped
            self.counts.update(other.counts)
            self.reasons.update(other.reasons)
        self.sent += other.sent
        self.requests += other.requests
        self.throttled += other.throttled
        self.failed += other.failed
        self.latencies.update(other.latencies)
        self.drift.update(other.drift)

    def join(self, other: "Progress") -> None:
        """Add the limits found by another part that runs at the same time."""
        self.concurrency += other.concurrency
        if other.rate is not None:
            self.rate = (self.rate or 0.0) + other.rate


def outcome_to_dict(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome of a failed row as plain data, without its draft and error, which contain values."""
    names = ("number", "reference", "status", "id", "reason", "code", "applied", "attempts", "request_id", "place")
    return {name: getattr(outcome, name) for name in names}


def outcome_from_dict(plain: Mapping[str, Any]) -> Outcome:
    """Return the outcome from the output of `outcome_to_dict`."""
    return Outcome(**plain)
