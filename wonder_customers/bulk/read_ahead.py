"""Reads an async source in a task of its own."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from math import inf
from typing import Any

import anyio
import anyio.lowlevel
from attrs import define, field

from wonder_customers._core.waits import StopSignal
from wonder_customers._support import clock
from wonder_customers.bulk.rows import Row
from wonder_customers.bulk.stop_reasons import single_error
from wonder_customers.bulk.task_queue import TaskQueue

__all__ = ["ReadAhead"]

_AHEAD = 10
"""The number of rows above which the task waits until rows are taken."""
_BUSY = 0.01
"""Seconds after which a source that does not wait lets other tasks run."""


@define(eq=False)
class ReadAhead:
    """Reads an async source, so that its rows can be taken while its next row is awaited.

    Attributes:
        source: The source. Only the task of `run` iterates over it and closes it, because it may contain cancel scopes.
        row: Converts an item of the source.
        stop: Ends reading.
        left: The number of rows that may still be read.
    """

    source: AsyncIterator[Any]
    row: Callable[[Any], Row]
    stop: StopSignal
    left: float = inf
    _rows: TaskQueue[Row] = field(factory=lambda: TaskQueue(_AHEAD), init=False)
    _error: BaseException | None = field(default=None, init=False)
    _scope: anyio.CancelScope | None = field(default=None, init=False)
    _awaiting: bool = field(default=False, init=False)

    async def run(self) -> None:
        """Read the source until it ends or `end` is called."""
        # A cancellation of the job is received as a call of `end`, because only a source that waits may be cancelled:
        # the code with which a source closes itself can then wait, without a cancel scope inside those of the source.
        with anyio.CancelScope(shield=True), anyio.CancelScope() as self._scope:
            self.stop.ends.add(self.end)
            try:
                if self.stop.is_set:
                    self.end()
                await self._read()
            except BaseException as error:  # raised by `take` or `check`
                if isinstance(error, anyio.get_cancelled_exc_class()) and self._scope.cancel_called:
                    raise
                self._error = error
            finally:
                self.stop.ends.discard(self.end)
                self._rows.close()

    async def _read(self) -> None:
        try:
            since = clock.monotonic()
            while self.left > 0 and not self._rows.closed:
                self._awaiting = True
                try:
                    item = await anext(self.source)
                except StopAsyncIteration:
                    return
                finally:
                    self._awaiting = False
                self.left -= 1
                await self._rows.put(self.row(item))
                if clock.monotonic() - since > _BUSY:
                    await anyio.lowlevel.checkpoint()
                    since = clock.monotonic()
        finally:
            if isinstance(self.source, AsyncGenerator):
                try:
                    await self.source.aclose()
                except BaseExceptionGroup as group:
                    # A task group in the source wraps the exception that closes the source.
                    if not isinstance(single_error(group), GeneratorExit):
                        raise

    def end(self) -> None:
        """Stop reading, and close the source."""
        self._rows.close()
        if self._awaiting and self._scope is not None:
            self._scope.cancel()

    async def take(self, size: int, wait: float) -> list[Row]:
        """Return up to `size` rows, or raise the error of the source. The list is empty only at the end.

        Args:
            size: The maximum number of rows.
            wait: Seconds to wait for further rows after the first row.
        """
        found = list[Row]()
        with anyio.CancelScope() as scope:
            while len(found) < size:
                if (row := await self._rows.get()) is None:
                    self.check()
                    break
                if not found:
                    scope.deadline = anyio.current_time() + wait
                found.append(row)
        return found

    def check(self) -> None:
        """Raise the error of the source, unless it was raised before."""
        error, self._error = self._error, None
        if error is not None:
            raise error
