"""Hypothesis strategies for references, drafts, customers and tokens. Requires Hypothesis and the extra ``pytest``."""

from typing import Any

from hypothesis import strategies as st

from wonder_customers.dialects.base import Account
from wonder_customers.dialects.offline import offline_account
from wonder_customers.records import Customer, CustomerDraft, PaymentToken, Phone
from wonder_customers.testing.examples import examples
from wonder_customers.testing.factories import supported_fields

__all__ = ["customers", "drafts", "payment_tokens", "references"]

_LETTERS = st.characters(min_codepoint=0x20, exclude_categories=("C", "Z"))


def references() -> st.SearchStrategy[str]:
    """Return a strategy for references that are valid for every gateway."""
    return st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", min_size=1, max_size=40)


def _optional(account: Account | None) -> dict[str, st.SearchStrategy[Any]]:
    """Return strategies for the optional fields that the gateway supports."""
    fields: dict[str, st.SearchStrategy[Any]] = {
        "email": st.builds("{}@example.com".format, st.text("abcdefghij.", min_size=1, max_size=20)),
        "description": st.text(_LETTERS, min_size=1, max_size=100),
        "metadata": st.dictionaries(references(), st.text(_LETTERS, max_size=20), min_size=1, max_size=3),
    }
    held = {} if account is None else supported_fields(account)
    return {name: strategy for name, strategy in fields.items() if name in held}


def drafts(gateway: str | None = None, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[CustomerDraft]:
    """Return a strategy for drafts that are valid for one gateway or for all gateways.

    Args:
        gateway: The gateway's name; None for drafts that are valid for all gateways.
        **fields: Custom strategies for fields of the draft.
    """
    account = None if gateway is None else offline_account(gateway)
    defaults: dict[str, st.SearchStrategy[Any]] = {
        "reference": references(),
        "name": st.text(_LETTERS, min_size=1, max_size=50),
        "phone": st.sampled_from([Phone("+44", "7911123456"), Phone("+852", "51234567"), Phone("+387", "61000111")]),
    }
    optional = {name: st.none() | strategy for name, strategy in _optional(account).items()}
    return st.builds(CustomerDraft, **(defaults | optional | fields))


def customers(gateway: str) -> st.SearchStrategy[Customer]:
    """Return a strategy for customers as read from responses of `gateway`."""
    codec, example = examples(gateway).codec, examples(gateway).customer

    def read(id: str, draft: CustomerDraft) -> Customer:
        whole = example.name is not None
        changed = Customer(
            id,
            reference=draft.reference,
            phone=draft.phone,
            name=draft.name if whole else None,
            first_name=None if whole else draft.name,
        )
        found: Customer = codec.read_customer(codec.write_customer(changed))
        return found

    return st.builds(read, references(), drafts(gateway))


def payment_tokens() -> st.SearchStrategy[PaymentToken]:
    """Return a strategy for payment tokens in any state."""
    return st.builds(PaymentToken, references(), state=st.sampled_from(["success", "pending", "failed"]))
