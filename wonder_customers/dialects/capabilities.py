"""Base classes of dialects for what several, but not all gateways have in common.

With the classes of optional operations, type checkers report operations that the gateway of an account does not offer.
"""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from wonder_customers.dialects.base import Account, Call, Dialect, Steps, send
from wonder_customers.dialects.comparison import Comparison
from wonder_customers.dialects.field_rules import valid_body
from wonder_customers.errors import Violation
from wonder_customers.records import Customer, CustomerDraft, PaymentSource, PaymentToken

__all__ = [
    "Codec",
    "CodecDialect",
    "CustomerDeletion",
    "DeletesCustomers",
    "PaymentTokenStorage",
    "StoresPaymentTokens",
]

AnySource = TypeVar("AnySource", bound=PaymentSource)


class Codec(Protocol):
    """The functions that a dialect needs from its `codec`."""

    def checked_body(self, record: CustomerDraft, /) -> tuple[dict[str, Any], list[Violation]]:
        """Return the JSON object of a draft, and the gateway's limits that the draft violates."""

    def clearable(self, draft: CustomerDraft, fields: Iterable[str], /) -> frozenset[str]:
        """See `Dialect.clearable`."""

    def compare(self, draft: CustomerDraft, customer: Customer, /) -> Comparison:
        """See `Dialect.compare`."""


class CodecDialect(Dialect):
    """Base class of dialects whose `codec`, a module, checks a draft and writes its JSON object in one step."""

    codec: ClassVar[Codec]

    @abstractmethod
    def upsert_checked(self, draft: CustomerDraft, body: dict[str, Any]) -> Steps[Customer]:
        """Upsert a draft for which `checked_body` returned `body`."""

    @abstractmethod
    def _by_id(self, id: str) -> Call[Customer]: ...

    def upsert(self, draft: CustomerDraft) -> Steps[Customer]:
        """See `upsert_checked`."""
        return self.upsert_checked(draft, self.checked_body(draft))

    def get(self, id: str) -> Steps[Customer]:
        """Return the customer with this id."""
        return send(self._by_id(id))

    def validate(self, draft: CustomerDraft) -> None:
        """Raise `InvalidRecordError` if `draft` violates the gateway's limits."""
        self.checked_body(draft)

    def checked_body(self, draft: CustomerDraft) -> dict[str, Any]:
        """Return the `payload` of a valid draft, or raise `InvalidRecordError`."""
        return valid_body(self.gateway, *self.codec.checked_body(draft))

    def payload(self, draft: CustomerDraft) -> dict[str, Any]:
        """Return the customer fields of `draft` as a JSON object."""
        return self.codec.checked_body(draft)[0]

    def clearable(self, draft: CustomerDraft, fields: Iterable[str]) -> frozenset[str]:
        """Return the subset of `fields` that null clears."""
        return self.codec.clearable(draft, fields)

    def compare(self, draft: CustomerDraft, customer: Customer) -> Comparison:
        """Compare `draft` with a customer returned by the gateway."""
        return self.codec.compare(draft, customer)


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
