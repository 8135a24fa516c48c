"""Converters between JSON objects and records, and the tolerant reader of responses.

Each dialect makes one converter and describes its records by tables of names. Records are written by code that cattrs
generates, and read field by field: a value of the documented type is taken as it is, and a value of another type is
converted where that loses nothing; otherwise the field is None and the raw value stays in the record's `extra`. Each
such field is reported as drift. Only a missing id makes a record unreadable.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, TypeVar

from cattrs import Converter
from cattrs.fns import identity
from cattrs.gen import make_dict_unstructure_fn

from wonder_customers.dialects import drift
from wonder_customers.dialects.tolerant_reader import (
    Json,
    MissingFieldError,
    RecordReader,
    field_overrides,
)
from wonder_customers.errors import InvalidResponseError
from wonder_customers.records import Unset
from wonder_customers.secret import Secret

__all__ = [
    "Json",
    "RecordConverter",
    "make_converter",
    "make_reader",
    "make_writer",
    "read_record",
    "read_text",
    "register_reader",
    "register_writer",
    "unknown_keys",
]

T = TypeVar("T")


def read_text(value: Any) -> str:
    """Return a text unchanged; anything else is a TypeError."""
    if type(value) is not str:
        raise TypeError(f"expected text, got {type(value).__name__}")
    return value


def _read_time(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.year in {1, 9999}:
        raise ValueError("expected a time that UTC can express")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _unreadable(value: Any) -> Any:
    raise TypeError(f"unexpected {type(value).__name__}")


def _is_object(kind: Any) -> bool:
    return bool(kind == Mapping[str, Any])


class RecordConverter(Converter):
    """The readers of a dialect's records, and a cattrs converter that writes them.

    Null never becomes ``"None"`` and 1.9 never becomes 1. Times are written as RFC 3339 in UTC with a Z.

    Attributes:
        readers: The readers of records, by class.
        scalars: Functions that read a JSON value exactly, by type; they raise one of `UNREADABLE` for others.
    """

    def __init__(self, *, milliseconds: bool = False) -> None:
        super().__init__(detailed_validation=False)
        self.readers: dict[Any, RecordReader[Any]] = {}
        self.scalars: dict[Any, Callable[[Any], Any]] = {
            str: read_text,
            int: _unreadable,
            bool: _unreadable,
            Mapping[str, Any]: _unreadable,
            datetime: _read_time,
            date: date.fromisoformat,
        }
        for kind in (str, int, bool):
            # Written in place; otherwise cattrs would determine the type of every value.
            self.register_unstructure_hook(kind | None, identity)
        self.register_unstructure_hook(Secret, Secret.reveal)
        self.register_unstructure_hook(Unset, identity)
        self.register_unstructure_hook_func(_is_object, identity)
        register_writer(self, date, date.isoformat)
        precision = "milliseconds" if milliseconds else "seconds"
        register_writer(
            self, datetime, lambda it: it.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")
        )


def make_converter(*, milliseconds: bool = False) -> RecordConverter:
    """Return a converter for one dialect.

    Args:
        milliseconds: Whether times are written to the millisecond instead of the second.
    """
    return RecordConverter(milliseconds=milliseconds)


def register_reader(converter: RecordConverter, kind: type[T], read: Callable[[Any], T]) -> None:
    """Read fields of `kind` with `read`, which raises a TypeError or ValueError for values it cannot read."""
    converter.scalars[kind] = read


def register_writer(converter: Converter, kind: type[T], write: Callable[[T], Any]) -> None:
    """Write fields of `kind` with `write`, and None as null."""
    converter.register_unstructure_hook(kind, write)
    converter.register_unstructure_hook(kind | None, lambda value: None if value is None else write(value))


def make_reader(
    converter: RecordConverter,
    kind: type[T],
    names: Mapping[str, str],
    *,
    shape: Callable[[Json], Json] | None = None,
    finish: Callable[[T, Json], T] | None = None,
    inline: frozenset[str] = frozenset(),
) -> RecordReader[T]:
    """Return a reader of JSON objects as `kind`, which is used for fields of this kind, too.

    Args:
        converter: The dialect's converter.
        kind: The record class.
        names: The gateway's name of each field of the record. Other fields are not read.
        shape: Returns the object in the form of the record: nested where the record is nested, with `extra`.
        finish: Returns the final record, given the record and the original object.
        inline: Fields that are records here and part of the surrounding object at the gateway.
    """
    reader = RecordReader(converter, kind, names, shape=shape, finish=finish, inline=inline)
    converter.readers[kind] = reader
    return reader


def make_writer(
    converter: Converter, kind: type[Any], names: Mapping[str, str], *, sparse: bool
) -> Callable[[Any], Json]:
    """Return a function from a record of `kind` to a JSON object; `sparse` leaves out fields at their default."""
    generated: list[Callable[[Any], Json]] = []

    def write(record: Any) -> Json:
        if not generated:
            overrides = field_overrides(kind, names)
            generated.append(make_dict_unstructure_fn(kind, converter, _cattrs_omit_if_default=sparse, **overrides))
        return generated[0](record)

    register_writer(converter, kind, write)
    return write


def unknown_keys(body: Json, known: frozenset[str]) -> Json:
    """Return the part of `body` whose keys have no field in the record."""
    if body.keys() <= known:
        return {}
    return {key: value for key, value in body.items() if key not in known}


def read_record(what: str, status: int, reader: RecordReader[T], body: Any) -> T:
    """Return the record in a response, tolerating fields of another type than documented.

    Args:
        what: What the object is, for the message.
        status: The HTTP status of the response.
        reader: The reader of the record.
        body: The JSON value.

    Raises:
        InvalidResponseError: `body` is not an object, or the record's id is missing. The message contains no value.
    """
    if not isinstance(body, dict):
        raise InvalidResponseError(
            f"HTTP {status} with a JSON {drift.type_name(body)} where the {what} is expected",
            status=status,
            applied="unknown",
        )
    try:
        return reader.read(body)
    except MissingFieldError as missing:
        raise InvalidResponseError(
            f"HTTP {status} with a {what} that cannot be read: {missing}", status=status, applied="unknown"
        ) from None
