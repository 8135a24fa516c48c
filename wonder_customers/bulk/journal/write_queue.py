"""The thread that writes a journal: groups rows into commits and reports a row after its commit is on disk."""

import queue
import sqlite3
from collections.abc import Callable, Sequence
from shlex import quote
from time import monotonic

import anyio
from attrs import define, field, frozen

from wonder_customers.errors import BulkError

__all__ = ["WriteQueue"]

GROUP = 100
"""The maximum number of rows per commit."""
PATIENCE = 0.05
"""Seconds for which a row may stay uncommitted if no task waits for it."""


@frozen(eq=False)
class _Entry:
    sql: str
    parameters: Sequence[object]
    written: anyio.Event | None = None


@define(eq=False)
class WriteQueue:
    """Receives rows from the event loop and writes them in its own thread.

    The thread commits when a task is waiting and the queue is empty, when `GROUP` rows are queued, or after `PATIENCE`
    seconds. A commit therefore contains the rows that arrived during the previous commit.

    Attributes:
        connect: Opens the database; called in the thread.
        name: The journal's name, for messages.
        failure: Why the journal can no longer be written.
    """

    connect: Callable[[], sqlite3.Connection]
    name: str
    failure: sqlite3.Error | None = None
    _entries: "queue.SimpleQueue[_Entry | None]" = field(factory=queue.SimpleQueue, init=False)

    def post(self, sql: str, parameters: Sequence[object]) -> None:
        """Queue a row without waiting. Also works while the task is being cancelled."""
        self._entries.put(_Entry(sql, parameters))

    async def commit(self, sql: str, parameters: Sequence[object]) -> None:
        """Queue a row and wait until it is on disk, with all rows that were queued before it.

        Raises:
            BulkError: The journal cannot be written.
        """
        written = anyio.Event()
        self._entries.put(_Entry(sql, parameters, written))
        await written.wait()
        self.check()

    def check(self) -> None:
        """Raise `BulkError` if the journal can no longer be written."""
        if self.failure is not None:
            raise BulkError(
                f"the journal {self.name} could not be written ({self.failure}). No further customers were sent."
                " `resume` looks up the customers whose requests were in progress. Fix the cause, such as a full"
                f" disk, then run: wonder-customers resume {quote(self.name)}"
            )

    async def serve(self) -> None:
        """Run the thread until `stop` is called. Queued rows are written even if the task is cancelled."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._run)

    def stop(self) -> None:
        """End `serve` after the last queued row."""
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
        """Return the next rows to commit together, and whether they are the last."""
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
        # After a failure nothing more is written: a later row must not be recorded without an earlier one.
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
            anyio.from_thread.run_sync(_notify, awaited)


def _notify(awaited: list[anyio.Event]) -> None:
    for written in awaited:
        written.set()
