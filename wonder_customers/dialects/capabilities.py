"""Capabilities of accounts, for type checkers: what a gateway can do, known before a call raises at run time.

An account carries a mark as a class attribute, ``deletes_customers: ClassVar[Literal[True]] = True``, and a session's
verb asks for it: ``CustomerSession[Wonder].delete`` is refused, since `Wonder` has no such mark. A session for
``CustomerSession[Any]`` leaves the question to run time.
"""

from typing import ClassVar, Literal, Protocol

from wonder_customers.dialects.base import Account

__all__ = ["DeletesCustomers", "StoresPaymentTokens"]


class DeletesCustomers(Account, Protocol):
    """An account whose gateway can delete customers: the mark by which type checkers let `delete` pass."""

    deletes_customers: ClassVar[Literal[True]]


class StoresPaymentTokens(Account, Protocol):
    """An account whose gateway makes, checks and deletes payment tokens on request, marked for type checkers."""

    stores_payment_tokens: ClassVar[Literal[True]]
