"""The reader of records, which converts and reports fields whose type differs from the documentation."""

from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, get_args, get_origin

from attrs import NOTHING, fields, frozen

from wonder_customers.dialects import drift
from wonder_customers.dialects.coercion import coerce, expected_name

if TYPE_CHECKING:
    from wonder_customers.dialects.codec import RecordConverter

T = TypeVar("T")
Json = dict[str, Any]

UNREADABLE: Final = (KeyError, TypeError, ValueError)
"""The errors of a function that cannot read a value."""


class MissingFieldError(ValueError):
    """A required field of a record is missing or unreadable.

    Attributes:
        path: The path of the field in the response.
        found: The type of the value, or ``missing``.
    """

    def __init__(self, path: str, found: str) -> None:
        super().__init__(f"{path} is missing" if found == "missing" else f"{path}: expected text, found {found}")
        self.path = path
        self.found = found


@frozen
class _Field:
    name: str
    wire: str
    kind: Any  # the type of the field, without None
    exact: type | None  # values of this type are used unchanged
    nullable: bool
    required: bool
    read: "Callable[[_Field, Any, str, Json], Any]"


@frozen
class _Layout:
    """How to read objects with the same keys and types of values.

    Attributes:
        missing: The gateway's name of a required field that is missing; None if there is none.
        names: The fields whose values are used unchanged.
        wires: The gateway's names of these fields.
        converted: The other fields that have a value, each with the function that reads a value of a documented type.
        inline: The nested records that are part of the same object: the field, the class and the layout.
    """

    missing: str | None
    names: tuple[str, ...]
    wires: tuple[str, ...]
    converted: tuple[tuple[_Field, Callable[[Any], Any] | None], ...]
    inline: "tuple[tuple[str, Any, _Layout], ...]"

    def values(self, shaped: Json, path: str, unread: Json) -> Json:
        """Return the values of the fields, and collect unreadable values in `unread`."""
        if self.missing is not None:
            raise MissingFieldError(f"{path}{self.missing}", "missing")
        values = dict(zip(self.names, map(shaped.__getitem__, self.wires), strict=True))
        for it, scalar in self.converted:
            value = shaped[it.wire]
            if scalar is None:
                values[it.name] = it.read(it, value, path, unread)
                continue
            try:
                values[it.name] = scalar(value)
            except UNREADABLE:
                values[it.name] = it.read(it, value, path, unread)
        for name, kind, inner in self.inline:
            values[name] = kind(**inner.values(shaped, path, unread))
        return values


class RecordReader(Generic[T]):
    """A reader that converts JSON objects to records of one class."""

    def __init__(
        self,
        converter: "RecordConverter",
        kind: type[T],
        names: Mapping[str, str],
        *,
        shape: Callable[[Json], tuple[Json, Json]] | None,
        finish: Callable[[T, Json], T] | None,
        inline: frozenset[str],
    ) -> None:
        self._converter, self._kind, self._names = converter, kind, names
        self._shape, self._finish, self._inline = shape, finish, inline
        # Most responses of a gateway have the same keys and types.
        self._layout = lru_cache(64)(self._make_layout)

    def read(self, body: Json, path: str = "") -> tuple[T, Json]:
        """Return the record of a JSON object, and the unreadable values that are not in its `extra`."""
        unread: Json = {}
        shaped, extra = (body, None) if self._shape is None else self._shape(body)
        values = self._layout(tuple(shaped), tuple(map(type, shaped.values()))).values(shaped, path, unread)
        if unread:
            unread = {name: body.get(name, value) for name, value in unread.items()}
            if extra is not None:
                extra, unread = extra | unread, {}
        if extra:
            values["extra"] = extra
        record = self._kind(**values)
        return record if self._finish is None else self._finish(record, body), unread

    def _make_layout(self, keys: tuple[str, ...], types: tuple[type, ...], *, nullable: bool = False) -> _Layout:
        """Return the layout of objects with these keys and types of values. With `nullable`, any field may be null."""
        found, scalars = dict(zip(keys, types, strict=True)), self._converter.scalars
        missing = next((it.wire for it in self._fields if it.required and it.wire not in found), None)
        # A field that is null keeps its default.
        given = [
            (it, found[it.wire])
            for it in self._fields
            if it.wire in found and not (found[it.wire] is type(None) and (nullable or it.nullable))
        ]
        plain = [it for it, kind in given if kind is it.exact]
        converted = tuple(
            (it, None if it.exact else scalars.get(it.kind)) for it, kind in given if kind is not it.exact
        )
        inner = [
            (name, reader._kind, reader._make_layout(keys, types, nullable=True))  # noqa: SLF001 - the same class
            for name, reader in self._inline_readers
        ]
        # Without values, the nested record is None.
        inline = tuple(it for it in inner if it[2].names or it[2].converted or it[2].missing)
        return _Layout(missing, tuple(it.name for it in plain), tuple(it.wire for it in plain), converted, inline)

    @cached_property
    def _inline_readers(self) -> "tuple[tuple[str, RecordReader[Any]], ...]":
        kind: Any = self._kind
        types = {it.name: get_args(it.type)[0] for it in fields(kind) if it.name in self._inline}
        return tuple((name, self._converter.readers[it]) for name, it in types.items())

    @cached_property
    def _fields(self) -> tuple[_Field, ...]:
        found = []
        kind: Any = self._kind
        for attribute in fields(kind):
            if attribute.name in self._names and attribute.name not in {"extra", *self._inline}:
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
        return tuple(found)

    def _value(self, it: _Field, value: Any, path: str, unread: Json) -> Any:
        """Report and convert a value of an undocumented type."""
        if it.required:
            raise MissingFieldError(f"{path}{it.wire}", drift.type_name(value))
        scalar = expected_name(it.kind) != "object" or it.kind == Mapping[str, Any]
        _report(f"{path}{it.wire}", expected_name(it.kind) if scalar else "text", value)
        try:
            # Other types, such as telephone numbers, are read from a str by a function of the dialect.
            return coerce(it.kind, value) if scalar else self._converter.scalars[it.kind](coerce(str, value))
        except UNREADABLE:
            unread[it.wire] = value
            return None

    def _object(self, it: _Field, value: Any, path: str, unread: Json) -> Any:
        if isinstance(value, dict):
            try:
                record, inner = self._converter.readers[it.kind].read(value, f"{path}{it.wire}.")
            except MissingFieldError as missing:
                drift.report(missing.path, "text", missing.found)
            else:
                unread.update({f"{it.wire}.{name}": raw for name, raw in inner.items()})
                return record
        else:
            _report(f"{path}{it.wire}", "object", value)
        unread[it.wire] = value
        return None

    def _list(self, it: _Field, value: Any, path: str, unread: Json) -> tuple[Any, ...]:
        if not isinstance(value, list):
            if value is not None:
                _report(f"{path}{it.wire}", "list", value)
                unread[it.wire] = value
            return ()
        found = [self._item(it.kind, item, f"{path}{it.wire}") for item in value]
        if None in found:
            unread[it.wire] = value
        return tuple(it for it in found if it is not None)

    def _item(self, kind: Any, item: Any, path: str) -> Any:
        """Return the record of one item of a list, if readable."""
        if not isinstance(item, dict):
            _report(path, "object", item)
            return None
        try:
            return self._converter.readers[kind].read(item, f"{path}.")[0]
        except MissingFieldError as missing:
            drift.report(missing.path, "text", missing.found)
            return None


def _report(path: str, expected: str, value: object) -> None:
    drift.report(path, expected, drift.type_name(value))
