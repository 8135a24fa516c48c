"""Hooks of cattrs that convert between JSON objects and records, and report differences from the documentation."""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, date, datetime
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar, get_args, get_origin

from attrs import NOTHING, fields
from cattrs import Converter
from cattrs.fns import identity

from wonder_customers.dialects import drift
from wonder_customers.dialects.responses import invalid_response
from wonder_customers.dialects.tolerant_reader import Json, MissingFieldError, RecordReader, default_of, unknown_keys
from wonder_customers.errors import InvalidResponseError
from wonder_customers.records import Customer, Phone
from wonder_customers.secret import Secret

__all__ = [
    "Json",
    "make_converter",
    "make_reader",
    "make_writer",
    "read_record",
    "record_reader",
    "register_reader",
    "register_writer",
    "require_read",
    "unknown_keys",
    "write_phone",
]

T = TypeVar("T")


def write_phone(phone: Phone) -> str:
    """Return an international number in E.164 format, and any other number as it was given."""
    return phone.e164() or f"{phone.dial_code or ''}{phone.number}"


def _read_time(value: Any, _: object) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.year in {1, 9999}:
        raise ValueError("expected a time that is not in the year 1 or 9999")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def make_converter(*, milliseconds: bool = False) -> Converter:
    """Return a cattrs converter for one dialect.

    Times are written in UTC, with whole seconds or `milliseconds`, and telephone numbers by `write_phone`.
    """
    converter, precision = Converter(), "milliseconds" if milliseconds else "seconds"
    converter.register_structure_hook(datetime, _read_time)
    register_reader(converter, date, date.fromisoformat)
    register_reader(converter, Phone, Phone.parse, empty_as_none=True)
    register_writer(converter, Phone, write_phone)
    register_writer(converter, Secret, Secret.reveal)
    register_writer(converter, date, date.isoformat)
    register_writer(
        converter, datetime, lambda it: it.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")
    )
    return converter


def register_reader(
    converter: Converter, kind: type[T], read: Callable[[Any], T], *, empty_as_none: bool = False
) -> None:
    """Use `read` for fields of type `kind`. For an unreadable value, `read` must raise a TypeError or ValueError."""
    converter.register_structure_hook(kind, lambda value, _: None if empty_as_none and value == "" else read(value))


def register_writer(converter: Converter, kind: type[T], write: Callable[[T], Any]) -> None:
    """Use `write` for fields of type `kind`. None is written as null."""
    converter.register_unstructure_hook(kind, write)


def _writer_of(converter: Converter, declared: Any) -> Callable[[Any], Any] | None:
    """Return the function that writes fields of the type `declared`; None if they are written unchanged."""
    kind = next((it for it in get_args(declared) or (declared,) if isinstance(it, type)), None)
    write = identity if kind is None else converter.get_unstructure_hook(kind)
    if write is identity:
        return None
    return (lambda items: [write(it) for it in items]) if get_origin(declared) is tuple else write


def make_reader(
    converter: Converter,
    kind: type[T],
    names: Mapping[str, str],
    *,
    shape: Callable[[Json, Json], Json] | None = None,
    finish: Callable[[T, Json], T] | None = None,
    inline: Collection[str] = (),
) -> RecordReader[T]:
    """Return a reader that converts JSON objects to `kind`, and use this reader for fields of type `kind`.

    Args:
        converter: The dialect's converter.
        kind: The record class.
        names: The gateway's name for each field that is read. With a name for `extra`, it receives the other keys.
        shape: Returns the object from which the fields are read, given the original object and the `extra` of the
            record, which it may change.
        finish: Returns the final record, given the record and the original object.
        inline: Fields with a nested record whose values are part of the same JSON object.
    """
    reader = RecordReader(converter, kind, names, shape=shape, finish=finish, inline=inline)
    converter.register_structure_hook(kind, reader)
    return reader


def make_writer(
    converter: Converter, kind: type[Any], names: Mapping[str, str], *, sparse: bool, inline: Collection[str] = ()
) -> Callable[[Any], Json]:
    """Return a function that converts records of `kind` to JSON objects, and use it for fields of type `kind`.

    Args:
        converter: The dialect's converter.
        kind: The record class.
        names: The gateway's name for each field that is written.
        sparse: Whether fields with their default values are omitted.
        inline: Fields whose objects become part of the same JSON object, after the other fields and in this order.
    """
    inlined = [names[it] for it in inline]

    @cache  # on first use, because the writers of nested records are registered later
    def columns() -> tuple[Callable[[Any], tuple[Any, ...]], tuple[tuple[str, Any, Callable[[Any], Any] | None], ...]]:
        written = [it for it in fields(kind) if it.name in names]
        found = tuple(
            (names[it.name], default_of(it.default) if sparse else NOTHING, _writer_of(converter, it.type))
            for it in written
        )
        # For a single name, `attrgetter` returns the value instead of a tuple.
        read = attrgetter(*(it.name for it in written))
        return (read if len(written) > 1 else lambda record: (read(record),)), found

    def write(record: Any) -> Json:
        read, found = columns()
        body: Json = {}
        for (wire, default, convert), value in zip(found, read(record), strict=True):
            if value is not default and (default is None or value != default):
                body[wire] = value if value is None or convert is None else convert(value)
        for wire in inlined:
            part = body.pop(wire, None)
            if part:
                body |= part
        return body

    register_writer(converter, kind, write)
    return write


def read_record(what: str, status: int, reader: RecordReader[T], body: Any) -> T:
    """Return the record in a response with the HTTP status `status`. Messages name the record as `what`.

    Raises:
        InvalidResponseError: `body` is not an object, or a required field, such as the id, is missing or unreadable.
    """
    unreadable = f"the response with HTTP {status} contains a {what} that cannot be read"
    if not isinstance(body, dict):
        found = drift.type_name(body)
        raise invalid_response(f"{unreadable}: expected a JSON object, found {found}", status)
    try:
        return reader.read(body)[0]
    except MissingFieldError as missing:
        raise invalid_response(f"{unreadable}: {missing}", status) from None


def record_reader(what: str, reader: RecordReader[T]) -> Callable[..., T]:
    """Return a function that reads a record from the body and, optionally, the HTTP status of a response.

    The function raises the errors of `read_record`.
    """
    return lambda body, status=200: read_record(what, status, reader, body)


def require_read(held: Customer, wires: Iterable[str]) -> None:
    """Raise `InvalidResponseError` if one of the fields `wires`, which a write sends back, could not be read."""
    unread = [wire for wire in wires if held.extra.get(wire)]
    if unread:
        reason = f"the response contains a field that cannot be read ({', '.join(unread)}), so the write would lose it"
        hint = "Change the field in the same call, or report the deviation to the maintainers of the library."
        raise InvalidResponseError(reason, id=held.id, reference=held.reference, hint=hint)
