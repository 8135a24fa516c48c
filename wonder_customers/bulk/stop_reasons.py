"""The reasons for which a job stops, and the failure thresholds that stop it."""

from collections import Counter, deque
from collections.abc import Sequence
from typing import Final, Literal

from attrs import define, field, frozen

from wonder_customers._support.counted import counted
from wonder_customers.bulk.rows import Outcome
from wonder_customers.errors import BulkError

__all__ = ["SYNC_AGAIN", "ExitStatus", "Stop", "Thresholds", "raise_stop", "single_error"]

ExitStatus = Literal[
    "finished", "paused", "interrupted", "refused", "failures", "outage", "journal", "source", "removal", "workers"
]
"""How a run ended. ``finished``: all rows were processed. ``paused``: the requested number of first rows was processed.
``interrupted``: the job was stopped or cancelled, or an error was raised. ``refused``: the gateway refused the
credentials or the operation. ``failures``: too many rows failed or cannot be sent. ``outage``: the gateway processed no
request for too long. ``journal`` and ``source``: the journal or the source could not be used. ``removal``: all rows
were processed, and the deletion of customers missing from the source was refused. ``workers``: the workers of a
distributed job could not continue."""


SYNC_AGAIN: Final = (
    "After fixing the cause, run the same `sync` or `migrate` again, with other options for the source if necessary."
    " Rows that were applied and have not changed are not sent again."
)
"""What to do after a source could not be read."""


_RECENT: Final = 500
"""The number of most recently sent rows to which `Thresholds.share` applies."""
_LEAST: Final = 50
"""The number of rows required before `Thresholds.share` applies."""


@frozen
class Stop:
    """Why a job stopped early.

    Attributes:
        exit_status: How the run ended.
        reason: The reason, for messages.
        invalid: Whether too many rows cannot be sent for the same reason.
    """

    exit_status: ExitStatus
    reason: str
    invalid: bool = False

    @property
    def by_source(self) -> bool:
        """Whether the source or its mapping has to be corrected."""
        return self.invalid or self.exit_status == "source"


def raise_stop(stopped: Stop | None, rows: int, again: str | None) -> None:
    """Raise `BulkError` if the job stopped because of a problem."""
    if stopped is None or stopped.exit_status in {"paused", "interrupted"}:
        return
    message = f"the job stopped after {counted(rows, 'row', 'rows')}: {stopped.reason.rstrip('.')}."
    if stopped.exit_status == "removal":
        message = message[:-1]  # the reason ends with the next command
    elif again is not None and stopped.exit_status != "journal":
        message += " Rows that were applied are recorded in the journal." if rows else ""
        # `resume` refuses another source, and has no options for the source.
        corrected = stopped.by_source and again.startswith("wonder-customers resume")
        message += f" {SYNC_AGAIN}" if corrected else f" After fixing the cause, continue with: {again}"
    raise BulkError(message)


@define(eq=False)
class Thresholds:
    """Decides when too many rows have failed, or are invalid for the same reason.

    Attributes:
        most: The number of failed rows at which the job stops; None for no limit.
        share: The fraction of failed or invalid rows, from 0 to 1, above which the job stops; None for no limit.
    """

    most: int | None = None
    share: float | None = 0.2
    failed: int = field(default=0, init=False)
    _rows: int = field(default=0, init=False)
    _failed_recently: "deque[int]" = field(factory=deque, init=False)
    _read: int = field(default=0, init=False)
    _invalid: list[Outcome] = field(factory=list, init=False)

    def count_invalid(self, outcomes: Sequence[Outcome], rows: int) -> str | None:
        """Count a batch. Return why invalid rows stop the job, or None."""
        if self.share is None:
            return None
        # The batches of a slow source are small, so they are judged together.
        self._read += rows
        self._invalid += [it for it in outcomes if it.status == "invalid"]
        if self._read < _LEAST:
            return None
        read, invalid, self._read, self._invalid = self._read, self._invalid, 0, []
        for code, count in Counter(it.code for it in invalid).most_common(1):
            if count > self.share * read:
                example = next(it.reason for it in invalid if it.code == code)
                return f"{count} of {read} rows cannot be sent for the same reason ({code}). An example: {example}"
        return None

    def count(self, *, ok: bool) -> str | None:
        """Count a row that was sent. Return why the job has to stop now, or None."""
        self._rows += 1
        recent = self._failed_recently
        if ok and not recent:
            return None  # most rows
        if not ok:
            self.failed += 1
            recent.append(self._rows)
        while recent and recent[0] <= self._rows - _RECENT:
            recent.popleft()
        seen = min(self._rows, _RECENT)
        if self.most is not None and self.failed >= self.most:
            return f"the maximum number of failed rows, {self.most:,}, was reached"
        if self.share is not None and seen >= _LEAST and len(recent) > self.share * seen:
            return f"{len(recent)} of the last {seen} rows failed"
        return None


def single_error(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """Return the only error in a group, at any depth; None if there are several."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        if len(error.exceptions) > 1:
            return None
        error = error.exceptions[0]
    return error
