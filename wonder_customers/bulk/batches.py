"""The reading end of a job: any source, batch by batch, through the sieve."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
from itertools import count, islice
from typing import Self

import anyio
from attrs import define, field

from wonder_customers.bulk.change_filter import ChangeFilter, Item
from wonder_customers.bulk.options import Rows
from wonder_customers.bulk.rows import Outcome, Row
from wonder_customers.bulk.sources import RowReader
from wonder_customers.errors import ConfigurationError
from wonder_customers.records import CustomerDraft

__all__ = ["Batches"]

BATCH = 1000
SMALL_BATCH = 50
"""Rows taken at once from a source that may make the job wait for each of them."""


@define(eq=False)
class Batches:
    """Gives the rows of a source in batches.

    Files are read in a thread, so that unpacking and parsing does not hold up the requests. A caller's own iterable is
    asked on the event loop, because it may belong to it.

    Attributes:
        rows: The source.
        left: Rows that may still be read, None for all.
        cut_short: The source had more rows than were allowed.
        read: Rows that were read.
    """

    rows: Rows
    left: int | None = None
    cut_short: bool = field(default=False, init=False)
    read: int = field(default=0, init=False)
    _numbers: "count[int]" = field(factory=lambda: count(1), init=False)
    _iterator: Iterator[Row | CustomerDraft] | AsyncIterator[Row | CustomerDraft] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._iterator = aiter(self.rows) if isinstance(self.rows, AsyncIterable) else iter(self.rows)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close a source that can be closed: nobody else would."""
        if isinstance(self.rows, RowReader):
            self.rows.close()
        elif isinstance(self._iterator, AsyncGenerator):
            with anyio.CancelScope(shield=True):
                await self._iterator.aclose()

    async def next(self, sieve: ChangeFilter) -> tuple[list[Outcome], list[Item]] | None:
        """The next batch, sifted; None at the end of the source.

        Raises:
            ConfigurationError: The source cannot be read any further.
        """
        if self.left == 0:
            self.cut_short = await self._more()
            return None
        if isinstance(self._iterator, RowReader):
            batch, sifted = await anyio.to_thread.run_sync(self._read_and_sift, self._iterator, sieve)
        else:
            batch = await self._taken(SMALL_BATCH)
            sifted = await anyio.to_thread.run_sync(sieve.sift, batch)
        self._count(batch)
        return sifted if batch else None

    async def batch(self) -> list[Row]:
        """The next rows as they are; none at the end of the source.

        Raises:
            ConfigurationError: The source cannot be read any further.
        """
        if isinstance(self._iterator, RowReader):
            rows = await anyio.to_thread.run_sync(self._read, self._iterator)
        else:
            rows = await self._taken(SMALL_BATCH)
        self._count(rows)
        return rows

    def _count(self, rows: list[Row]) -> None:
        self.read += len(rows)
        if self.left is not None:
            self.left -= len(rows)

    def _read(self, reader: RowReader) -> list[Row]:
        return reader.take(self._size(BATCH))

    def _read_and_sift(
        self, reader: RowReader, sieve: ChangeFilter
    ) -> tuple[list[Row], tuple[list[Outcome], list[Item]]]:
        rows = self._read(reader)
        return rows, sieve.sift(rows)

    def _size(self, usual: int) -> int:
        return usual if self.left is None else min(usual, self.left)

    async def _taken(self, usual: int) -> list[Row]:
        size, found = self._size(usual), list[Row | CustomerDraft]()
        if isinstance(self._iterator, AsyncIterator):
            while len(found) < size:
                try:
                    found.append(await anext(self._iterator))
                except StopAsyncIteration:
                    break
        else:
            found.extend(islice(self._iterator, size))
        return [_row(it, self._numbers) for it in found]

    async def _more(self) -> bool:
        """Whether the source goes on."""
        if isinstance(self._iterator, RowReader):
            return await anyio.to_thread.run_sync(next, self._iterator, None) is not None
        self.left = None
        return bool(await self._taken(1))


def _row(given: Row | CustomerDraft, numbers: "count[int]") -> Row:
    number = next(numbers)
    if isinstance(given, Row):
        return given
    if not isinstance(given, CustomerDraft):
        raise ConfigurationError(f"row {number} is of the type {type(given).__name__}, and no CustomerDraft")
    return Row(number, given)
