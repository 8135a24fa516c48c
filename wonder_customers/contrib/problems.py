"""The library's errors as HTTP answers for an app's own clients, for any web framework."""

from collections.abc import Mapping
from math import ceil
from typing import Any, Final

from attrs import field, frozen

from wonder_customers.errors import (
    Ambiguous,
    CallFailed,
    DeadlineExceeded,
    Duplicate,
    InvalidRecord,
    NoAnswer,
    NotFound,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Rejected,
    SessionClosed,
    Unavailable,
    Unsupported,
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
    (InvalidRecord, 422, "The record breaks the gateway's limits."),
    (Rejected, 422, "The payment gateway does not accept this record."),
    (NotFound, 404, "There is no such customer or payment token."),
    (Duplicate, 409, "Another customer holds this reference."),
    (Ambiguous, 409, "Several customers hold this reference."),
    (Unsupported, 501, "The payment gateway cannot do this."),
    (RateLimited, 503, "The payment gateway is busy."),
    (Unavailable, 503, "The payment gateway is not available."),
    (NotSent, 503, "The payment gateway cannot be reached."),
    (SessionClosed, 503, "This service is shutting down."),
    (DeadlineExceeded, 504, "The payment gateway did not answer in time."),
    (NoAnswer, 504, "The payment gateway did not answer."),
    (OutcomeUnknown, 504, "The payment gateway did not answer: the change may or may not have been made."),
    (CallFailed, 502, "The payment gateway's answer cannot be used."),
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
    if isinstance(error, InvalidRecord):
        body["violations"] = [{"field": it.field, "limit": it.limit} for it in error.violations]
    if isinstance(error, CallFailed):
        body |= {"applied": error.applied, "request_id": error.request_id}
    if isinstance(error, Refused) and error.retry_after is not None and status == 503:
        headers["Retry-After"] = str(ceil(error.retry_after))
    return Problem(status, body, headers)
