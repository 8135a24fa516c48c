"""When a job has to stop by itself: a wrong key, or too many failures. A mistake must not be made a million times."""

from collections import deque
from typing import Literal

from attrs import define, field, frozen

from wonder_customers.errors import BulkError

__all__ = ["AttemptResult", "Stop", "Thresholds", "raise_stop"]

AttemptResult = Literal["finished", "paused", "interrupted", "refused", "failures", "journal", "source"]
"""How a run ended: all rows seen; the first rows of a canary; by the user; credentials refused; too many failures; the
journal or the source gave out."""


@frozen
class Stop:
    """Why a job stopped before the end of its source."""

    end_state: AttemptResult
    reason: str


def raise_stop(stopped: Stop | None, rows: int, journal: str | None) -> None:
    """Say why a job stopped, unless it was asked to.

    Args:
        stopped: Why; None when it has not.
        rows: Rows that have an outcome.
        journal: The journal's name, None without one.

    Raises:
        BulkError: It stopped by itself.
    """
    if stopped is None or stopped.end_state in {"paused", "interrupted"}:
        return
    said = f"the job stopped after {rows} rows: {stopped.reason.rstrip('.')}."
    if journal is not None and stopped.end_state != "journal":
        said += (
            " What was applied stays applied and is in the journal. When the cause is gone, go on with:"
            f" wonder-customers resume {journal}"
        )
    raise BulkError(said)


@define(eq=False)
class Thresholds:
    """How many failures are too many.

    Attributes:
        most: Failed rows at which the job stops, None for any number.
        share: The share of failed rows among the last `of` at which it stops, None for any share.
        of: How many rows back are looked at.
        least: Rows that must be there before the share counts.
    """

    most: int | None = None
    share: float | None = 0.2
    of: int = 500
    least: int = 50
    failed: int = field(default=0, init=False)
    _recent: "deque[bool]" = field(factory=deque, init=False)
    _failed_recently: int = field(default=0, init=False)

    def count(self, *, ok: bool) -> str | None:
        """Take note of a row that was sent.

        Returns:
            Why the job has to stop now, None when it may go on.
        """
        self.failed += not ok
        self._recent.append(not ok)
        self._failed_recently += not ok
        if len(self._recent) > self.of:
            self._failed_recently -= self._recent.popleft()
        seen = len(self._recent)
        if self.most is not None and self.failed >= self.most:
            return f"{self.failed} rows failed, which is the limit that was set"
        if self.share is not None and seen >= self.least and self._failed_recently > self.share * seen:
            return f"{self._failed_recently} of the last {seen} rows failed"
        return None
