"""`WonderFilter`: Wonder's query language for lists. Source: Wonder's "Query DSL" and "Get customers" pages."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal, TypedDict, Unpack

from wonder_customers.dialects.filters import CustomerFilter
from wonder_customers.secret import concealed

if TYPE_CHECKING:
    from wonder_customers.dialects.wonder.account import Wonder  # noqa: F401 - the name in a string

__all__ = ["WonderConditions", "WonderFilter"]

_PARAMETERS: Final = {"reference": "reference_number", "id": "uuid"}
"""The gateway's names for fields that have another name in this library."""


class WonderConditions(TypedDict, total=False):
    """The arguments of `WonderFilter`."""

    reference: str | None
    reference__neq: str | None
    reference__in: Iterable[str] | None
    reference__contains: str | None
    reference__not_contains: str | None
    reference__gt: str | None
    reference__gte: str | None
    reference__lt: str | None
    reference__lte: str | None
    id: str | None
    id__neq: str | None
    id__in: Iterable[str] | None
    name: str | None
    name__neq: str | None
    name__in: Iterable[str] | None
    name__contains: str | None
    name__not_contains: str | None
    email: str | None
    email__neq: str | None
    email__in: Iterable[str] | None
    email__contains: str | None
    email__not_contains: str | None
    dial_code: str | None
    dial_code__neq: str | None
    dial_code__in: Iterable[str] | None
    phone: str | None
    phone__neq: str | None
    phone__in: Iterable[str] | None
    phone__contains: str | None
    phone__not_contains: str | None
    company_name: str | None
    company_name__neq: str | None
    company_name__in: Iterable[str] | None
    company_name__contains: str | None
    company_name__not_contains: str | None
    default_payment_method: str | None
    default_payment_method__neq: str | None
    default_payment_method__in: Iterable[str] | None
    created_at__gt: datetime | None
    created_at__gte: datetime | None
    created_at__lt: datetime | None
    created_at__lte: datetime | None
    updated_at__gt: datetime | None
    updated_at__gte: datetime | None
    updated_at__lt: datetime | None
    updated_at__lte: datetime | None
    linked_source_type: Literal["User", "Store"] | None


class WonderFilter(CustomerFilter["Wonder"]):
    """A filter for lists of Wonder's customers. A customer must satisfy all conditions that are set.

    A condition is the name of a field for equality, or the name, two underscores and an operator of Wonder's query
    language: ``name="Ada"``, ``name__contains="Ada"``, ``reference__in=["c-1", "c-2"]``,
    ``created_at__gte=datetime(2026, 1, 1, tzinfo=UTC)``. `linked_source_type` selects customers that are linked to a
    ``User`` or a ``Store``. `WonderConditions` lists all conditions.

    Raises:
        InvalidRecordError: A condition is unknown, or its value is invalid, such as a time without a time zone.
    """

    __slots__ = ()

    gateway = "wonder"
    conditions = WonderConditions

    @concealed
    def __init__(self, **conditions: Unpack[WonderConditions]) -> None:
        super().__init__(**conditions)

    @classmethod
    def parameter(cls, name: str) -> str:
        """Return the query parameter for a condition, such as ``filter[name][_contains]``."""
        if name == "linked_source_type":
            return name
        field, _, operator = name.partition("__")
        return f"filter[{_PARAMETERS.get(field, field)}][_{operator or 'eq'}]"
