"""Classes with which type checkers report operations that the gateway of an account does not offer."""

from abc import abstractmethod
from typing import ClassVar, Generic, Protocol, TypeVar

from wonder_customers.dialects.base import Account, Dialect, Steps
from wonder_customers.records import PaymentSource, PaymentToken

__all__ = ["CustomerDeletion", "DeletesCustomers", "PaymentTokenStorage", "StoresPaymentTokens"]

AnySource = TypeVar("AnySource", bound=PaymentSource)


class CustomerDeletion(Dialect):
    """Base class of dialects whose gateway deletes customers.

    Attributes:
        deletion_result: The state of a deleted customer at the gateway, for messages, such as ``archived``.
    """

    deletion_result: ClassVar[str] = "deleted"

    @abstractmethod
    def delete(self, id: str) -> Steps[None]:
        """Delete a customer. Some gateways only mark the customer as deleted or archived."""


class PaymentTokenStorage(Dialect, Generic[AnySource]):
    """Base class of dialects whose gateway has endpoints that create, check and delete payment tokens.

    The type parameter is the type of the payment sources that the gateway stores.
    """

    @abstractmethod
    def create_payment_token(self, customer_id: str, source: AnySource) -> Steps[PaymentToken]:
        """Store a payment source, and return its token."""

    @abstractmethod
    def check_payment_token(self, customer_id: str, token: PaymentToken) -> Steps[PaymentToken]:
        """Return one token with its current state."""

    @abstractmethod
    def delete_payment_token(self, customer_id: str, token: PaymentToken) -> Steps[None]:
        """Delete one token."""


class DeletesCustomers(Account, Protocol):
    """An account whose gateway deletes customers."""

    def dialect(self) -> CustomerDeletion:
        """Return the dialect for this account."""


class StoresPaymentTokens(Account, Protocol[AnySource]):
    """An account whose gateway has endpoints that create, check and delete payment tokens."""

    def dialect(self) -> PaymentTokenStorage[AnySource]:
        """Return the dialect for this account."""
