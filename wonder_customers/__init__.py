"""Async client for the customer APIs of the payment gateways Wonder, Paydock and Monri/WebPay.

Open a `CustomerSession` with a `Wonder`, `Paydock` or `Monri` account. Its operations take a `CustomerDraft` or a
`CustomerPatch`, and return a `Customer` or raise a `CallError`.
"""

from typing import TYPE_CHECKING, Any

from wonder_customers._core.listing import Listing
from wonder_customers._core.operations import RawOperations
from wonder_customers._core.view_settings import SessionOptions
from wonder_customers._core.waits import StopSignal
from wonder_customers.dialects.base import Account, Operation
from wonder_customers.dialects.comparison import Comparison
from wonder_customers.dialects.filters import CustomerFilter
from wonder_customers.dialects.monri import Monri
from wonder_customers.dialects.paydock import Paydock, PaydockConditions, PaydockFilter
from wonder_customers.dialects.wonder import Wonder, WonderConditions, WonderFilter
from wonder_customers.errors import (
    AmbiguousReferenceError,
    AttemptRecord,
    AuthenticationError,
    BulkError,
    CallError,
    ConfigurationError,
    ConflictError,
    DeadlineExceededError,
    GatewayError,
    GatewayUnavailableError,
    InvalidRecordError,
    InvalidRequestError,
    InvalidResponseError,
    MissingExtraError,
    NoResponseError,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitError,
    SessionClosedError,
    UnsupportedOperationError,
    Violation,
    WonderCustomersError,
)
from wonder_customers.rate_limit import AdaptiveRateLimit, RateLimit, RateLimiter, RequestResult
from wonder_customers.records import (
    CLEAR,
    UNSET,
    Address,
    BankAccountSource,
    CardSource,
    CardSummary,
    Customer,
    CustomerDraft,
    CustomerPatch,
    OneTimeToken,
    Page,
    PaymentSource,
    PaymentToken,
    Phone,
    Response,
    Unset,
    VaultToken,
    WonderCard,
    WonderTransactionType,
)
from wonder_customers.retry import RetryPolicy
from wonder_customers.secret import Secret
from wonder_customers.session import CustomerSession
from wonder_customers.wire import HttpxCompatibleTransport, Transport

if TYPE_CHECKING:
    from wonder_customers.events import Event, Observer, Stats

    __version__: str

__all__ = [
    "CLEAR",
    "UNSET",
    "Account",
    "AdaptiveRateLimit",
    "Address",
    "AmbiguousReferenceError",
    "AttemptRecord",
    "AuthenticationError",
    "BankAccountSource",
    "BulkError",
    "CallError",
    "CardSource",
    "CardSummary",
    "Comparison",
    "ConfigurationError",
    "ConflictError",
    "Customer",
    "CustomerDraft",
    "CustomerFilter",
    "CustomerPatch",
    "CustomerSession",
    "DeadlineExceededError",
    "Event",
    "GatewayError",
    "GatewayUnavailableError",
    "HttpxCompatibleTransport",
    "InvalidRecordError",
    "InvalidRequestError",
    "InvalidResponseError",
    "Listing",
    "MissingExtraError",
    "Monri",
    "NoResponseError",
    "NotFoundError",
    "NotSentError",
    "Observer",
    "OneTimeToken",
    "Operation",
    "OutcomeUnknownError",
    "Page",
    "Paydock",
    "PaydockConditions",
    "PaydockFilter",
    "PaymentSource",
    "PaymentToken",
    "PermissionDeniedError",
    "Phone",
    "RateLimit",
    "RateLimitError",
    "RateLimiter",
    "RawOperations",
    "RequestResult",
    "Response",
    "RetryPolicy",
    "Secret",
    "SessionClosedError",
    "SessionOptions",
    "Stats",
    "StopSignal",
    "Transport",
    "Unset",
    "UnsupportedOperationError",
    "VaultToken",
    "Violation",
    "Wonder",
    "WonderCard",
    "WonderConditions",
    "WonderCustomersError",
    "WonderFilter",
    "WonderTransactionType",
    "__version__",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use: the metadata and the events take longer to load than many programs need.
    if name == "__version__":
        from wonder_customers._support.installed_version import installed_version  # noqa: PLC0415

        return installed_version() or "unknown"  # a program that contains the package without its metadata
    if name in {"Event", "Observer", "Stats"}:
        from wonder_customers import events  # noqa: PLC0415

        return getattr(events, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
