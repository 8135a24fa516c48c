"""The conversion of the library's errors to HTTP problem details (RFC 9457), for any web framework."""

from collections.abc import Mapping
from math import ceil
from typing import Any, Final

from attrs import field, frozen

from wonder_customers.errors import (
    AmbiguousReferenceError,
    AuthenticationError,
    CallError,
    ConfigurationError,
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
    (InvalidRecordError, 422, "The payment gateway does not accept this input."),
    (InvalidRequestError, 422, "The payment gateway does not accept this input."),
    (NotFoundError, 404, "The customer or payment token does not exist."),
    (ConflictError, 409, "Another customer has this reference, or another change of the customer is in progress."),
    (AmbiguousReferenceError, 409, "Several customers have this reference."),
    (UnsupportedOperationError, 501, "The payment gateway does not support this operation."),
    (RateLimitError, 503, "The payment gateway received too many requests."),
    (GatewayUnavailableError, 503, "The payment gateway is not available."),
    (NotSentError, 503, "The payment gateway cannot be reached."),
    (SessionClosedError, 503, "This service is starting or shutting down."),
    (DeadlineExceededError, 504, "The request was not completed in time."),
    (NoResponseError, 504, "The payment gateway did not respond."),
    (OutcomeUnknownError, 504, "The payment gateway did not confirm the change. It may have been applied."),
    (AuthenticationError, 502, "The payment gateway refused the credentials of this service."),
    (PermissionDeniedError, 502, "The payment gateway refused the credentials of this service."),
    (GatewayError, 502, "The payment gateway refused the request."),
    (CallError, 502, "The response of the payment gateway is invalid."),
    (ConfigurationError, 500, "This service is not configured correctly."),
    (WonderCustomersError, 500, "This service failed."),
)
"""The first matching class applies. Refused credentials are an error of this service, so their status is 502."""

_MAX_RETRY_AFTER: Final = 86_400
"""Maximum ``Retry-After`` in seconds."""


def problem(error: WonderCustomersError) -> Problem:
    """Return the problem details for an error.

    Invalid fields are listed in ``violations``. For a `CallError`, ``applied`` states whether a change was made, and
    ``request_id`` identifies the request in your logs. The details contain only those messages of the gateway that are
    about fields.

    Raises:
        ConfigurationError: `error` is not an error of this library.
    """
    if not isinstance(error, WonderCustomersError):
        raise ConfigurationError(f"expected a WonderCustomersError, not {type(error).__name__}")
    # A "not found" that a proxy may have sent is handled like another invalid response.
    known = CallError("") if isinstance(error, NotFoundError) and not error.certain else error
    status, title = next((status, title) for kind, status, title in _STATUSES if isinstance(known, kind))
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
