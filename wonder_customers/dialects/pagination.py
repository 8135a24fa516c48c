"""Lists by limit and offset: the query, the opaque cursor, the items and the rule for the last page."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from wonder_customers.dialects import drift
from wonder_customers.errors import InvalidRecordError, InvalidResponseError, Violation
from wonder_customers.records import Page

T = TypeVar("T")


def query_string(gateway: str, position: Mapping[str, int], filters: Mapping[str, str]) -> str:
    """Return a query string with its question mark, percent-encoded (a blank as ``%20``).

    Args:
        gateway: The gateway's name.
        position: The limit and the offset under the gateway's names.
        filters: The gateway's own parameters.

    Raises:
        InvalidRecordError: `filters` contains a value that is not text, or a name of `position`.
    """
    problem = _filters_problem(position, filters)
    if problem:
        raise InvalidRecordError(gateway, [Violation("filters", None, problem)])
    return "?" + urlencode({**position, **filters}, quote_via=quote, safe="")


def _filters_problem(position: Mapping[str, int], filters: object) -> str | None:
    if not isinstance(filters, Mapping):
        return f"must be a dictionary of texts, not {type(filters).__name__}"
    texts = [*filters, *filters.values()]
    if not all(isinstance(text, str) for text in texts):
        return "must be a dictionary of texts"
    if any("\ud800" <= character <= "\udfff" for character in "".join(texts)):
        return "must be valid Unicode"
    taken = [name for name in position if name in filters]
    return f"must not contain {', '.join(taken)}, which the library sets itself" if taken else None


def parse_offset(gateway: str, cursor: object) -> int:
    """Return the offset in a cursor, 0 for None.

    Raises:
        InvalidRecordError: It is not the cursor of a page of this gateway.
    """
    if cursor is None:
        return 0
    if not isinstance(cursor, str) or not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise InvalidRecordError(
            gateway, [Violation("cursor", None, "must be a cursor from an earlier page of this list")]
        )
    return int(cursor)


class Items(tuple[T, ...]):  # noqa: SLOT001 - a subclass of tuple cannot have slots
    """The records of a page.

    Attributes:
        unreadable: The number of items that could not be read because they have no id.
    """

    unreadable: int = 0


def read_items(what: str, read: Callable[[Any], T], items: Iterable[Any]) -> Items[T]:
    """Read the items of a list. An item that cannot be read is counted and reported as drift; the others are returned.

    Args:
        what: The gateway's name of the list, such as ``customers``, for the report.
        read: Reads one item, or raises `InvalidResponseError`.
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


def offset_page(items: Sequence[T], offset: int, limit: int, *, promised: int, total: int | None = None) -> Page[T]:
    """Return a page and its cursor.

    Where the gateway reports the total, that decides whether more pages follow. Otherwise a page with fewer items than
    requested is the last one. If more was requested than the gateway promises to serve, only an empty page is the last
    one, because a gateway may silently cap the limit.

    Args:
        items: The records of the page.
        offset: The offset of the first item.
        limit: The number of items requested.
        promised: The number of items per page that the gateway's documents promise.
        total: The number of all items, where the gateway reports it.
    """
    unreadable = items.unreadable if isinstance(items, Items) else 0
    count = len(items) + unreadable
    after = offset + count
    more = after < total if total is not None else count >= min(limit, promised)
    return Page(tuple(items), str(after) if count and more else None, total, unreadable)
