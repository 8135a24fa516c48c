"""The thread that writes a journal."""

import queue
import re
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from functools import cache
from itertools import chain, groupby
from operator import itemgetter

import anyio
from attrs import define, field

from wonder_customers.errors import BulkError, ConfigurationError

__all__ = ["Statement", "WriteQueue"]

Statement = tuple[str, Sequence[object]]
"""An SQL statement for one row, and its parameters."""

COMMIT_SECONDS = 0.05
"""Seconds for which a row may stay uncommitted if no task waits for it."""


@define(eq=False)
class WriteQueue:
    """Receives rows and writes them in its own thread.

    Attributes:
        connect: Opens the database; called in the thread.
        name: The journal's name, for messages.
        failure: The error that ended writing; None without an error.
        again: The command that continues the run; None if there is none.
    """

    connect: Callable[[], sqlite3.Connection]
    name: str
    failure: Exception | None = None
    again: str | None = None
    _rows: "deque[Statement]" = field(factory=deque, init=False)
    _signals: "queue.SimpleQueue[anyio.Event | str]" = field(factory=queue.SimpleQueue, init=False)

    def post(self, row: Statement) -> None:
        """Queue a row without waiting, from any thread."""
        # The thread is not woken, because waking it costs more than writing the row.
        self._rows.append(row)

    async def commit(self, rows: Sequence[Statement]) -> None:
        """Queue rows and wait until they are on disk."""
        written = anyio.Event()
        self._rows.extend(rows)
        self._signals.put(written)
        await written.wait()
        self.check()

    def check(self) -> None:
        """Raise `BulkError` if the journal can no longer be written."""
        if self.failure is not None:
            raise BulkError(
                f"the journal {self.name} could not be written ({self.failure}). No further customers were sent."
                " The next run looks up the customers whose results are not in the journal. Fix the cause, such as a"
                f" full disk, then run: {self.again or 'the same command'}"
            )

    async def serve(self) -> None:
        """Run the thread until `stop` is called."""
        # Queued rows are written even if the task is cancelled.
        with anyio.CancelScope(shield=True):
            # With a limiter of its own, because the threads of many jobs would occupy the default limiter, and the
            # sources of these jobs could not be read.
            await anyio.to_thread.run_sync(self._run, limiter=anyio.CapacityLimiter(1))

    def stop(self) -> None:
        """End `serve` after the last queued row."""
        self._signals.put("stop")

    def _run(self) -> None:
        with ExitStack() as stack:
            connection = None
            try:
                connection = stack.enter_context(closing(self.connect()))
            except (sqlite3.Error, OSError, ConfigurationError) as error:
                self.failure = error  # tasks that wait are still notified
            ended = False
            while not ended:
                signals = self._wait()
                ended = "stop" in signals
                rows = [self._rows.popleft() for _ in range(len(self._rows))]
                if connection is not None:
                    self._write(connection, rows)
                waiting = [signal for signal in signals if not isinstance(signal, str)]
                if waiting:
                    anyio.from_thread.run_sync(_notify, waiting)

    def _wait(self) -> "list[anyio.Event | str]":
        """Wait for the signals of the next commit, but not longer than `COMMIT_SECONDS`."""
        signals: list[anyio.Event | str] = []
        with suppress(queue.Empty):
            signals.append(self._signals.get(timeout=COMMIT_SECONDS))
            while True:
                signals.append(self._signals.get_nowait())
        return signals

    def _write(self, connection: sqlite3.Connection, rows: list[Statement]) -> None:
        # After a failure nothing more is written: a row must not be recorded without the earlier rows.
        if not rows or self.failure is not None:
            return
        try:
            connection.execute("BEGIN IMMEDIATE")
            for sql, group in groupby(rows, itemgetter(0)):
                _execute(connection, sql, [parameters for _, parameters in group])
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self.failure = error
            with suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")


def _execute(connection: sqlite3.Connection, sql: str, rows: list[Sequence[object]]) -> None:
    """Execute a statement for each row."""
    # The thread waits for the interpreter's lock after each execution, so an INSERT writes several rows.
    while len(rows) > 1 and "VALUES (" in sql:
        # Powers of two, so that only a few statements have to be prepared.
        count = min(64, 1 << (len(rows).bit_length() - 1))
        connection.execute(_repeated(sql, count), [*chain.from_iterable(rows[:count])])
        del rows[:count]
    connection.executemany(sql, rows)


@cache
def _repeated(sql: str, count: int) -> str:
    return re.sub(r"VALUES (\(.*?\))", lambda found: f"VALUES {', '.join([found[1]] * count)}", sql)


def _notify(waiting: list[anyio.Event]) -> None:
    for written in waiting:
        written.set()
