"""What a gateway answered: its JSON, whose customer it is about, and what a refusal means."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from wonder_customers.dialects.json import UnreadableJson, parsed
from wonder_customers.errors import (
    AuthenticationError,
    CallError,
    ConflictError,
    GatewayError,
    GatewayUnavailableError,
    InvalidRequestError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
)
from wonder_customers.records import Customer
from wonder_customers.wire import HttpResponse

__all__ = ["another", "json_object", "loose_object", "matching", "refusal", "same_id", "text_of"]


def same_id(asked: str, answered: object) -> bool:
    """Whether `answered` is the id that was asked for. Ids are hexadecimal, so their case says nothing."""
    return isinstance(answered, str) and answered.casefold() == asked.casefold()


def matching(name: str, asked: str, read: Callable[[HttpResponse], Customer]) -> Callable[[HttpResponse], Customer]:
    """Reads a customer with `read`, and refuses one whose `name` (``id`` or ``reference``) is not the one asked for.

    What an answer does not carry is not judged.
    """

    def decode(reply: HttpResponse) -> Customer:
        customer = read(reply)
        answered: str | None = getattr(customer, name)
        if answered not in {asked, None} and not (name == "id" and same_id(asked, answered)):
            raise another("customer", name, reply)
        return customer

    return decode


def another(what: str, name: str, reply: HttpResponse) -> InvalidResponseError:
    """The error for an answer about another customer or token than was asked for."""
    reason = f"the gateway answered with another {what}: its {name} differs"
    return InvalidResponseError(reason, status=reply.status, applied="unknown")


def json_object(call: str, reply: HttpResponse) -> dict[str, Any]:
    """The reply's body as a JSON object.

    Raises:
        InvalidResponseError: It is something else, JSON that cannot be trusted (see `json_bodies`), or a redirect.
    """
    if reply.status // 100 == 3:
        raise InvalidResponseError(
            f"HTTP {reply.status}: redirects are never followed", status=reply.status, applied="unknown"
        )
    try:
        body = parsed(reply.body)
    except UnreadableJson as unreadable:
        reason = f"{call} answered HTTP {reply.status} with {unreadable}"
        raise InvalidResponseError(reason, status=reply.status, applied="unknown") from None
    if not isinstance(body, dict):
        raise InvalidResponseError(
            f"{call} answered HTTP {reply.status} with a JSON {type(body).__name__} where an object belongs",
            status=reply.status,
            applied="unknown",
        )
    return body


def loose_object(body: bytes) -> dict[str, Any]:
    """The JSON object in an error's body, empty when there is none that can be trusted: HTML, nothing, a list."""
    try:
        found = parsed(body)
    except UnreadableJson:
        return {}
    return found if isinstance(found, dict) else {}


_BY_STATUS: Mapping[int, type[GatewayError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    410: NotFoundError,
    429: RateLimitError,
}
_TAKEN = re.compile(r"\b(already|taken|duplicate|not unique|must be unique)\b", re.IGNORECASE)
_MISSING = re.compile(r"\b(not found|no such|(does not|doesn't) exist|unknown customer)\b", re.IGNORECASE)


def refusal(
    status: int,
    *,
    code: str | None = None,
    message: str | None = None,
    fields: Mapping[str, tuple[str, ...]] | None = None,
) -> CallError:
    """The error that a refusal means.

    The gateways' documents do not fix a status for "not there" and "already there": Monri answers a taken reference
    with 400, Wonder's and Monri's answers for an unknown customer are not documented. So a 400 or 422 is read by its
    words too.

    Args:
        status: The HTTP status, or the one that the body claims.
        code: The gateway's own code of the error.
        message: Its words.
        fields: Its messages by wire field, where it names fields.
    """
    text = message or ""
    kind = _BY_STATUS.get(status)
    if kind is None and (status >= 500 or status == 408):
        kind = GatewayUnavailableError
    if kind is None and status in {400, 422}:
        kind = ConflictError if _TAKEN.search(text) else NotFoundError if _MISSING.search(text) else None
    named = f" {code}" if code else ""
    reason = f"refused with HTTP {status}{named}" + (f": {text}" if text else "")
    applied = "unknown" if kind is GatewayUnavailableError else "no"
    facts: dict[str, Any] = {"status": status, "code": code, "message": message, "applied": applied}
    if kind is None:
        return InvalidRequestError(reason, fields=fields, **facts)
    return kind(reason, **facts)


def text_of(value: object) -> str | None:
    """`value` as a short line of text, None when it is empty: what a gateway may put where a message belongs."""
    if value is None or value == "" or isinstance(value, (dict, list)):
        return None
    return str(value)[:500]
