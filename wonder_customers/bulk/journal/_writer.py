"""The one thread that writes a journal: many rows per commit, and nobody is told before the commit is on the disk."""

import queue
import sqlite3
from collections.abc import Callable, Sequence
from time import monotonic

import anyio
from attrs import define, field, frozen

from wonder_customers.errors import BulkError

__all__ = ["Writer"]

GROUP = 100
"""Rows per commit at most."""
PATIENCE = 0.05
"""Seconds that a row nobody waits for may stay uncommitted."""


@frozen(eq=False)
class _Entry:
    sql: str
    parameters: Sequence[object]
    written: anyio.Event | None = None


@define(eq=False)
class Writer:
    """Takes rows from the event loop and writes them in a thread of its own.

    The thread commits as soon as somebody waits and the queue is empty, so a group is what gathered during the commit
    before: no row waits for a full group.

    Attributes:
        connect: Opens the database; called in the writer's thread.
        name: The journal, for messages.
        failure: Why nothing can be written any more.
    """

    connect: Callable[[], sqlite3.Connection]
    name: str
    failure: sqlite3.Error | None = None
    _entries: "queue.SimpleQueue[_Entry | None]" = field(factory=queue.SimpleQueue, init=False)

    def post(self, sql: str, parameters: Sequence[object]) -> None:
        """Have a row written soon. Returns at once, also while the task is being cancelled."""
        self._entries.put(_Entry(sql, parameters))

    async def commit(self, sql: str, parameters: Sequence[object]) -> None:
        """Have a row written; returns when it is on the disk, with everything that was posted before.

        Raises:
            BulkError: The journal cannot be written.
        """
        written = anyio.Event()
        self._entries.put(_Entry(sql, parameters, written))
        await written.wait()
        self.check()

    def check(self) -> None:
        """Raise `BulkError` when the journal cannot be written any more."""
        if self.failure is not None:
            raise BulkError(
                f"the journal {self.name} could not be written ({self.failure}). No further customer was sent; those"
                " under way are settled by the gateway's answer when you go on. Make room on the disk, then:"
                f" wonder-customers resume {self.name}"
            )

    async def serve(self) -> None:
        """Run the thread until `stop`; everything handed over before is written, whatever is cancelled meanwhile."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._run)

    def stop(self) -> None:
        """Let `serve` end after the last row."""
        self._entries.put(None)

    def _run(self) -> None:
        connection = self.connect()
        try:
            ended = False
            while not ended:
                group, ended = self._gather()
                if group:
                    self._write(connection, group)
        finally:
            connection.close()

    def _gather(self) -> tuple[list[_Entry], bool]:
        """The next rows to write together, and whether they are the last ones."""
        group: list[_Entry] = []
        awaited, entry, until = False, self._entries.get(), monotonic() + PATIENCE
        while entry is not None:
            group.append(entry)
            awaited = awaited or entry.written is not None
            try:
                if len(group) >= GROUP:
                    return group, False
                wait = 0.0 if awaited else until - monotonic()
                entry = self._entries.get(timeout=wait) if wait > 0 else self._entries.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _write(self, connection: sqlite3.Connection, group: list[_Entry]) -> None:
        # After a failure nothing more is written: a later row must not be there when an earlier one is not.
        if self.failure is None:
            try:
                connection.execute("BEGIN IMMEDIATE")
                for entry in group:
                    connection.execute(entry.sql, entry.parameters)
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                self.failure = error
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        awaited = [entry.written for entry in group if entry.written is not None]
        if awaited:
            anyio.from_thread.run_sync(_tell, awaited)


def _tell(awaited: list[anyio.Event]) -> None:
    for written in awaited:
        written.set()
