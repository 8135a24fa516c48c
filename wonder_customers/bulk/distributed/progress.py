"""What a part of a job tells of itself while it runs, and how many parts make a whole."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from attrs import asdict, define, field

from wonder_customers.bulk.job import Job
from wonder_customers.bulk.rows import Outcome

__all__ = ["Progress", "outcome_of", "told"]


@define
class Progress:
    """Counts of rows and requests.

    Attributes:
        read: Rows of the source that were read.
        passed_over: Of these, rows that are no part of the run.
        counts: Rows by status.
        reasons: Failed, invalid and duplicate rows by code.
        sent: Rows that the gateway took.
        accepted: Requests that were not refused for their number.
        throttled: Requests that were.
        troubled: Requests that met a fault.
        latencies: Rows by class of latency.
        concurrency: Rows at a time that the gateway takes, by what was found out.
        rate: Requests per second that it takes; None as long as it refused none.
    """

    read: int = 0
    passed_over: int = 0
    counts: "Counter[str]" = field(factory=Counter)
    reasons: "Counter[str]" = field(factory=Counter)
    sent: int = 0
    accepted: int = 0
    throttled: int = 0
    troubled: int = 0
    latencies: "Counter[int]" = field(factory=Counter)
    concurrency: float = 0.0
    rate: float | None = None

    @classmethod
    def of(cls, job: Job) -> "Progress":
        """How a job stands."""
        tally, capacity = job.tally, job.capacity
        return cls(
            job.rows_read, job.passed_over, Counter(tally.counts), Counter(tally.reasons), tally.sent,
            capacity.accepted, capacity.throttled, capacity.troubled, Counter(tally.latencies.classes),
            capacity.concurrency, capacity.rate,
        )  # fmt: skip

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Progress":
        """The progress that `to_dict` made, also when it went through JSON."""
        counters = {name: Counter(values[name]) for name in ("counts", "reasons")}
        latencies = Counter({int(name): count for name, count in values["latencies"].items()})
        return cls(**{**values, **counters, "latencies": latencies})

    def to_dict(self) -> dict[str, Any]:
        """Plain data, whose keys are all text."""
        plain = asdict(self)
        return {**plain, "latencies": {str(name): count for name, count in self.latencies.items()}}

    def add(self, other: "Progress", *, rows: bool = True) -> None:
        """Add what another part has done.

        Args:
            other: The other part.
            rows: Its rows too, not only its requests: not those of a part that somebody else does again.
        """
        if rows:
            self.read += other.read
            self.passed_over += other.passed_over
            self.counts.update(other.counts)
            self.reasons.update(other.reasons)
        self.sent += other.sent
        self.accepted += other.accepted
        self.throttled += other.throttled
        self.troubled += other.troubled
        self.latencies.update(other.latencies)

    def join(self, other: "Progress") -> None:
        """Add the limits that another part has found, which runs beside this one."""
        self.concurrency += other.concurrency
        if other.rate is not None:
            self.rate = (self.rate or 0.0) + other.rate


def told(outcome: Outcome) -> dict[str, Any]:
    """A row that did not arrive, as plain data without its draft and its error, which hold values."""
    names = ("number", "reference", "status", "id", "reason", "code", "applied", "attempts", "request_id", "place")
    return {name: getattr(outcome, name) for name in names}


def outcome_of(plain: Mapping[str, Any]) -> Outcome:
    """The outcome that `told` made plain."""
    return Outcome(**plain)
