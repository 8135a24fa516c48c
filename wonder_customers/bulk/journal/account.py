"""The merchant of an account, which a journal records as a keyed digest."""

from typing import Any

from wonder_customers.bulk.journal.digest import Digests
from wonder_customers.dialects.base import Account
from wonder_customers.dialects.provided_secrets import ProvidedSecret
from wonder_customers.secret import Secret, secrets_of

__all__ = ["account_mark", "merchant_of"]


def merchant_of(account: Account) -> list[str]:
    """Return what identifies an account's merchant: its id, or its secrets. The list is empty if it is not known."""
    merchant = account.dialect().merchant
    held: list[Any] = list(secrets_of(account)) if merchant is None else [merchant]
    # The value of a secret that a function returns is not known, and may change.
    known = [it for it in held if not isinstance(it, ProvidedSecret)]
    return [it.reveal() if isinstance(it, Secret) else str(it) for it in known]


def account_mark(account: Account, digests: Digests) -> str | None:
    """Return a digest that identifies an account's merchant; None if the merchant is not known."""
    merchant = merchant_of(account)
    return digests.payload({"account": merchant}).hex() if merchant else None
