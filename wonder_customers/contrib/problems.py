"""The library's errors as HTTP answers for an app's own clients, for any web framework."""

from collections.abc import Mapping
from math import ceil
from typing import Any, Final

from attrs import field, frozen

from wonder_customers.errors import (
    AmbiguousReferenceError,
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
    RateLimitError,
    SessionClosedError,
    UnsupportedOperationError,
    WonderCustomersError,
)

__all__ = ["MEDIA_TYPE", "Problem", "problem"]

MEDIA_TYPE: Final = "application/problem+json"


@frozen
class Problem:
    """Problem details (RFC 9457).

    Attributes:
        status: The HTTP status.
        body: The JSON object.
        headers: More headers.
    """

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(factory=dict)


_STATUSES: Final[tuple[tuple[type[WonderCustomersError], int, str], ...]] = (
    (InvalidRecordError, 422, "The record breaks the gateway's limits."),
    (InvalidRequestError, 422, "The payment gateway does not accept this record."),
    (NotFoundError, 404, "There is no such customer or payment token."),
    (ConflictError, 409, "Another customer holds this reference."),
    (AmbiguousReferenceError, 409, "Several customers hold this reference."),
    (UnsupportedOperationError, 501, "The payment gateway cannot do this."),
    (RateLimitError, 503, "The payment gateway is busy."),
    (GatewayUnavailableError, 503, "The payment gateway is not available."),
    (NotSentError, 503, "The payment gateway cannot be reached."),
    (SessionClosedError, 503, "This service is shutting down."),
    (DeadlineExceededError, 504, "The payment gateway did not answer in time."),
    (NoResponseError, 504, "The payment gateway did not answer."),
    (OutcomeUnknownError, 504, "The payment gateway did not answer: the change may or may not have been made."),
    (CallError, 502, "The payment gateway's answer cannot be used."),
    (WonderCustomersError, 500, "This service is not set up for payments."),
)
"""The first that fits answers. Credentials that a gateway refuses are this service's mistake: 502, never 401."""


def problem(error: WonderCustomersError) -> Problem:
    """What to answer when `error` ended a request.

    It holds none of the gateway's words and nothing that a record or a credential held: the status and the title say
    what the client can do, ``applied`` whether a change was made, ``request_id`` what to search your logs for.
    """
    status, title = next((status, title) for kind, status, title in _STATUSES if isinstance(error, kind))
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status}
    headers: dict[str, str] = {}
    if isinstance(error, InvalidRecordError):
        body["violations"] = [{"field": it.field, "limit": it.limit} for it in error.violations]
    if isinstance(error, CallError):
        body |= {"applied": error.applied, "request_id": error.request_id}
    if isinstance(error, GatewayError) and error.retry_after is not None and status == 503:
        headers["Retry-After"] = str(ceil(error.retry_after))
    return Problem(status, body, headers)
