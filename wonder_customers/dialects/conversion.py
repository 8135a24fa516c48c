"""The converter kit: strict cattrs converters, one per dialect, and readable errors out of them."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, TypeVar

from attrs import fields
from cattrs import BaseValidationError, ClassValidationError, Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.v import format_exception

from wonder_customers.errors import InvalidReply
from wonder_customers.records import Unset
from wonder_customers.secret import Secret

T = TypeVar("T")
Json = dict[str, Any]
Names = Mapping[type, Mapping[str, str]]


def _strict(kind: type[T]) -> Callable[[Any, type[T]], T]:
    def check(value: Any, _: type[T]) -> T:
        # An exact type, because True is an int to isinstance and a gateway that sends it means something else.
        if type(value) is not kind:
            raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
        return value

    return check


def _or_none(read: Callable[[Any, type[T]], T], kind: type[T]) -> Callable[[Any, Any], T | None]:
    """`read` for fields that may be null: cattrs' own way asks for the hook again at every value."""
    return lambda value, _: None if value is None else read(value, kind)


def _moment(value: Any, _: type[datetime]) -> datetime:
    if type(value) is not str:
        raise TypeError(f"expected an RFC 3339 time, got {type(value).__name__}")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("expected an RFC 3339 time") from None
    if moment.year in {1, 9999}:
        raise ValueError("expected a time that UTC has, too")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _day(value: Any, _: type[date]) -> date:
    if type(value) is not str:
        raise TypeError(f"expected a date, got {type(value).__name__}")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError("expected a date, YYYY-MM-DD") from None


def an_object(value: Any, _: Any = None) -> Json:
    """`value`, if it is a JSON object.

    Raises:
        TypeError: It is something else.
    """
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, got {type(value).__name__}")
    return value


def _is_object(kind: Any) -> bool:
    return bool(kind == Mapping[str, Any])


def strict_converter(*, milliseconds: bool = False) -> Converter:
    """A converter whose scalars never coerce: null never becomes ``"None"``, 1.9 never becomes 1.

    Times are written as RFC 3339 in UTC with a Z, to the second or to the millisecond.
    """
    precision = "milliseconds" if milliseconds else "seconds"
    converter = Converter()
    scalars: dict[type[Any], Callable[[Any, Any], Any]] = {kind: _strict(kind) for kind in (str, int, bool)}
    for kind, read in (scalars | {datetime: _moment, date: _day}).items():
        converter.register_structure_hook(kind, read)
        converter.register_structure_hook(kind | None, _or_none(read, kind))
    converter.register_structure_hook_func(_is_object, an_object)
    converter.register_unstructure_hook(Secret, Secret.reveal)
    converter.register_unstructure_hook(Unset, lambda value: value)
    converter.register_unstructure_hook_func(_is_object, lambda value: value)
    converter.register_unstructure_hook(date, date.isoformat)
    converter.register_unstructure_hook(
        datetime, lambda moment: moment.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")
    )
    return converter


def _overrides(kind: type[Any], names: Mapping[str, str]) -> dict[str, Any]:
    """How cattrs treats each field: under the wire's name, or not at all."""
    return {
        attribute.name: override(rename=names[attribute.name]) if attribute.name in names else override(omit=True)
        for attribute in fields(kind)
    }


def reader(converter: Converter, kind: type[T], names: Mapping[str, str]) -> Callable[[Json], T]:
    """A function from a wire object to `kind`.

    Args:
        converter: The dialect's converter; the hook is registered there too.
        kind: The record.
        names: The record's field names with the wire's names for them. Other fields are never read from the wire.
    """
    hook = make_dict_structure_fn(kind, converter, **_overrides(kind, names))

    def read(body: Any, _: Any = None) -> T:
        # The generated hook takes anything that knows `in`: a list would come out as a record without fields.
        return hook(an_object(body), kind)

    converter.register_structure_hook(kind, read)
    return read


def writer(converter: Converter, kind: type[Any], names: Mapping[str, str], *, sparse: bool) -> Callable[[Any], Json]:
    """A function from a record of `kind` to a wire object; `sparse` leaves out fields at their default."""
    hook = make_dict_unstructure_fn(kind, converter, _cattrs_omit_if_default=sparse, **_overrides(kind, names))
    converter.register_unstructure_hook(kind, hook)
    return hook


def rest(body: Json, known: frozenset[str]) -> Json:
    """The keys of `body` that have no home in the record."""
    return {key: value for key, value in body.items() if key not in known}


def decoded(what: str, status: int, read: Callable[[Json], T], body: Any, *, names: Names, flat: frozenset[str]) -> T:
    """`read(body)`, with every way it can fail told as an `InvalidReply` in the wire's own names and without values.

    Args:
        what: What is read, for the message.
        status: The HTTP status that came with it.
        read: Makes the record.
        body: The wire object.
        names: The wire's names for the fields of each record.
        flat: The fields that are records here and stand in one piece with their surroundings on the wire.
    """
    if not isinstance(body, dict):
        raise InvalidReply(
            f"HTTP {status} brought a JSON {type(body).__name__} where the {what} belongs",
            status=status,
            applied="unknown",
        )
    try:
        return read(body)
    except BaseValidationError as error:
        raise InvalidReply(
            f"HTTP {status} brought a {what} that cannot be read: {'; '.join(_wrong(error, names, flat))}",
            status=status,
            applied="unknown",
        ) from None


def _wrong(error: BaseException, names: Names, flat: frozenset[str], path: str = "") -> list[str]:
    """One line per field that could not be read."""
    if not isinstance(error, BaseExceptionGroup):
        return [f"{path or 'it'}: {_reason(error)}"]
    noted: dict[int, str] = {}
    if isinstance(error, ClassValidationError):
        noted = {id(cause): note.name for cause, note in error.group_exceptions()[0]}
    lines: list[str] = []
    for cause in error.exceptions:
        name = noted.get(id(cause), "")
        wire = names.get(getattr(error, "cl", object), {}).get(name, name)
        inside = path if name in flat and isinstance(cause, BaseExceptionGroup) else f"{path}.{wire}".strip(".")
        lines += _wrong(cause, names, flat, inside)
    return lines


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return "missing"
    if isinstance(error, (TypeError, ValueError)):
        return str(error)
    return format_exception(error, None)
