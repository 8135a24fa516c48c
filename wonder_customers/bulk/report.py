"""The report of a run as plain data."""

import platform
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from attrs import asdict

from wonder_customers._support.counted import counted
from wonder_customers._support.installed_version import installed_version
from wonder_customers.bulk.continuation import continuation
from wonder_customers.bulk.job import Job
from wonder_customers.bulk.sources.notes import SourceNotes
from wonder_customers.bulk.stop_reasons import SYNC_AGAIN
from wonder_customers.errors import BulkError

__all__ = ["MEANINGS", "build", "check_balance", "format_duration", "no_rows"]

MEANINGS: Final = {
    "created": "new at the gateway",
    "updated": "existing customers that were changed",
    "written": "created or updated (not distinguished by the gateway)",
    "unchanged": "confirmed in an earlier run, not sent",
    "failed": "not confirmed; see the reasons",
    "invalid": "not sent: unreadable, or outside the gateway's limits",
    "duplicate": "not sent: an earlier row has the same reference",
    "unfinished": "read, but without a result when the job stopped",
}
"""The statuses of the rows of a source, and their meanings."""

_Step = tuple[str, str | None]
"""What the user can do next, and the command for it; None without a command."""


def build(
    job: Job,
    *,
    gateway: str,
    source: str,
    journal: Path | None,
    environment: str = "unknown",
    failed_rows: Path | None = None,
    earlier_failures: int = 0,
    facts: Mapping[str, Any] | None = None,
    seconds: float,
    started: float,
) -> dict[str, Any]:
    """Build the report of a run. Times are in seconds. `facts` are those of the run in the journal."""
    stats, requests = job.stats, job.stats.requests
    return {
        "gateway": gateway,
        "environment": environment,
        "source": source,
        "journal": None if journal is None else str(journal),
        "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "exit_status": job.exit_status,
        "reason": None if job.stopped is None else job.stopped.reason,
        "rows": {
            "read": job.rows_read,
            "skipped": job.skipped,
            **{status: stats.counts[status] for status in MEANINGS},
            "unfinished": job.unfinished,
        },
        "adds_up": adds_up(job),
        "confirmed": _confirmed(job),
        "next_steps": [
            {"text": text, "command": command}
            for text, command in (
                *_failed_rows(job, failed_rows, earlier_failures),
                *_next_steps(job, source, journal, gateway, facts or {}),
            )
        ],
        "source_changes": job.notes.as_dict(),
        "failures": dict(stats.reasons.most_common()),
        "cleared": dict(stats.cleared.most_common()),
        "missing_from_source": _missing(job),
        "drift": dict(stats.drift.most_common()),
        "examples": dict(stats.examples),
        "requests": {
            "sent": requests.issued,
            "throttled": requests.throttled,
            "faults": requests.failed,
            "throttled_share": round(requests.throttled / requests.issued, 5) if requests.issued else 0.0,
        },
        "latency": {"p50": stats.latencies.quantile(0.5), "p95": stats.latencies.quantile(0.95)},
        "found": {
            "concurrency": round(requests.concurrency, 1),
            "requests_per_second": None if requests.rate is None else round(requests.rate, 1),
        },
        "outages": [outage.as_dict() for outage in job.past_outages],
        "curves": [asdict(point) for point in stats.points],
        "versions": {"wonder_customers": installed_version(), "python": platform.python_version()},
    }


def _confirmed(job: Job) -> dict[str, Any]:
    """Return how many rows the gateway has confirmed."""
    rows = job.stats.rows + job.unfinished
    confirmed = job.stats.rows - job.stats.failures
    text = "The source has no rows."
    if rows:
        # Rounded down, so that only a complete job shows 100%.
        percent = f"{confirmed * 1000 // rows / 10:.1f}%".replace(".0%", "%")
        text = f"{confirmed:,} of {rows:,} rows are confirmed ({percent})."
    return {"rows": confirmed, "of": rows, "all": confirmed == rows, "text": text}


def _missing(job: Job) -> dict[str, Any] | None:
    """Return the customers missing from the source."""
    missing = job.missing_from_source
    if not missing.counted:
        return None
    ids = [held for _, held in missing.listed if held is not None]
    counts = {"rule": missing.rule, "customers": missing.count, "removed": missing.removed, "kept": missing.kept}
    return {**counts, "problem": missing.problem, "ids": ids, "text": _missing_text(job)}


def _missing_text(job: Job) -> str | None:
    """Return a sentence about the customers missing from the source."""
    missing = job.missing_from_source
    if missing.problem is not None:
        return f"No customer was removed: {missing.problem}."
    if missing.rule == "delete" and missing.count:
        rest = missing.count - missing.removed
        return f"The source no longer contains {missing.share}. Removed: {missing.removed:,}. Not removed: {rest:,}."
    warning = missing.warning(job.rows_read)
    text = f"The source no longer contains {missing.share}, which will stay at the gateway." if missing.count else None
    return text if warning is None else " ".join(filter(None, [text, f"Check the source: {warning}."]))


def _failed_rows(job: Job, file: Path | None, earlier: int) -> Iterator[_Step]:
    failures = job.stats.failures
    if file is not None and failures:
        rows = counted(failures, "row was", "rows were")
        yield f"{rows} not sent or not confirmed. The reasons are in {file}.", None
    if earlier:
        rows = counted(earlier, "failed row", "failed rows")
        end = "Correct the source and run `sync` or `migrate` again, or delete the file if the rows are not needed."
        yield f"{file} still contains {rows} from earlier runs. {end}", None


def _next_steps(job: Job, source: str, journal: Path | None, gateway: str, facts: Mapping[str, Any]) -> Iterator[_Step]:
    if not job.rows_read and job.exit_status == "finished":
        yield no_rows(source, job.notes), None
    if job.exit_status == "removal":
        return
    if job.missing_from_source.counted and (text := _missing_text(job)) is not None:
        yield text, None
    if journal is None:
        return
    resume = continuation(str(journal), facts, gateway=gateway)
    if job.exit_status in {"interrupted", "paused"}:
        yield "To continue, run:", resume
    elif job.stopped is not None and job.stopped.by_source:
        yield SYNC_AGAIN, None
    elif job.exit_status != "finished":
        yield "To continue after fixing the cause, run:", resume
    elif job.stats.counts["failed"]:
        again = continuation(str(journal), facts, gateway=gateway, command="retry-failed")
        yield "To send the failed rows again, run:", again


def no_rows(source: str, notes: SourceNotes) -> str:
    """Return the message for a source without rows."""
    fields = dict.fromkeys(path for paths, _ in notes.columns.values() for path in paths)
    names = f", only column names (fields: {', '.join(fields)})" if fields else ""
    return f"{source} has no rows{names}. Check that the source is the right file."


def format_duration(seconds: float) -> str:
    """Format seconds for people, such as ``4 min 41 s`` and ``2 h 05 min``."""
    if 0 < seconds < 9.95:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s".replace(" 00 s", "")
    if whole < 172_800:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min".replace(" 00 min", "")
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def adds_up(job: Job) -> bool:
    """Return whether the counts of rows add up."""
    # A job that stopped early may have unfinished rows.
    return job.unfinished == 0 if job.exit_status in {"finished", "paused"} else job.unfinished >= 0


def check_balance(job: Job) -> None:
    """Raise `BulkError` if a row was lost between the source and the report."""
    if not adds_up(job):
        raise BulkError(
            f"the counts do not add up: {job.rows_read} rows were read, and {job.stats.rows + job.skipped} rows"
            " have an outcome or do not belong to the run. Please report this as a bug. Rows that were"
            " applied are recorded in the journal; `verify` compares them with the gateway."
        )
