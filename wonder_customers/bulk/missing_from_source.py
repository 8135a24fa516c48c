"""Customers missing from the source, and the limit on their removal."""

from collections.abc import Mapping
from typing import Any, Literal

from attrs import define, field, frozen

from wonder_customers._support.counted import counted
from wonder_customers.bulk.continuation import continuation
from wonder_customers.errors import ConfigurationError

__all__ = ["MissingFromSource", "RemovalLimit", "RemovedRule", "removal_problem"]

RemovedRule = Literal["report", "delete"]
"""What happens to customers missing from the source: ``report`` only counts them, ``delete`` also deletes or archives
them at the gateway."""

MOST_LISTED = 1000


@frozen
class RemovalLimit:
    """The maximum number of customers that a run deletes.

    Attributes:
        text: The limit as the user gave it.
        number: The limit as a number of customers; None for a percentage.
        share: The limit as a fraction of the rows of the last finished run; None for a number.
    """

    text: str
    number: int | None = None
    share: float | None = None

    @classmethod
    def parse(cls, given: int | str) -> "RemovalLimit":
        """Parse a number such as ``120`` or a percentage such as ``5%``, or raise `ConfigurationError`."""
        text = str(given).strip()
        try:
            if text.endswith("%") and 0 <= float(text[:-1]) <= 100:
                return cls(text, share=float(text[:-1]) / 100)
            if int(text) >= 0:
                return cls(text, number=int(text))
        except ValueError:
            pass
        raise ConfigurationError(
            "the maximum number of customers to delete must be a whole number of at least 0, such as 120, or a"
            f" percentage from 0% to 100%, such as 5%, not {text!r}"
        )


@define
class MissingFromSource:
    """The customers that earlier runs wrote and that the source no longer contains.

    Attributes:
        rule: What happens to these customers.
        counted: Whether the customers were counted.
        count: The number of customers, without those that earlier runs deleted.
        removed: The number of customers that the run deleted, or found deleted.
        kept: The number of customers that could not be deleted.
        listed: The reference and the gateway's id (None if unknown) of each of the first 1,000 customers.
        rows_before: The number of rows of the last finished run; None without such a run.
        problem: Why the rule ``delete`` was not applied; None otherwise.
    """

    rule: RemovedRule = "report"
    counted: bool = False
    count: int = 0
    removed: int = 0
    kept: int = 0
    listed: list[tuple[str, str | None]] = field(factory=list)
    rows_before: int | None = None
    problem: str | None = None

    def add(self, reference: str, id: str | None) -> None:
        """Count a customer."""
        self.count += 1
        if len(self.listed) < MOST_LISTED:
            self.listed.append((reference, id))

    @property
    def share(self) -> str:
        """The number of customers, with the percentage of `rows_before` if it is at most 100%, for messages."""
        customers, before = counted(self.count, "customer", "customers"), self.rows_before or 0
        return f"{customers} ({self.count / before:.1%})" if 0 < before >= self.count else customers

    def warning(self, rows: int) -> str | None:
        """Return why a source with `rows` rows may be incomplete; None if nothing suggests this."""
        if self.counted and self.count and not rows:
            return "the source has no rows"
        if self.counted and self.rows_before is not None and 2 * rows < self.rows_before:
            return f"the source has only {rows:,} rows, and the last finished run had {self.rows_before:,}"
        return None

    def advice(self, journal: str, facts: Mapping[str, Any], rows: int) -> str:
        """Return what the user can do after a refusal."""
        if not rows:
            return "Check that the source is the right file, then run the job again."
        options = f"--removed delete --max-removed {self.count}" if facts else f"max_removed={self.count}"
        command = continuation(journal, facts, options=options) or f"the same command and {options}"
        return f"Check the source. If the source is complete, remove the customers with: {command}"


def removal_problem(found: MissingFromSource, rows: int, failures: int, limit: RemovalLimit) -> tuple[str, bool] | None:
    """Return why no customer may be deleted and whether the job stops; None if deletion is allowed."""
    if not found.count:
        return None
    if failures:
        what = counted(failures, "row", "rows")
        return f"{what} of the source failed, so the source may still contain {found.share} counted as missing", False
    warning = found.warning(rows) if limit.number is None or not rows else None
    if warning is not None:
        return f"{warning}; {found.share} would be removed", True
    if limit.number is None and found.rows_before is None:
        reason = "and a percentage as the maximum requires an earlier finished run"
        return f"the source no longer contains {found.share}, {reason}", True
    allowed = (limit.share or 0.0) * (found.rows_before or 0) if limit.number is None else limit.number
    if found.count <= allowed:
        return None
    return f"the source no longer contains {found.share}, more than the maximum of {limit.text}", True
