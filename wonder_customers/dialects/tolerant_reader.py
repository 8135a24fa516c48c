"""The reader of records, which converts and reports fields whose type differs from the documentation."""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar, get_args, get_origin

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
    kind: Any  # the type of the field, or of its items, without None
    exact: type | None  # values of this type are used unchanged
    nullable: bool
    many: bool
    default: Any  # as in attrs
    hook: Any  # the converter's structure hook; None for values that are used unchanged


@frozen(eq=False, slots=False)  # with the dictionary of `cached_property`
class RecordReader(Generic[T]):
    """A structure hook of cattrs that converts JSON objects to records of one class; see `codec.make_reader`."""

    converter: Converter
    kind: Any
    names: Mapping[str, str]
    shape: Callable[[Json, Json], Json] | None
    finish: Callable[[T, Json], T] | None
    inline: Collection[str]

    def __call__(self, body: Json, _: object) -> T:
        """Return the record of a JSON object."""
        return self.read(body)[0]

    def read(self, body: Json, path: str = "") -> tuple[T, Json]:
        """Return the record of a JSON object, and the unreadable values that are not in its `extra`."""
        unread: Json = {}
        extra = unknown_keys(body, self._known) if "extra" in self.names else None
        shaped = body if self.shape is None else self.shape(body, {} if extra is None else extra)
        record = self._create(shaped.get, path, unread, extra)
        if unread:
            unread = {name: body.get(name, value) for name, value in unread.items()}
            if extra is not None:
                record, unread = evolve(record, extra=extra | unread), {}  # type: ignore[misc]  # an attrs class
        return record if self.finish is None else self.finish(record, body), unread

    @cached_property
    def _known(self) -> frozenset[str]:
        """The keys of an object that are not part of the record's `extra`."""
        inline = (it for reader in self._inline_readers().values() for it in reader._fields())
        return frozenset(it.wire for it in (*self._fields(), *inline))

    def _inline_readers(self) -> "dict[str, RecordReader[Any]]":
        kinds = {it.name: get_args(it.type)[0] for it in fields(self.kind) if it.name in self.inline}
        return {name: self.converter.get_structure_hook(kind) for name, kind in kinds.items()}  # type: ignore[misc]

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
        """Return the expression that creates the record, and add the functions that it calls to `scope`.

        With `nullable`, null counts as missing in every field.
        """
        values = {it.name: self._argument(it, scope) for it in self._fields(nullable=nullable)}
        if "extra" in self.names:
            values["extra"] = "extra"
        for name, reader in self._inline_readers().items():
            wires = (f"get({field.wire!r})" for field in reader._fields())
            created = reader._call(scope, nullable=True)  # noqa: SLF001 - the same class
            values[name] = f"None if {' is '.join(wires)} is None else {created}"
        create = f"create_{len(scope)}"
        scope[create] = self.kind
        arguments = []
        # All arguments are passed, because a call with keywords is slower.
        for it in sorted(fields(self.kind), key=attrgetter("kw_only")):
            if it.name not in values:
                default = values[it.name] = f"default_{len(scope)}"
                scope[default] = it.default
                if isinstance(it.default, Factory):  # type: ignore[arg-type]  # a class, despite its name
                    values[it.name] = f"{default}.factory()"
            arguments.append(f"{it.alias}=" * it.kw_only + values[it.name])
        return f"{create}({', '.join(arguments)})"

    def _fields(self, *, nullable: bool = False) -> Iterator[_Field]:
        """Yield the fields that are read by name."""
        for it in fields(self.kind):
            if it.name not in self.names or it.name in {"extra", *self.inline}:
                continue
            arguments, many = get_args(it.type), get_origin(it.type) is tuple
            optional = type(None) in arguments
            kind = arguments[0] if optional or many else it.type
            exact = kind if kind in {str, bool, int} else dict if kind == Mapping[str, Any] else None
            hook = None if exact else self.converter.get_structure_hook(kind)
            yield _Field(it.name, self.names[it.name], kind, exact, optional or nullable, many, it.default, hook)

    def _argument(self, it: _Field, scope: dict[str, Any]) -> str:
        """Return the expression for the value of a field."""
        read = f"read_{len(scope)}"
        scope[read] = self._function(it)
        optional = it.nullable and it.default is None  # missing and null have the same effect
        value = f"(v := get({it.wire!r}))" if optional else f"(v := get({it.wire!r}, absent))"
        if it.exact is not None:
            # An empty id identifies no record.
            also = "or v is None " if optional else "and v " if it.default is NOTHING else ""
            return f"v if type{value} is {it.exact.__name__} {also}else {read}(v, path, unread)"
        if optional:
            return f"None if {value} is None else {read}(v, path, unread)"
        return f"{read}({value}, path, unread)"

    def _function(self, it: _Field) -> Callable[[Any, str, Json], Any]:
        """Return the function that reads a field whose value cannot be used unchanged."""
        nested = isinstance(it.hook, RecordReader)
        convert = _read_list if it.many else _read_object if nested else _read_value
        scalar = None if nested else it.hook

        def read(value: Any, path: str, unread: Json) -> Any:
            if value is NOTHING or (value is None and it.nullable):
                if it.default is NOTHING:
                    raise MissingFieldError(f"{path}{it.wire}", "missing")
                return default_of(it.default)
            if scalar is None:
                return convert(it, value, path, unread)
            try:
                return scalar(value, it.kind)
            except UNREADABLE:
                return convert(it, value, path, unread)

        return read


def _read_value(it: _Field, value: Any, path: str, unread: Json) -> Any:
    """Report and convert a value of an undocumented type."""
    if it.default is NOTHING:
        raise MissingFieldError(f"{path}{it.wire}", "missing" if value == "" else drift.type_name(value))
    expected = expected_name(it.kind)
    drift.report_type(f"{path}{it.wire}", expected or "text", value)
    try:
        # Other types, such as telephone numbers, are read from a str by a function of the dialect.
        return coerce(it.kind, value) if expected else it.hook(coerce(str, value), it.kind)
    except UNREADABLE:
        unread[it.wire] = value
        return None


def _read_object(it: _Field, value: Any, path: str, unread: Json) -> Any:
    """Return the record of a nested object. If it is not readable, report and return None."""
    path = f"{path}{it.wire}"
    if isinstance(value, dict):
        try:
            record, inner = it.hook.read(value, f"{path}.")
        except MissingFieldError as missing:
            drift.report(missing.path, "text", missing.found)
        else:
            unread.update({f"{it.wire}.{name}": raw for name, raw in inner.items()})
            return record
    else:
        drift.report_type(path, "object", value)
    unread[it.wire] = value
    return None


def _read_list(it: _Field, value: Any, path: str, unread: Json) -> tuple[Any, ...]:
    if not isinstance(value, list):
        if value is not None:
            drift.report_type(f"{path}{it.wire}", "list", value)
            unread[it.wire] = value
        return ()
    found = [_read_object(it, item, path, {}) for item in value]
    if None in found:
        unread[it.wire] = value
    return tuple(it for it in found if it is not None)


def unknown_keys(body: Json, known: frozenset[str]) -> Json:
    """Return the items of `body` whose keys are not `known`."""
    if body.keys() <= known:
        return {}
    return {key: value for key, value in body.items() if key not in known}


def default_of(default: Any) -> Any:
    """Return the default value of a field, given its attrs default."""
    return default.factory() if isinstance(default, Factory) else default  # type: ignore[arg-type]  # a class, despite its name
