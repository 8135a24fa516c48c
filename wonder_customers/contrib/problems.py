"""The conversion of the library's errors to HTTP problem details (RFC 9457), for any web framework."""

from collections.abc import Mapping
from math import ceil
from typing import Any, Final

from attrs import field, frozen

from wonder_customers.errors import (
    AmbiguousReferenceError,
    AuthenticationError,
    CallError,
    ConflictError,
    DeadlineExceededError,
    GatewayError,
    GatewayUnavailableError,
    InvalidRecordError,
    InvalidRequestError,
    NoResponseError,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitError,
    SessionClosedError,
    UnsupportedOperationError,
    WonderCustomersError,
)

__all__ = ["MEDIA_TYPE", "Problem", "problem"]

MEDIA_TYPE: Final = "application/problem+json"


@frozen
class Problem:
    """A response with problem details (RFC 9457).

    Attributes:
        status: The HTTP status.
        body: The JSON object.
        headers: Additional headers.
    """

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(factory=dict)


_STATUSES: Final[tuple[tuple[type[WonderCustomersError], int, str], ...]] = (
    (InvalidRecordError, 422, "The record violates the limits of the payment gateway."),
    (InvalidRequestError, 422, "The payment gateway rejected the record."),
    (NotFoundError, 404, "The customer or payment token does not exist."),
    (ConflictError, 409, "Another customer has this reference."),
    (AmbiguousReferenceError, 409, "Several customers have this reference."),
    (UnsupportedOperationError, 501, "The payment gateway does not support this operation."),
    (RateLimitError, 503, "The payment gateway is overloaded."),
    (GatewayUnavailableError, 503, "The payment gateway is not available."),
    (NotSentError, 503, "The payment gateway cannot be reached."),
    (SessionClosedError, 503, "This service is shutting down."),
    (DeadlineExceededError, 504, "The payment gateway did not respond in time."),
    (NoResponseError, 504, "The payment gateway did not respond."),
    (OutcomeUnknownError, 504, "The payment gateway did not respond. The change may have been applied."),
    (AuthenticationError, 502, "The payment gateway refused the credentials of this service."),
    (PermissionDeniedError, 502, "The payment gateway refused the credentials of this service."),
    (GatewayError, 502, "The payment gateway refused the request."),
    (CallError, 502, "The response of the payment gateway is invalid."),
    (WonderCustomersError, 500, "This service is not configured for payments."),
)
"""The first matching class applies. Refused credentials are an error of this service, so their status is 502."""

_MAX_RETRY_AFTER: Final = 86_400
"""Maximum ``Retry-After`` in seconds, because a gateway's value may be too large to pass on to clients."""


def problem(error: WonderCustomersError) -> Problem:
    """Return the problem details for an error.

    The details contain neither data of records nor credentials. Of the gateway's messages, they contain only those
    about fields. The status and the title describe the problem, ``violations`` name the fields, ``applied`` states
    whether a change was made, and ``request_id`` identifies the request in your logs.

    Args:
        error: The error that ended the request.
    """
    status, title = next((status, title) for kind, status, title in _STATUSES if isinstance(error, kind))
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status}
    headers: dict[str, str] = {}
    if isinstance(error, InvalidRecordError):
        body["violations"] = [{"field": it.field, "limit": it.limit} for it in error.violations]
    if isinstance(error, InvalidRequestError) and error.fields:
        body["violations"] = [{"field": name, "limit": it} for name, texts in error.fields.items() for it in texts]
    if isinstance(error, CallError):
        body |= {"applied": error.applied, "request_id": error.request_id}
    if isinstance(error, GatewayError) and error.retry_after is not None and status == 503:
        headers["Retry-After"] = str(ceil(min(max(error.retry_after, 0), _MAX_RETRY_AFTER)))
    return Problem(status, body, headers)
