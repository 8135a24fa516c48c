"""Converters between JSON objects and records, and the tolerant reader of responses.

Each dialect makes one converter and describes its records by tables of names. A response whose fields have the
documented types is read by code that cattrs generates. When that fails, the same response is read field by field: a
value of another type is converted where that loses nothing; otherwise the field is None and the raw value stays in the
record's `extra`. Each such field is reported as drift. Only a missing id makes a record unreadable.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import cached_property, partial
from typing import Any, Final, Generic, TypeVar, get_args, get_origin

from attrs import NOTHING, Attribute, field, fields, frozen
from cattrs import BaseValidationError, Converter
from cattrs.fns import identity
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from wonder_customers.dialects import drift
from wonder_customers.dialects.coercion import coerce, expected_name
from wonder_customers.errors import InvalidResponseError
from wonder_customers.records import Unset
from wonder_customers.secret import Secret

T = TypeVar("T")
Json = dict[str, Any]

_UNREADABLE: Final = (BaseValidationError, TypeError, ValueError)


def _exact(kind: type[T]) -> Callable[[Any, type[T]], T]:
    def check(value: Any, _: type[T]) -> T:
        # The exact type, because a boolean is an int to isinstance.
        if type(value) is not kind:
            raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
        return value

    return check


read_text = _exact(str)
"""Return a text unchanged. The second argument is the type that cattrs passes to every hook; anything but text is a
TypeError."""


def _exact_or_none(kind: type[T]) -> Callable[[Any, Any], T | None]:
    def check(value: Any, _: Any) -> T | None:
        if value is not None and type(value) is not kind:
            raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
        return value

    return check


def _read_time(value: Any, _: type[datetime]) -> datetime:
    if type(value) is not str:
        raise TypeError(f"expected an RFC 3339 time, got {type(value).__name__}")
    moment = datetime.fromisoformat(value)
    if moment.year in {1, 9999}:
        raise ValueError("expected a time that UTC can express")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _read_date(value: Any, _: type[date]) -> date:
    if type(value) is not str:
        raise TypeError(f"expected a date, got {type(value).__name__}")
    return date.fromisoformat(value)


def expect_object(value: Any, _: Any = None) -> Json:
    """Return `value` if it is a JSON object.

    Raises:
        TypeError: It is of another type.
    """
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, got {type(value).__name__}")
    return value


def _is_object(kind: Any) -> bool:
    return bool(kind == Mapping[str, Any])


def _is_list(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _read_list(converter: Converter, value: Any, kind: Any) -> tuple[Any, ...]:
    """Return a JSON list as a tuple.

    cattrs accepts any iterable, a text too, and collects one error per item, which could fill the memory. Here the
    first error ends it.
    """
    if type(value) is not list:
        raise TypeError(f"expected a list, got {type(value).__name__}")
    return tuple(converter.structure(item, get_args(kind)[0]) for item in value)


class RecordConverter(Converter):
    """A cattrs converter with exact scalar types, and the readers of a dialect's records.

    Null never becomes ``"None"`` and 1.9 never becomes 1. Times are written as RFC 3339 in UTC with a Z.
    """

    def __init__(self, *, milliseconds: bool = False) -> None:
        super().__init__()
        self.readers: dict[Any, RecordReader[Any]] = {}
        for kind in (str, int, bool):
            self.register_structure_hook(kind, _exact(kind))
            self.register_structure_hook(kind | None, _exact_or_none(kind))
            # Written in place; otherwise cattrs would determine the type of every value.
            self.register_unstructure_hook(kind | None, identity)
        register_reader(self, datetime, _read_time)
        register_reader(self, date, _read_date)
        self.register_structure_hook_func(_is_object, expect_object)
        self.register_structure_hook_func(_is_list, partial(_read_list, self))
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


def register_reader(converter: Converter, kind: type[T], read: Callable[[Any, Any], T]) -> None:
    """Read fields of `kind` with `read`. Optional fields are None where the JSON value is null."""
    converter.register_structure_hook(kind, read)
    # The hook that cattrs makes for optional fields searches for the inner hook at every value.
    converter.register_structure_hook(kind | None, lambda value, _: None if value is None else read(value, kind))


def register_writer(converter: Converter, kind: type[T], write: Callable[[T], Any]) -> None:
    """Write fields of `kind` with `write`, and None as null."""
    converter.register_unstructure_hook(kind, write)
    converter.register_unstructure_hook(kind | None, lambda value: None if value is None else write(value))


def _overrides(kind: type[Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the cattrs settings of each field: the gateway's name, or omitted."""
    return {
        attribute.name: override(rename=names[attribute.name]) if attribute.name in names else override(omit=True)
        for attribute in fields(kind)
    }


class MissingFieldError(ValueError):
    """A field without which a record cannot be read is missing or has another type."""

    def __init__(self, path: str, found: str) -> None:
        super().__init__(f"{path}: {found}")
        self.path = path
        self.found = found


@frozen
class _Scope:
    """One object while it is read field by field: its path, and the raw values of its unreadable fields."""

    path: str
    unread: Json = field(factory=dict)

    def report(self, wire: str, expected: str, value: object) -> None:
        """Report drift of the field `wire`."""
        drift.report(f"{self.path}{wire}", expected, drift.type_name(value))


class RecordReader(Generic[T]):
    """Reads JSON objects of one kind. Made by `make_reader`."""

    def __init__(
        self,
        converter: RecordConverter,
        kind: type[T],
        names: Mapping[str, str],
        *,
        shape: Callable[[Json], Json] | None,
        finish: Callable[[T, Json], T] | None,
        inline: frozenset[str],
    ) -> None:
        self._converter, self._kind, self._names = converter, kind, names
        self._shape, self._finish, self._inline = shape, finish, inline

    @cached_property
    def _generated(self) -> Callable[[Json, Any], T]:
        # With the first response, because cattrs compiles code here, which takes a third of the package's import time.
        return make_dict_structure_fn(self._kind, self._converter, **_overrides(self._kind, self._names))

    def __call__(self, value: Any, _: Any = None) -> T:
        """Return the record of an object whose fields all have the documented types; a cattrs hook.

        Raises:
            BaseValidationError: A field has another type.
            TypeError: It is not an object. The generated code would accept a list.
        """
        body = expect_object(value)
        record = self._generated(body if self._shape is None else self._shape(body), self._kind)
        return record if self._finish is None else self._finish(record, body)

    def read_tolerantly(self, body: Json, path: str = "") -> T:
        """Return the record of an object, field by field.

        Args:
            body: The object.
            path: The gateway's name of the object within the response, with a dot after it.

        Raises:
            MissingFieldError: A field without a default, such as the id, is missing or unreadable.
        """
        record, _ = self._read(body, path)
        return record

    def _read(self, body: Json, path: str) -> tuple[T, Json]:
        """Return the record and the raw values of fields that could not be read, by the gateway's names."""
        shaped = body if self._shape is None else self._shape(body)
        scope, values = _Scope(path), dict[str, Any]()
        kind: Any = self._kind
        for attribute in fields(kind):
            wire = self._names.get(attribute.name)
            if wire is not None and wire in shaped:
                values[attribute.name] = self._field(attribute, wire, shaped[wire], scope)
            elif wire is not None and attribute.default is NOTHING:
                raise MissingFieldError(f"{path}{wire}", "missing")
        unread = {name: body.get(name, value) for name, value in scope.unread.items()}
        if "extra" in self._names:
            values["extra"] = {**values.get("extra", {}), **unread}
            unread = {}
        record: T = kind(**values)
        return record if self._finish is None else self._finish(record, body), unread

    def _field(self, attribute: "Attribute[Any]", wire: str, value: Any, scope: _Scope) -> Any:
        kind = next((it for it in get_args(attribute.type) if it is not type(None)), attribute.type)
        if _is_list(attribute.type):
            return self._list(get_args(attribute.type)[0], wire, value, scope)
        if kind in self._converter.readers:
            return self._object(kind, wire, value, scope, inline=attribute.name in self._inline)
        try:
            return self._converter.structure(value, attribute.type or Any)
        except _UNREADABLE:
            if attribute.default is NOTHING:
                found = f"expected text, found {drift.type_name(value)}"
                raise MissingFieldError(f"{scope.path}{wire}", found) from None
        return self._coerced(kind, wire, value, scope)

    def _coerced(self, kind: Any, wire: str, value: Any, scope: _Scope) -> Any:
        scalar = expected_name(kind) != "object" or kind == Mapping[str, Any]
        scope.report(wire, expected_name(kind) if scalar else "text", value)
        try:
            # Other kinds, such as telephone numbers, are read from text by the dialect's own hook.
            return coerce(kind, value) if scalar else self._converter.structure(coerce(str, value), kind)
        except _UNREADABLE:
            scope.unread[wire] = value
            return None

    def _object(self, kind: Any, wire: str, value: Any, scope: _Scope, *, inline: bool) -> Any:
        if value is None:
            return None
        inner = scope.path if inline else f"{scope.path}{wire}."
        if isinstance(value, dict):
            try:
                record, unread = self._converter.readers[kind]._read(value, inner)  # noqa: SLF001 - of this class
            except MissingFieldError as missing:
                drift.report(missing.path, "text", missing.found)
            else:
                scope.unread.update({name if inline else f"{wire}.{name}": it for name, it in unread.items()})
                return None if inline and record == kind() else record
        else:
            scope.report(wire, "object", value)
        scope.unread[wire] = value
        return None

    def _list(self, kind: Any, wire: str, value: Any, scope: _Scope) -> tuple[Any, ...]:
        if not isinstance(value, list):
            if value is not None:
                scope.report(wire, "list", value)
                scope.unread[wire] = value
            return ()
        found = [self._item(kind, item, f"{scope.path}{wire}") for item in value]
        if None in found:
            scope.unread[wire] = value
        return tuple(it for it in found if it is not None)

    def _item(self, kind: Any, item: Any, path: str) -> Any:
        """Return the record of one item of a list; None, with a report, if it cannot be read."""
        if not isinstance(item, dict):
            drift.report(path, "object", drift.type_name(item))
            return None
        try:
            return self._converter.readers[kind].read_tolerantly(item, f"{path}.")
        except MissingFieldError as missing:
            drift.report(missing.path, "text", missing.found)
            return None


def make_reader(
    converter: RecordConverter,
    kind: type[T],
    names: Mapping[str, str],
    *,
    shape: Callable[[Json], Json] | None = None,
    finish: Callable[[T, Json], T] | None = None,
    inline: frozenset[str] = frozenset(),
) -> RecordReader[T]:
    """Return a reader of JSON objects as `kind`, and register it for fields of this kind.

    Args:
        converter: The dialect's converter.
        kind: The record class.
        names: The gateway's name of each field of the record. Other fields are not read.
        shape: Returns the object in the form of the record: nested where the record is nested, with `extra`.
        finish: Returns the final record, given the record and the original object.
        inline: Fields that are records here and part of the surrounding object at the gateway.
    """
    reader = RecordReader(converter, kind, names, shape=shape, finish=finish, inline=inline)
    register_reader(converter, kind, reader)
    converter.readers[kind] = reader
    return reader


def make_writer(
    converter: Converter, kind: type[Any], names: Mapping[str, str], *, sparse: bool
) -> Callable[[Any], Json]:
    """Return a function from a record of `kind` to a JSON object; `sparse` leaves out fields at their default."""
    generated: list[Callable[[Any], Json]] = []

    def write(record: Any) -> Json:
        if not generated:
            overrides = _overrides(kind, names)
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
        return reader(body)
    except _UNREADABLE:
        pass
    try:
        return reader.read_tolerantly(body)
    except MissingFieldError as missing:
        raise InvalidResponseError(
            f"HTTP {status} with a {what} that cannot be read: {missing}", status=status, applied="unknown"
        ) from None
