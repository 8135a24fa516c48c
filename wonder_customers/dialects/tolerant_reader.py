"""The tolerant reader: JSON objects as records, field by field where a field has another type than documented."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, get_args, get_origin

from attrs import NOTHING, field, fields, frozen
from cattrs.gen import make_dict_structure_fn, override

from wonder_customers.dialects import drift
from wonder_customers.dialects.coercion import coerce, expected_name

if TYPE_CHECKING:
    from wonder_customers.dialects.codec import RecordConverter

T = TypeVar("T")
Json = dict[str, Any]

UNREADABLE: Final = (KeyError, TypeError, ValueError)
"""The errors of a hook that cannot read a value."""


def expect_object(value: Any, _: Any = None) -> Json:
    """Return `value` if it is a JSON object.

    Raises:
        TypeError: It is of another type.
    """
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, got {type(value).__name__}")
    return value


def is_list(kind: Any) -> bool:
    """Return whether a field's type is a tuple, which is a list in JSON."""
    return get_origin(kind) is tuple


def field_overrides(kind: type[Any], names: Mapping[str, str]) -> dict[str, Any]:
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
class _Field:
    """One field of a record: its name, the gateway's name, and how it is read."""

    name: str
    wire: str
    kind: Any
    declared: Any
    hook: Callable[[Any, Any], Any]
    required: bool


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

    @cached_property
    def _generated(self) -> Callable[[Json, Any], T]:
        # With the first response, because cattrs compiles code here, which takes a third of the package's import time.
        return make_dict_structure_fn(self._kind, self._converter, **field_overrides(self._kind, self._names))

    def __call__(self, value: Any, _: Any = None) -> T:
        """Return the record of an object whose fields all have the documented types; a cattrs hook.

        Raises:
            KeyError: The id is missing.
            TypeError: A field has another type, or it is not an object. The generated code would accept a list.
            ValueError: A time or date has another form.
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
        for it in self._fields:
            if it.wire in shaped:
                values[it.name] = self._field(it, shaped[it.wire], scope)
            elif it.required:
                raise MissingFieldError(f"{path}{it.wire}", "missing")
        unread = {name: body.get(name, value) for name, value in scope.unread.items()}
        if "extra" in self._names:
            values["extra"] = {**values.get("extra", {}), **unread}
            unread = {}
        record: T = kind(**values)
        return record if self._finish is None else self._finish(record, body), unread

    @cached_property
    def _fields(self) -> tuple[_Field, ...]:
        """The fields that are read, with what is needed to read each of them."""
        found = []
        kind: Any = self._kind
        for attribute in fields(kind):
            if attribute.name in self._names:
                declared: Any = attribute.type
                inner = next((it for it in get_args(declared) if it is not type(None)), declared)
                hook = self._converter.get_structure_hook(declared)
                wire, required = self._names[attribute.name], attribute.default is NOTHING
                found.append(_Field(attribute.name, wire, inner, declared, hook, required))
        return tuple(found)

    def _field(self, it: _Field, value: Any, scope: _Scope) -> Any:
        if is_list(it.declared):
            return self._list(it.kind, it.wire, value, scope)
        if it.kind in self._converter.readers:
            return self._object(it.kind, it.wire, value, scope, inline=it.name in self._inline)
        try:
            return it.hook(value, it.declared)
        except UNREADABLE:
            if it.required:
                found = f"expected text, found {drift.type_name(value)}"
                raise MissingFieldError(f"{scope.path}{it.wire}", found) from None
        return self._coerced(it.kind, it.wire, value, scope)

    def _coerced(self, kind: Any, wire: str, value: Any, scope: _Scope) -> Any:
        scalar = expected_name(kind) != "object" or kind == Mapping[str, Any]
        scope.report(wire, expected_name(kind) if scalar else "text", value)
        try:
            # Other kinds, such as telephone numbers, are read from text by the dialect's own hook.
            return coerce(kind, value) if scalar else self._converter.structure(coerce(str, value), kind)
        except UNREADABLE:
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
