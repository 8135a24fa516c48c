"""Display of a bulk job."""

import sys
from collections.abc import Iterable
from typing import Any, Self

import anyio
import orjson
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from wonder_customers._support.counted import counted
from wonder_customers._support.printable import printable
from wonder_customers.bulk.job import Job
from wonder_customers.bulk.report import MEANINGS, format_duration
from wonder_customers.cli.output import cell, console, ignoring_closed, print_line

__all__ = ["ProgressDisplay", "print_summary"]

_REFRESH_INTERVAL = 0.2
"""Seconds between two updates of the progress bar."""
_LINE_INTERVAL = 10.0
"""Seconds between two JSON lines when standard error is not a terminal."""
_OUTAGE_INTERVAL = 1.0
"""Seconds between two checks for an outage."""
_MAX_REASONS = 15
"""The number of reasons in the summary."""


class _Bar(Progress):
    """A progress bar with a note below it."""

    note = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        if self.note:
            yield Text(self.note, "yellow", no_wrap=True, overflow="ellipsis")


class ProgressDisplay:
    """Shows the progress of a job on standard error."""

    def __init__(self, job: Job, title: str) -> None:
        self._job = job
        self._console: Console = console(stderr=True)
        # File names are part of the title and must not be parsed as markup.
        text = [TextColumn(template, markup=False) for template in ("{task.description}", "{task.fields[facts]}")]
        columns = (SpinnerColumn(), text[0], BarColumn(bar_width=12), text[1])
        self._progress = _Bar(*columns, console=self._console, transient=True)
        self._task: TaskID = self._progress.add_task(printable(title), total=1.0, facts="")
        self._started = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            with ignoring_closed(sys.stderr):
                self._progress.stop()

    async def refresh(self) -> None:
        """Update the display repeatedly."""
        self._started = anyio.current_time()
        with ignoring_closed(sys.stderr):
            await (self._draw() if self._console.is_terminal else self._write_lines())

    async def _draw(self) -> None:
        while True:
            await anyio.sleep(_REFRESH_INTERVAL)
            facts = self.facts(anyio.current_time() - self._started)
            total = None if facts["done"] is None else 1.0
            self._progress.note = _outage_line(facts)
            self._progress.update(self._task, completed=facts["done"] or 0.0, total=total, facts=_format_facts(facts))

    async def _write_lines(self) -> None:
        written, in_outage = self._started, False
        while True:
            await anyio.sleep(_OUTAGE_INTERVAL)
            now, outage = anyio.current_time(), self._job.outage is not None
            if now - written >= _LINE_INTERVAL or outage is not in_outage:
                written, in_outage = now, outage
                sys.stderr.write(orjson.dumps(self.facts(now - self._started)).decode() + "\n")
                sys.stderr.flush()

    def facts(self, seconds: float) -> dict[str, Any]:
        """Return the progress of the job as JSON values."""
        stats, fraction = self._job.stats, self._job.fraction
        recent = stats.points[-10:]
        time = sum(point.seconds for point in recent)
        left, outage = None if not fraction else seconds * (1 - fraction) / fraction, self._job.outage
        return {
            "rows": stats.rows,
            "failed": stats.failures,
            "unchanged": stats.counts["unchanged"],
            "removed": self._job.missing_from_source.removed,
            "rows_per_second": round(sum(point.rows for point in recent) / time, 1) if time else None,
            "throttled": stats.requests.throttled,
            "faults": stats.requests.failed,
            "p50": stats.latencies.quantile(0.5),
            "p95": stats.latencies.quantile(0.95),
            "done": None if fraction is None else round(fraction, 4),
            "seconds_left": None if left is None else round(left),
            "outage": None if outage is None else {**outage.as_dict(), "text": f"{outage.text}, waiting"},
        }


def _outage_line(facts: dict[str, Any]) -> str:
    """Return the line below the progress bar."""
    outage = facts["outage"]
    return "" if outage is None else f"{outage['text']} for {format_duration(outage['seconds'])}"


def _format_facts(facts: dict[str, Any]) -> str:
    """Return the progress as one line."""
    # The most important figures are first, because narrow terminals cut the line.
    parts = [f"{facts['rows']:,} rows"]
    if facts["rows_per_second"] is not None:
        parts.append(f"{facts['rows_per_second']:,.0f}/s")
    if facts["seconds_left"] is not None:
        parts.append(f"{format_duration(facts['seconds_left'])} left")
    if facts["failed"]:
        parts.append(f"{facts['failed']:,} failed")
    if facts.get("removed"):
        parts.append(f"{facts['removed']:,} removed")
    if facts["faults"] and not facts.get("outage"):
        parts.append(f"{facts['faults']:,} failed requests (retried)")
    if facts["throttled"]:
        parts.append(f"{facts['throttled']:,} rejected (HTTP 429)")
    return " · ".join(parts)


def print_summary(report: dict[str, Any], title: str) -> None:
    """Print the summary of a job's report."""
    table = Table(title=cell(title, "italic"), title_justify="left")
    table.add_column("rows")
    table.add_column("number", justify="right")
    table.add_column("meaning", style="dim")
    rows = report["rows"]
    always = {"unchanged", "failed"} | (set() if rows["written"] else {"created", "updated"})
    for status, meaning in MEANINGS.items():
        if rows[status] or status in always:
            style = "red" if rows[status] and status in {"failed", "invalid", "duplicate"} else ""
            table.add_row(status, cell(f"{rows[status]:,}", style), meaning)
    read = rows["read"] - rows["skipped"]
    table.add_section()
    balance = "adds up" if report["adds_up"] else "DOES NOT ADD UP"
    table.add_row("total", f"{read:,}", f"{balance}; {_format_speed(report)}")
    console().print(table)
    if report["failures"]:
        reasons = Table(title="reasons", title_justify="left")
        reasons.add_column("reason")
        reasons.add_column("rows", justify="right")
        found = list(report["failures"].items())
        for reason, count in found[:_MAX_REASONS]:
            reasons.add_row(cell(reason), f"{count:,}")
        if rest := found[_MAX_REASONS:]:
            reasons.add_row(counted(len(rest), "other reason", "other reasons"), f"{sum(it for _, it in rest):,}")
        console().print(reasons)
    if report["cleared"]:
        fields = ", ".join(f"{name} ({count:,})" for name, count in report["cleared"].items())
        print_line(f"Fields cleared because their cells are empty: {fields}")
    if report["drift"]:
        fields = ", ".join(f"{name} ({count:,})" for name, count in list(report["drift"].items())[:10])
        print_line(f"Response fields that differ from the gateway's documentation: {fields}", "yellow")


def _format_speed(report: dict[str, Any]) -> str:
    found, requests = report["found"], report["requests"]
    rows = sum(report["rows"][status] for status in MEANINGS if status != "unfinished")
    parts = [f"{format_duration(report['seconds'])}, {rows / max(report['seconds'], 0.001):,.0f} rows/s"]
    if found["requests_per_second"] is not None:
        parts.append(f"the gateway accepts about {found['requests_per_second']:,.0f} requests/s")
        parts.append(f"{requests['throttled']:,} of {requests['sent']:,} rejected (HTTP 429)")
    return "; ".join(parts)
