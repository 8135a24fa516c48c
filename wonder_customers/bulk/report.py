"""The report of a run as plain data: counts, failures, requests and curves."""

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
    """Build the report of a run that ended. It contains counts, codes and curves, and no customer data.

    Args:
        job: The job, after its end.
        gateway: The gateway's name.
        source: Where the rows came from.
        journal: The journal's file.
        seconds: The duration of the run.
        started: The start as Unix time.
    """
    stats, requests = job.stats, job.stats.requests
    return {
        "gateway": gateway,
        "source": source,
        "journal": journal,
        "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "ending": job.exit_status,
        "reason": None if job.stopped is None else job.stopped.reason,
        "rows": {
            "read": job.rows_read,
            "skipped": job.skipped,
            **{status: stats.counts[status] for status in STATUSES},
            "unfinished": job.unfinished,
        },
        "adds_up": adds_up(job),
        "failures": dict(stats.reasons.most_common()),
        "drift": dict(stats.drift.most_common()),
        "requests": {
            "sent": requests.sent,
            "throttled": requests.throttled,
            "faults": requests.failed,
            "throttled_share": round(requests.throttled / requests.sent, 5) if requests.sent else 0.0,
        },
        "latency": {"p50": stats.latencies.share(0.5), "p95": stats.latencies.share(0.95)},
        "found": {
            "concurrency": round(requests.concurrency, 1),
            "requests_per_second": None if requests.rate is None else round(requests.rate, 1),
        },
        "curves": stats.curves(),
        "versions": {"wonder_customers": _version(), "python": platform.python_version()},
    }


def adds_up(job: Job) -> bool:
    """Return whether every row has exactly one outcome; a job that stopped early may have unfinished rows."""
    return job.unfinished == 0 if job.exit_status in {"finished", "paused"} else job.unfinished >= 0


def check_balance(job: Job) -> None:
    """Check that no row was lost between the source and the report.

    Raises:
        BulkError: The counts do not add up.
    """
    if not adds_up(job):
        raise BulkError(
            f"the counts do not add up: {job.rows_read} rows were read, {job.stats.rows + job.skipped} have an"
            " outcome. Please report this as a bug. Rows that were applied are recorded in the journal; `verify`"
            " compares them with the gateway."
        )


def _version() -> str | None:
    try:
        return version("wonder-customers")
    except PackageNotFoundError:
        return None
