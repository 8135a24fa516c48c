"""Runs a bulk job for the command line: signals, progress, dead letters, reports and the exit code."""

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import orjson
from attrs import frozen

from wonder_customers.bulk import report as reports
from wonder_customers.bulk.dead_letters import DeadLetters
from wonder_customers.bulk.distributed.paced import PacedTransport, PerRequest
from wonder_customers.bulk.distributed.partition import Source, run_partition, whole
from wonder_customers.bulk.html_report import page
from wonder_customers.bulk.job import Job
from wonder_customers.bulk.journal import Journal
from wonder_customers.bulk.options import BULK, Options
from wonder_customers.bulk.shared_limit import SharedLimit
from wonder_customers.cli import runtime
from wonder_customers.cli.accounts import account_from_environment
from wonder_customers.cli.codes import DONE, FAILED, INTERRUPTED
from wonder_customers.cli.output import say
from wonder_customers.cli.sync_screen import Screen, ending_table
from wonder_customers.dialects import simulator
from wonder_customers.dialects.base import Account
from wonder_customers.errors import BulkError, ConfigurationError
from wonder_customers.session import CustomerSession

__all__ = [
    "STOPPED",
    "Task",
    "Where",
    "account",
    "beside",
    "bulk_session",
    "check_folders",
    "journal_path",
    "run",
    "run_with",
]

STOPPED = 3
"""The job stopped by itself: too many failures, refused credentials, a full disk; or another job uses its journal."""


@frozen
class Where:
    """Where a job runs.

    Attributes:
        on: The engine; None for this process.
        processes: How many workers an engine has.
        shared_limit: The store that keeps the rate for several processes; None when there is only this one.
        shared_name: What these processes have in common.
    """

    on: str | None = None
    processes: int = 2
    shared_limit: str | None = None
    shared_name: str = "default"


@frozen
class Task:
    """A bulk job as the command line runs it.

    Attributes:
        account: Whose customers.
        gateway: The gateway's name.
        title: What the person sees.
        source: Where the rows come from, for the report.
        journal: The journal; None for none.
        options: How the job works.
        letters: The file for dead letters.
        letter_values: Write the customers' fields into dead letters.
        report: The file for the JSON report, None for none.
        html: The file for the page, None for none.
        resumable: The journal is kept.
        where: Where the job runs.
    """

    account: Account
    gateway: str
    title: str
    source: str
    journal: Journal | None
    options: Options
    letters: Path
    letter_values: bool = False
    report: Path | None = None
    html: Path | None = None
    resumable: bool = True
    where: Where = Where()


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


def beside(source: Path, end_state: str) -> Path:
    """A file beside a source, named after it: ``customers.csv`` has ``customers.csv.failed.jsonl``."""
    if str(source) == "-":
        return Path(f"query.{end_state}")
    named = source if source.name else source.resolve()
    return named.with_name(f"{named.name}.{end_state}")


def bulk_session(
    owner: Account, options: Options, limits: PerRequest | None = None
) -> AbstractAsyncContextManager[CustomerSession[Any]]:
    """A session for bulk work: the job tries again by itself, and every worker has a connection."""
    wrapped = None if limits is None else partial(PacedTransport, limits=limits)
    return runtime.session(owner, retry=BULK, max_connections=max(32, options.workers), wrapped=wrapped)


def run(task: Task, source: Source) -> int:
    """Bring a source to the gateway; the exit code."""
    check_folders(task)

    async def work() -> int:
        if task.where.on is not None:
            try:
                fleet = await _fleet(task, source, task.where.on)
            except BulkError as error:
                say(f"wonder-customers: {error}", "red")
                return STOPPED
            return await run_with(task, fleet)
        limits = await _shared(task)
        async with bulk_session(task.account, task.options, limits) as session:
            job = run_partition(whole(source), session, task.journal, limits, options=task.options)
            return await run_with(task, job)

    return runtime.run(work)


async def _fleet(task: Task, source: Source, on: str) -> Job:
    """The job on many workers."""
    from wonder_customers.bulk.ray import Cluster, sync_on_ray  # noqa: PLC0415 - an extra, only for those who ask

    if task.where.shared_limit is not None:
        raise ConfigurationError("--shared-limit is for plain processes; on Ray, the workers keep --rate together")
    cluster, journal = Cluster.of(on), task.journal
    if journal is None:
        raise ConfigurationError("a job on many workers needs a journal")
    say("Counting the rows and starting the workers …", "dim")
    return await sync_on_ray(
        source,
        journal.path,
        cluster=cluster,
        workers=task.where.processes,
        options=task.options,
        values=task.letter_values,
    )


async def _shared(task: Task) -> PerRequest | None:
    """The limit that several processes keep together, once it has answered.

    Raises:
        ConfigurationError: It cannot be asked, or there is no rate to keep.
    """
    where, rate = task.where, task.options.rate
    if where.shared_limit is None:
        return None
    if where.on is not None:
        raise ConfigurationError(
            "--shared-limit is for plain processes: on Ray the workers keep --rate together anyway"
        )
    if rate is None:
        raise ConfigurationError("--shared-limit needs --rate: the requests per second of all processes together")
    limiter = SharedLimit(where.shared_limit, rate, where.shared_name, lambda words: say(words, "yellow"))
    await limiter.check()
    return PerRequest(limiter)


async def run_with(task: Task, job: Job) -> int:
    """Run a job to its end; the exit code."""
    started, clock = time.time(), time.monotonic()
    message: str | None = None
    letters = DeadLetters(task.letters, values=task.letter_values, append=task.options.resume)
    try:
        await _watched(job, letters, task.title)
    except BulkError as error:
        message = str(error)
        if not job.begun:
            say(f"wonder-customers: {message}", "red")
            return STOPPED
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
    return _code(job) if message is None else STOPPED


async def _watched(job: Job, letters: DeadLetters, title: str) -> None:
    """Go through the job, with a bar, and with signals that end it in order or at once."""
    failure: BulkError | None = None
    with Screen(job, title) as screen:
        async with anyio.create_task_group() as group:
            group.start_soon(_signals, job, group.cancel_scope)
            group.start_soon(screen.refresh)
            try:
                # The letters of earlier runs go when this one has the journal: they may be another job's until then.
                async with job:
                    with letters:
                        async for outcome in job:
                            letters.add(outcome)
            except BulkError as error:
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


_ENDINGS = {
    "paused": "the first rows are done",
    "refused": "stopped, the credentials were refused",
    "failures": "stopped, too many rows failed",
    "journal": "stopped, the journal cannot be written",
    "source": "stopped, the source cannot be read",
}


def _tell(task: Task, job: Job, facts: Mapping[str, Any], message: str | None, letters: DeadLetters) -> None:
    ending_table(dict(facts), f"{task.title}: {_ENDINGS.get(job.end_state, job.end_state)}")
    if message is not None:
        say(message, "red")
    if letters.count:
        rows = (
            "1 row that did not arrive is" if letters.count == 1 else f"{letters.count:,} rows that did not arrive are"
        )
        say(f"{rows} in {letters.path}, with the reason of each.", "yellow")
    if not job.rows_read and job.end_state == "finished":
        say(f"{task.source} holds no rows: is it the right file?", "yellow")
    if task.journal is None or not task.resumable:
        return
    if job.end_state in {"interrupted", "paused"}:
        say(f"Go on with: wonder-customers resume {task.journal.path}", "yellow")
    elif job.tally.counts["failed"] and message is None:
        say(f"Send the failed rows again with: wonder-customers retry-failed {task.journal.path}", "yellow")


def check_folders(task: Task) -> None:
    """Refuse beforehand what a job of hours could not write at its end."""
    for file in (task.report, task.html, task.letters):
        if file is not None and not file.resolve().parent.is_dir():
            raise ConfigurationError(f"{file} cannot be written: there is no such folder. Nothing was sent.")
        if file is not None and file.is_dir():
            raise ConfigurationError(f"{file} cannot be written: it is a folder. Name a file in it. Nothing was sent.")


def _write(task: Task, facts: dict[str, Any]) -> None:
    if task.report is not None:
        _save(task.report, "report", orjson.dumps(facts, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    if task.html is not None:
        _save(task.html, "page", page(facts).encode())


def _save(file: Path, what: str, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        raise BulkError(
            f"the {what} {file} could not be written: {error.strerror}. The job itself ended as told above."
        ) from None
    say(f"The {what} is in {file}.")


def _code(job: Job) -> int:
    if job.end_state == "interrupted":
        return INTERRUPTED
    if job.end_state not in {"finished", "paused"}:
        return STOPPED
    return FAILED if job.tally.failures else DONE
