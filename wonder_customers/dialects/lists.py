"""Lists by limit and offset: the query, the opaque cursor and the rule for the last page."""

from collections.abc import Mapping, Sequence
from typing import TypeVar
from urllib.parse import urlencode

from wonder_customers.errors import InvalidRecord, Violation
from wonder_customers.records import Page

T = TypeVar("T")


def query(parameters: Mapping[str, str | int]) -> str:
    """A query string with its question mark, percent-encoded."""
    return "?" + urlencode(parameters)


def offset_of(gateway: str, cursor: str | None) -> int:
    """The offset in a cursor.

    Raises:
        InvalidRecord: It is not a cursor that a page of this gateway carried.
    """
    if cursor is None:
        return 0
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise InvalidRecord(gateway, [Violation("cursor", None, "must be a cursor from an earlier page of this list")])
    return int(cursor)


def offset_page(items: Sequence[T], offset: int, limit: int, *, promised: int, total: int | None = None) -> Page[T]:
    """A page and its cursor.

    Where the gateway tells the total, that decides. Else a page shorter than asked is the last one, unless more was
    asked for than the gateway promises to serve: then only an empty page is, because a gateway may cap in silence.
    """
    after = offset + len(items)
    more = after < total if total is not None else len(items) >= min(limit, promised)
    return Page(tuple(items), str(after) if items and more else None, total)
