"""Groups of options of the bulk commands."""

import re
from pathlib import Path
from typing import Annotated, Any

from attrs import frozen
from cyclopts import Group, Parameter

from wonder_customers.bulk.journal import Journal
from wonder_customers.bulk.missing_from_source import RemovedRule
from wonder_customers.bulk.options import check_rate
from wonder_customers.cli.error_messages import no_effect
from wonder_customers.cli.monitoring import Monitor, webhook
from wonder_customers.cli.shared_options import POSITIVE, WORKERS
from wonder_customers.errors import ConfigurationError

__all__ = [
    "EarlierRunOptions",
    "EngineOptions",
    "LimitOptions",
    "OutputOptions",
    "Rate",
    "RateOptions",
    "RemovalOptions",
    "Renewed",
]

_LIMITS = Group("Rate and limits", sort_key=3)

Rate = Annotated[
    str | None, Parameter(allow_leading_hyphen=True, help="The maximum request rate, such as 25/s or 100/min.")
]


@Parameter(name="*", group=_LIMITS)
@frozen
class RateOptions:
    """Options for the rate and the workers.

    Attributes:
        workers: The maximum number of customers sent at a time.
    """

    rate: Rate = None
    workers: Annotated[int, WORKERS] = 16

    def per_second(self) -> float | None:
        """Return the rate in requests per second; None without the option."""
        if self.rate is None:
            return None
        number, _, unit = self.rate.strip().partition("/")
        seconds = {"": 1, "s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
        try:
            found = float(number) / seconds[unit.strip()]
        except (ValueError, KeyError):
            raise ConfigurationError(
                "--rate must be a number of requests per second, minute or hour, such as 25/s or 100/min, not"
                f" {self.rate!r}"
            ) from None
        check_rate(found)
        return found


@Parameter(name="*", group=_LIMITS)
@frozen
class LimitOptions(RateOptions):
    """Options for the rate, the workers and the limits of a job.

    Attributes:
        max_failures: Stop after this number of failed rows.
        give_up_after: Stop after an outage of this duration, such as 10m. During a shorter outage, the job waits.
    """

    max_failures: Annotated[int | None, POSITIVE] = None
    give_up_after: str | None = None

    def outage_seconds(self) -> float | None:
        """Return the duration of --give-up-after in seconds; None without the option."""
        if self.give_up_after is None:
            return None
        found = re.fullmatch(r"(\d{1,7}(?:\.\d{1,3})?)\s*([smhd]?)", self.give_up_after.strip())
        seconds = float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}[found[2]] if found else 0.0
        if not seconds:
            raise ConfigurationError(
                "--give-up-after must be a positive duration, such as 90s, 10m or 2h (at most 7 digits and 3 decimal"
                f" places), not {self.give_up_after!r}"
            )
        return seconds

    def facts(self) -> dict[str, Any]:
        """Return the options as settings of a run. Raise `ConfigurationError` if an option is invalid."""
        limits = {"max_failures": self.max_failures, "give_up_after": self.outage_seconds()}
        return {"rate": self.per_second(), "workers": self.workers, **limits}


@Parameter(name="*", group=Group("Several processes or machines", sort_key=4))
@frozen
class EngineOptions:
    """Options for the engine that runs a job.

    Attributes:
        on: Run on workers: ray (on this machine) or ray://HOST:PORT (on a cluster).
        processes: The number of workers on Ray (default: 2). Each of them sends several customers at a time.
        shared_limit: Share the rate limit with other processes through a Redis or Valkey server:
            redis://HOST:PORT/DATABASE, or rediss:// for TLS. Processes with the same server and --shared-name share the
            limit.
        shared_name: The name of the shared limit (default: the name of the gateway).
    """

    on: str | None = None
    processes: Annotated[int | None, POSITIVE] = None
    shared_limit: str | None = None
    shared_name: str | None = None

    def check(self) -> None:
        """Raise `ConfigurationError` if an option has no effect without another option."""
        for option, value, required, given in (
            ("--processes", self.processes, "--on", self.on),
            ("--shared-name", self.shared_name, "--shared-limit", self.shared_limit),
        ):
            if value is not None and given is None:
                raise no_effect(option, f" without {required}")

    def facts(self, gateway: str) -> dict[str, Any]:
        """Return the options as settings of a run."""
        self.check()
        name, processes = self.shared_name or gateway, 2 if self.processes is None else self.processes
        return {"on": self.on, "processes": processes, "shared_limit": self.shared_limit, "shared_name": name}


@Parameter(name="*", group=Group("Customers missing from the source", sort_key=2))
@frozen
class RemovalOptions:
    """Options for customers missing from the source.

    Attributes:
        removed: What to do with customers that earlier runs sent and that the source no longer contains: report (count
            them; the default) or delete.
        max_removed: The maximum number of customers to delete, as a number or as a percentage of the rows of the last
            finished run (default: 5%). If there are more, no customer is deleted.
    """

    removed: RemovedRule | None = None
    max_removed: str | None = None

    def rules(self) -> dict[str, Any]:
        """Return the arguments of `Options`. Raise `ConfigurationError` if --max-removed has no effect."""
        if self.max_removed is not None and self.removed != "delete":
            raise no_effect("--max-removed", " without --removed delete")
        return {"removed": self.removed or "report", "max_removed": self.max_removed or "5%"}


Renewed = Annotated[
    bool,
    Parameter(
        name="--renewed-credentials",
        help="The credentials of the journal's account were renewed. Pass this option once, because the journal records"
        " a digest of the new credentials.",
    ),
]


@Parameter(name="*", group=Group("Options of the earlier run", sort_key=1))
@frozen
class EarlierRunOptions:
    """Options that may have to be given again to continue a run.

    Attributes:
        source: The path of the source, if the source is not in the journal's folder.
        query: The query with which the run was started.
        database: The database with which the run was started.
    """

    source: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None
    query: str | None = None
    database: str | None = None
    renewed: Renewed = False

    def check_unused(self, journal: Journal) -> None:
        """Raise `ConfigurationError` if an option is set, because the journal is the journal of a migration."""
        for name in (it for it in ("source", "query", "database") if getattr(self, it) is not None):
            raise no_effect(f"--{name}", f", because {journal.path} is the journal of a migration")


@Parameter(name="*", group=Group("Output", sort_key=5))
@frozen
class OutputOptions:
    """Options for the files that a job writes, and for the webhook.

    Attributes:
        report: Write a JSON report to this file.
        html: Write a report with charts to this file.
        failures: Write failed rows to this file (default: FILE.GATEWAY.failed.jsonl; for `migrate`,
            migrate.FROM.TO.failed.jsonl).
        failure_values: Include the customers' data in the failed rows, so that the file can be used as a source.
        heartbeat: Write the progress to this file every ten seconds, and the result at the end.
        notify_url: POST the result to this https URL at the end. The name of an environment variable that contains the
            URL is also accepted.
    """

    report: Path | None = None
    html: Path | None = None
    failures: Path | None = None
    failure_values: bool = False
    heartbeat: Path | None = None
    notify_url: str | None = None

    def monitor(self) -> Monitor:
        """Return the object that reports the state of the job to other programs."""
        return Monitor(None if self.notify_url is None else webhook(self.notify_url), self.heartbeat)
