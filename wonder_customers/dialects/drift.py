"""Drift: fields of responses that differ from the gateway's documentation."""

from threading import local
from typing import Final

from attrs import frozen

__all__ = ["Drift", "report", "report_type", "start", "stop", "type_name"]


@frozen
class Drift:
    """One field of a response that differs from the gateway's documentation.

    Attributes:
        field: The path of the field in the gateway's names, such as ``payment_sources.expire_year``.
        expected: The documented type, or a description.
        found: The type of the value in the response, or a description.
    """

    field: str
    expected: str
    found: str


class _Reports(local):
    """The reports of each thread about one response."""

    found: list[Drift] | None = None


_reports: Final = _Reports()

_TYPE_NAMES: Final[dict[type, str]] = {
    str: "text",
    bool: "boolean",
    int: "number",
    float: "number",
    list: "list",
    dict: "object",
    type(None): "null",
}


def type_name(value: object) -> str:
    """Return the type of a JSON value for reports, such as ``text`` for a string and ``list`` for an array."""
    return _TYPE_NAMES.get(type(value), "object")


def report(field: str, expected: str, found: str) -> None:
    """Report one field of the response that this thread is decoding."""
    if _reports.found is not None:
        _reports.found.append(Drift(field, expected, found))


def report_type(field: str, expected: str, value: object) -> None:
    """Report one field whose value has another type than expected."""
    report(field, expected, type_name(value))


def start() -> None:
    """Start to collect the reports of one response in this thread."""
    _reports.found = []


def stop() -> tuple[Drift, ...]:
    """Stop collecting, and return the collected reports."""
    found, _reports.found = _reports.found, None
    return tuple(found) if found else ()
