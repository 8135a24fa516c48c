"""The journal of a worker, which sends all changes to the coordinator's journal.

A request is sent only after its record is on the disk of the coordinator, because the worker's machine may be lost at
any moment. So the rows that were under way when a worker died are known to the worker that takes over.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import time
from typing import Any

import anyio
import anyio.from_thread
from attrs import define, field

from wonder_customers.bulk.journal import Change
from wonder_customers.bulk.journal.digest import Digests
from wonder_customers.bulk.journal.entries import Announcement, Entry, State
from wonder_customers.errors import BulkError

__all__ = ["RemoteJournal"]

GROUP = 200
"""The maximum number of changes per message."""
ASKED = 500
"""The maximum number of references per query."""


@define(eq=False)
class RemoteJournal:
    """Collects changes while the previous message is under way.

    Attributes:
        ship: Sends changes to the journal; returns when they are on its disk. Raises `BulkError` if they can no longer
            be written.
        ask: Returns the journal's entries of references.
        digests: Computes digests with the journal's key.
        run: The number of the current run.
        name: The journal's name, for messages.
        ahead: Seconds by which this machine's clock is behind the journal's.
        failure: Why the journal can no longer be written.
    """

    ship: Callable[[list[Change]], Awaitable[None]]
    ask: Callable[[list[str]], Coroutine[Any, Any, list[Entry]]]
    digests: Digests
    run: int
    name: str
    ahead: float = 0.0
    failure: BulkError | None = field(default=None, init=False)
    _changes: "deque[tuple[Change, anyio.Event | None]]" = field(factory=deque, init=False)
    _woken: anyio.Event = field(factory=anyio.Event, init=False)
    _stopping: bool = field(default=False, init=False)

    def clock(self) -> float:
        """Return the Unix time of the journal's machine: confirmation windows are measured with one clock."""
        return time() + self.ahead

    def check(self, gateway: str, endpoint: str) -> None:
        """Do nothing: the worker has compared its account with the journal."""

    def begin(self, facts: Mapping[str, Any], *, resume: bool = False) -> None:
        """Do nothing: the coordinator starts the run."""

    def end(self, exit_status: str, counts: Mapping[str, int]) -> None:
        """Do nothing: the coordinator ends the run."""

    async def serve(self) -> None:
        """Send queued changes, until `stop` was called and all of them are sent."""
        with anyio.CancelScope(shield=True):
            while self._changes or not self._stopping:
                if not self._changes:
                    await self._woken.wait()
                    self._woken = anyio.Event()
                    continue
                await self._ship_some()

    async def _ship_some(self) -> None:
        group = [self._changes.popleft() for _ in range(min(GROUP, len(self._changes)))]
        # After a failure nothing more is written: a later row must not be recorded without an earlier one.
        if self.failure is None:
            try:
                await self.ship([change for change, _ in group])
            except BulkError as error:
                self.failure = error
        for _, written in group:
            if written is not None:
                written.set()

    def stop(self) -> None:
        """End `serve` after the last queued change."""
        self._stopping = True
        self._woken.set()

    async def announce(self, rows: Sequence[Announcement]) -> None:
        """Record that rows will be sent, and wait until the records are on the journal's disk.

        Raises:
            BulkError: They could not be written, so the rows must not be sent.
        """
        written = anyio.Event()
        for place, row in enumerate(rows, 1):
            self._post("sending", *row, written=written if place == len(rows) else None)
        if rows:
            await written.wait()
        if self.failure is not None:
            raise self.failure

    def done(
        self, reference: str, number: int, raw: bytes | None, payload: bytes, *, result: str, id: str, attempts: int
    ) -> None:
        """Record that the gateway holds the row."""
        self._post("done", reference, number, raw, payload, result, id, attempts)

    def ended(self, reference: str, state: State, attempts: int, code: str | None) -> None:
        """Record how a row ended that the gateway did not confirm."""
        self._post("ended", reference, state, attempts, code)

    def same(self, reference: str, raw: bytes) -> None:
        """Record that different raw values result in the same request body."""
        anyio.from_thread.run_sync(self._post, "same", reference, raw)

    def _post(self, kind: str, *values: Any, written: anyio.Event | None = None) -> None:
        self._changes.append(((kind, list(values)), written))
        self._woken.set()

    @contextmanager
    def reader(self) -> Iterator[Callable[[Sequence[str]], dict[str, Entry]]]:
        """Return a function that finds the entries of many references, for worker threads."""

        def find(references: Sequence[str]) -> dict[str, Entry]:
            found: dict[str, Entry] = {}
            for begin in range(0, len(references), ASKED):
                found |= anyio.from_thread.run(self._asked, list(references[begin : begin + ASKED]))
            return found

        yield find

    async def _asked(self, references: list[str]) -> dict[str, Entry]:
        # Shielded, because the waiting thread cannot be abandoned when its task is cancelled, and a cancellation
        # delivered before this call would not be delivered again.
        with anyio.CancelScope(shield=True):
            entries = await self.ask(references)
        return {entry[0]: Entry._make(entry) for entry in entries}
