"""Output of the commands that report about a journal, a source or a migration."""

import csv
import io
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import anyio.to_thread
import orjson
from attrs import asdict
from rich.table import Table

from wonder_customers._support.counted import counted
from wonder_customers.bulk.continuation import as_argument, continuation
from wonder_customers.bulk.forget import files_near, forget
from wonder_customers.bulk.journal import Journal, Run
from wonder_customers.bulk.local_job import LocalJob
from wonder_customers.bulk.migrate import Losses, losses, migrated
from wonder_customers.bulk.missing_from_source import MissingFromSource
from wonder_customers.bulk.options import Options, Rows
from wonder_customers.bulk.plan import Difference, Plan, plan
from wonder_customers.bulk.report import format_duration, no_rows
from wonder_customers.bulk.saved_plan import save_plan
from wonder_customers.bulk.sources.reader import Source
from wonder_customers.bulk.sources.transformations import spreadsheet_text
from wonder_customers.bulk.stop_reasons import SYNC_AGAIN
from wonder_customers.bulk.verify import Verification, verify
from wonder_customers.cli import runtime
from wonder_customers.cli.exit_codes import FAILED, SUCCESS, USAGE
from wonder_customers.cli.job_facts import described
from wonder_customers.cli.job_outputs import check_outputs, new_file
from wonder_customers.cli.output import cell, console, json_line, print_line, print_message
from wonder_customers.cli.source_options import print_changes, print_fields
from wonder_customers.cli.sync_jobs import SyncTask, bulk_session, run_job
from wonder_customers.dialects.base import Account
from wonder_customers.errors import ConfigurationError

MAX_SHOWN = 20
_RESULTS: Final = {
    "normalized": "equal after normalisation",
    "failed": "failed, so not compared",
    "unsent": "not confirmed, so not compared",
    "removed": "removed, as expected",
    "present": "removed, but present at the gateway",
}

_STATES: Final = {
    "sending": "in progress, or not confirmed",
    "unknown": "not confirmed",
    "held": "not sent, because the job stopped",
    "removing": "removal in progress, or not confirmed",
}

__all__ = ["erase", "export_ids", "migration", "show_plan", "show_status", "show_verification"]


def show_plan(
    owner: Account,
    source: Source,
    journal: Journal | None,
    options: Options,
    *,
    rate: float | None,
    look_up: int,
    diff: bool = False,
    save: Path | None = None,
    json: bool = False,
) -> int:
    """Print what a job would do, and return the exit code."""
    how: dict[str, Any] = {"journal": journal, "options": options, "look_up": look_up, "diff": diff}

    async def make_plan() -> Plan:
        async with bulk_session(owner, options.workers, rate) as session:
            rows = await anyio.to_thread.run_sync(source.read)
            if save is None or journal is None:
                return await plan(session, rows, **how)
            about = await anyio.to_thread.run_sync(described, source)
            return await save_plan(save, session, rows, source=about, **how)

    found = runtime.run(make_plan)
    failed = found.invalid or found.duplicates or not found.adds_up or found.missing_from_source.problem is not None
    if json:
        json_line(_plan_facts(found))
        return FAILED if failed else SUCCESS
    print_fields(found.notes)
    _print_counts(
        "Plan (nothing was changed at the gateway)",
        {
            "create": found.creates,
            "update": found.updates,
            "create or update (not looked up)": found.open,
            "unchanged": found.unchanged,
            "invalid": found.invalid,
            "duplicate reference": found.duplicates,
            "total": found.rows,
        },
    )
    time = "" if found.seconds is None else f", {format_duration(found.seconds)} at {found.rate:g} requests/s"
    looked_up = counted(found.looked_up, "customer was", "customers were")
    would = "would send" if found.systematic is None else "would stop early, after"
    print_line(f"`sync` {would} {counted(found.requests, 'request', 'requests')}{time}. {looked_up} looked up.")
    if not found.rows:
        print_message(no_rows(Path(source.path).name, found.notes), "yellow")
    if found.unconfirmed:
        rows = "Unconfirmed rows of an earlier run, which will be looked up before they are sent:"
        print_line(f"{rows} {found.unconfirmed:,}.")
    _show_clears(found)
    if journal is None and options.empty == "own":
        print_line("Without a journal, empty cells do not clear fields.", "dim")
    _show_missing(found.missing_from_source, found.rows)
    for sample in found.samples:
        print_line(f"would send (masked): {orjson.dumps(sample).decode()}")
    print_changes(found.notes)
    if found.systematic is not None:
        print_message(f"`sync` would stop: {found.systematic}", "red")
    _show_differences(found.differences, values=diff)
    _print_rest("customer", "that would change", found.differing - len(found.differences))
    if found.reasons:
        _print_counts("rows that cannot be sent, by reason", dict(found.reasons.most_common()))
    for problem in found.problems:
        print_line(f"{problem.status}: {problem.reason}", "red")
    _print_rest("row", "that cannot be sent", found.invalid + found.duplicates - len(found.problems), "red")
    if save is not None:
        print_message(
            f"The plan was written to {save}. To carry out the plan, run `sync` with the same options and --approved"
            f" {as_argument(save)}"
        )
    return FAILED if failed else SUCCESS


def _plan_facts(found: Plan) -> dict[str, Any]:
    """Return a plan as JSON values."""
    kept = asdict(found, filter=lambda it, _: it.name not in {"problems", "notes"})
    problems = [
        {"row": it.number, "reference": it.reference, "status": it.status, "reason": it.reason} for it in found.problems
    ]
    return {**kept, "seconds": found.seconds, "problems": problems, "source_changes": found.notes.as_dict()}


def _show_clears(found: Plan) -> None:
    """Print the fields of empty cells."""
    for name, count in found.clears.most_common():
        print_line(f"clears {name}: {count:,}", "yellow")
    for name, count in found.uncleared.most_common():
        print_line(f"cannot clear {name} at this gateway: {count:,} (the old values are kept)", "red")


def _print_rest(noun: str, what: str, count: int, style: str = "") -> None:
    """Print the number of entries that a list leaves out."""
    if count > 0:
        print_line(f"and {counted(count, f'more {noun}', f'more {noun}s')} {what}", style)


def _show_differences(differences: list[Difference], *, values: bool) -> None:
    """Print the customers that would change."""
    for change in differences:
        print_line(f"row {change.number}, {change.reference}: {', '.join(change.fields)} would change")
        for name, (before, after) in zip(change.fields, change.values if values else (), strict=False):
            print_line(f"    {name}: {before or '(empty)'} → {after or '(empty)'}")


def _show_missing(missing: MissingFromSource, rows: int) -> None:
    """Print the customers missing from the source."""
    warning = missing.warning(rows)
    if missing.problem is not None:
        print_message(f"`sync` would not remove any customer: {missing.problem}.", "red")
    elif warning is not None:
        print_message(f"Check the source: {warning}.", "yellow")
    if not missing.count:
        return
    removed = missing.rule == "delete" and missing.problem is None
    what = "would be removed from the gateway" if removed else "will stay at the gateway"
    print_line(f"The source no longer contains {missing.share}, which {what}.", "yellow")
    for reference, gateway_id in missing.listed[:MAX_SHOWN]:
        print_line(f"missing from the source: {reference} ({gateway_id or 'id unknown'})")
    _print_rest("customer", "missing from the source", missing.count - MAX_SHOWN)


def show_status(journal: Journal, *, json: bool) -> int:
    """Print the state of a journal, and return the exit code."""
    last, states, codes = journal.last_run(), journal.states(), journal.codes()
    end_state = None if last is None else last.exit_status
    if json:
        run, counts = (None, {}) if last is None else (last.number, dict(last.counts))
        facts = {"gateway": journal.gateway, "run": run, "exit_status": end_state, "counts": counts}
        json_line({**facts, "states": states, "codes": codes})
        return SUCCESS
    named = {_STATES.get(state, state): count for state, count in states.items()}
    if named:
        _print_counts(f"{journal.path} ({journal.gateway}), all runs", named)
    else:
        print_line(f"{journal.path} ({journal.gateway}): no row was sent")
    if codes:
        _print_counts("failed rows by reason", codes)
    if last is not None:
        print_line(f"run {last.number}: {end_state or 'running, or its process was killed'}")
        if (step := _to_continue(journal, last)) is not None:
            print_line(step)
    return SUCCESS


def _to_continue(journal: Journal, last: Run | None) -> str | None:
    """Return how to continue the last run of a journal; None if it is finished."""
    if last is None or last.exit_status == "finished":
        return None
    sent = last.counts.get("failed") or not last.counts.get("invalid")
    if last.exit_status == "source" or (last.exit_status == "failures" and not sent):
        return SYNC_AGAIN
    return f"To continue, run: {continuation(journal.name, last.facts, gateway=journal.gateway)}"


def export_ids(journal: Journal, output: Path | None) -> int:
    """Write the ids of a journal as CSV, and return the exit code."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(("reference", "id", "state", "time"))
    found = journal.ids()
    for reference, gateway_id, state, at in found:
        moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
        table.writerow((spreadsheet_text(reference), spreadsheet_text(gateway_id or ""), state, moment))
    if output is None:
        sys.stdout.write(text.getvalue())
        return SUCCESS
    new_file(output, text.getvalue())
    print_message(f"{counted(len(found), 'id was', 'ids were')} written to {output}.")
    return SUCCESS


def erase(journal: Journal, reference: str | None, listed: Path | None, more: Sequence[Path]) -> int:
    """Erase customers from a journal and the files beside it, and return the exit code."""
    wanted = [it for it in (reference, *_lines(listed)) if it]
    if not wanted:
        if listed is None:
            raise ConfigurationError("the reference is empty. Nothing was erased.")
        raise ConfigurationError(f"{listed} contains no references. Nothing was erased. Write one reference per line.")
    try:
        files = dict.fromkeys(it for it in (*files_near(journal), *more) if listed is None or not it.samefile(listed))
        found = forget(journal, wanted, files)
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename or 'a file'} cannot be read or changed ({error.strerror}), so some entries may not have"
            " been erased. Fix the cause, then run the command again."
        ) from None
    print_message(f"{counted(found.rows, 'row was', 'rows were')} removed from {journal.path}.")
    if found.rows < (given := len(set(wanted))):
        missing = "The reference is" if given == 1 else f"{given - found.rows:,} of {given:,} references are"
        print_message(f"{missing} not in the journal. Check the spelling, including case and spaces.", "yellow")
    if found.unconfirmed:
        print_message(
            f"Unconfirmed rows among the removed rows: {found.unconfirmed:,}. The gateway may have applied their"
            " requests, or may still apply them.",
            "yellow",
        )
    for path, count in found.entries.items():
        print_message(f"{counted(count, 'entry was', 'entries were')} removed from {path}.")
    for path in found.left:
        print_message(f"{path} still contains a reference. Edit or delete the file.", "yellow")
    for path in found.unsearched:
        print_message(
            f"{path} was not searched, because it is neither text nor a journal. If it contains a customer, edit or"
            " delete the file.",
            "yellow",
        )
    print_message(
        "No customer was deleted at the gateway. If the source still contains a customer, `sync` sends the customer"
        " again."
    )
    return SUCCESS if found.rows or found.entries else FAILED


def _lines(file: Path | None) -> list[str]:
    try:
        return [] if file is None else file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigurationError(f"{file} cannot be read: {reason}. Nothing was erased.") from None


def show_verification(
    owner: Account,
    source: Source | Account,
    journal: Journal,
    options: Options,
    *,
    sample: int | None,
    rate: float | None,
    json: bool,
) -> int:
    """Compare the customers of `owner` with the source, and return the exit code."""

    async def compare() -> Verification:
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(bulk_session(owner, options.workers, rate))
            if isinstance(source, Source):
                rows: Rows = await anyio.to_thread.run_sync(source.read)
            else:
                origin = await stack.enter_async_context(bulk_session(source, options.workers, rate))
                rows = migrated(origin, session)
            return await verify(session, rows, journal=journal, options=options, sample=sample)

    found = runtime.run(compare)
    code = FAILED if found.wrong or found.counts["invalid"] or found.counts["failed"] else SUCCESS
    if json:
        json_line({**asdict(found), "wrong": found.wrong, "interval": found.interval})
        return code
    counts = {_RESULTS.get(name, name): count for name, count in found.counts.most_common()}
    absent = found.counts["removed"] + found.counts["present"]
    read = found.checked - absent
    _print_counts(f"{read:,} of {found.rows:,} rows were read back", {**counts, "read back": found.checked})
    if found.normalized:
        fields = ", ".join(f"{name} ({count:,})" for name, count in found.normalized.most_common())
        print_line(f"Equal after normalisation: {fields}", "dim")
    if found.changed:
        command = "`sync`" if isinstance(source, Source) else "`migrate`"
        changed = f"Rows that have changed in the source since they were sent: {found.changed:,}"
        print_message(f"{changed}. {command} sends the rows again.", "yellow")
    for finding in found.findings[:MAX_SHOWN]:
        fields = f": {', '.join(finding.fields)}" if finding.fields else ""
        since = " (the row changed in the source after it was sent)" if finding.changed else ""
        row = f"row {finding.number}" if finding.number else "missing from the source"
        result = _RESULTS.get(finding.result, finding.result)
        reason = "" if finding.reason is None else f": {finding.reason}"
        print_line(f"{row}, {finding.reference or 'without a reference'}: {result}{fields}{since}{reason}", "red")
    _print_rest("row", "with a difference or without a comparison", found.not_equal - MAX_SHOWN, "red")
    if found.counts["missing"] or found.counts["different"]:
        again = "`sync` with --full" if isinstance(source, Source) else "`migrate` with a new journal"
        full = f"To send all customers again, including missing and different customers, run {again}."
        # The rows in progress of a run that was killed are missing because they were not sent.
        step = _to_continue(journal, journal.last_run())
        print_message(full if step is None else f"The last run is not finished. {step}", "yellow")
    if found.counts["missing"] and getattr(owner.dialect(), "deletion_result", None) == "deleted":
        print_message(
            f"A customer that was deleted at {journal.gateway} may keep its reference. Its row then fails: give it"
            " another reference, or remove it from the source.",
            "yellow",
        )
    if sample is not None:
        low, high = found.interval
        print_line(f"Between {low:.2%} and {high:.2%} of all rows differ (95% confidence).")
    return code


def migration(origin: Account, task: SyncTask, *, accept_losses: bool) -> int:
    """Report losses, migrate the customers if allowed, and return the exit code."""
    check_outputs(task)

    async def work() -> int:
        workers, rate = task.options.workers, task.rate
        async with bulk_session(origin, workers, rate) as source, bulk_session(task.account, workers, rate) as target:
            found = await losses(source, target)
            _show_losses(found, task.gateway)
            if found.any and not accept_losses:
                print_message(
                    f"Nothing was sent to {task.gateway}. To migrate despite these losses, add --accept-losses.",
                    "yellow",
                )
                return USAGE
            code = await run_job(task, LocalJob(target, migrated(source, target), task.journal, task.options))
            return FAILED if code == SUCCESS and found.unreadable else code

    return runtime.run(work)


def _show_losses(found: Losses, target: str) -> None:
    print_message(f"Customers found: {found.customers:,}. Deleted customers, which will be skipped: {found.deleted:,}.")
    if found.fields:
        _print_counts(f"fields that cannot be migrated to {target}", dict(found.fields.most_common()))
    if found.refused:
        title = f"fields whose value {target} does not accept (these customers will not be sent)"
        _print_counts(title, dict(found.refused.most_common()))
    if found.unreadable:
        print_message(
            "Customers that cannot be read, because the source gateway lists them without an id:"
            f" {found.unreadable:,}.",
            "red",
        )
    if found.without_reference:
        print_message(
            f"Customers that cannot be sent, because they have no reference: {found.without_reference:,}.", "red"
        )


def _print_counts(title: str, counts: dict[str, Any]) -> None:
    table = Table(show_header=False)
    table.add_column("name")
    table.add_column("number", justify="right")
    for name, count in counts.items():
        table.add_row(cell(name), f"{count:,}")
    print_line(title)
    console().print(table)
