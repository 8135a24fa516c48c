"""How a job works, and what it takes."""

from collections.abc import AsyncIterable, Iterable, Mapping
from math import inf
from typing import Any

from attrs import field, frozen

from wonder_customers.bulk.change_filter import Only
from wonder_customers.bulk.rows import Row
from wonder_customers.bulk.tries import Tries
from wonder_customers.errors import ConfigurationError
from wonder_customers.records import CustomerDraft
from wonder_customers.retry import RetryPolicy

__all__ = ["BULK", "Options", "Rows", "check_rate"]

Rows = Iterable[Row | CustomerDraft] | AsyncIterable[Row | CustomerDraft]
"""What a job takes: rows of a source, or any drafts."""

BULK = RetryPolicy(attempts=1, deadline=120.0)
"""The retry policy for a session that a bulk job uses: the job itself tries again, and has to see every refusal."""


SLOWEST = 1 / 3600
"""The lowest rate, in requests per second: one in an hour. A job at a lower one only looks as if it hung."""


def check_rate(rate: float | None) -> None:
    """Refuse a rate at which nothing would happen.

    Args:
        rate: Requests per second, None for no ceiling.

    Raises:
        ConfigurationError: It is lower than one request in an hour, or no number.
    """
    if rate is not None and not SLOWEST <= rate < inf:
        raise ConfigurationError(f"the rate must be a number of at least 1 request in an hour, not {rate:g} per second")


@frozen(kw_only=True)
class Options:
    """How a job works. Everything has a default.

    Attributes:
        rate: Requests per second at most; None lets the gateway's answers decide.
        workers: Rows under way at a time at most.
        first: Stop after so many rows of the source, as a trial; None for all.
        only: ``failed`` for the rows that failed or are in doubt since earlier runs.
        full: Send unchanged rows too.
        tries: How often and how long a row is tried.
        max_failures: Failed rows at which the job stops, None for any number.
        failure_share: The share of failures among the last 500 rows (at least 50) at which it stops; None for any.
        facts: What a journal keeps about the run, to do it again: source, mapping. JSON values.
        resume: Go on with the journal's last run instead of beginning one.
    """

    rate: float | None = None
    workers: int = 16
    first: int | None = None
    only: Only = "all"
    full: bool = False
    tries: Tries = field(factory=Tries)
    max_failures: int | None = None
    failure_share: float | None = 0.2
    facts: Mapping[str, Any] = field(factory=dict)
    resume: bool = False

    def __attrs_post_init__(self) -> None:
        check_rate(self.rate)
        if self.workers < 1:
            raise ConfigurationError("a job needs at least 1 worker")
        if self.first is not None and self.first < 1:
            raise ConfigurationError("the number of first rows must be at least 1")
        if self.max_failures is not None and self.max_failures < 1:
            raise ConfigurationError("the number of failures to stop at must be at least 1")
