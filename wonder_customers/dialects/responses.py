"""Functions that read responses, and create errors for refusals."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, TypeVar

from wonder_customers._support.printable import printable
from wonder_customers.dialects import drift
from wonder_customers.dialects.coercion import coerce
from wonder_customers.dialects.comparison import is_changed_form
from wonder_customers.dialects.json import UnreadableJsonError, parse_json
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

__all__ = [
    "Subject",
    "as_authentication",
    "as_creation",
    "changed_reference",
    "checked_sender",
    "denied",
    "error_object",
    "gateway_error",
    "invalid_response",
    "list_refusal",
    "mismatch_error",
    "not_deleted",
    "redirect_error",
    "require_match",
    "response_object",
    "same_id",
]

T = TypeVar("T")


def same_id(requested: str, received: object) -> bool:
    """Return whether `received` is the requested id, ignoring case."""
    return isinstance(received, str) and received.casefold() == requested.casefold()


def require_match(
    name: str, requested: str | None, read: Callable[[HttpResponse], Customer]
) -> Callable[[HttpResponse], Customer]:
    """Wrap `read`, so that a customer with another id or reference than `requested` causes `InvalidResponseError`.

    The `name` of the compared field is ``id`` or ``reference``. A customer without this field is accepted, and
    every customer if `requested` is None.
    """
    if requested is None:
        return read

    def decode(response: HttpResponse) -> Customer:
        customer = read(response)
        received: str | None = getattr(customer, name)
        if received != requested and received is not None and not (name == "id" and same_id(requested, received)):
            error = mismatch_error("customer", name, response)
            if name == "reference" and is_changed_form(requested, received):
                raise changed_reference(error, customer.id)
            raise error
        return customer

    return decode


def changed_reference(error: InvalidResponseError, id: str) -> InvalidResponseError:
    """Return `error` with the id of a customer whose reference differs only in its form, and with a hint."""
    error.id = id
    error.hint = f"The gateway may change references. Read the customer {id}, and if it is the same, use its reference."
    return error


def as_creation(read: Callable[[HttpResponse], Customer]) -> Callable[[HttpResponse], Customer]:
    """Wrap `read` for responses to create requests: `NotFoundError` becomes `InvalidRequestError`."""

    def decode(response: HttpResponse) -> Customer:
        try:
            return read(response)
        except NotFoundError as error:
            # Callers may handle `NotFoundError` by creating the customer.
            facts: dict[str, Any] = {"status": error.status, "code": error.code, "message": error.message}
            hint = "Correct the record. If every create is refused, check base_url."
            raise InvalidRequestError(error.reason, hint=hint, **facts) from None

    return decode


_FIREWALL: Final = (
    "The credentials may be valid. Check whether a firewall blocks contents of the record, and check base_url."
)


def as_authentication(read: Callable[[HttpResponse], T]) -> Callable[[HttpResponse], T]:
    """Wrap `read` for responses to requests for an access token: refusals become `AuthenticationError`."""

    def decode(response: HttpResponse) -> T:
        try:
            return read(response)
        except (NotFoundError, ConflictError, InvalidRequestError) as error:
            # These errors would state that the customer does not exist, or that its record is not valid.
            facts: dict[str, Any] = {"status": error.status, "code": error.code, "message": error.message}
            hint = "Check that the credentials belong to this environment, and check base_url."
            raise AuthenticationError(f"no access token was issued: {error.reason}", hint=hint, **facts) from None

    return decode


_PROXIES: Final = "Check base_url and the proxies on the way to the gateway."


def checked_sender(
    error: NotFoundError | PermissionDeniedError, response: HttpResponse, *, deletion: bool
) -> CallError:
    """Return `error`, or the error to raise instead if a proxy may have sent the response.

    A proxy without a route to the gateway also responds with HTTP 404. Such a response does not show that a customer
    was deleted. A firewall responds with HTTP 403 to contents that it blocks, whatever the credentials.
    """
    hint, is_object = _PROXIES, _json_object(response.body) is not None
    if isinstance(error, PermissionDeniedError):
        if is_object or not response.body.strip():
            return error
        reason = f"{error.reason}, but without a JSON object, so a firewall or a proxy may have sent the response"
        hint = _FIREWALL
    elif not is_object:
        reason = f"the response has HTTP {response.status}, but no JSON object, so a proxy may have sent it"
    elif error.message and _ELSEWHERE.search(error.message) and not _CUSTOMER.search(error.message):
        reason = f"{error.reason}, which is not about the customer"
    else:
        return error
    if deletion and isinstance(error, NotFoundError):
        return invalid_response(reason, response.status, hint)
    error.reason, error.args, error.hint, error.certain = reason, (reason,), hint, False
    return error


def list_refusal(response: HttpResponse) -> InvalidResponseError:
    """Return the error for a list or a search that is refused with "not found", which does not show what exists."""
    reason = f"the response with HTTP {response.status} reports that something was not found, but contains no list"
    return InvalidResponseError(reason, status=response.status, hint=f"A list without customers is empty. {_PROXIES}")


def invalid_response(reason: str, status: int, hint: str | None = None) -> InvalidResponseError:
    """Return the error for a response that cannot be read. A write may have been applied."""
    return InvalidResponseError(reason, status=status, applied="unknown", hint=hint)


def mismatch_error(what: str, name: str, response: HttpResponse) -> InvalidResponseError:
    """Return the error for a response about a customer or token that was not requested."""
    reason = f"the response is about another {what}: its {name} differs from the requested {name}"
    error = invalid_response(reason, response.status)
    error.mismatch = True
    return error


def redirect_error(status: int) -> InvalidResponseError:
    """Return the error for a redirect."""
    reason = f"the gateway responded with a redirect (HTTP {status}), which is not followed"
    return invalid_response(reason, status, "Check base_url.")


def denied(name: str, body: Mapping[str, Any]) -> bool:
    """Return whether a deletion is denied by a false value in `body`. Values of other types are reported as drift."""
    value = body.get(name)
    if value is None or isinstance(value, bool):
        return value is False
    drift.report_type(name, "boolean", value)
    try:
        return not coerce(bool, value)
    except ValueError:
        return False


def not_deleted(what: str, status: int) -> InvalidRequestError:
    """Return the error for an accepted response that reports that a customer or token was not deleted."""
    hint = f"Read the {what} to see its state, or ask the gateway's support for the reason."
    return InvalidRequestError(f"the response reports that the {what} was not deleted", status=status, hint=hint)


def response_object(response: HttpResponse) -> dict[str, Any]:
    """Return the body of a response as a JSON object.

    Raises:
        InvalidResponseError: The response is a redirect, or its body cannot be read as a JSON object.
    """
    status = response.status
    if status // 100 == 3:
        raise redirect_error(status)
    try:
        body = parse_json(response.body, repair=True)
    except UnreadableJsonError as unreadable:
        hint = _PROXIES if response.body.lstrip().startswith(b"<") else None
        raise invalid_response(f"the response with HTTP {status} contains {unreadable}", status, hint) from None
    if not isinstance(body, dict):
        found = drift.type_name(body)
        raise invalid_response(
            f"the response with HTTP {status} cannot be read: expected a JSON object, found {found}", status
        )
    return body


def error_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in the body of an error response.

    Another JSON value is returned as ``errors``, and a short plain text as ``message``. Otherwise, the dict is empty.
    """
    try:
        found = _refusal_json(body)
    except UnreadableJsonError:
        text = body[:2001].decode(errors="replace").strip()
        return {"message": text} if len(text) <= 500 and not re.search(r"^[\[{]|[<\ufffd]|^$", text) else {}
    return found if isinstance(found, dict) else {"errors": found}


def _refusal_json(body: bytes) -> Any:
    """Return the JSON value of a body, in which characters in another encoding than UTF-8 are replaced."""
    return parse_json(body.decode(errors="replace").encode())


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        found = _refusal_json(body)
    except UnreadableJsonError:
        return None
    return found if isinstance(found, dict) else None


_BY_STATUS: Final[Mapping[int, type[GatewayError]]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    410: NotFoundError,
    429: RateLimitError,
}
_TEMPORARY: Final = {423: "the resource is locked", 425: "the gateway was not ready for the request"}
"""The meaning of temporary refusals, by status."""
_JOINED: Final = re.compile(r"_(?![iI][dD](?![a-zA-Z]))|(?<=[a-z])(?=[A-Z](?!d\b))")
"""The places between the words of names, such as ``CUSTOMER_NOT_FOUND`` and ``NotFound``, but not in ``company_id``."""
# Wonder's messages may be in Chinese (`Wonder.language`).
_TAKEN: Final = re.compile(
    r"\b(already|taken|duplicated?|in use|used by (another|an existing)|not unique|must be unique)\b"
    r"|^(?!.*\bno(t|ne)?\b).*\bwith (this|that|the same|such an?|the given)\b.*\bexists\b"
    r"|已存在|已[經经]存在|重[复複](?!提交)",
    re.IGNORECASE,
)
_MISSING: Final = re.compile(
    r"\b(not (be )?found|no such|(not|doesn't) exists?|unknown customer"
    r"|no (customer|record)s? ((was |were )?found|with)|(can( ?not|'t)|could(n't| not)|unable to) (find|locate))\b"
    r"|不存在|找不到|未找到",
    re.IGNORECASE,
)
_DELETED: Final = re.compile(
    r"\b(already\b.*|(is|was|has been) )(deleted|archived|removed)\b|已[被經经]?[删刪]除", re.IGNORECASE
)
_UNSPECIFIC: Final = re.compile(
    r"\W*((it|the|has|have|been|is|was|already|exists?|taken|duplicate|entry|value|not|unique|must|be|found|no|such|does|"
    r"doesn't|error|deleted|archived|removed)\b\W*)*",
    re.IGNORECASE,
)
"""A message that names nothing, so that it is about the requested customer."""
_CUSTOMER: Final = re.compile(
    r"customer|reference|客[户戶]|[顾顧]客|\b(record|resource|object|entity|u?u?id)\b", re.IGNORECASE
)
_OTHERS: Final = re.compile(
    r"\b(token|gateway|payment|card|source|e-?mail|phone|address|postal|country|currency|limit|quota)\b"
    r"|[電电][話话]|[郵邮]|地址|支付|卡",
    re.IGNORECASE,
)
_TOKEN: Final = re.compile(rf"token|payment|source|{_CUSTOMER.pattern}", re.IGNORECASE)
_ELSEWHERE: Final = re.compile(r"\b(route|path|url|endpoint|api|merchant|gateway|host|page)\b", re.IGNORECASE)

Subject = Literal["customer", "token"]
"""What a request is about."""


def _meaning(
    status: int, code: str, message: str, fields: Mapping[str, Iterable[str]], about: Subject
) -> type[GatewayError] | None:
    """Return the class of error that a message or a code states about the requested customer or token, else None."""
    subject = _TOKEN if about == "token" else _CUSTOMER
    texts = [*message.split("; "), *(f"{name} {text}" for name, texts in fields.items() for text in texts)]
    if not message or subject.search(code):
        texts.append(code)
    for text in (_JOINED.sub(" ", it) for it in texts):
        named = subject.search(text) and (about == "token" or not _OTHERS.search(text))
        if not named and not _UNSPECIFIC.fullmatch(text):
            continue  # about something else, such as an e-mail address whose domain does not exist
        if _DELETED.search(text):
            return NotFoundError
        if status != 409 and _TAKEN.search(text):
            return ConflictError
        if status != 409 and _MISSING.search(text):
            return NotFoundError
    return None


def gateway_error(
    status: int,
    *,
    code: str | None = None,
    message: str | None = None,
    fields: Mapping[str, tuple[str, ...]] | None = None,
    about: Subject | None = "customer",
    received: int | None = None,
    fault: bool = False,
) -> GatewayError:
    """Return the error for a refusal.

    Not all gateways document the status of "not found" and "already exists". Refusals with status 400 or 422 are
    therefore also classified by their messages about the customer.

    Args:
        status: The HTTP status, or the status in the body of a response with HTTP 200.
        code: The gateway's error code.
        message: The gateway's message.
        fields: The gateway's messages by field; None if the gateway does not name fields.
        about: What the request is about; None if the messages do not classify the refusal.
        received: The HTTP status, if `status` is another status.
        fault: Whether the gateway reports that it failed, so that a write may have been applied.
    """
    code, message = code and printable(code), message and printable(message)
    if fields is not None:
        fields = {printable(name): tuple(map(printable, texts)) for name, texts in fields.items()}
    message_text, listed = message or "", _listed(message or "", fields or {})
    kind = _BY_STATUS.get(status)
    if kind is None and (status >= 500 or status in {408, 499}):
        kind = GatewayUnavailableError
    if about is not None and status in {400, 409, 422}:
        kind = _meaning(status, code or "", message_text, fields or {}, about) or kind
    if received in {None, status}:
        named = f"HTTP {status}" + (f" {code}" if code else "")
    else:
        named = f"HTTP {received} and " + (f"the error {code}" if code else "an error")
    fault = fault and kind is None
    failed = fault or kind is GatewayUnavailableError
    what = "responded" if failed else "refused the request"
    reason = f"the gateway {what} with {named}" + (f": {message_text}" if message_text else "") + listed
    applied = "unknown" if failed else "no"
    facts: dict[str, Any] = {"status": status, "code": code, "message": message, "applied": applied}
    if status in _TEMPORARY:
        hint = "The request does not need a correction. Call again later."
        return GatewayError(f"{reason} ({_TEMPORARY[status]})", hint=hint, **facts)
    if fault:
        return GatewayError(reason, hint="Call again later.", **facts)
    if kind is None:
        about_path = status in {405, 407, 421, 426}  # about the path or a proxy, not about the record
        return InvalidRequestError(reason, fields=fields, hint=_PROXIES if about_path else None, **facts)
    return kind(reason, **facts)


def _listed(message: str, fields: Mapping[str, Iterable[str]]) -> str:
    """Return the messages by field that are not part of `message`, in parentheses."""
    texts = ((name, it) for name, listed in fields.items() for it in listed if name and it not in message)
    found = (it if name.casefold() in it.casefold() else f"{name} {it}" for name, it in texts)
    listed = "; ".join(found)[:500]
    return f" ({listed})" if listed else ""
