"""Reads any source in batches."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from itertools import count, islice
from math import inf
from types import GeneratorType
from typing import Any, Self, TypeVar

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup
from attrs import define, field

from wonder_customers._core.waits import StopSignal
from wonder_customers._support import clock
from wonder_customers.bulk.change_filter import ChangeFilter, PendingRow
from wonder_customers.bulk.options import Rows
from wonder_customers.bulk.read_ahead import ReadAhead
from wonder_customers.bulk.rows import Outcome, Row
from wonder_customers.bulk.sources import RowReader
from wonder_customers.errors import ConfigurationError, WonderCustomersError
from wonder_customers.records import CustomerDraft

__all__ = ["Batches", "for_each"]

T = TypeVar("T")

BATCH = 1000
"""The maximum number of rows in a batch of a `RowReader`."""
AHEAD = 90
"""The maximum number of rows that are queued together."""
SMALL_BATCH = 2 * AHEAD
"""The maximum number of rows that are read together from another iterable."""
_BATCH_SECONDS = 0.05
"""Seconds after which such a batch ends, because the iterable may produce its rows slowly."""
_STEP = 10
"""The number of rows of a list after which the time is checked."""
_SLOW = 0.01
"""Seconds after which a read of another iterable is slow. The next read then waits for a tenth of the duration."""
_LAST = 1.0
"""Seconds to wait for the end of an async source after the requested number of first rows."""
_AT_ONCE = 45
"""The number of rows that are checked without a pause of the event loop."""


@define(eq=False)
class Batches:
    """Reads the rows of a source in batches.

    Attributes:
        left: The number of rows that may still be read; None for all.
        stop: Ends a wait for the next row of an async source.
        cut_short: Whether reading ended because `left` is 0, although the source has another row or has not ended.
        read: The number of rows read so far.
    """

    rows: Rows
    left: int | None = None
    stop: StopSignal = field(factory=StopSignal)
    cut_short: bool = field(default=False, init=False)
    read: int = field(default=0, init=False)
    _numbers: "count[int]" = field(factory=lambda: count(1), init=False)
    _iterator: Iterator[Row | CustomerDraft] | AsyncIterator[Row | CustomerDraft] = field(init=False)
    _undecided: list[Row] = field(factory=list, init=False)
    _found: Any = field(default=None, init=False)
    _ahead: ReadAhead = field(init=False)
    _group: TaskGroup | None = field(default=None, init=False)
    _took: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        if isinstance(self.rows, AsyncIterable):
            left = inf if self.left is None else self.left + 1
            self._iterator = aiter(self.rows)
            self._ahead = ReadAhead(self._iterator, self._row, self.stop, left)
        else:
            given: object = self.rows
            if isinstance(given, str) or not (isinstance(given, Iterable) or hasattr(given, "__getitem__")):
                raise ConfigurationError(
                    f"the rows must be an iterable of CustomerDraft or Row, not {type(given).__name__}. Nothing was"
                    " sent. To read a file, pass sources.read(path)."
                )
            self._iterator = iter(self.rows)
        self.check_unread()

    def check_unread(self) -> None:
        """Raise `ConfigurationError` if a reader or generator of rows was already read or closed."""
        rows, frame = self._iterator, "ag_frame" if isinstance(self._iterator, AsyncGenerator) else "gi_frame"
        if rows.used_up if isinstance(rows, RowReader) else getattr(rows, frame, rows) is None:
            raise ConfigurationError(
                "the rows were already read, so none are left. Nothing was sent. Create the source again for each job,"
                " plan or verification, such as with sources.read(path)."
            )

    async def __aenter__(self) -> Self:
        if isinstance(self._iterator, AsyncIterator):
            self._group = await anyio.create_task_group().__aenter__()
            self._group.start_soon(self._ahead.run)
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        group, self._group = self._group, None
        if group is not None:
            self._ahead.end()
            await group.__aexit__(None, None, None)  # without `error`, which the group would wrap
            if error is None:
                self._ahead.check()
        elif isinstance(self.rows, RowReader):
            self.rows.close()
        elif isinstance(self._iterator, AsyncGenerator):
            await self._iterator.aclose()  # it was not started
        elif isinstance(self._iterator, GeneratorType):
            self._iterator.close()

    async def next(self, change_filter: ChangeFilter) -> tuple[list[Outcome], list[PendingRow]] | None:
        """Return the next batch, split by `change_filter`; None after the last batch."""
        if self._undecided:
            return await self._decide(change_filter)
        if self.left == 0:
            self.cut_short = await self._has_more()
            return None
        if isinstance(reader := self._iterator, RowReader):

            def read() -> tuple[list[Row], tuple[list[Outcome], list[PendingRow]]]:
                rows = reader.take(self._size(BATCH))
                return rows, change_filter.split(rows)

            batch, split = await anyio.to_thread.run_sync(read)
            self._count(batch)
            return split if batch else None
        self._undecided = await self._take(SMALL_BATCH)
        # A thread that checks rows competes with the event loop for the interpreter, so it only reads.
        self._found = await anyio.to_thread.run_sync(change_filter.find, self._undecided)
        self._count(self._undecided)
        return await self._decide(change_filter) if self._undecided else None

    async def _decide(self, change_filter: ChangeFilter) -> tuple[list[Outcome], list[PendingRow]]:
        """Split the next rows of those that were read together."""
        # Fewer rows at a time than were read: the objects of a whole batch would start the garbage collector.
        split = list[Outcome](), list[PendingRow]()
        rows, self._undecided = self._undecided[:AHEAD], self._undecided[AHEAD:]
        for first in range(0, len(rows), _AT_ONCE):
            outcomes, pending = change_filter.decide(rows[first : first + _AT_ONCE], self._found)
            split[0].extend(outcomes)
            split[1].extend(pending)
            await anyio.lowlevel.checkpoint()
        return split

    def _count(self, rows: list[Row]) -> None:
        self.read += len(rows)
        if self.left is not None:
            self.left -= len(rows)

    def _size(self, usual: int) -> int:
        return usual if self.left is None else min(usual, self.left)

    async def _take(self, usual: int) -> list[Row]:
        if isinstance(self._iterator, AsyncIterator):
            return await self._ahead.take(self._size(usual), _BATCH_SECONDS)
        size, found, end = self._size(usual), list[Row | CustomerDraft](), clock.monotonic() + _BATCH_SECONDS
        # A generator stays in this thread, because it may use objects that belong to the thread.
        step = _STEP if isinstance(self.rows, (list, tuple)) else 1
        while len(found) < size and (not found or clock.monotonic() < end):
            if self._took > _SLOW:
                await anyio.sleep(self._took / 10)  # for the rows that were read before
            began = clock.monotonic()
            more = list(islice(self._iterator, min(step, size - len(found))))
            self._took = clock.monotonic() - began
            if not more:
                break
            found.extend(more)
        return [self._row(it) for it in found]

    def _row(self, given: Row | CustomerDraft) -> Row:
        number = next(self._numbers)
        if isinstance(given, CustomerDraft):
            return Row(number, given)
        if not isinstance(given, Row):
            raise ConfigurationError(f"row {number} must be a CustomerDraft or a Row, not {type(given).__name__}")
        return given

    async def _has_more(self) -> bool:
        """Return whether the source has another row."""
        if isinstance(self._iterator, RowReader):
            return await anyio.to_thread.run_sync(next, self._iterator, None) is not None
        self.left = None
        with anyio.move_on_after(_LAST if isinstance(self._iterator, AsyncIterator) else inf):
            return bool(await self._take(1))
        return True


async def for_each(items: Iterable[T], work: Callable[[T], Awaitable[Any]], workers: int) -> None:
    """Run `work` for each item, in at most `workers` concurrent tasks."""
    waiting, errors = iter(items), list[WonderCustomersError]()

    async def worker() -> None:
        for item in waiting:
            if errors:
                return
            try:
                await work(item)
            except WonderCustomersError as error:
                errors.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(workers):
            group.start_soon(worker)
    if errors:
        raise errors[0]
