"""The journal of a part of a job: nothing is kept here, everything goes to where the one journal is.

A request may go out when the word that it does is on the one journal's disk, not on the disk of a machine that may be
gone the next moment. So what was under way when a worker died is known to whoever takes its rows over.
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
from wonder_customers.bulk.journal.entries import Entry, State
from wonder_customers.errors import BulkError

__all__ = ["ShippedJournal"]

GROUP = 200
"""Changes that travel together at most."""
ASKED = 500
"""References that are asked for at once at most."""


@define(eq=False)
class ShippedJournal:
    """Collects changes while the group before is under way, as the journal's own writer does.

    Attributes:
        ship: Brings changes to the one journal; returns when they are on its disk. Raises `BulkError` when that will
            not happen any more.
        ask: Finds what the one journal knows of references.
        digests: Makes the digests that rows are compared by, under the one journal's key.
        run: The run under way.
        name: The one journal, for messages.
        ahead: Seconds that this machine's clock is behind the one journal's.
        failure: Why nothing can be written any more.
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
        """Unix time where the one journal is: settle times are counted on one clock only."""
        return time() + self.ahead

    def check(self, gateway: str, endpoint: str) -> None:
        """Nothing: the worker has held its account against the one journal."""

    def begin(self, facts: Mapping[str, Any], *, resume: bool = False) -> None:
        """Nothing: the run is begun where the one journal is."""

    def end(self, end_state: str, counts: Mapping[str, int]) -> None:
        """Nothing: the run ends where the one journal is."""

    async def serve(self) -> None:
        """Ship what is handed over, until `stop` and everything before it."""
        with anyio.CancelScope(shield=True):
            while self._changes or not self._stopping:
                if not self._changes:
                    await self._woken.wait()
                    self._woken = anyio.Event()
                    continue
                await self._ship_some()

    async def _ship_some(self) -> None:
        group = [self._changes.popleft() for _ in range(min(GROUP, len(self._changes)))]
        # After a failure nothing more is written: a later row must not be there when an earlier one is not.
        if self.failure is None:
            try:
                await self.ship([change for change, _ in group])
            except BulkError as error:
                self.failure = error
        for _, written in group:
            if written is not None:
                written.set()

    def stop(self) -> None:
        """Let `serve` end after the last row."""
        self._stopping = True
        self._woken.set()

    async def sending(self, reference: str, number: int, raw: bytes | None, payload: bytes) -> None:
        """Write that a request is about to go out; returns when that is on the one journal's disk.

        Raises:
            BulkError: It could not be written, so the request must not go out.
        """
        written = anyio.Event()
        self._post("sending", reference, number, raw, payload, written=written)
        await written.wait()
        if self.failure is not None:
            raise self.failure

    def done(
        self, reference: str, number: int, raw: bytes | None, payload: bytes, *, result: str, id: str, attempts: int
    ) -> None:
        """Write that the gateway holds the row."""
        self._post("done", reference, number, raw, payload, result, id, attempts)

    def ended(self, reference: str, state: State, attempts: int, code: str | None) -> None:
        """Write how a row ended that the gateway did not take for certain."""
        self._post("ended", reference, state, attempts, code)

    def same(self, reference: str, raw: bytes) -> None:
        """Write that other raw values make the same payload."""
        anyio.from_thread.run_sync(self._post, "same", reference, raw)

    def _post(self, kind: str, *values: Any, written: anyio.Event | None = None) -> None:
        self._changes.append(((kind, list(values)), written))
        self._woken.set()

    @contextmanager
    def reader(self) -> Iterator[Callable[[Sequence[str]], dict[str, Entry]]]:
        """A function that finds the entries of many references at once, for worker threads."""

        def find(references: Sequence[str]) -> dict[str, Entry]:
            found: dict[str, Entry] = {}
            for begin in range(0, len(references), ASKED):
                found |= anyio.from_thread.run(self._asked, list(references[begin : begin + ASKED]))
            return found

        yield find

    async def _asked(self, references: list[str]) -> dict[str, Entry]:
        # The thread that waits for this is not left alone when its task is cancelled, and a cancellation that was told
        # before this began is never told again: what looks for it would look for ever.
        with anyio.CancelScope(shield=True):
            entries = await self.ask(references)
        return {entry[0]: Entry._make(entry) for entry in entries}
