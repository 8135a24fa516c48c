"""An async client for the customer APIs of the payment gateways Wonder, Paydock and Monri/WebPay.

A session turns a call into a wire request through the gateway's dialect, an exchange sends it as often as the retry
policy allows over a transport, and the dialect turns the wire reply back into a record or an error.
"""

from wonder_customers.dialects.monri import Monri
from wonder_customers.dialects.paydock import Paydock
from wonder_customers.dialects.wonder import Wonder
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
from wonder_customers.records import (
    UNSET,
    Address,
    CardSource,
    CardSummary,
    Customer,
    CustomerDraft,
    CustomerPatch,
    OneTimeToken,
    Page,
    PaymentToken,
    Phone,
    Response,
    VaultToken,
)
from wonder_customers.retry import RetryPolicy
from wonder_customers.secret import Secret
from wonder_customers.session import CustomerSession

__all__ = [
    "UNSET",
    "Address",
    "AmbiguousReferenceError",
    "AttemptRecord",
    "AuthenticationError",
    "BulkError",
    "CallError",
    "CardSource",
    "CardSummary",
    "ConfigurationError",
    "ConflictError",
    "Customer",
    "CustomerDraft",
    "CustomerPatch",
    "CustomerSession",
    "DeadlineExceededError",
    "GatewayError",
    "GatewayUnavailableError",
    "InvalidRecordError",
    "InvalidRequestError",
    "InvalidResponseError",
    "MissingExtraError",
    "Monri",
    "NoResponseError",
    "NotFoundError",
    "NotSentError",
    "OneTimeToken",
    "OutcomeUnknownError",
    "Page",
    "Paydock",
    "PaymentToken",
    "PermissionDeniedError",
    "Phone",
    "RateLimitError",
    "Response",
    "RetryPolicy",
    "Secret",
    "SessionClosedError",
    "UnsupportedOperationError",
    "VaultToken",
    "Violation",
    "Wonder",
    "WonderCustomersError",
]
