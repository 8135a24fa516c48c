"""An async client for the customer APIs of the payment gateways Wonder, Paydock and Monri/WebPay.

A session turns a call into a wire request through the gateway's dialect, an exchange sends it as often as the retry
policy allows over a transport, and the dialect turns the wire reply back into a record or an error.
"""

from wonder_customers.dialects.monri import Monri
from wonder_customers.dialects.paydock import Paydock
from wonder_customers.dialects.wonder import Wonder
from wonder_customers.errors import (
    Ambiguous,
    AttemptRecord,
    CallFailed,
    ConfigurationError,
    DeadlineExceeded,
    Duplicate,
    Forbidden,
    InvalidRecord,
    InvalidReply,
    MissingExtra,
    NoAnswer,
    NotFound,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Rejected,
    SessionClosed,
    SyncFailed,
    Unauthorized,
    Unavailable,
    Unsupported,
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
    Reply,
    VaultToken,
)
from wonder_customers.retry import RetryPolicy
from wonder_customers.secret import Secret
from wonder_customers.session import CustomerSession

__all__ = [
    "UNSET",
    "Address",
    "Ambiguous",
    "AttemptRecord",
    "CallFailed",
    "CardSource",
    "CardSummary",
    "ConfigurationError",
    "Customer",
    "CustomerDraft",
    "CustomerPatch",
    "CustomerSession",
    "DeadlineExceeded",
    "Duplicate",
    "Forbidden",
    "InvalidRecord",
    "InvalidReply",
    "MissingExtra",
    "Monri",
    "NoAnswer",
    "NotFound",
    "NotSent",
    "OneTimeToken",
    "OutcomeUnknown",
    "Page",
    "Paydock",
    "PaymentToken",
    "Phone",
    "RateLimited",
    "Refused",
    "Rejected",
    "Reply",
    "RetryPolicy",
    "Secret",
    "SessionClosed",
    "SyncFailed",
    "Unauthorized",
    "Unavailable",
    "Unsupported",
    "VaultToken",
    "Violation",
    "Wonder",
    "WonderCustomersError",
]
