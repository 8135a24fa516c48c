"""The reader of records, which converts and reports fields of another type than documented."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, get_args, get_origin

from attrs import NOTHING, define, fields, frozen
from cattrs.gen import override

from wonder_customers.dialects import drift
from wonder_customers.dialects.coercion import coerce, expected_name

if TYPE_CHECKING:
    from wonder_customers.dialects.codec import RecordConverter

T = TypeVar("T")
Json = dict[str, Any]

UNREADABLE: Final = (KeyError, TypeError, ValueError)
"""The errors of a function that cannot read a value."""


def field_overrides(kind: type[Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the cattrs settings of each field: the gateway's name, or ``omit`` for fields without one."""
    return {
        attribute.name: override(rename=names[attribute.name]) if attribute.name in names else override(omit=True)
        for attribute in fields(kind)
    }


class MissingFieldError(ValueError):
    """A required field of a record is missing or has another type."""

    def __init__(self, path: str, found: str) -> None:
        super().__init__(f"{path}: {found}")
        self.path = path
        self.found = found


@frozen
class _Field:
    """One field of a record.

    Attributes:
        name: The name of the field in the record.
        wire: The gateway's name of the field.
        kind: The type of the field, without None.
        exact: The type of values that are used unchanged; None if every value is converted.
        nullable: Whether the field may be null.
        required: Whether the record cannot be read without the field.
        read: A function that returns the value of the field, given the field, the raw value and the scope.
    """

    name: str
    wire: str
    kind: Any
    exact: type | None
    nullable: bool
    required: bool
    read: "Callable[[_Field, Any, _Scope], Any]"


@define
class _Scope:
    """The path of an object that is being read, and the raw values of its unreadable fields."""

    path: str
    unread: Json

    def report(self, wire: str, expected: str, value: object) -> None:
        """Report that the field `wire` differs from the gateway's documentation."""
        drift.report(f"{self.path}{wire}", expected, drift.type_name(value))


class RecordReader(Generic[T]):
    """Reads JSON objects as records of one class. It is created by `make_reader`."""

    def __init__(
        self,
        converter: "RecordConverter",
        kind: type[T],
        names: Mapping[str, str],
        *,
        shape: Callable[[Json], Json] | None,
        finish: Callable[[T, Json], T] | None,
        inline: frozenset[str],
    ) -> None:
        self._converter, self._kind, self._names = converter, kind, names
        self._shape, self._finish, self._inline = shape, finish, inline

    def read(self, body: Json, path: str = "") -> T:
        """Return the record of a JSON object.

        Args:
            body: The object.
            path: The path of the object within the response, with a trailing dot; empty for the outermost object.

        Raises:
            MissingFieldError: A field without a default, such as the id, is missing or unreadable.
        """
        record, _ = self._read(body, path)
        return record

    def _read(self, body: Json, path: str) -> tuple[T, Json]:
        """Return the record, and the raw values of unreadable fields by the gateway's names."""
        shaped = body if self._shape is None else self._shape(body)
        scope = _Scope(path, {})
        values: Json = {}
        kind: Any = self._kind
        for name, wire, exact, scalar, it in self._fields:
            if wire not in shaped:
                if it.required:
                    raise MissingFieldError(f"{path}{wire}", "missing")
                continue
            value = shaped[wire]
            if type(value) is exact:
                values[name] = value
            elif value is None and it.nullable:
                pass  # the field keeps its default
            elif scalar is None:
                values[name] = it.read(it, value, scope)
            else:
                try:
                    values[name] = scalar(value)
                except UNREADABLE:
                    values[name] = it.read(it, value, scope)
        if not scope.unread:
            record: T = kind(**values)
            return record if self._finish is None else self._finish(record, body), {}
        unread = {name: body.get(name, value) for name, value in scope.unread.items()}
        if "extra" in self._names:
            values["extra"] = {**values.get("extra", {}), **unread}
            unread = {}
        record = kind(**values)
        return record if self._finish is None else self._finish(record, body), unread

    @cached_property
    def _fields(self) -> tuple[tuple[str, str, type | None, Callable[[Any], Any] | None, _Field], ...]:
        """The fields that are read. The tuples repeat some attributes, because unpacking is faster than access."""
        found = []
        kind: Any = self._kind
        for attribute in fields(kind):
            if attribute.name in self._names:
                declared: Any = attribute.type
                arguments, many = get_args(declared), get_origin(declared) is tuple
                nullable = type(None) in arguments
                inner = arguments[0] if nullable or many else declared
                nested = inner in self._converter.readers
                found.append(
                    _Field(
                        attribute.name,
                        self._names[attribute.name],
                        inner,
                        exact=inner if inner in {str, bool, int} else dict if inner == Mapping[str, Any] else None,
                        nullable=nullable,
                        required=attribute.default is NOTHING,
                        read=self._list if many else self._object if nested else self._value,
                    )
                )
        scalars = self._converter.scalars
        return tuple(
            (it.name, it.wire, it.exact, scalars.get(it.kind) if it.exact is None else None, it) for it in found
        )

    def _value(self, it: _Field, value: Any, scope: _Scope) -> Any:
        """Convert and report a value of another type than documented. Return None if it cannot be converted."""
        if it.required:
            raise MissingFieldError(f"{scope.path}{it.wire}", f"expected text, found {drift.type_name(value)}")
        scalar = expected_name(it.kind) != "object" or it.kind == Mapping[str, Any]
        scope.report(it.wire, expected_name(it.kind) if scalar else "text", value)
        try:
            # Other types, such as telephone numbers, are read from a str by a function of the dialect.
            return coerce(it.kind, value) if scalar else self._converter.scalars[it.kind](coerce(str, value))
        except UNREADABLE:
            scope.unread[it.wire] = value
            return None

    def _object(self, it: _Field, value: Any, scope: _Scope) -> Any:
        kind, wire, inline = it.kind, it.wire, it.name in self._inline
        inner = scope.path if inline else f"{scope.path}{wire}."
        if isinstance(value, dict):
            try:
                record, unread = self._converter.readers[kind]._read(value, inner)  # noqa: SLF001 - the same class
            except MissingFieldError as missing:
                drift.report(missing.path, "text", missing.found)
            else:
                scope.unread.update({name if inline else f"{wire}.{name}": it for name, it in unread.items()})
                return None if unread and inline and record == kind() else record
        else:
            scope.report(wire, "object", value)
        scope.unread[wire] = value
        return None

    def _list(self, it: _Field, value: Any, scope: _Scope) -> tuple[Any, ...]:
        kind, wire = it.kind, it.wire
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
        """Return the record of one item of a list. If it cannot be read, report it and return None."""
        if not isinstance(item, dict):
            drift.report(path, "object", drift.type_name(item))
            return None
        try:
            return self._converter.readers[kind].read(item, f"{path}.")
        except MissingFieldError as missing:
            drift.report(missing.path, "text", missing.found)
            return None
