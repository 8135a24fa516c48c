"""The reader of records, which converts and reports fields whose type differs from the documentation."""

from collections.abc import Callable, Mapping
from functools import cached_property
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar, cast, get_args, get_origin

from attrs import NOTHING, Factory, evolve, fields, frozen
from cattrs import Converter

from wonder_customers.dialects import drift
from wonder_customers.dialects.coercion import coerce, expected_name

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
    default: Any  # as in attrs
    hook: Any  # the converter's structure hook; None for values that are used unchanged
    read: "Callable[[_Field, Any, str, Json], Any]"


class RecordReader(Generic[T]):
    """A structure hook of cattrs that converts JSON objects to records of one class."""

    def __init__(
        self,
        converter: Converter,
        kind: type[T],
        names: Mapping[str, str],
        *,
        shape: Callable[[Json], tuple[Json, Json]] | None,
        finish: Callable[[T, Json], T] | None,
        inline: frozenset[str],
    ) -> None:
        self._converter, self._kind, self._names = converter, kind, names
        self._shape, self._finish, self._inline = shape, finish, inline

    def __call__(self, body: Json, _: object) -> T:
        """Return the record of a JSON object."""
        return self.read(body)[0]

    def read(self, body: Json, path: str = "") -> tuple[T, Json]:
        """Return the record of a JSON object, and the unreadable values that are not in its `extra`."""
        unread: Json = {}
        shaped, extra = (body, None) if self._shape is None else self._shape(body)
        record = self._create(shaped.get, path, unread, extra)
        if unread:
            unread = {name: body.get(name, value) for name, value in unread.items()}
            if extra is not None:
                record, unread = evolve(record, extra=extra | unread), {}  # type: ignore[misc]  # an attrs class
        return record if self._finish is None else self._finish(record, body), unread

    @cached_property
    def _create(self) -> Callable[[Callable[..., Any], str, Json, Json | None], T]:
        """A function that creates a record, given the method ``get`` of the object.

        The function is generated, because it is twice as fast as a loop over the fields. It is one expression, such as
        ``Customer(v if type(v := get('uuid', absent)) is str else read_0(v, path, unread), …, extra)``.
        """
        # The name belongs to every frame of the function, so that these frames are removed from tracebacks.
        scope: dict[str, Any] = {"__name__": __name__, "absent": NOTHING}
        source = f"lambda get, path, unread, extra: {self._call(scope)}"
        create: Callable[[Callable[..., Any], str, Json, Json | None], T] = eval(source, scope)  # noqa: S307 - see above
        return create

    def _call(self, scope: dict[str, Any], *, nullable: bool = False) -> str:
        """Return the expression that creates the record, and add the functions that it calls to `scope`."""
        values = {it.name: self._argument(it, scope, nullable=nullable) for it in self._fields}
        for name, reader in self._inline_readers:
            created = reader._call(scope, nullable=True)  # noqa: SLF001 - the same class
            wires = (f"get({it.wire!r})" for it in reader._fields)
            values[name] = f"None if {' is '.join(wires)} is None else {created}"
        if self._shape is not None:
            values["extra"] = "extra"
        create, kind = f"create_{len(scope)}", cast("Any", self._kind)
        scope[create] = kind
        arguments = []
        # All arguments are passed, because a call with keywords is slower.
        for it in sorted(fields(kind), key=attrgetter("kw_only")):
            if it.name not in values:
                default = values[it.name] = f"default_{len(scope)}"
                scope[default] = it.default
                if isinstance(it.default, Factory):  # type: ignore[arg-type]  # a class, despite its name
                    values[it.name] = f"{default}.factory()"
            arguments.append(f"{it.alias}=" * it.kw_only + values[it.name])
        return f"{create}({', '.join(arguments)})"

    def _argument(self, it: _Field, scope: dict[str, Any], *, nullable: bool) -> str:
        """Return the expression for the value of a field. With `nullable`, null counts as missing in every field."""
        nullable = nullable or it.nullable
        read = f"read_{len(scope)}"
        scope[read] = self._function(it, nullable=nullable)
        optional = nullable and it.default is None  # missing and null have the same effect
        value = f"(v := get({it.wire!r}))" if optional else f"(v := get({it.wire!r}, absent))"
        if it.exact is not None:
            # An empty id identifies no record.
            also = "or v is None " if optional else "and v " if it.default is NOTHING else ""
            return f"v if type{value} is {it.exact.__name__} {also}else {read}(v, path, unread)"
        if optional:
            return f"None if {value} is None else {read}(v, path, unread)"
        return f"{read}({value}, path, unread)"

    def _function(self, it: _Field, *, nullable: bool) -> Callable[[Any, str, Json], Any]:
        """Return the function that reads a field whose value cannot be used unchanged."""
        scalar = None if isinstance(it.hook, RecordReader) else it.hook

        def read(value: Any, path: str, unread: Json) -> Any:
            if value is NOTHING or (value is None and nullable):
                if it.default is NOTHING:
                    raise MissingFieldError(f"{path}{it.wire}", "missing")
                return default_of(it.default)
            if scalar is None:
                return it.read(it, value, path, unread)
            try:
                return scalar(value, it.kind)
            except UNREADABLE:
                return it.read(it, value, path, unread)

        return read

    @cached_property
    def _inline_readers(self) -> "tuple[tuple[str, RecordReader[Any]], ...]":
        kind: Any = self._kind
        types = {it.name: get_args(it.type)[0] for it in fields(kind) if it.name in self._inline}
        return tuple((name, cast("Any", self._converter.get_structure_hook(it))) for name, it in types.items())

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
                exact = inner if inner in {str, bool, int} else dict if inner == Mapping[str, Any] else None
                hook = None if exact else self._converter.get_structure_hook(inner)
                nested = isinstance(hook, RecordReader)
                found.append(
                    _Field(
                        attribute.name,
                        self._names[attribute.name],
                        inner,
                        exact=exact,
                        nullable=nullable,
                        default=attribute.default,
                        hook=hook,
                        read=self._list if many else self._object if nested else self._value,
                    )
                )
        return tuple(found)

    def _value(self, it: _Field, value: Any, path: str, unread: Json) -> Any:
        """Report and convert a value of an undocumented type."""
        if it.default is NOTHING:
            raise MissingFieldError(f"{path}{it.wire}", "missing" if value == "" else drift.type_name(value))
        scalar = expected_name(it.kind) != "object" or it.kind == Mapping[str, Any]
        _report(f"{path}{it.wire}", expected_name(it.kind) if scalar else "text", value)
        try:
            # Other types, such as telephone numbers, are read from a str by a function of the dialect.
            return coerce(it.kind, value) if scalar else it.hook(coerce(str, value), it.kind)
        except UNREADABLE:
            unread[it.wire] = value
            return None

    def _object(self, it: _Field, value: Any, path: str, unread: Json) -> Any:
        if isinstance(value, dict):
            try:
                record, inner = it.hook.read(value, f"{path}{it.wire}.")
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
        found = [self._item(it.hook, item, f"{path}{it.wire}") for item in value]
        if None in found:
            unread[it.wire] = value
        return tuple(it for it in found if it is not None)

    def _item(self, reader: "RecordReader[Any]", item: Any, path: str) -> Any:
        """Return the record of one item of a list, if readable."""
        if not isinstance(item, dict):
            _report(path, "object", item)
            return None
        try:
            return reader.read(item, f"{path}.")[0]
        except MissingFieldError as missing:
            drift.report(missing.path, "text", missing.found)
            return None


def default_of(default: Any) -> Any:
    """Return the default value of a field, given its attrs default."""
    return default.factory() if isinstance(default, Factory) else default  # type: ignore[arg-type]  # a class, despite its name


def _report(path: str, expected: str, value: object) -> None:
    drift.report(path, expected, drift.type_name(value))
