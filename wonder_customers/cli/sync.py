"""The commands for bulk jobs."""

from contextlib import closing, nullcontext
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from wonder_customers.bulk.continuation import as_argument
from wonder_customers.bulk.journal import Journal
from wonder_customers.bulk.options import Options
from wonder_customers.bulk.sources.reader import Source
from wonder_customers.cli.accounts import account_from_environment, account_of, check_account, confirm_production
from wonder_customers.cli.error_messages import no_effect
from wonder_customers.cli.inspect_commands import (
    erase,
    export_ids,
    migration,
    show_plan,
    show_status,
    show_verification,
)
from wonder_customers.cli.job_facts import (
    check_unchanged,
    continued_facts,
    last_facts,
    migrated_from,
    report_change,
    source_of,
    with_digests,
)
from wonder_customers.cli.job_options import (
    EarlierRunOptions,
    EngineOptions,
    LimitOptions,
    OutputOptions,
    Rate,
    RateOptions,
    RemovalOptions,
    Renewed,
)
from wonder_customers.cli.job_outputs import default_failed_rows
from wonder_customers.cli.shared_options import GATEWAYS, POSITIVE, WHOLE, Json
from wonder_customers.cli.source_options import SOURCE, Empty, SourceOptions, print_columns, show_columns
from wonder_customers.cli.sync_jobs import SyncTask, account, before_sending, empty_journal, journal_path, run
from wonder_customers.dialects.base import Account
from wonder_customers.errors import ConfigurationError

__all__ = ["commands"]

commands: App = App(name="sync-commands", help="The commands of bulk jobs.", default_parameter=Parameter(negative=()))

Gateway = Annotated[str, Parameter(name="--to", help=f"The gateway: {GATEWAYS}.")]
File = Annotated[
    Path,
    Parameter(
        allow_leading_hyphen=True,
        help="The source: a CSV or JSON file (also compressed with gzip or zstd), a Parquet file, a spreadsheet, a"
        " folder of such files, or - if --query reads a database or the files that it names.",
    ),
]

JournalFile = Annotated[Path, Parameter(help="The journal of an earlier run.")]
Yes = Annotated[
    bool, Parameter(help="Do not ask for confirmation before the first job that writes to a production account.")
]


@commands.command
@before_sending()
def sync(
    file: File,
    /,
    *,
    to: Gateway,
    journal: Annotated[
        Path | None, Parameter(help="The journal, which records each row (default: FILE.GATEWAY.journal).")
    ] = None,
    first: Annotated[int | None, POSITIVE, Parameter(help="Send only the first rows, up to this number.")] = None,
    full: Annotated[bool, Parameter(help="Also send unchanged rows.")] = False,
    simulator: Annotated[bool, Parameter(help="Use a simulator in this process instead of the gateway.")] = False,
    approved: Annotated[
        Path | None,
        Parameter(
            help="A plan saved with `plan --save`. The job stops before it sends a row that differs from the plan."
        ),
    ] = None,
    empty: Empty = "own",
    yes: Yes = False,
    renewed: Renewed = False,
    columns: SourceOptions = SOURCE,
    removal: RemovalOptions = RemovalOptions(),
    limits: LimitOptions = LimitOptions(),
    engine: EngineOptions = EngineOptions(),
    output: OutputOptions = OutputOptions(),
) -> int:
    """Send the rows of a file to a gateway. Rows that have not changed since the last run are skipped."""
    rules = removal.rules()
    deletes = rules["removed"] == "delete"
    facts = {**columns.facts(file), **limits.facts(), **engine.facts(to), "empty": empty, "full": full}
    facts["removed"] = "delete" if deletes else None
    if deletes and first is not None:
        raise ConfigurationError(
            "--removed delete cannot be used with --first, because customers are deleted only after all rows were read."
            " Run without --first."
        )
    if simulator and engine.on is not None:
        raise ConfigurationError(
            "--simulator cannot be used with --on, because workers on Ray cannot reach a simulator in this process."
            " Run `wonder-customers simulator`, set the variables that the command prints, and run without"
            " --simulator."
        )
    if approved is not None and engine.on is not None:
        raise ConfigurationError("--approved cannot be used with --on. Run without --on.")
    with account(to, simulated=simulator) as owner, journal_path(journal, file, to, simulated=simulator) as path:
        source = source_of(facts, owner)
        if source.query is None:
            # Report unusable columns before the journal is created. A query is not run twice for this.
            with closing(source.read()) as reader:
                print_columns(reader, as_argument(file))
        confirm_production(owner, to, yes=yes or path.exists())
        opened = Journal.open(path, gateway=to, endpoint=owner.base_url)
        check_account(opened, owner, renewed=renewed)
        how: dict[str, Any] = {"first": first, "full": full, "approved": approved, "mapping": columns.mapping, **rules}
        facts |= {"temporary": True} if simulator and journal is None else {}
        return _run(owner, opened, facts, output, file, **how)


@commands.command
def columns(
    file: File,
    /,
    *,
    to: Annotated[
        str | None, Parameter(name="--to", help=f"Mark the fields that the gateway ({GATEWAYS}) does not have.")
    ] = None,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="Write a mapping to this new file, for --mapping.")
    ] = None,
    columns: SourceOptions = SOURCE,
) -> int:
    """Show each column of a file with masked samples, its field, and why it has this field.

    --output writes the mapping to a file that you can edit.
    """
    return show_columns(file, columns, to, output)


@commands.command
def plan(
    file: File,
    /,
    *,
    to: Gateway,
    journal: Annotated[
        Path | None, Parameter(help="The journal of an earlier run. Default: FILE.GATEWAY.journal, if the file exists.")
    ] = None,
    look_up: Annotated[int, WHOLE, Parameter(help="The maximum number of customers to look up at the gateway.")] = 1000,
    diff: Annotated[bool, Parameter(help="Show the changes to each customer with masked values.")] = False,
    save: Annotated[Path | None, Parameter(help="Save the plan to this new file, for `sync --approved`.")] = None,
    json: Json = False,
    simulator: Annotated[bool, Parameter(help="Use a simulator in this process instead of the gateway.")] = False,
    empty: Empty = "own",
    renewed: Renewed = False,
    columns: SourceOptions = SOURCE,
    removal: RemovalOptions = RemovalOptions(),
    limits: RateOptions = RateOptions(),
) -> int:
    """Show what `sync` would do: new, changed, unchanged and invalid rows, requests, duration. No changes are sent."""
    if diff and not look_up:
        raise no_effect("--diff", " with --look-up 0, because no customer is read")
    facts, rate = columns.facts(file), limits.per_second()
    options = Options(workers=limits.workers, empty=empty, **removal.rules())
    with account(to, simulated=simulator) as owner, journal_path(journal, file, to, simulated=simulator) as path:
        if save is not None and simulator and journal is None:
            raise ConfigurationError("with --simulator, --save requires a journal. Nothing was planned. Add --journal.")
        known = Journal.open(path, gateway=to, endpoint=owner.base_url) if path.exists() else None
        if known is not None:
            check_account(known, owner, renewed=renewed)
        with nullcontext(known) if known or not save else empty_journal(path, to, owner.base_url) as used:
            source = source_of(facts, owner)
            how: dict[str, Any] = {"rate": rate, "look_up": look_up, "diff": diff, "save": save, "json": json}
            return show_plan(owner, source, used, options, **how)


@commands.command
@before_sending(again=True)
def resume(
    journal: JournalFile,
    /,
    *,
    allow_changed: Annotated[
        bool, Parameter(help="Continue even if the source has changed since the run began.")
    ] = False,
    earlier: EarlierRunOptions = EarlierRunOptions(),
    removal: RemovalOptions = RemovalOptions(),
    engine: EngineOptions = EngineOptions(),
    output: OutputOptions = OutputOptions(),
) -> int:
    """Continue an interrupted run. Rows with an unknown outcome are looked up before they are sent again."""
    opened, facts = _last_run(journal, earlier, engine, removal)
    check_unchanged(facts, allow_changed=allow_changed)
    return _continue(opened, facts, output, renewed=earlier.renewed, resume=True, full=facts["full"], **removal.rules())


@commands.command(name="retry-failed")
@before_sending(again=True)
def retry_failed(
    journal: JournalFile,
    /,
    *,
    allow_changed: Annotated[
        bool, Parameter(help="Read the source even if it has changed since the run began.")
    ] = False,
    earlier: EarlierRunOptions = EarlierRunOptions(),
    engine: EngineOptions = EngineOptions(),
    output: OutputOptions = OutputOptions(),
) -> int:
    """Send again the rows that earlier runs recorded without a confirmation, such as failed rows."""
    opened, facts = _last_run(journal, earlier, engine)
    check_unchanged(facts, allow_changed=allow_changed)
    return _continue(opened, facts, output, renewed=earlier.renewed, only="failed")


@commands.command
def status(journal: JournalFile, /, *, json: Json = False) -> int:
    """Show the last run of a journal and the number of rows in each state, also during a run."""
    return show_status(Journal.existing(journal), json=json)


@commands.command
def ids(
    journal: JournalFile,
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], help="Write the CSV to this new file. Default: standard output."),
    ] = None,
) -> int:
    """Write the gateway's ids for a journal's customers as CSV: reference, id, state, time."""
    return export_ids(Journal.existing(journal), output)


@commands.command(name="forget")
def forget_customers(
    journal: JournalFile,
    reference: Annotated[str | None, Parameter(allow_leading_hyphen=True, help="The customer's reference.")] = None,
    /,
    *,
    references: Annotated[
        Path | None, Parameter(name="--from", help="Read references from this file, one per line.")
    ] = None,
    file: Annotated[
        list[Path] | None,
        Parameter(
            help="Also remove the customers from this file, which a job wrote in another folder. May be repeated."
        ),
    ] = None,
) -> int:
    """Remove customers from a journal and from the failed rows, exported ids, reports and plans in its folder."""
    if (reference is None) == (references is None):
        problem = "requires REFERENCE or --from FILE" if reference is None else "accepts REFERENCE or --from, not both"
        raise ConfigurationError(f"`forget` {problem}. Nothing was erased.")
    return erase(Journal.existing(journal), reference, references, file or [])


@commands.command
def verify(
    journal: JournalFile,
    /,
    *,
    sample: Annotated[
        int | None, POSITIVE, Parameter(help="Compare only this number of rows, chosen at random.")
    ] = None,
    json: Json = False,
    rate: Rate = None,
    earlier: EarlierRunOptions = EarlierRunOptions(),
) -> int:
    """Compare the source of a journal's last run with the customers at the gateway."""
    opened = Journal.existing(journal)
    origin = migrated_from(opened)
    if origin is not None:
        earlier.check_unused(opened)
        owner = account_of(opened, renewed=earlier.renewed)
        source: Source | Account = account_from_environment(origin)
        facts: dict[str, Any] = {"empty": "own", "workers": RateOptions().workers, "rate": None}
    else:
        opened, facts = _last_run(journal, earlier)
        owner = account_of(opened, renewed=earlier.renewed)
        report_change(facts, opened)
        source = source_of(facts, owner)
    options = Options(empty=facts["empty"], workers=facts["workers"])
    per_second = RateOptions(rate=rate).per_second() or facts["rate"]
    return show_verification(owner, source, opened, options, sample=sample, rate=per_second, json=json)


@commands.command
@before_sending()
def migrate(
    *,
    source: Annotated[str, Parameter(name="--from", help=f"The gateway to copy from: {GATEWAYS}.")],
    to: Gateway,
    journal: Annotated[
        Path | None, Parameter(help="The journal, which records each customer (default: migrate.FROM.TO.journal).")
    ] = None,
    accept_losses: Annotated[bool, Parameter(help="Migrate even if some fields or customers are lost.")] = False,
    yes: Yes = False,
    renewed: Renewed = False,
    limits: LimitOptions = LimitOptions(),
    output: OutputOptions = OutputOptions(),
) -> int:
    """Copy the customers of one gateway to another. Fields that would be lost are listed first.

    To continue after an interruption, run the same command again. Confirmed customers are sent again only if they have
    changed.
    """
    if source == to:
        raise ConfigurationError("--from and --to must be different gateways.")
    owner = account_from_environment(to)
    path = journal or Path(f"migrate.{source}.{to}.journal")
    confirm_production(owner, to, yes=yes or path.exists())
    opened = Journal.open(path, gateway=to, endpoint=owner.base_url)
    check_account(opened, owner, renewed=renewed)
    how: dict[str, Any] = {"workers": limits.workers, "max_failures": limits.max_failures}
    facts = {"migrate": source, "accept_losses": accept_losses}
    options = Options(give_up_after=limits.outage_seconds(), facts=facts, **how)
    failed_rows = output.failures or Path(f"migrate.{source}.{to}.failed.jsonl")
    rate = limits.per_second()
    task = SyncTask(owner, f"{source} → {to}", source, opened, options, failed_rows, output, rate=rate)
    return migration(account_from_environment(source), task, accept_losses=accept_losses)


def _last_run(
    path: Path,
    earlier: EarlierRunOptions,
    engine: EngineOptions | None = None,
    removal: RemovalOptions | None = None,
) -> tuple[Journal, dict[str, Any]]:
    """Return a journal and the settings of its last run."""
    opened = Journal.existing(path)
    contacts = {} if engine is None else {"on": engine.on, "shared_limit": engine.shared_limit}
    contacts |= {} if removal is None else {"removed": removal.removed}
    facts = continued_facts(
        opened, last_facts(opened), {"query": earlier.query, "database": earlier.database, **contacts}, earlier.source
    )
    if engine is not None:
        engine.check()
        facts["shared_name"] = engine.shared_name or facts["shared_name"]
        facts["processes"] = engine.processes or facts["processes"]
    return opened, facts


def _run(
    owner: Account,
    opened: Journal,
    facts: dict[str, Any],
    output: OutputOptions,
    file: Path,
    *,
    approved: Path | None = None,
    mapping: Path | None = None,
    **how: Any,
) -> int:
    """Send the rows of a source, and return the exit code."""
    how |= {name: facts[name] for name in ("workers", "max_failures", "give_up_after", "empty")}
    engine = EngineOptions(**{name: facts[name] for name in ("on", "processes", "shared_limit", "shared_name")})
    task = SyncTask(
        owner,
        f"{file} → {opened.gateway}",
        facts["source"],
        opened,
        Options(facts=with_digests(facts, opened), **how),
        output.failures or default_failed_rows(file, opened.gateway, opened.path),
        output,
        engine,
        facts["rate"],
        approved,
        mapping,
    )
    return run(task, source_of(facts, owner))


def _continue(opened: Journal, facts: dict[str, Any], output: OutputOptions, *, renewed: bool, **how: Any) -> int:
    """Run a job with the settings of a journal's last run."""
    file = Path(facts["source"])
    shown = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    return _run(account_of(opened, renewed=renewed), opened, facts, output, shown, **how)
