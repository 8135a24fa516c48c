"""From one gateway to another: customers as drafts, and what is lost on the way, told beforehand."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from attrs import define, evolve, field, fields

from wonder_customers.errors import InvalidRecordError
from wonder_customers.records import Address, Customer, CustomerDraft, Phone
from wonder_customers.session import CustomerSession

__all__ = ["Losses", "draft_of", "losses", "migrated"]

_SHARED = (
    *("reference", "name", "first_name", "last_name", "email", "phone"),
    *("company_name", "description", "metadata", "address"),
)
"""Fields that mean the same everywhere. Payment tokens belong to the gateway that made them and cannot move."""
_TOKENS = ("default_payment_method", "default_payment_token")


@define
class Losses:
    """What the target cannot take.

    Attributes:
        customers: Customers of the source gateway.
        fields: In how many customers each field would be left behind, because the target has no such field.
        refused: For how many customers a value breaks the target's limits, by field: those are not sent at all.
        nameless: Customers without a reference, which cannot be migrated.
        deleted: Customers that are deleted or archived, which are left out.
    """

    customers: int = 0
    fields: "Counter[str]" = field(factory=Counter)
    refused: "Counter[str]" = field(factory=Counter)
    nameless: int = 0
    deleted: int = 0

    @property
    def any(self) -> bool:
        """Whether anything is left behind."""
        return bool(self.fields or self.refused or self.nameless)


async def losses(source: CustomerSession[Any], target: CustomerSession[Any]) -> Losses:
    """Read all customers of `source` and find out what `target` could not take. Nothing is written.

    Raises:
        CallError: The source gateway could not be asked.
    """
    found = Losses()
    async for customer in source.list():
        found.customers += 1
        if customer.deleted:
            found.deleted += 1
            continue
        found.nameless += customer.reference is None
        found.fields.update(name for name in _TOKENS if getattr(customer, name))
        found.fields.update(["payment_tokens"] if customer.payment_tokens else [])
        draft, left = carried(target, draft_of(customer))
        found.fields.update(left)
        found.refused.update(_broken(target, draft))
    return found


async def migrated(source: CustomerSession[Any], target: CustomerSession[Any]) -> AsyncIterator[CustomerDraft]:
    """The customers of `source` as drafts that `target` can carry, for `sync`.

    Raises:
        CallError: The source gateway could not be asked.
    """
    async for customer in source.list():
        if not customer.deleted:
            draft, _ = carried(target, draft_of(customer))
            yield draft


def draft_of(customer: Customer) -> CustomerDraft:
    """What a customer would be as a draft; ids, states and tokens of its gateway are no part of it.

    Gateways answer with empty texts and objects for what nobody ever set; these are left out.
    """
    return CustomerDraft(**{name: getattr(customer, name) or None for name in _SHARED})


def carried(target: CustomerSession[Any], draft: CustomerDraft) -> tuple[CustomerDraft, list[str]]:
    """`draft` without the fields that the target has no home for, and the names of those that held a value."""
    draft = _named(target, draft)
    homeless = sorted({violation.field for violation in _violations(target, draft) if violation.wire_field is None})
    for name in homeless:
        draft = _without(draft, name)
    return draft, homeless


def _named(target: CustomerSession[Any], draft: CustomerDraft) -> CustomerDraft:
    """`draft` with its name in the form the target can take: whole, or in parts."""
    if draft.name is None or not (draft.first_name or draft.last_name):
        return draft
    whole = evolve(draft, first_name=None, last_name=None)
    parted = evolve(draft, name=None)
    return min((draft, parted, whole), key=lambda it: len(_violations(target, it)))


def _violations(target: CustomerSession[Any], draft: CustomerDraft) -> tuple[Any, ...]:
    try:
        target.validate(draft)
    except InvalidRecordError as error:
        return error.violations
    return ()


def _broken(target: CustomerSession[Any], draft: CustomerDraft) -> list[str]:
    return sorted({violation.field for violation in _violations(target, draft)})


def _without(draft: CustomerDraft, name: str) -> CustomerDraft:
    head, _, tail = name.partition(".")
    part = getattr(draft, head)
    smaller: dict[str, Any] = {head: None}
    if tail and isinstance(part, (Address, Phone)):
        gone: dict[str, Any] = {tail: None}
        rest: Any = evolve(part, **gone)
        if any(getattr(rest, attribute.name) for attribute in fields(type(rest))):
            smaller = {head: rest}
    return evolve(draft, **smaller)
