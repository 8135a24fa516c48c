"""Factories for test records with references that are unique in this process."""

from itertools import count
from typing import Any, Final

from attrs import evolve, fields

from wonder_customers.dialects.base import Account, Operation
from wonder_customers.errors import InvalidRecordError
from wonder_customers.records import (
    Address,
    CardSource,
    Customer,
    CustomerDraft,
    OneTimeToken,
    PaymentSource,
    PaymentToken,
    Phone,
    VaultToken,
)

__all__ = [
    "OPTIONAL_FIELDS",
    "make_card",
    "make_customer",
    "make_draft",
    "make_source",
    "make_token",
    "supported_fields",
]

_numbers: Final = count(1)

_SAMPLES: Final[dict[str, Any]] = {
    "email": "ada@example.com",
    "metadata": {"made_by": "a test"},
    "address": Address(line1="1 Main Street", city="Sydney", postcode="2000", country="AU"),
}
_NOT_OPTIONAL: Final = {"reference", "name", "first_name", "last_name", "phone", "clear"}
_ABOUT_PAYMENT: Final = {"default_payment_method", "default_payment_token", "payment_source"}
OPTIONAL_FIELDS: Final[dict[str, Any]] = {
    attribute.name: _SAMPLES.get(attribute.name, f"The {attribute.name} of a test")
    for attribute in fields(CustomerDraft)
    if attribute.name not in _NOT_OPTIONAL | _ABOUT_PAYMENT
}
"""The fields that not all gateways support, with values that are valid for the gateways that support them."""


def make_draft(**changes: Any) -> CustomerDraft:
    """Return a draft that is valid for every gateway. Its reference is unique in this process.

    It has no `name` if `changes` contain a first or last name.
    """
    defaults: dict[str, Any] = {
        "reference": f"test-{next(_numbers)}",
        "name": "Ada Lovelace",
        "phone": Phone("+44", "7911123456"),
    }
    if changes.keys() & {"first_name", "last_name"}:
        del defaults["name"]
    return CustomerDraft(**(defaults | changes))


def make_customer(**changes: Any) -> Customer:
    """Return a customer, for code under test that sends no requests."""
    number = next(_numbers)
    defaults: dict[str, Any] = {"id": f"customer-{number}", "reference": f"test-{number}", "name": "Ada Lovelace"}
    return Customer(**(defaults | changes))


def make_token(**changes: Any) -> PaymentToken:
    """Return a payment token, for code under test that sends no requests."""
    return PaymentToken(**({"token": f"token-{next(_numbers)}", "state": "success"} | changes))


def make_card(**changes: Any) -> CardSource:
    """Return a Visa test card from the gateways' documentation. Pass the other fields that a gateway requires."""
    defaults: dict[str, Any] = {
        "number": "4111111111111111",
        "expire_month": "12",
        "expire_year": "2034",
        "holder_name": "Ada Lovelace",
    }
    return CardSource(**(defaults | {"cvv": "123"} | changes))


def make_source(account: Account) -> PaymentSource | None:
    """Return a payment source that the account's gateway accepts; None if none is known."""
    dialect = account.dialect()
    urls = {"success_return_url": "https://shop.example/ok", "fail_return_url": "https://shop.example/no"}
    sources: tuple[PaymentSource, ...] = (
        make_card(transaction_type="recurring_payment", **urls),
        make_card(gateway_id="5f0c2f7a9b1e8d00aabbccdd"),
        make_card(),
        VaultToken("0f8fad5b-d9cb-469f-a165-70867728950e"),
        OneTimeToken("c3a9a5b1-45d6-4b2c-8e1a-6a5f3c2b1d00"),
    )
    if Operation.CREATE_PAYMENT_TOKEN in dialect.unsupported_operations:
        return None
    for source in sources:
        try:
            dialect.create_payment_token("customer-1", source).close()
        except InvalidRecordError:
            continue
        return source
    return None


def supported_fields(account: Account) -> dict[str, Any]:
    """Return the `OPTIONAL_FIELDS` that the account's gateway supports."""
    dialect, plain = account.dialect(), make_draft()
    found: dict[str, Any] = {}
    for name, value in OPTIONAL_FIELDS.items():
        try:
            dialect.validate(evolve(plain, **{name: value}))
        except InvalidRecordError:
            continue
        found[name] = value
    return found
