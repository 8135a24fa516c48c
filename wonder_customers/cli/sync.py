"""The commands for many customers: ``sync`` and what belongs to it."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from attrs import evolve, frozen
from cyclopts import App, Parameter

from wonder_customers.bulk.distributed.partition import Source
from wonder_customers.bulk.journal import Journal
from wonder_customers.bulk.options import Options, check_rate
from wonder_customers.bulk.sources import fingerprint
from wonder_customers.cli.accounts import GATEWAYS, account_from_environment
from wonder_customers.cli.inspect_commands import migration, show_plan, show_status, show_verification
from wonder_customers.cli.sync_jobs import Task, Where, account, beside, journal_path, run
from wonder_customers.errors import ConfigurationError

__all__ = ["commands"]

commands = App(name="sync-commands", help="Many customers at once.", default_parameter=Parameter(negative=()))

Gateway = Annotated[str, Parameter(name="--to", help=f"The gateway: {GATEWAYS}.")]
File = Annotated[
    Path,
    Parameter(
        allow_leading_hyphen=True,
        help="CSV, JSON lines (also packed with gzip or zstd), Parquet, a folder of them, or - for --query.",
    ),
]

JournalFile = Annotated[Path, Parameter(help="The journal of an earlier `sync`.")]


@Parameter(name="*")
@frozen
class Columns:
    """How the source is read."""

    map: Annotated[
        tuple[str, ...], Parameter(help="COLUMN=FIELD, as often as needed; COLUMN= leaves the column out.")
    ] = ()
    map_file: Annotated[Path | None, Parameter(help='A TOML file whose table [columns] says "COLUMN" = "FIELD".')] = (
        None
    )
    ignore_unknown: Annotated[bool, Parameter(help="Leave out columns that are no field.")] = False
    query: Annotated[str | None, Parameter(help="SQL that selects the rows; `source` stands for FILE (DuckDB).")] = None
    format: Annotated[Literal["csv", "jsonl", "parquet"] | None, Parameter(help="Where the name does not tell it.")] = (
        None
    )

    def mapping(self) -> dict[str, str]:
        """The columns with their fields, of the file and of the arguments.

        Raises:
            ConfigurationError: They cannot be read.
        """
        found: dict[str, str] = {}
        if self.map_file is not None:
            try:
                columns = tomllib.loads(self.map_file.read_text(encoding="utf-8")).get("columns")
            except OSError as error:
                raise ConfigurationError(f"{self.map_file} cannot be read: {error.strerror}") from None
            except ValueError as error:
                raise ConfigurationError(f"{self.map_file} is no TOML file: {error}") from None
            if not isinstance(columns, dict) or not all(isinstance(name, str) for name in columns.values()):
                raise ConfigurationError(f'{self.map_file} has no table [columns] whose lines are "COLUMN" = "FIELD"')
            found |= columns
        for pair in self.map:
            column, equals, field = pair.rpartition("=")
            if not equals:
                raise ConfigurationError(f"--map takes COLUMN=FIELD, not {pair!r}")
            found[column] = field
        return found


Rate = Annotated[str | None, Parameter(allow_leading_hyphen=True, help="Requests per second at most, such as 25/s.")]


@Parameter(name="*")
@frozen
class Limits:
    """How fast, and when to stop."""

    rate: Rate = None
    workers: Annotated[int, Parameter(help="Customers under way at a time at most.")] = 16
    max_failures: Annotated[int | None, Parameter(help="Stop at so many failed rows.")] = None

    def per_second(self) -> float | None:
        """The rate as a number.

        Raises:
            ConfigurationError: It is none.
        """
        if self.rate is None:
            return None
        number, _, unit = self.rate.strip().partition("/")
        seconds = {"": 1, "s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
        try:
            found = float(number) / seconds[unit.strip()]
        except (ValueError, KeyError):
            raise ConfigurationError(f"--rate takes a number per second, such as 25/s, not {self.rate!r}") from None
        check_rate(found)
        return found


@Parameter(name="*")
@frozen
class Engine:
    """Where it runs."""

    on: Annotated[
        str | None, Parameter(help="ray (this machine) or ray://HOST:PORT (a cluster) for workers in other processes.")
    ] = None
    processes: Annotated[int, Parameter(help="Workers on Ray, each with --workers customers under way.")] = 2
    shared_limit: Annotated[
        str | None,
        Parameter(help="redis://HOST:PORT that keeps --rate for several plain processes together (Valkey or Redis)."),
    ] = None
    shared_name: Annotated[str | None, Parameter(help="What these processes have in common (default: GATEWAY).")] = None

    def facts(self, gateway: str) -> dict[str, Any]:
        """What the journal keeps of it."""
        name = self.shared_name or gateway
        return {"on": self.on, "processes": self.processes, "shared_limit": self.shared_limit, "shared_name": name}


@Parameter(name="*")
@frozen
class Output:
    """What is written besides the journal."""

    report: Annotated[Path | None, Parameter(help="Write a JSON report.")] = None
    html: Annotated[Path | None, Parameter(help="Write one self-contained page with the curves.")] = None
    failures: Annotated[Path | None, Parameter(help="Where failed rows go (default: FILE.failed.jsonl).")] = None
    dead_letter_values: Annotated[
        bool, Parameter(help="Write customers' data into the failed rows, so that the file can be fed back in.")
    ] = False


def source_facts(file: Path, columns: Columns, limits: Limits) -> dict[str, Any]:
    """What the journal keeps, to do a run again.

    Raises:
        ConfigurationError: The file or an option cannot be used.
    """
    if str(file) == "-" and columns.query is None:
        raise ConfigurationError("- stands for the rows of a query: say which with --query, or name a file")
    return {
        "source": str(file) if str(file) == "-" else str(file.resolve()),
        "fingerprint": fingerprint(file, columns.query),
        "mapping": columns.mapping(),
        "ignore_unknown": columns.ignore_unknown,
        "query": columns.query,
        "format": columns.format,
        "rate": limits.per_second(),
        "workers": limits.workers,
        "max_failures": limits.max_failures,
    }


def source_of(facts: dict[str, Any]) -> Source:
    """The source that `source_facts` describe."""
    return Source(
        facts["source"],
        facts["mapping"],
        "ignore" if facts["ignore_unknown"] else "refuse",
        facts["query"],
        facts["format"],
    )


def where_of(facts: dict[str, Any]) -> Where:
    """Where the run that facts describe runs."""
    where = Where()
    names = ("on", "processes", "shared_limit", "shared_name")
    return evolve(where, **{name: facts[name] for name in names if name in facts})


@commands.command
def sync(
    file: File,
    /,
    *,
    to: Gateway,
    journal: Annotated[Path | None, Parameter(help="Default: FILE.GATEWAY.journal, beside the file.")] = None,
    first: Annotated[int | None, Parameter(help="Only the first rows, as a trial.")] = None,
    full: Annotated[bool, Parameter(help="Send unchanged rows too.")] = False,
    simulator: Annotated[bool, Parameter(help="Try it against a simulator inside this process.")] = False,
    columns: Columns = Columns(),
    limits: Limits = Limits(),
    engine: Engine = Engine(),
    output: Output = Output(),
) -> int:
    """Bring every row of a file to a gateway; rows that have not changed since the last time are not sent."""
    facts = {**source_facts(file, columns, limits), **engine.facts(to), "full": full}
    source = source_of(facts)
    if simulator and engine.on is not None:
        raise ConfigurationError(
            "--simulator lives inside this process, where workers on Ray do not reach it: start one beside it with"
            " `wonder-customers simulator`, whose settings it prints"
        )
    if source.query is None:
        # Columns that cannot be used are told before anything is made; a query is not run twice for that.
        source.read().close()
    with account(to, simulated=simulator) as owner, journal_path(journal, file, to, simulated=simulator) as path:
        opened = Journal.open(path, gateway=to, endpoint=owner.base_url)
        options = Options(
            rate=facts["rate"],
            workers=limits.workers,
            first=first,
            full=full,
            max_failures=limits.max_failures,
            facts=facts,
        )
        task = Task(
            owner,
            to,
            f"{file} → {to}",
            facts["source"],
            opened,
            options,
            output.failures or beside(file, "failed.jsonl"),
            output.dead_letter_values,
            output.report,
            output.html,
            resumable=not simulator or journal is not None,
            where=where_of(facts),
        )
        return run(task, source)


@commands.command
def plan(
    file: File,
    /,
    *,
    to: Gateway,
    journal: Annotated[Path | None, Parameter(help="Default: FILE.GATEWAY.journal, if it is there.")] = None,
    look_up: Annotated[int, Parameter(help="For how many rows the gateway is asked.")] = 1000,
    simulator: Annotated[bool, Parameter(help="Try it against a simulator inside this process.")] = False,
    columns: Columns = Columns(),
    limits: Limits = Limits(),
) -> int:
    """Show what `sync` would do, without a write: new, changed, unchanged and invalid rows, requests and time."""
    facts = source_facts(file, columns, limits)
    with account(to, simulated=simulator) as owner, journal_path(journal, file, to, simulated=simulator) as path:
        known = Journal.open(path, gateway=to, endpoint=owner.base_url) if path.exists() else None
        return show_plan(
            owner, source_of(facts).read(), known, rate=facts["rate"], look_up=look_up, workers=limits.workers
        )


@commands.command
def resume(
    journal: JournalFile,
    /,
    *,
    allow_changed: Annotated[bool, Parameter(help="Go on although the source has changed since.")] = False,
    output: Output = Output(),
) -> int:
    """Go on with an interrupted run; rows in doubt are settled by the gateway's answer."""
    opened, facts = _last_run(journal)
    _check_source(facts, allow_changed=allow_changed)
    return _again(opened, facts, output, resume=True, full=facts["full"])


@commands.command(name="retry-failed")
def retry_failed(
    journal: JournalFile,
    /,
    *,
    allow_changed: Annotated[bool, Parameter(help="Read the source although it has changed since.")] = False,
    output: Output = Output(),
) -> int:
    """Send the rows again that failed or are in doubt."""
    opened, facts = _last_run(journal)
    _check_source(facts, allow_changed=allow_changed)
    return _again(opened, facts, output, only="failed")


@commands.command
def status(journal: JournalFile, /, *, json: Annotated[bool, Parameter(help="Print JSON.")] = False) -> int:
    """Show how the runs of a journal stand. Also while one is running."""
    return show_status(Journal.existing(journal), json=json)


@commands.command
def verify(
    journal: JournalFile,
    /,
    *,
    sample: Annotated[int | None, Parameter(help="Read back only so many rows, drawn at random.")] = None,
    rate: Rate = None,
) -> int:
    """Read the customers of a journal's source back and compare them with it."""
    opened, facts = _last_run(journal)
    limit = Limits(rate=rate).per_second() if rate is not None else facts["rate"]
    owner = account_from_environment(opened.gateway)
    return show_verification(owner, source_of(facts).read(), sample=sample, rate=limit, workers=facts["workers"])


@commands.command
def migrate(
    *,
    source: Annotated[str, Parameter(name="--from", help=f"The gateway to read: {GATEWAYS}.")],
    to: Gateway,
    journal: Annotated[Path | None, Parameter(help="Default: migrate.FROM.TO.journal, here.")] = None,
    accept_losses: Annotated[bool, Parameter(help="Go on although fields are left behind.")] = False,
    limits: Limits = Limits(),
    output: Output = Output(),
) -> int:
    """Bring every customer of one gateway to another; what is lost on the way is listed first.

    To go on after an interruption, run the same command again: what arrived is not sent twice.
    """
    if source == to:
        raise ConfigurationError("--from and --to name the same gateway")
    owner = account_from_environment(to)
    opened = Journal.open(journal or Path(f"migrate.{source}.{to}.journal"), gateway=to, endpoint=owner.base_url)
    rate, facts = limits.per_second(), {"migrate": source}
    options = Options(rate=rate, workers=limits.workers, max_failures=limits.max_failures, facts=facts)
    letters = output.failures or Path(f"migrate.{source}.{to}.failed.jsonl")
    task = Task(
        owner, to, f"{source} → {to}", source, opened, options, letters, output.dead_letter_values, output.report,
        output.html, resumable=False,
    )  # fmt: skip
    return migration(account_from_environment(source), task, accept_losses=accept_losses)


def _last_run(path: Path) -> tuple[Journal, dict[str, Any]]:
    opened = Journal.existing(path)
    last = opened.last_run()
    if last is None:
        raise ConfigurationError(f"{path} holds no run. Start one with `sync`.")
    if "source" not in last.facts:
        again = f"wonder-customers migrate --from {last.facts.get('migrate')} --to {opened.gateway}"
        raise ConfigurationError(f"{path} belongs to no file. If it is a migration's, run it again: {again}")
    return opened, dict(last.facts)


def _check_source(facts: dict[str, Any], *, allow_changed: bool) -> None:
    if not allow_changed and fingerprint(facts["source"], facts["query"]) != facts["fingerprint"]:
        raise ConfigurationError(
            f"{facts['source']} has changed since the run began. Nothing was sent. Go on with --allow-changed (each row"
            " is compared with what was confirmed, so nothing is lost), or start a new run with `sync`."
        )


def _again(opened: Journal, facts: dict[str, Any], output: Output, **how: Any) -> int:
    """Run a journal's source once more."""
    file = Path(facts["source"])
    options = Options(
        rate=facts["rate"], workers=facts["workers"], max_failures=facts["max_failures"], facts=facts, **how
    )
    title = f"{file.name} → {opened.gateway}"
    owner = account_from_environment(opened.gateway)
    if owner.base_url != opened.endpoint:
        raise ConfigurationError(
            f"the journal is of {opened.gateway} at {opened.endpoint}, the environment names {owner.base_url}"
        )
    return run(
        Task(
            owner,
            opened.gateway,
            title,
            facts["source"],
            opened,
            options,
            output.failures or beside(file, "failed.jsonl"),
            output.dead_letter_values,
            output.report,
            output.html,
            where=where_of(facts),
        ),
        source_of(facts),
    )
