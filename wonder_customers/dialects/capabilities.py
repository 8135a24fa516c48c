"""Optional operations of gateways, for dialects and for type checkers.

A dialect inherits from `CustomerDeletion` or `PaymentTokenStorage` when its gateway offers these operations. This is
the only declaration: at run time a session refuses the operations that a dialect does not implement, and a type checker
refuses ``CustomerSession[Wonder].delete``, because the dialect of a `Wonder` account does not delete customers. For a
``CustomerSession[Any]`` the check is made at run time only.
"""

from abc import abstractmethod
from typing import Protocol

from wonder_customers.dialects.base import Account, Dialect, Steps
from wonder_customers.records import PaymentSource, PaymentToken

__all__ = ["CustomerDeletion", "DeletesCustomers", "PaymentTokenStorage", "StoresPaymentTokens"]


class CustomerDeletion(Dialect):
    """Base class of dialects whose gateway deletes customers."""

    @abstractmethod
    def delete(self, id: str) -> Steps[None]:
        """Delete a customer; gateways may keep it as deleted or archived."""


class PaymentTokenStorage(Dialect):
    """Base class of dialects whose gateway creates, checks and deletes payment tokens on request."""

    @abstractmethod
    def create_payment_token(self, customer_id: str, source: PaymentSource) -> Steps[PaymentToken]:
        """Store a payment source."""

    @abstractmethod
    def check_payment_token(self, customer_id: str, token: PaymentToken) -> Steps[PaymentToken]:
        """Return the current state of one token."""

    @abstractmethod
    def delete_payment_token(self, customer_id: str, token: PaymentToken) -> Steps[None]:
        """Delete one token."""


class DeletesCustomers(Account, Protocol):
    """An account whose gateway deletes customers."""

    def dialect(self) -> CustomerDeletion:
        """Return the dialect for this account."""


class StoresPaymentTokens(Account, Protocol):
    """An account whose gateway creates, checks and deletes payment tokens on request."""

    def dialect(self) -> PaymentTokenStorage:
        """Return the dialect for this account."""
