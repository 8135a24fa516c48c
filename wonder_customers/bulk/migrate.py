"""Migration of customers from one gateway to another."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from itertools import count
from typing import Any, Final

from attrs import asdict, define, evolve, field, fields

from wonder_customers._core.arguments import check_type
from wonder_customers._support.countries import country_code
from wonder_customers.bulk.reference_index import ReferenceIndex
from wonder_customers.errors import ConfigurationError, InvalidRecordError
from wonder_customers.records import Address, Customer, CustomerDraft, Phone
from wonder_customers.session import CustomerSession

__all__ = ["Losses", "adapted", "losses", "migrated"]

_MOST_READS: Final = 10
_TOKENS = ("default_payment_method", "default_payment_token")
_SHARED = tuple(it.name for it in fields(CustomerDraft) if it.name not in {*_TOKENS, "payment_source", "clear"})
"""Fields that have the same meaning at every gateway. Payment tokens belong to one gateway and cannot be moved."""


@define
class Losses:
    """What the target gateway cannot store.

    Attributes:
        customers: The number of customers of the source gateway.
        fields: For each field that is not migrated, the number of customers that have a value in it. Payment tokens are
            never migrated, because they belong to one gateway. Neither are values that cannot be read.
        refused: For each field, the number of customers whose value violates the target's limits; these customers are
            not sent at all.
        without_reference: The number of customers without a reference, which cannot be migrated.
        deleted: The number of deleted or archived customers, which are left out.
        unreadable: The number of customers without an id in the source's lists, which cannot be migrated.
    """

    customers: int = 0
    fields: "Counter[str]" = field(factory=Counter)
    refused: "Counter[str]" = field(factory=Counter)
    without_reference: int = 0
    deleted: int = 0
    unreadable: int = 0

    @property
    def any(self) -> bool:
        """Whether anything would be lost. Deleted customers do not count."""
        return bool(self.fields or self.refused or self.without_reference or self.unreadable)


def _check_sessions(source: object, target: object) -> None:
    for name, session in (("source", source), ("target", target)):
        check_type(name, session, (CustomerSession,), "an open CustomerSession")


async def losses(source: CustomerSession[Any], target: CustomerSession[Any]) -> Losses:
    """Read all customers of `source` and report what `target` cannot store. Nothing is written.

    Raises:
        CallError: The source gateway could not be read.
    """
    _check_sessions(source, target)
    found = Losses()
    rules = getattr(getattr(source.account.dialect(), "codec", None), "FIELD_RULES", ())  # of dialects with a codec
    listing = source.list()
    async for customer in listing:
        found.customers += 1
        if customer.deleted:
            found.deleted += 1
            continue
        found.without_reference += customer.reference is None
        found.fields.update(name for name in _TOKENS if getattr(customer, name))
        found.fields.update(["payment_tokens"] if customer.payment_tokens else [])
        draft, left = adapted(target, _draft_of(customer))
        unread = [rule.field for rule in rules if customer.extra.get(rule.wire)] if customer.extra else []
        found.fields.update({*left, *unread})
        found.refused.update(sorted({violation.field for violation in _violations(target, draft)}))
    found.unreadable = listing.unreadable
    return found


async def migrated(source: CustomerSession[Any], target: CustomerSession[Any]) -> AsyncIterator[CustomerDraft]:
    """Read the customers of `source` as drafts without the fields that `target` does not have, for `sync`.

    The list is read repeatedly until it contains no new customers.

    Raises:
        ConfigurationError: The list still contained new customers when it was read for the tenth time.
        CallError: The source gateway could not be read.
    """
    _check_sessions(source, target)
    with closing(ReferenceIndex()) as seen:
        numbers = count()
        # A deletion during the reading may move a customer to a page that was already read.
        for _ in range(_MOST_READS):
            found = 0
            async for customer in source.list():
                if seen.find_repeats([(customer.id, next(numbers))]):
                    continue
                found += 1
                if not customer.deleted:
                    draft, _ = adapted(target, _draft_of(customer))
                    yield draft
            if not found:
                return
    raise ConfigurationError(
        f"the list of the source gateway still contained new customers when it was read for the {_MOST_READS}th time."
        " Some customers may not have been sent. Run the migration again when fewer customers are created or deleted."
    )


def _draft_of(customer: Customer) -> CustomerDraft:
    """Convert a customer into a draft."""
    # Gateways return empty strings and objects for fields that were never set.
    shared: dict[str, Any] = {name: getattr(customer, name) or None for name in _SHARED}
    if customer.address is not None:
        parts: dict[str, Any] = {name: part or None for name, part in asdict(customer.address).items()}
        country = parts["country"] and (country_code(parts["country"]) or parts["country"])
        shared["address"] = Address(**parts | {"country": country}) if any(parts.values()) else None
    return CustomerDraft(**shared)


def adapted(target: CustomerSession[Any], draft: CustomerDraft) -> tuple[CustomerDraft, list[str]]:
    """Return `draft` without the fields that the target does not have, and the names of these fields."""
    draft = _named(target, draft)
    dropped = sorted({violation.field for violation in _violations(target, draft) if violation.wire_field is None})
    for name in dropped:
        draft = _without(draft, name)
    return draft, dropped


def _named(target: CustomerSession[Any], draft: CustomerDraft) -> CustomerDraft:
    """Return `draft` with the form of its name that suits the target."""
    if draft.name is None or not (draft.first_name or draft.last_name):
        return draft
    full = evolve(draft, first_name=None, last_name=None)
    split = evolve(draft, name=None)
    return min((draft, split, full), key=lambda it: len(_violations(target, it)))


def _violations(target: CustomerSession[Any], draft: CustomerDraft) -> tuple[Any, ...]:
    try:
        target.validate(draft)
    except InvalidRecordError as error:
        return error.violations
    return ()


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
