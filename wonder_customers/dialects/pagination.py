"""Lists by limit and offset: the query, the opaque cursor and the rule for the last page."""

from collections.abc import Mapping, Sequence
from typing import TypeVar
from urllib.parse import quote, urlencode

from wonder_customers.errors import InvalidRecordError, Violation
from wonder_customers.records import Page

T = TypeVar("T")


def query(gateway: str, places: Mapping[str, int], filters: Mapping[str, str]) -> str:
    """A query string with its question mark, percent-encoded (a blank as ``%20``).

    Args:
        gateway: The gateway's name.
        places: The limit and the offset under the gateway's names.
        filters: The gateway's own parameters.

    Raises:
        InvalidRecordError: `filters` holds something else than texts, or names a place.
    """
    broken = _broken_filters(places, filters)
    if broken:
        raise InvalidRecordError(gateway, [Violation("filters", None, broken)])
    return "?" + urlencode({**places, **filters}, quote_via=quote, safe="")


def _broken_filters(places: Mapping[str, int], filters: object) -> str | None:
    if not isinstance(filters, Mapping):
        return f"must be a dictionary of texts, not {type(filters).__name__}"
    texts = [*filters, *filters.values()]
    if not all(isinstance(text, str) for text in texts):
        return "must be a dictionary of texts"
    if any("\ud800" <= character <= "\udfff" for character in "".join(texts)):
        return "must be valid Unicode"
    taken = [name for name in places if name in filters]
    return f"must not name {', '.join(taken)}, which the library sets itself" if taken else None


def offset_of(gateway: str, cursor: object) -> int:
    """The offset in a cursor.

    Raises:
        InvalidRecordError: It is not a cursor that a page of this gateway carried.
    """
    if cursor is None:
        return 0
    if not isinstance(cursor, str) or not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise InvalidRecordError(
            gateway, [Violation("cursor", None, "must be a cursor from an earlier page of this list")]
        )
    return int(cursor)


def offset_page(items: Sequence[T], offset: int, limit: int, *, promised: int, total: int | None = None) -> Page[T]:
    """A page and its cursor.

    Where the gateway tells the total, that decides. Else a page shorter than asked is the last one, unless more was
    asked for than the gateway promises to serve: then only an empty page is, because a gateway may cap in silence.

    Args:
        items: The records of the page.
        offset: Where it began.
        limit: How many were asked for.
        promised: How many the gateway's documents promise to serve on a page.
        total: How many there are in all, where the gateway says it.
    """
    after = offset + len(items)
    more = after < total if total is not None else len(items) >= min(limit, promised)
    return Page(tuple(items), str(after) if items and more else None, total)
