"""Pagination by limit and offset."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from wonder_customers.dialects import drift
from wonder_customers.errors import InvalidRecordError, InvalidResponseError, Violation
from wonder_customers.records import Page

T = TypeVar("T")


def query_string(*parameters: Mapping[str, str | int] | Mapping[str, str]) -> str:
    """Return a percent-encoded query string with a leading question mark."""
    pairs = chain.from_iterable(it.items() for it in parameters)
    # `urlencode` uses `str`, which returns the name of an enum member instead of its value.
    plain = [(str.__str__(name), str.__str__(it) if isinstance(it, str) else it) for name, it in pairs]
    return "?" + urlencode(plain, quote_via=quote, safe="")


def parse_offset(gateway: str, cursor: object) -> int:
    """Return the offset in a cursor. None means 0.

    Raises:
        InvalidRecordError: `cursor` is not the cursor of a page.
    """
    if cursor is None:
        return 0
    if not isinstance(cursor, str) or not cursor.isascii() or not cursor.isdigit() or len(cursor) > 12:
        raise InvalidRecordError(
            gateway, [Violation("cursor", None, "must be a cursor from an earlier page of this list")]
        )
    return int(cursor)


class Items(tuple[T, ...]):  # noqa: SLOT001 - a subclass of tuple cannot have slots
    """The records of a page.

    Attributes:
        unreadable: The number of items that were skipped because they could not be read.
    """

    unreadable: int = 0


def read_items(what: str, read: Callable[[Any], T], items: Iterable[Any]) -> Items[T]:
    """Return the records of a list. Unreadable items are skipped and reported as drift.

    Args:
        what: The gateway's name for the list, such as ``customers``, for the report.
        read: A function that reads one item, or raises `InvalidResponseError`.
        items: The JSON values.
    """
    records: list[T] = []
    unreadable = 0
    for item in items:
        try:
            records.append(read(item))
        except InvalidResponseError:
            unreadable += 1
            drift.report(what, "object with an id", f"{drift.type_name(item)} without an id")
    found = Items(records)
    found.unreadable = unreadable
    return found


def offset_page(items: Sequence[T], offset: int, limit: int, *, total: int | None = None) -> Page[T]:
    """Return a page with the cursor of the next page.

    With a total, the list ends there. Without a total, only an empty page ends the list, because a gateway can limit or
    filter its pages.

    Args:
        items: The records of the page.
        offset: The offset of the first item.
        limit: The number of items requested.
        total: The total number of items; None if the gateway does not report it.

    Raises:
        InvalidResponseError: The page is empty, although the total exceeds the offset.
    """
    unreadable = items.unreadable if isinstance(items, Items) else 0
    count = len(items) + unreadable
    after = offset + count
    if not count and total is not None and total > offset:
        reason = f"the gateway reports {total} records, but the page after {offset} records is empty"
        hint = "Read the list again. If the error persists, ask the gateway's support for the missing records."
        raise InvalidResponseError(reason, status=200, hint=hint)
    # A total that is less than the number of items so far, or the length of a full first page, may be that of the page.
    more = after != total or (not offset and count == limit)
    return Page(tuple(items), str(after) if count and more else None, total, unreadable)
