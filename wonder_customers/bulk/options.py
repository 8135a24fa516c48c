"""The settings of a bulk job, and the rows it accepts."""

from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from inspect import iscoroutinefunction
from math import inf
from types import NoneType
from typing import Any, Final, Literal, get_args

from attrs import field, frozen

from wonder_customers._core.arguments import check_json, check_type
from wonder_customers.bulk.empty_cells import EmptyRule
from wonder_customers.bulk.journal.entries import RowJournal
from wonder_customers.bulk.missing_from_source import RemovalLimit, RemovedRule
from wonder_customers.bulk.rows import Outcome, Row
from wonder_customers.errors import ConfigurationError
from wonder_customers.records import CustomerDraft
from wonder_customers.retry import RetryPolicy
from wonder_customers.session import CustomerSession

__all__ = ["BULK", "Inspect", "Only", "Options", "Rows", "check_job", "check_rate"]

Rows = Iterable[Row | CustomerDraft] | AsyncIterable[Row | CustomerDraft]
"""The rows that a job accepts: the rows of a source, or any drafts."""

Only = Literal["all", "failed"]
"""Which rows a run processes: ``all``, or only those that earlier runs recorded without a confirmation (``failed``)."""

Inspect = Callable[[Sequence[Outcome], Sequence[Any]], None]
"""Receives the outcomes of the rows that need no request, and the rows to send (`PendingRow`), of a part of a batch."""

BULK = RetryPolicy(attempts=8, deadline=3600.0, cap=60.0, transient_cost=0, throttle_cost=0)
"""The retry policy of bulk jobs."""

SLOWEST = 1 / 3600
"""The lowest accepted rate in requests per second: one per hour. At a lower rate, a job would appear to hang."""


_TYPES: Final[Mapping[str, tuple[tuple[Any, ...], str]]] = {
    "inspect": ((Callable, NoneType), "a function"),
    "retry": ((RetryPolicy,), "a RetryPolicy"),
    "give_up_after": ((int, float, NoneType), "a number of seconds"),
    "failure_share": ((int, float, NoneType), "a number from 0 to 1"),
}


def check_job(session: object, journal: object, options: object = None) -> None:
    """Raise `ConfigurationError` unless the arguments of a job have the right types."""
    check_type("session", session, (CustomerSession,), "an open CustomerSession")
    check_type("journal", journal, (RowJournal, NoneType), "a Journal, such as Journal.open(…), or None")
    check_type("options", options, (Options, NoneType), "Options(…)")


def check_rate(rate: float | None) -> None:
    """Raise `ConfigurationError` unless a rate in requests per second is valid."""
    check_type("rate", rate, (int, float, NoneType), "a number of requests per second")
    if rate is not None and not SLOWEST <= rate < inf:
        raise ConfigurationError(f"the rate must be finite and at least 1 request per hour, not {rate:g} per second")


def _policy(given: RetryPolicy | None) -> RetryPolicy:
    return BULK if given is None else given


@frozen(kw_only=True)
class Options:
    """The settings of a bulk job. The rate is that of the session: ``CustomerSession(…, rate_limit=…)``.

    Attributes:
        workers: The maximum number of rows in progress at the same time.
        first: Stop after this number of rows, for a trial; None for all.
        only: ``all`` rows, or only those that earlier runs recorded without a confirmation (``failed``).
        full: Whether to send unchanged rows too.
        empty: What an empty cell does: ``own`` clears a field that an earlier run filled (without a journal, it keeps
            the field), ``clear`` clears every field that has a column, ``keep`` leaves the field as it is.
        removed: What happens to the customers missing from the source: ``report`` only counts them, ``delete`` deletes
            or archives them after a complete run without failed rows. Deleting requires a journal.
        max_removed: The maximum number of customers to delete, as a number or as a percentage of the rows of the last
            finished run. If more are missing from the source, the job stops before it deletes any.
        inspect: Called with the outcomes and the rows to send of each part of a batch before it is sent. If it raises
            an error, the job ends.
        retry: How often and how long each row is retried. It replaces the session's policy.
        max_failures: The number of failed rows at which the job stops; None for no limit.
        give_up_after: The duration in seconds of an outage at which the job stops. Until then, a row that fails in the
            outage may be sent again. None to do neither.
        failure_share: The fraction of failures among the last 500 rows that were sent, from 0 to 1, above which the job
            stops. It applies after 50 rows, and also to each 50 or more rows read together that are invalid for the
            same reason. None for no limit.
        facts: The settings that the journal records to repeat the run, such as source and mapping. JSON values.
        resume: Whether to continue the journal's last run instead of starting a new run.

    Raises:
        ConfigurationError: A value is invalid.
    """

    workers: int = 16
    first: int | None = None
    only: Only = "all"
    full: bool = False
    empty: EmptyRule = "own"
    removed: RemovedRule = "report"
    max_removed: int | str = "5%"
    inspect: Inspect | None = None
    retry: RetryPolicy = field(default=BULK, converter=_policy)
    max_failures: int | None = None
    give_up_after: float | None = None
    failure_share: float | None = 0.2
    facts: Mapping[str, Any] = field(factory=dict)
    resume: bool = False

    def __attrs_post_init__(self) -> None:
        check_json("facts", self.facts)
        if iscoroutinefunction(self.inspect):
            raise ConfigurationError("inspect must be a regular function, not a coroutine function")
        RemovalLimit.parse(self.max_removed)
        for name, (kinds, what) in _TYPES.items():
            check_type(name, getattr(self, name), kinds, what)
        for name, choices in (("only", Only), ("empty", EmptyRule), ("removed", RemovedRule)):
            if getattr(self, name) not in (values := get_args(choices)):
                raise ConfigurationError(f"{name} must be one of {', '.join(values)}, not {getattr(self, name)!r}")
        for name in ("workers", "first", "max_failures"):
            value = getattr(self, name)
            missing = value is None and name != "workers"
            if not missing and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ConfigurationError(f"{name} must be a whole number of at least 1, not {value!r}")
        if self.give_up_after is not None and not 0 < self.give_up_after < inf:
            raise ConfigurationError(
                f"give_up_after must be a finite, positive number of seconds, not {self.give_up_after:g}"
            )
        if self.failure_share is not None and not 0 <= self.failure_share <= 1:
            raise ConfigurationError(f"failure_share must be from 0 to 1, not {self.failure_share:g}")
