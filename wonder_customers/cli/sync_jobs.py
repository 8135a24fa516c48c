"""Run a bulk job for the command line."""

import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
from attrs import Factory, field, frozen

from wonder_customers._support.counted import counted
from wonder_customers.bulk import report as reports
from wonder_customers.bulk.continuation import as_argument
from wonder_customers.bulk.dead_letters import DeadLetters
from wonder_customers.bulk.job import Job
from wonder_customers.bulk.journal import Journal
from wonder_customers.bulk.journal.database import reading
from wonder_customers.bulk.journal.digest import Digests, key_mark, key_of
from wonder_customers.bulk.local_job import LocalJob, sync
from wonder_customers.bulk.options import BULK, Options
from wonder_customers.bulk.removal import check_deletion
from wonder_customers.bulk.saved_plan import check_plan
from wonder_customers.bulk.shared_limit import SharedLimit
from wonder_customers.bulk.sources.reader import Source
from wonder_customers.bulk.sources.running import end_queries
from wonder_customers.bulk.stop_reasons import Stop
from wonder_customers.cli import runtime
from wonder_customers.cli.accounts import account_from_environment
from wonder_customers.cli.error_messages import error_message, with_options
from wonder_customers.cli.exit_codes import FAILED, INTERRUPTED, STOPPED, SUCCESS
from wonder_customers.cli.job_facts import described
from wonder_customers.cli.job_options import EngineOptions, OutputOptions
from wonder_customers.cli.job_outputs import check_outputs, default_path, write_reports
from wonder_customers.cli.monitoring import Monitor
from wonder_customers.cli.output import discard, ignoring_closed, print_message
from wonder_customers.cli.progress import ProgressDisplay, print_summary
from wonder_customers.cli.source_options import print_changes
from wonder_customers.dialects import simulator
from wonder_customers.dialects.accounts import environment
from wonder_customers.dialects.base import Account
from wonder_customers.errors import BulkError, ConfigurationError
from wonder_customers.rate_limit import AdaptiveRateLimit, RateLimiter
from wonder_customers.session import CustomerSession

__all__ = ["SyncTask", "account", "before_sending", "bulk_session", "empty_journal", "journal_path", "run", "run_job"]

_GRACE = 1.5
"""Seconds for the requests in progress after the first signal. With the end of the process, a stop takes up to 2 s."""


@frozen
class SyncTask:
    """The settings of one bulk job of the command line.

    Attributes:
        title: The title of the progress bar and of the summary.
        source: The path of the source; for a migration, the name of the source gateway.
        failed_rows: The file for failed rows.
        output: The options for the other files.
        rate: The maximum number of requests per second; None to adapt to the gateway.
        approved: The saved plan that the job must carry out; None without a plan.
        mapping: The mapping file of the command; None without a file.
    """

    account: Account
    title: str
    source: str
    journal: Journal
    options: Options
    failed_rows: Path
    output: OutputOptions
    engine: EngineOptions = EngineOptions()
    rate: float | None = None
    approved: Path | None = None
    mapping: Path | None = None
    monitor: Monitor = field(init=False, default=Factory(lambda self: self.output.monitor(), takes_self=True))

    @property
    def gateway(self) -> str:
        """The name of the gateway."""
        return self.journal.gateway


@contextmanager
def before_sending(*, again: bool = False) -> Iterator[None]:
    """Add to a `ConfigurationError` that nothing was sent; `again` if the command has no options for sources."""
    try:
        yield
    # Once a job has begun, its errors are of other classes.
    except ConfigurationError as error:
        if again and re.search("encoding|delimiter|mapping=|skip_lines", str(error)):
            error.add_note("This command reads the source with the options of the run. Run `sync` with other options.")
        error.add_note("Nothing was sent.")
        raise


@contextmanager
def account(gateway: str, *, simulated: bool) -> Iterator[Account]:
    """Provide the account of the environment or of a simulator."""
    if not simulated:
        yield account_from_environment(gateway)
        return
    from wonder_customers.simulator import SimulatorServer  # noqa: PLC0415 - a web server, needed for this option only

    with SimulatorServer([simulator(gateway)]) as server:
        print_message(f"Using a simulator of {gateway} in this process. No request is sent to the gateway.", "dim")
        yield account_from_environment(gateway, server.environment())


@contextmanager
def journal_path(given: Path | None, source: Path, gateway: str, *, simulated: bool) -> Iterator[Path]:
    """Provide the path of the journal."""
    if given is not None:
        yield given
    elif simulated:
        with TemporaryDirectory(prefix="wonder-customers-") as folder:
            yield Path(folder) / "journal"
    else:
        yield default_path(source, f"{gateway}.journal")


@contextmanager
def empty_journal(path: Path, gateway: str, endpoint: str) -> Iterator[Journal]:
    """Provide an empty temporary journal for a plan."""
    with TemporaryDirectory(prefix="wonder-customers-") as folder:
        made = Journal.open(Path(folder) / "journal", gateway=gateway, endpoint=endpoint)
        # The key is created beside `path`, where `sync` will create the journal.
        with reading(path):
            made.digests = Digests(key_of(path))
        yield made


def bulk_session(
    owner: Account, workers: int, rate: float | None = None, *, shared: RateLimiter | None = None
) -> CustomerSession[Any]:
    """Return a session for a bulk job."""
    return runtime.new_session(owner, max(32, workers), retry=BULK, rate_limit=shared or AdaptiveRateLimit(rate))


def run(task: SyncTask, source: Source) -> int:
    """Send the rows of a source to the gateway, and return the exit code."""
    check_outputs(task, source)
    if task.options.removed == "delete":
        check_deletion(task.account)

    async def work() -> int:
        shared = await _shared_limit(task)
        if task.engine.on is not None:
            try:
                distributed_job = await _distributed_job(task, source, task.engine.on)
            except BulkError as error:
                print_message(f"wonder-customers: {error_message(error)}", "red")
                return STOPPED
            return await run_job(task, distributed_job)
        async with bulk_session(task.account, task.options.workers, task.rate, shared=shared) as session:
            options = task.options
            if task.approved is not None:
                about = await anyio.to_thread.run_sync(described, source)
                rows = await anyio.to_thread.run_sync(source.read)
                options = await check_plan(
                    task.approved, session, rows, journal=task.journal, options=options, source=about
                )
            # In a thread, so that a signal is received during a query.
            rows = await anyio.to_thread.run_sync(source.read)
            return await run_job(task, sync(session, rows, journal=task.journal, options=options))

    return runtime.run(work)


async def _distributed_job(task: SyncTask, source: Source, on: str) -> Job:
    """Return a job that runs on the workers of an engine."""
    from wonder_customers.bulk.ray import sync_on_ray  # noqa: PLC0415 - an extra, needed for this option only

    print_message("Counting rows and starting workers …", "dim")
    return await sync_on_ray(
        source,
        task.journal.path,
        on=on,
        workers=2 if task.engine.processes is None else task.engine.processes,
        rate=task.rate,
        options=task.options,
        values=task.output.failure_values,
    )


async def _shared_limit(task: SyncTask) -> RateLimiter | None:
    """Return the rate limit of --shared-limit; None without the option."""
    engine, rate = task.engine, task.rate
    if engine.shared_limit is None:
        return None
    if engine.on is not None:
        raise ConfigurationError(
            "--shared-limit cannot be used with --on. Remove --shared-limit: on Ray, all workers share --rate."
        )
    if rate is None:
        raise ConfigurationError(
            "--shared-limit requires --rate. Run `sync` with --rate, the requests per second of all processes together."
        )
    limiter = SharedLimit(
        engine.shared_limit, rate, engine.shared_name or task.gateway, lambda text: print_message(text, "yellow")
    )
    await limiter.check()
    return limiter


async def run_job(task: SyncTask, job: Job) -> int:
    """Run a job to its end, report its result, and return the exit code."""
    started, clock = time.time(), time.monotonic()
    message: str | None = None
    source, place = Path(task.source).name, f"{task.gateway} {environment(task.account)}"
    belongs = {"source": source, "gateway": place, "journal": key_mark(task.journal.digests).hex()[:12]}
    dead_letters = DeadLetters(task.failed_rows, **belongs, values=task.output.failure_values)
    try:
        await _run_with_progress(job, dead_letters, task)
    except BulkError as error:
        message = error_message(error)
        if not job.begun:
            print_message(f"wonder-customers: {message}", "red")
            await task.monitor.end(source, {"gateway": task.gateway, "exit_status": "not started"}, STOPPED)
            return STOPPED
    try:
        last = task.journal.last_run()
        with task.journal.reader() as find:
            # Rows of earlier runs that have arrived are removed from the file of failed rows.
            complete, whole = job.exit_status == "finished" and not job.skipped, task.options.removed == "delete"
            dead_letters.settle(complete=complete, whole=whole, find=find)
    except ConfigurationError as error:  # the journal was damaged during the run, or its disk is full
        last, message = None, message or error_message(error)
        job.stopped = job.stopped or Stop("journal", str(error))
    except BulkError as error:  # the file of failed rows could not be updated
        message = message or error_message(error)
    facts = reports.build(
        job,
        gateway=task.gateway,
        environment=environment(task.account),
        source=source,
        journal=None if "temporary" in task.options.facts else task.journal.path,
        failed_rows=dead_letters.path if dead_letters.count or dead_letters.earlier else None,
        earlier_failures=dead_letters.earlier,
        facts=task.options.facts if last is None else last.facts,
        seconds=time.monotonic() - clock,
        started=started,
    )
    facts["reason"] = facts["reason"] and with_options(facts["reason"])
    again = task.options.resume or task.options.only == "failed"
    if again and job.exit_status == "finished" and not job.stats.requests.sent:
        whole_run = " The numbers are those of the whole run." if task.options.resume else ""
        facts["next_steps"].insert(0, {"text": f"No row was left to send.{whole_run}", "command": None})
    code = FAILED
    try:
        printed = _print_result(task, job, facts, message)
        if last is not None and task.options.only == "failed" and job.exit_status == "finished":
            _print_absent(task.journal, job)
        written = write_reports(task, facts)
        reports.check_balance(job)
        code = _exit_code(job) if message is None else STOPPED
        if not (printed and written):
            code = code or FAILED  # a job that stopped keeps its exit code
    finally:
        await task.monitor.end(source, facts, code)
    return code


async def _run_with_progress(job: Job, dead_letters: DeadLetters, task: SyncTask) -> None:
    """Run the job with a progress display, and write its failed rows."""
    failure: BulkError | ConfigurationError | None = None
    began = anyio.current_time()
    with ProgressDisplay(job, task.title) as display:
        async with anyio.create_task_group() as group:
            group.start_soon(_handle_signals, job, group.cancel_scope)
            group.start_soon(display.refresh)
            try:
                # The file of failed rows is read after the journal is acquired, because another job may write to it
                # until then.
                async with job:
                    group.start_soon(task.monitor.beat, lambda: display.facts(anyio.current_time() - began))
                    with dead_letters:
                        async for outcome in job:
                            dead_letters.add(outcome)
            except (BulkError, ConfigurationError) as error:
                failure = error
            group.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _handle_signals(job: Job, scope: anyio.CancelScope) -> None:
    """Stop a job when the process receives a signal."""
    # Windows delivers no signals to the event loop. Ctrl-C ends the process there, and `resume` continues the job.
    with suppress(NotImplementedError), anyio.open_signal_receiver(*runtime.stop_signals()) as received:
        await anext(received)
        job.stop()
        limit = _GRACE if isinstance(job, LocalJob) else None
        within = "" if limit is None else " (at most 2 seconds)"
        print_message(f"Finishing the requests in progress{within}. A second signal stops immediately.", "yellow")
        with anyio.move_on_after(limit):
            await anext(received)
        print_message("Stopping now. The next run looks up the rows whose outcome is unknown.", "yellow")
        # A query would delay the end of the job, which waits for the thread that reads the source.
        end_queries()
        scope.cancel()


_END_STATES = {
    "paused": "paused after the requested number of rows",
    "refused": "stopped: the gateway refused access",
    "failures": "stopped: too many rows failed",
    "outage": "stopped by an outage",
    "journal": "stopped: the journal cannot be written",
    "source": "stopped: the source cannot be read",
    "removal": "stopped before removing customers",
    "workers": "stopped: a worker cannot continue",
}


def _print_result(task: SyncTask, job: Job, facts: Mapping[str, Any], message: str | None) -> bool:
    """Print the result of a job; return whether standard output could be written."""
    state = _END_STATES.get(job.exit_status, job.exit_status if message is None else "stopped")
    if job.stopped is not None and job.stopped.invalid:
        state = "stopped: too many rows are invalid"
    title, printed = f"{task.title} ({facts['environment']}): {state}", True
    try:
        with ignoring_closed(sys.stdout):
            print_summary(dict(facts), title)
            print_changes(job.notes)
    except OSError as error:
        discard(sys.stdout)
        print_message(f"wonder-customers: standard output cannot be written: {error.strerror}.", "red")
        printed = False
    if message is not None:
        print_message(message, "red")
    for step in facts["next_steps"]:
        # The message of an error contains the command, and may contain the text.
        if message is None or (step["command"] is None and step["text"] not in message):
            print_message(" ".join(filter(None, step.values())), "yellow")
    return printed


def _print_absent(journal: Journal, job: Job) -> None:
    """Print the number of rows that `retry-failed` did not find in the source."""
    states = journal.states()
    absent = sum(states.get(it, 0) for it in ("failed", "unknown", "sending", "held")) - job.stats.failures
    if absent > 0:
        rows = counted(absent, "row that was not confirmed is", "rows that were not confirmed are")
        command = f"wonder-customers ids {as_argument(journal.path)}"
        print_message(f"{rows} not in the source. To list the states of all rows, run: {command}", "yellow")


def _exit_code(job: Job) -> int:
    if job.exit_status == "interrupted":
        return INTERRUPTED
    if job.exit_status not in {"finished", "paused"}:
        return STOPPED
    return FAILED if job.stats.failures or job.missing_from_source.kept else SUCCESS
