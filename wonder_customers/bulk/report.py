"""The report of a run as plain data: what was asked, what happened, what was found out, and whether it adds up."""

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from wonder_customers.bulk.job import Job
from wonder_customers.errors import BulkError

__all__ = ["STATUSES", "build", "check_balance"]

STATUSES = ("created", "updated", "written", "unchanged", "failed", "invalid", "duplicate")


def build(
    job: Job, *, gateway: str, source: str, journal: str | None, seconds: float, started: float
) -> dict[str, Any]:
    """The report of a run that ended. It holds counts, codes and curves; nothing of any customer.

    Args:
        job: The job, after its end.
        gateway: The gateway's name.
        source: Where the rows came from.
        journal: The journal's file.
        seconds: How long it took.
        started: Unix time.
    """
    tally, capacity = job.tally, job.capacity
    requests = capacity.accepted + capacity.throttled
    return {
        "gateway": gateway,
        "source": source,
        "journal": journal,
        "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "ending": job.end_state,
        "reason": None if job.stopped is None else job.stopped.reason,
        "rows": {
            "read": job.rows_read,
            "passed_over": job.passed_over,
            **{status: tally.counts[status] for status in STATUSES},
            "unfinished": job.unfinished,
        },
        "adds_up": adds_up(job),
        "failures": dict(tally.reasons.most_common()),
        "requests": {
            "sent": requests,
            "throttled": capacity.throttled,
            "faults": capacity.troubled,
            "throttled_share": round(capacity.throttled / requests, 5) if requests else 0.0,
        },
        "latency": {"p50": tally.latencies.share(0.5), "p95": tally.latencies.share(0.95)},
        "found": {
            "concurrency": round(capacity.concurrency, 1),
            "requests_per_second": None if capacity.rate is None else round(capacity.rate, 1),
        },
        "curves": tally.curves(),
        "versions": {"wonder_customers": _version(), "python": platform.python_version()},
    }


def adds_up(job: Job) -> bool:
    """Whether every row has exactly one outcome; of a job that stopped early, those that it began may be open."""
    return job.unfinished == 0 if job.end_state in {"finished", "paused"} else job.unfinished >= 0


def check_balance(job: Job) -> None:
    """Raise when rows have gone missing between the source and the report.

    Raises:
        BulkError: The counts do not add up.
    """
    if not adds_up(job):
        raise BulkError(
            f"the counts do not add up: {job.rows_read} rows were read, {job.tally.rows + job.passed_over} have an"
            " outcome. Please report this. What was applied is in the journal; `verify` compares it with the gateway."
        )


def _version() -> str | None:
    try:
        return version("wonder-customers")
    except PackageNotFoundError:
        return None
