"""Filters for lists of customers: typed conditions that are sent as query parameters."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import datetime
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from wonder_customers._support.card_data import contains_card_number
from wonder_customers.errors import InvalidRecordError, Violation
from wonder_customers.secret import concealed

__all__ = ["CustomerFilter"]


if TYPE_CHECKING:
    from wonder_customers.dialects.base import Account

AnyAccount_contra = TypeVar("AnyAccount_contra", bound="Account", contravariant=True)


class CustomerFilter(ABC, Generic[AnyAccount_contra]):
    """Base class of the filters for `CustomerSession.list`. The ``repr`` does not show the values of conditions.

    The type parameter is the class of the accounts whose sessions accept the filter. A subclass declares its conditions
    as the keys of a `TypedDict`. Their types are str, bool, datetime, a Literal or an iterable of str, each optionally
    with None. A condition that is None is ignored.

    Attributes:
        gateway: The gateway's name.
        conditions: The `TypedDict`.

    Raises:
        InvalidRecordError: A condition is unknown, or its value is invalid.
    """

    __slots__ = ("_values",)

    gateway: ClassVar[str]
    conditions: ClassVar[type]

    @abstractmethod
    def __init__(self, **conditions: Any) -> None:
        kinds = get_type_hints(self.conditions)
        self._values: dict[str, str] = {}
        problems = []
        for name, value in conditions.items():
            if name not in kinds:
                near = get_close_matches(name, kinds)
                known = f"the conditions of {type(self).__name__} are {', '.join(kinds)}"
                meant = f"did you mean {' or '.join(near)}?" if near else known
                problems.append(Violation(f"filter.{name}", None, f"is unknown ({meant})"))
            elif value is not None:
                text, problem = _query_value(_kind(kinds[name]), value)
                self._values[name] = text
                if problem:
                    problems.append(Violation(f"filter.{name}", self.parameter(name), problem))
        if problems:
            raise InvalidRecordError(self.gateway, problems)

    @classmethod
    @concealed
    def parse(cls, texts: Mapping[str, str]) -> Self:
        """Create a filter from strings, such as those of a command line.

        Args:
            texts: The values by condition. Several values are separated by commas. Booleans are ``true`` or ``false``.
                Times are in ISO 8601 format with a time zone.

        Raises:
            InvalidRecordError: A condition is unknown, or its value is invalid.
        """
        kinds = get_type_hints(cls.conditions)
        return cls(**{name: _parsed(_kind(kinds.get(name, str)), text) for name, text in texts.items()})

    @classmethod
    def parameter(cls, name: str) -> str:
        """Return the gateway's query parameter for a condition."""
        return name

    def query(self) -> dict[str, str]:
        """Return the query parameters of all conditions."""
        return {self.parameter(name): value for name, value in self._values.items()}

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._values == self._values

    def __hash__(self) -> int:
        return hash((type(self), *sorted(self._values.items())))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}=…' for name in self._values)})"


_CARD_NUMBER: Final = "the value contains a card number, which must not be sent"


def _kind(annotation: Any) -> Any:
    """Return the type of a condition without None."""
    if get_origin(annotation) in {Union, UnionType}:
        return next(it for it in get_args(annotation) if it is not NoneType)
    return annotation


def _query_value(kind: Any, value: Any) -> tuple[str, str | None]:
    """Return the value as a string for a query, and its violation, if any."""
    if get_origin(kind) is Literal:
        return str(value), None if value in get_args(kind) else f"must be {' or '.join(map(str, get_args(kind)))}"
    if kind is bool:
        return str(value).lower(), None if isinstance(value, bool) else "must be True or False"
    if kind is datetime:
        return _time(value)
    return (value, _string_problem(value)) if kind is str else _list(value)


def _time(value: object) -> tuple[str, str | None]:
    if not isinstance(value, datetime) or value.utcoffset() is None:
        return "", "must be a datetime with a time zone, such as 2026-01-01T00:00:00Z"
    return value.isoformat(), None


def _list(value: object) -> tuple[str, str | None]:
    texts = [""] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
    if any(isinstance(text, str) and contains_card_number(text) for text in texts):
        return "", _CARD_NUMBER
    if not texts or any(_string_problem(text) or not text or "," in text for text in texts):
        return "", "must be a list of one or more strings of valid Unicode that are not empty and contain no comma"
    return ",".join(texts), None


def _string_problem(value: object) -> str | None:
    if not isinstance(value, str):
        return f"must be a str, not {type(value).__name__}"
    if contains_card_number(value):
        return _CARD_NUMBER
    return "must be valid Unicode" if any("\ud800" <= character <= "\udfff" for character in value) else None


def _parsed(kind: Any, text: str) -> Any:
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind is datetime:
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            return text  # the constructor refuses the value
    return text if kind is str or get_origin(kind) is Literal else text.split(",")
