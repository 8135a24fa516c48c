"""The listing of a gateway's customers, page by page."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from itertools import islice
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from wonder_customers._core.operations import RawOperations
from wonder_customers.dialects.base import Operation
from wonder_customers.dialects.filters import CustomerFilter
from wonder_customers.errors import InvalidResponseError
from wonder_customers.records import Customer, Page

T = TypeVar("T")

_MOST_STALE: Final = 10
"""The number of successive pages without new customers after which a listing ends with an error."""
_MOST_UNREADABLE: Final = 1000
"""The number for pages with only unreadable items, which cannot be compared."""
_REMEMBERED: Final = 100_000
"""The number of ids that a listing remembers, so that customers that move to a later page are not repeated."""


class Listing:
    """The customers of a gateway, fetched page by page: ``async for customer in session.list()``.

    A customer that moves to a later page during the iteration is not repeated: the last 100,000 ids are remembered. If
    customers are deleted during the iteration, others may move to a page that was already read. They are then missing
    from the result; see `possible_gap`.

    Leaving the loop early needs no cleanup on asyncio. On trio, use ``async with session.list() as customers`` or call
    `aclose`.

    Attributes:
        unreadable: The number of items without an id on the pages read so far. They are skipped.
        possible_gap: Whether customers may be missing, because the gateway's total decreased between two pages, or
            the list ended with fewer customers than the total of its first page.
    """

    def __init__(
        self, raw: RawOperations, limit: int | None, cursor: str | None, filter: CustomerFilter[Any] | None
    ) -> None:
        self._raw = raw
        self._limit, self._cursor = limit, cursor
        # Stored in a function, because crash reports show the attributes of local variables.
        self._filter: Callable[[], CustomerFilter[Any] | None] = lambda: filter
        self.unreadable: int = 0
        self.possible_gap: bool = False
        self._open: list[AsyncGenerator[Any, None]] = []
        self._customers: AsyncIterator[Customer] | None = None

    def __repr__(self) -> str:
        start = "the first page" if self._cursor is None else f"cursor {self._cursor!r}"
        return f"<Listing of {self._raw.gateway} customers from {start}: use `async for`>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the iterators of this listing that were not exhausted."""
        while self._open:
            await self._open.pop().aclose()

    def pages(self) -> AsyncIterator[Page[Customer]]:
        """Return an iterator over the pages. Customers that move to a later page are repeated.

        Raises:
            InvalidResponseError: While iterating: three successive pages are equal, ten successive pages contain no new
                customers, or 1000 successive pages contain only unreadable items.
            InvalidRecordError, UnsupportedOperationError, CallError: While iterating: as for `CustomerSession.list`.
        """
        return self._track(self._pages())

    def _track(self, generator: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        self._open = [it for it in self._open if getattr(it, "ag_frame", None) is not None]
        self._open.append(generator)
        return generator

    async def _pages(self) -> AsyncGenerator[Page[Customer], None]:
        async with aclosing(self._read()) as pages:
            async for page, _ in pages:
                yield page

    async def _walk(self) -> AsyncGenerator[Customer, None]:
        async with aclosing(self._read()) as pages:
            async for _, customers in pages:
                for customer in customers:
                    yield customer

    async def _read(self) -> AsyncGenerator[tuple[Page[Customer], list[Customer]], None]:
        """Yield each page, and those of its customers that were not on an earlier page."""
        cursor, before, total, expected = self._cursor, None, 0, 0
        seen: dict[str, None] = {}
        stale = unreadable = 0
        size = self._limit or self._raw._account_context.dialect.page_limit  # noqa: SLF001 - the default of `page`
        while True:
            page = (await self._raw.page(self._limit, cursor, self._filter())).record
            ids = [*(customer.id for customer in page.items), *page.omitted]
            if ids and ids == before:
                count = len(ids) + page.unreadable
                if page.total == count or (page.total is None and count < size):
                    return  # the page has all customers, or customers created meanwhile have moved the last page
                if stale:  # once, customers created meanwhile may have moved a whole page
                    reason = "the gateway returned the same page three times, so the list cannot be read to its end"
                    raise self._endless(reason)
            new = []
            for customer in page.items:
                if customer.id not in seen:
                    seen[customer.id] = None
                    new.append(customer)
            unreadable = unreadable + 1 if page.unreadable and not ids else 0
            if not unreadable:
                stale = 0 if new or not seen.keys() >= set(page.omitted) else stale + 1
            if (stale == _MOST_STALE or unreadable == _MOST_UNREADABLE) and page.cursor is not None:
                reason = f"{unreadable or stale} successive pages contain no new customers, so the list may not end"
                raise self._endless(reason)
            seen |= dict.fromkeys(page.omitted)
            for oldest in list(islice(seen, max(0, len(seen) - _REMEMBERED))):
                del seen[oldest]
            self.unreadable += page.unreadable
            self.possible_gap |= page.total is not None and page.total < total
            total = page.total or 0
            expected = total if before is None and self._cursor is None else expected
            self.possible_gap |= page.cursor is None and len(seen) + self.unreadable < min(expected, _REMEMBERED)
            yield page, new
            if page.cursor is None:
                return
            cursor, before = page.cursor, ids

    def _endless(self, reason: str) -> InvalidResponseError:
        return InvalidResponseError(reason, gateway=self._raw.gateway, operation=Operation.LIST, attempts=1)

    def __aiter__(self) -> AsyncIterator[Customer]:
        return self._track(self._walk())

    async def __anext__(self) -> Customer:
        self._customers = self._customers or self._track(self._walk())
        return await anext(self._customers)
