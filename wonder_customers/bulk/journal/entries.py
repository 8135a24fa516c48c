"""What a job needs of a journal, wherever that journal is."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, NamedTuple, Protocol

from wonder_customers.bulk.journal.digest import Digests

__all__ = ["Entry", "RowJournal", "State"]

State = Literal["sending", "done", "failed", "unknown", "held"]
"""``failed``: the gateway does not take it. ``unknown``: perhaps applied. ``held``: not applied, to be sent again."""


class Entry(NamedTuple):
    """What the journal knows of one reference."""

    reference: str
    number: int
    run: int
    state: State
    result: str | None
    raw: bytes | None
    payload: bytes | None
    id: str | None
    attempts: int
    code: str | None
    at: float


class RowJournal(Protocol):
    """A journal as a job uses it: `Journal` in one file, `ShippedJournal` for a part of a job on another machine."""

    @property
    def digests(self) -> Digests:
        """Makes the digests that rows are compared by."""

    @property
    def run(self) -> int:
        """The number of the run under way."""

    @property
    def clock(self) -> Callable[[], float]:
        """The Unix time by which entries are stamped."""

    @property
    def name(self) -> str:
        """How a person names it when going on after an interruption."""

    def check(self, gateway: str, endpoint: str) -> None:
        """Hold the journal against the place where a job sends its rows.

        Raises:
            ConfigurationError: It vouches for another one, whose customers this one does not know.
        """

    def begin(self, facts: Mapping[str, Any], *, resume: bool = False) -> object:
        """Take the journal for this job."""

    def end(self, end_state: str, counts: Mapping[str, int]) -> None:
        """Write how the job ended, and let go of the journal."""

    async def serve(self) -> None:
        """Write what is handed over, until `stop` and everything before it."""

    def stop(self) -> None:
        """Let `serve` end after the last row."""

    async def sending(self, reference: str, number: int, raw: bytes | None, payload: bytes) -> None:
        """Write that a request is about to go out; returns when that is on the disk.

        Raises:
            BulkError: It could not be written, so the request must not go out.
        """

    def done(
        self, reference: str, number: int, raw: bytes | None, payload: bytes, *, result: str, id: str, attempts: int
    ) -> None:
        """Write that the gateway holds the row."""

    def ended(self, reference: str, state: State, attempts: int, code: str | None) -> None:
        """Write how a row ended that the gateway did not take for certain."""

    def same(self, reference: str, raw: bytes) -> None:
        """Write that other raw values make the same payload."""

    def reader(self) -> AbstractContextManager[Callable[[Sequence[str]], dict[str, Entry]]]:
        """A function that finds the entries of many references at once, for worker threads."""
