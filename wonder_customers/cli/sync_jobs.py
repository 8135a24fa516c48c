"""Runs a bulk job for the command line: signals, progress, dead letters, reports and the exit code."""

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import orjson
from attrs import frozen

from wonder_customers.cli.accounts import account_from_environment
from wonder_customers.cli.codes import DONE, FAILED, INTERRUPTED
from wonder_customers.cli.output import say
from wonder_customers.cli.sync_screen import Screen, ending_table
from wonder_customers.dialects import simulator
from wonder_customers.dialects.base import Account
from wonder_customers.errors import SyncFailed
from wonder_customers.session import CustomerSession
from wonder_customers.sync import report as reports
from wonder_customers.sync.engine import Job
from wonder_customers.sync.journal import Journal
from wonder_customers.sync.letters import DeadLetters
from wonder_customers.sync.options import BULK, Options, Rows
from wonder_customers.sync.page import page

__all__ = ["STOPPED", "Task", "account", "beside", "bulk_session", "journal_path", "run", "run_with"]

STOPPED = 3
"""The job stopped by itself: too many failures, refused credentials, a full disk."""


@frozen
class Task:
    """A bulk job as the command line runs it.

    Attributes:
        account: Whose customers.
        gateway: The gateway's name.
        rows: What to bring.
        title: What the person sees.
        source: Where the rows come from, for the report.
        journal: The journal; None for none.
        options: How the job works.
        letters: The file for dead letters.
        letter_values: Write the customers' fields into dead letters.
        report: The file for the JSON report, None for none.
        html: The file for the page, None for none.
        resumable: The journal is kept.
    """

    account: Account
    gateway: str
    rows: Rows
    title: str
    source: str
    journal: Journal | None
    options: Options
    letters: Path
    letter_values: bool = False
    report: Path | None = None
    html: Path | None = None
    resumable: bool = True


@contextmanager
def account(gateway: str, *, simulated: bool) -> Iterator[Account]:
    """The account to work with: of the environment, or of a simulator that runs as long as the block."""
    if not simulated:
        yield account_from_environment(gateway)
        return
    from wonder_customers.simulator import SimulatorServer  # noqa: PLC0415 - a web server, only for those who ask

    with SimulatorServer([simulator(gateway)]) as server:
        say(f"Using a simulator of {gateway} inside this process: nothing leaves this machine, nothing is kept.", "dim")
        yield account_from_environment(gateway, server.environment())


@contextmanager
def journal_path(given: Path | None, source: Path, gateway: str, *, simulated: bool) -> Iterator[Path]:
    """Where the journal is: as given, else beside the source; in a temporary folder for a simulator that forgets."""
    if given is not None:
        yield given
    elif simulated:
        with TemporaryDirectory(prefix="wonder-customers-") as folder:
            yield Path(folder) / "journal"
    else:
        yield beside(source, f"{gateway}.journal")


def beside(source: Path, ending: str) -> Path:
    """A file beside a source, named after it: ``customers.csv`` has ``customers.csv.failed.jsonl``."""
    if str(source) == "-":
        return Path(f"query.{ending}")
    named = source if source.name else source.resolve()
    return named.with_name(f"{named.name}.{ending}")


def bulk_session(owner: Account, options: Options) -> CustomerSession[Any]:
    """A session for bulk work: the job tries again by itself, and every worker has a connection."""
    return CustomerSession(owner, retry=BULK, max_connections=max(32, options.workers))


def run(task: Task) -> int:
    """Run the job to its end; the exit code."""

    async def work() -> int:
        async with bulk_session(task.account, task.options) as session:
            return await run_with(task, session, task.rows)

    return anyio.run(work)


async def run_with(task: Task, session: CustomerSession[Any], rows: Rows) -> int:
    """Run the job over a session that is open; the exit code."""
    started, clock = time.time(), time.monotonic()
    message: str | None = None
    job = Job(session, rows, task.journal, task.options)
    with DeadLetters(task.letters, values=task.letter_values, append=task.options.resume) as letters:
        try:
            await _watched(job, letters, task.title)
        except SyncFailed as error:
            message = str(error)
    facts = reports.build(
        job,
        gateway=task.gateway,
        source=task.source,
        journal=str(task.journal.path) if task.journal is not None and task.resumable else None,
        seconds=time.monotonic() - clock,
        started=started,
    )
    _tell(task, job, facts, message, letters)
    _write(task, facts)
    reports.check_balance(job)
    return _code(job)


async def _watched(job: Job, letters: DeadLetters, title: str) -> None:
    """Go through the job, with a bar, and with signals that end it in order or at once."""
    failure: SyncFailed | None = None
    with Screen(job, title) as screen:
        async with anyio.create_task_group() as group:
            group.start_soon(_signals, job, group.cancel_scope)
            group.start_soon(screen.refresh)
            try:
                async with job:
                    async for outcome in job:
                        letters.add(outcome)
            except SyncFailed as error:
                failure = error
            group.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _signals(job: Job, scope: anyio.CancelScope) -> None:
    # Windows delivers no signals to the event loop; there Ctrl-C ends the process, and the journal knows the rest.
    with suppress(NotImplementedError), anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as caught:
        asked = False
        async for _ in caught:
            if asked:
                say("Stopping at once. What is in doubt is settled when you resume.", "yellow")
                scope.cancel()
                return
            asked = True
            job.stop()
            say("Finishing what is under way. A second signal stops at once, and can be resumed too.", "yellow")


def _tell(task: Task, job: Job, facts: Mapping[str, Any], message: str | None, letters: DeadLetters) -> None:
    ending_table(dict(facts), f"{task.title}: {job.ending}")
    if message is not None:
        say(message, "red")
    if letters.count:
        say(f"{letters.count:,} rows that did not arrive are in {letters.path}, with the reason of each.", "yellow")
    if task.journal is None or not task.resumable:
        return
    if job.ending in {"interrupted", "paused"}:
        say(f"Go on with: wonder-customers resume {task.journal.path}", "yellow")
    elif job.tally.counts["failed"] and message is None:
        say(f"Send the failed rows again with: wonder-customers retry-failed {task.journal.path}", "yellow")


def _write(task: Task, facts: dict[str, Any]) -> None:
    if task.report is not None:
        task.report.write_bytes(orjson.dumps(facts, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        say(f"The report is in {task.report}.")
    if task.html is not None:
        task.html.write_text(page(facts), encoding="utf-8")
        say(f"The page is in {task.html}.")


def _code(job: Job) -> int:
    if job.ending == "interrupted":
        return INTERRUPTED
    if job.ending not in {"finished", "paused"}:
        return STOPPED
    return FAILED if job.tally.failures else DONE
