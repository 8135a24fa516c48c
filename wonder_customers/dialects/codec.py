"""Converters between JSON objects and records.

Each dialect creates one converter, and describes its records with tables of field names. Records are written by code
that cattrs generates, and read field by field. A value of another type than documented is converted if this is possible
without loss. Otherwise the field is None, and the raw value is in the record's `extra`. Each such field is reported as
drift. A record cannot be read if its id is missing.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, TypeVar

from cattrs import Converter
from cattrs.fns import identity
from cattrs.gen import make_dict_unstructure_fn

from wonder_customers.dialects import drift
from wonder_customers.dialects.responses import invalid_response
from wonder_customers.dialects.tolerant_reader import Json, MissingFieldError, RecordReader, field_overrides
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
    """Return a str unchanged. Raise a TypeError for any other value."""
    if type(value) is not str:
        raise TypeError(f"expected a str, not {type(value).__name__}")
    return value


def _read_time(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.year in {1, 9999}:
        raise ValueError("expected a time whose UTC value is in the range of datetime")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _unreadable(value: Any) -> Any:
    raise TypeError(f"unexpected {type(value).__name__}")


def _is_object(kind: Any) -> bool:
    return bool(kind == Mapping[str, Any])


class RecordConverter(Converter):
    """The readers of a dialect's records, and a cattrs converter that writes records.

    Unlike in cattrs, null is not read as ``"None"``, nor 1.9 as 1. Times are written as RFC 3339 in UTC with a Z.

    Attributes:
        readers: The readers of records, by class.
        scalars: Functions that read a JSON value, by type. They raise an error of `UNREADABLE` for a value of another
            type.
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
            # Without this hook, cattrs would determine the type of every value at run time.
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
        milliseconds: Whether times are written with milliseconds.
    """
    return RecordConverter(milliseconds=milliseconds)


def register_reader(converter: RecordConverter, kind: type[T], read: Callable[[Any], T]) -> None:
    """Use `read` for fields of type `kind`. It must raise a TypeError or ValueError for values it cannot read."""
    converter.scalars[kind] = read


def register_writer(converter: Converter, kind: type[T], write: Callable[[T], Any]) -> None:
    """Use `write` for fields of type `kind`. None is written as null."""
    converter.register_unstructure_hook(kind, write)
    converter.register_unstructure_hook(kind | None, lambda value: None if value is None else write(value))


def make_reader(
    converter: RecordConverter,
    kind: type[T],
    names: Mapping[str, str],
    *,
    shape: Callable[[Json], tuple[Json, Json]] | None = None,
    finish: Callable[[T, Json], T] | None = None,
    inline: frozenset[str] = frozenset(),
) -> RecordReader[T]:
    """Return a reader that converts JSON objects to `kind`. It is also used for fields of this type.

    Args:
        converter: The dialect's converter.
        kind: The record class.
        names: The gateway's name for each field of the record. Other fields are not read.
        shape: A function that returns an object from which the fields are read, and the `extra` of the record.
        finish: A function that returns the final record, given the record and the original object.
        inline: Fields that are records here, but whose values are part of the surrounding object at the gateway. Such a
            record is None if all its values are missing or null.
    """
    reader = RecordReader(converter, kind, names, shape=shape, finish=finish, inline=inline)
    converter.readers[kind] = reader
    return reader


def make_writer(
    converter: Converter, kind: type[Any], names: Mapping[str, str], *, sparse: bool
) -> Callable[[Any], Json]:
    """Return a function that converts a record of `kind` to a JSON object. `sparse` omits fields with defaults."""
    generated: list[Callable[[Any], Json]] = []

    def write(record: Any) -> Json:
        if not generated:
            overrides = field_overrides(kind, names)
            generated.append(make_dict_unstructure_fn(kind, converter, _cattrs_omit_if_default=sparse, **overrides))
        return generated[0](record)

    register_writer(converter, kind, write)
    return write


def unknown_keys(body: Json, known: frozenset[str]) -> Json:
    """Return the items of `body` whose keys are not `known`."""
    if body.keys() <= known:
        return {}
    return {key: value for key, value in body.items() if key not in known}


def read_record(what: str, status: int, reader: RecordReader[T], body: Any) -> T:
    """Return the record in a response. Fields may have another type than documented.

    Args:
        what: A name for the object, such as ``customer``, for the message of an error.
        status: The HTTP status of the response.
        reader: The reader of the record.
        body: The JSON value.

    Raises:
        InvalidResponseError: `body` is not an object, or the record's id is missing. The message contains no value.
    """
    if not isinstance(body, dict):
        kind = drift.type_name(body)
        raise invalid_response(f"the response with HTTP {status} contains a JSON {kind} instead of a {what}", status)
    try:
        return reader.read(body)[0]
    except MissingFieldError as missing:
        reason = f"the response with HTTP {status} contains a {what} that cannot be read: {missing}"
        raise invalid_response(reason, status) from None
