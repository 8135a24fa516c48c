"""The converter kit: strict cattrs converters, one per dialect, and readable errors out of them."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import cache, partial
from typing import Any, TypeVar, get_args, get_origin

from attrs import fields
from cattrs import BaseValidationError, ClassValidationError, Converter
from cattrs.fns import identity
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.v import format_exception

from wonder_customers.errors import InvalidResponseError
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


read_text = _strict(str)
"""A text and nothing else, with the type as second argument that cattrs gives to every hook."""


def _strict_or_none(kind: type[T]) -> Callable[[Any, Any], T | None]:
    def check(value: Any, _: Any) -> T | None:
        if value is not None and type(value) is not kind:
            raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
        return value

    return check


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


def _is_list(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _a_list(converter: Converter, value: Any, kind: Any) -> tuple[Any, ...]:
    """A JSON list as a tuple.

    cattrs takes anything that can be walked through, a text too, and gathers an error for each item: a gateway could
    fill the memory with them. Here the first one is enough.
    """
    if type(value) is not list:
        raise TypeError(f"expected a list, got {type(value).__name__}")
    return tuple(converter.structure(item, get_args(kind)[0]) for item in value)


def strict_converter(*, milliseconds: bool = False) -> Converter:
    """A converter whose scalars never coerce: null never becomes ``"None"``, 1.9 never becomes 1.

    Times are written as RFC 3339 in UTC with a Z, to the second or to the millisecond.
    """
    precision = "milliseconds" if milliseconds else "seconds"
    converter = Converter()
    for kind in (str, int, bool):
        converter.register_structure_hook(kind, _strict(kind))
        converter.register_structure_hook(kind | None, _strict_or_none(kind))
        # Written in place, where cattrs would ask at every value what it is.
        converter.register_unstructure_hook(kind | None, identity)
    reads(converter, datetime, _moment)
    reads(converter, date, _day)
    converter.register_structure_hook_func(_is_object, an_object)
    converter.register_structure_hook_func(_is_list, partial(_a_list, converter))
    converter.register_unstructure_hook(Secret, Secret.reveal)
    converter.register_unstructure_hook(Unset, identity)
    converter.register_unstructure_hook_func(_is_object, identity)
    writes(converter, date, date.isoformat)
    writes(
        converter,
        datetime,
        lambda moment: moment.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z"),
    )
    return converter


def reads(converter: Converter, kind: type[T], read: Callable[[Any, Any], T]) -> None:
    """Have fields of `kind` read with `read`, and be None where they may be and the wire has null."""
    converter.register_structure_hook(kind, read)
    # cattrs' own way for those that may be None asks for the hook again at every value.
    converter.register_structure_hook(kind | None, lambda value, _: None if value is None else read(value, kind))


def writes(converter: Converter, kind: type[T], write: Callable[[T], Any]) -> None:
    """Have fields of `kind` written with `write`, and as null where they are None."""
    converter.register_unstructure_hook(kind, write)
    converter.register_unstructure_hook(kind | None, lambda value: None if value is None else write(value))


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

    @cache
    def made() -> Callable[[Json, Any], T]:
        # With the first answer, because cattrs writes and compiles code here: a third of the package's import.
        return make_dict_structure_fn(kind, converter, **_overrides(kind, names))

    def read(body: Any, _: Any = None) -> T:
        # The generated hook takes anything that knows `in`: a list would come out as a record without fields.
        return made()(an_object(body), kind)

    reads(converter, kind, read)
    return read


def writer(converter: Converter, kind: type[Any], names: Mapping[str, str], *, sparse: bool) -> Callable[[Any], Json]:
    """A function from a record of `kind` to a wire object; `sparse` leaves out fields at their default."""

    @cache
    def made() -> Callable[[Any], Json]:
        return make_dict_unstructure_fn(kind, converter, _cattrs_omit_if_default=sparse, **_overrides(kind, names))

    def write(record: Any) -> Json:
        return made()(record)

    writes(converter, kind, write)
    return write


def rest(body: Json, known: frozenset[str]) -> Json:
    """The keys of `body` that have no home in the record."""
    if body.keys() <= known:
        return {}
    return {key: value for key, value in body.items() if key not in known}


def decoded(what: str, status: int, read: Callable[[Json], T], body: Any, *, names: Names, flat: frozenset[str]) -> T:
    """`read(body)`, with every way it can fail told as an `InvalidResponseError` in the wire's own names and without values.

    Args:
        what: What is read, for the message.
        status: The HTTP status that came with it.
        read: Makes the record.
        body: The wire object.
        names: The wire's names for the fields of each record.
        flat: The fields that are records here and stand in one piece with their surroundings on the wire.
    """
    if not isinstance(body, dict):
        raise InvalidResponseError(
            f"HTTP {status} brought a JSON {type(body).__name__} where the {what} belongs",
            status=status,
            applied="unknown",
        )
    try:
        return read(body)
    except BaseValidationError as error:
        raise InvalidResponseError(
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
