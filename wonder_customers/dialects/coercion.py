"""The conversion of response values whose type differs from the documentation."""

import re
from calendar import monthrange
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

from wonder_customers._support.http_dates import parse_http_date
from wonder_customers.dialects.json import parse_json

__all__ = ["coerce", "expected_name"]

_TRUE: Final = frozenset({1, "1", "true", "t", "yes", "y"})
_FALSE: Final = frozenset({0, "0", "false", "f", "no", "n"})
_EARLIEST: Final = 631_152_000
"""The Unix time of the start of 1990 in seconds."""
_LATEST: Final = 4_102_444_800
"""The Unix time of the start of 2100 in seconds. From this number on, numbers are milliseconds."""
_ZONE_NAME: Final = re.compile(r"\s*(?:UTC|GMT|Z)$", re.IGNORECASE)
_SPACED_OFFSET: Final = re.compile(r"\s+(?=[+-]\d\d:?\d\d$)")
_CARD_EXPIRY: Final = re.compile(
    r"(?:(?P<first>20\d\d)[/-])?(0?[1-9]|1[0-2])(?(first)|\s?[/-]\s?(?:20)?(\d\d))", re.ASCII
)
"""The month and the year of a card, such as ``12/27``, ``1/2027`` and ``2027-12``."""


def _text(value: Any) -> str:
    if type(value) is int:
        return str(value)
    raise ValueError("the value is neither a string nor an integer")


def _boolean(value: Any) -> bool:
    word = value.strip().casefold() if isinstance(value, str) else value
    if isinstance(word, (int, str)):
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
    raise ValueError("the value is not a boolean")


def _from_epoch(number: float) -> datetime:
    seconds = number / 1000 if number >= _LATEST else number
    if not _EARLIEST <= seconds < _LATEST:
        raise ValueError("the value is not a time from 1990 to 2099")
    return datetime.fromtimestamp(seconds, UTC)


def _time(value: Any) -> datetime:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _from_epoch(value)
    if not isinstance(value, str) or len(value) > 64:
        raise ValueError("the value is not a time")
    text = value.strip()
    if text.isdecimal() and len(text) in {9, 10, 12, 13}:
        return _from_epoch(int(text))
    try:
        moment: datetime | None = datetime.fromisoformat(_SPACED_OFFSET.sub("", _ZONE_NAME.sub("+00:00", text)))
    except ValueError:
        moment = parse_http_date(text)
    if moment is None:
        raise ValueError("the value is not a time")
    if moment.year in {1, 9999}:
        raise ValueError("the value is a time in the year 1 or 9999")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _date(value: Any) -> date:
    expiry = _CARD_EXPIRY.fullmatch(value.strip()) if isinstance(value, str) else None
    if expiry is None:
        return _time(value).date()
    year, month = int(expiry["first"] or f"20{expiry[3]}"), int(expiry[2])
    return date(year, month, monthrange(year, month)[1])


def _object(value: Any) -> dict[str, Any]:
    if value == [] and isinstance(value, list):
        return {}  # PHP encodes an empty object as []
    found = parse_json(value.encode()) if isinstance(value, str) else None
    if not isinstance(found, dict):
        raise ValueError("the value is not an object")  # noqa: TRY004 - `coerce` raises only ValueError
    return found


_COERCIONS: Final[Mapping[Any, tuple[str, Callable[[Any], Any]]]] = {
    str: ("text", _text),
    bool: ("boolean", _boolean),
    datetime: ("time", _time),
    date: ("date", _date),
    Mapping[str, Any]: ("object", _object),
}


def expected_name(kind: Any) -> str | None:
    """Return the name of a type in reports, or None if values cannot be converted to it."""
    return _COERCIONS[kind][0] if kind in _COERCIONS else None


def coerce(kind: Any, value: Any) -> Any:
    """Return `value` as `kind`, for which `expected_name` has a name.

    Raises:
        ValueError: The value cannot be converted.
    """
    try:
        return _COERCIONS[kind][1](value)
    except (TypeError, OverflowError, OSError) as error:
        raise ValueError("the value cannot be converted") from error
