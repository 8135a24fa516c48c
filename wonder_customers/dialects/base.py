"""What every dialect shares: the account's address, the call and the operations. How answers are read: `replies`.

A dialect is pure: it turns an operation into calls and replies into records, and never waits, looks at a clock or
touches a socket. An operation that needs several requests is a generator of calls, so the exchange stays the one
place that sends.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping
from enum import StrEnum
from typing import Any, ClassVar, Generic, Protocol, TypeVar
from urllib.parse import quote, urlsplit

from attrs import field, frozen

from wonder_customers.errors import ConfigurationError, InvalidRecordError, UnsupportedOperationError, Violation
from wonder_customers.records import (
    Customer,
    CustomerDraft,
    CustomerPatch,
    Page,
    PaymentSource,
    PaymentToken,
    Response,
)
from wonder_customers.secret import Secret, secret
from wonder_customers.wire import Header, HttpRequest, HttpResponse, Origin, Replay, is_loopback

__all__ = [
    "AccessToken",
    "Account",
    "Call",
    "Dialect",
    "LockReference",
    "Operation",
    "Steps",
    "credential",
    "endpoint",
    "key_text",
    "one",
    "segment",
    "settings",
    "unsafe_in_path",
]

T = TypeVar("T")


class Operation(StrEnum):
    """The verbs of a session; a dialect says which of them its gateway lacks."""

    CREATE = "create"
    UPSERT = "upsert"
    GET = "get"
    GET_BY_REFERENCE = "get_by_reference"
    UPDATE = "update"
    DELETE = "delete"
    LIST = "list"
    LIST_PAYMENT_TOKENS = "list_payment_tokens"
    CREATE_PAYMENT_TOKEN = "create_payment_token"  # noqa: S105 - a verb
    CHECK_PAYMENT_TOKEN = "check_payment_token"  # noqa: S105 - a verb
    DELETE_PAYMENT_TOKEN = "delete_payment_token"  # noqa: S105 - a verb


@frozen
class Call(Generic[T]):
    """One request with all that the exchange must know about it.

    Attributes:
        request: What goes onto the wire, unsigned.
        replay: What repeating it would do.
        decode: Turns the reply into the record, or raises the `CallError` that says why not.
        lookup: The reads that show what this write has left; None where there are none.
        conflicts: The names of the fields in which a record that `lookup` brought is not the one this write meant.
        reference: The customer's reference, for errors.
        id: The gateway's id of the customer, for errors.
        signed: Whether the account's credentials go with it.
        gone_is_done: A "not found" after an attempt without an answer means that this delete had been applied.
    """

    request: HttpRequest
    replay: Replay
    decode: Callable[[HttpResponse], T]
    lookup: "Callable[[], Steps[T]] | None" = None
    mismatches: Callable[[T], tuple[str, ...]] | None = None
    reference: str | None = None
    id: str | None = None
    signed: bool = True
    not_found_is_success: bool = False


@frozen
class LockReference:
    """Asks for the turn of the customer with this reference until the operation ends.

    The answer is whether another write of the session ended since the operation began, so that what was read before may
    be old.
    """

    reference: str


Steps = Generator[Call[Any] | LockReference, Any, T]
"""An operation: yields calls, is sent their replies (or thrown their failures), returns the record."""


def one(call: Call[T]) -> Steps[T]:
    """The operation that is a single call."""
    reply: Response[T] = yield call
    return reply.record


@frozen
class AccessToken:
    """A bearer token and the seconds it may be used, counted from the reply that brought it."""

    value: Secret = field(converter=secret)
    lifetime: float = 0.0


class Account(Protocol):
    """A merchant's credentials for one gateway."""

    @property
    def base_url(self) -> str:
        """Where the gateway listens."""

    def dialect(self) -> "Dialect":
        """The dialect that speaks for this account."""


class Dialect(ABC):
    """One gateway's way of speaking, for one account.

    Attributes:
        gateway: The gateway's name.
        lacks: Operations the gateway does not offer, each with the reason.
        page_limit: Records per page that the gateway's documents promise to serve.
        signs_slowly: `headers` computes for so long (a private key's signature) that it leaves the event loop when
            other calls are under way; it may then run in several threads at a time.
    """

    gateway: ClassVar[str]
    unsupported_operations: ClassVar[Mapping[Operation, str]] = {}
    page_limit: ClassVar[int]
    signs_slowly: ClassVar[bool] = False

    def __init__(self, base_url: str) -> None:
        self.origin: Origin
        self.prefix: str
        self.origin, self.prefix = endpoint(base_url)

    def unsupported(self, operation: Operation) -> UnsupportedOperationError:
        """The error for an operation that the gateway lacks."""
        return UnsupportedOperationError(
            self.gateway, operation, self.unsupported_operations.get(operation, "its dialect does not speak of it")
        )

    @abstractmethod
    def headers(self, request: HttpRequest, now: float, nonce: str, bearer: Secret | None) -> tuple[Header, ...]:
        """The headers that authenticate exactly this request.

        Args:
            request: What will be sent, to the byte.
            now: Unix time, in seconds.
            nonce: 16 random hexadecimal digits, new for every attempt.
            bearer: The token that `token_call` has fetched; None where there is no such call.
        """

    def token_call(self) -> Call[AccessToken] | None:
        """The call that fetches a bearer token, None where the account needs none."""
        return None

    @abstractmethod
    def create(self, draft: CustomerDraft) -> Steps[Customer]:
        """Make a customer."""

    @abstractmethod
    def upsert(self, draft: CustomerDraft) -> Steps[Customer]:
        """Make the customer with this reference, or bring it up to date."""

    @abstractmethod
    def get(self, id: str) -> Steps[Customer]:
        """The customer with this id."""

    @abstractmethod
    def get_by_reference(self, reference: str) -> Steps[Customer]:
        """The customer with this reference."""

    @abstractmethod
    def update(self, id: str, patch: CustomerPatch) -> Steps[Customer]:
        """Change some fields."""

    def delete(self, id: str) -> Steps[None]:
        """Delete, as far as the gateway does."""
        raise self.unsupported(Operation.DELETE)

    @abstractmethod
    def page(self, limit: int, cursor: str | None, filters: Mapping[str, str]) -> Steps[Page[Customer]]:
        """One page of customers.

        Args:
            limit: How many it shall hold, 1 to 1000.
            cursor: The `Page.cursor` of the page before; None for the first one.
            filters: The gateway's own query parameters.
        """

    def list_payment_tokens(self, customer_id: str) -> Steps[tuple[PaymentToken, ...]]:
        """All of a customer's tokens."""
        raise self.unsupported(Operation.LIST_PAYMENT_TOKENS)

    def create_payment_token(self, customer_id: str, source: PaymentSource) -> Steps[PaymentToken]:
        """Store a way to pay."""
        raise self.unsupported(Operation.CREATE_PAYMENT_TOKEN)

    def check_payment_token(self, customer_id: str, token: PaymentToken) -> Steps[PaymentToken]:
        """The state of one token."""
        raise self.unsupported(Operation.CHECK_PAYMENT_TOKEN)

    def delete_payment_token(self, customer_id: str, token: PaymentToken) -> Steps[None]:
        """Delete one token."""
        raise self.unsupported(Operation.DELETE_PAYMENT_TOKEN)

    @abstractmethod
    def validate(self, draft: CustomerDraft) -> None:
        """Raise `InvalidRecordError` when the gateway cannot take `draft`."""

    @abstractmethod
    def payload(self, draft: CustomerDraft) -> dict[str, Any]:
        """The customer's fields as `draft` puts them on the wire, without any payment source."""

    @abstractmethod
    def differences(self, draft: CustomerDraft, customer: Customer) -> tuple[str, ...]:
        """The fields of `draft` that `customer`, as the gateway holds it, does not repeat."""


def endpoint(base_url: object) -> tuple[Origin, str]:
    """The origin and the path prefix (without a trailing slash) of a base URL.

    Raises:
        ConfigurationError: It is no https URL (http is for loopback only), or has a user, a query or a fragment.
    """
    try:
        url = urlsplit(base_url if isinstance(base_url, str) else "")
        host, port = (url.hostname or "").encode("idna").decode(), url.port
    except ValueError:
        raise ConfigurationError("base_url is no URL") from None
    if url.scheme not in {"https", "http"} or not host:
        raise ConfigurationError("base_url must look like https://host/")
    if not re.fullmatch(r"[\x21-\x7e]+", str(base_url)):
        raise ConfigurationError("base_url must be plain ASCII without blanks")
    if url.username is not None or url.password is not None or url.query or url.fragment:
        raise ConfigurationError("base_url may hold a host and a path only: no user, query or fragment")
    if port == 0:
        raise ConfigurationError("base_url names port 0, where nobody can listen")
    if url.scheme == "http" and not is_loopback(host):
        raise ConfigurationError(f"base_url must be https ({host} is not this machine)")
    return Origin(url.scheme, host, port or {"https": 443, "http": 80}[url.scheme]), url.path.rstrip("/")


def settings(variables: object, *names: str, required: tuple[str, ...] = ()) -> dict[str, str]:
    """Those of an environment's variables that an account is made of; an empty one counts as missing.

    Args:
        variables: What ``from_environment`` was given.
        names: The account's variables.
        required: Those without which there is no account.

    Raises:
        ConfigurationError: It is no mapping, one of the variables is no text, or a required one is missing. No value is
            shown.
    """
    if not isinstance(variables, Mapping):
        raise ConfigurationError(
            f"from_environment takes a mapping of text, such as os.environ, not {type(variables).__name__}"
        )
    found = {name: variables[name] for name in (*required, *names) if variables.get(name) is not None}
    for name, value in found.items():
        if not isinstance(value, str):
            raise ConfigurationError(f"{name} must be text, not {type(value).__name__}")
    given = {name: value for name, value in found.items() if value}
    missing = [name for name in required if name not in given]
    if missing:
        raise ConfigurationError(f"set {' and '.join(missing)} in the environment")
    return given


def credential(name: str, value: Secret | str) -> None:
    """Refuse a credential that cannot stand in a header.

    Raises:
        ConfigurationError: It is empty or not printable ASCII without blanks. The value is not shown.
    """
    if not _fits_header(value):
        raise ConfigurationError(f"{name} must be printable ASCII without blanks or line breaks, and not empty")


def _fits_header(value: object) -> bool:
    # Apart, so that no frame of a traceback holds a revealed secret.
    text = value.reveal() if isinstance(value, Secret) else value
    return isinstance(text, str) and re.fullmatch(r"[\x21-\x7e]+", text) is not None


def key_text(value: Secret | str) -> Secret:
    """A key or token as a `Secret`.

    Raises:
        ConfigurationError: It is no text.
    """
    if not isinstance(value, (str, Secret)):
        raise ConfigurationError(f"keys and tokens must be text, not {type(value).__name__}")
    return secret(value)


def segment(gateway: str, name: str, value: object, longest: int = 255) -> str:
    """`value` percent-encoded as one segment of a path.

    Args:
        gateway: The gateway's name, for the error.
        name: What the value is called there, such as ``id``.
        value: An id or a reference of the caller's.
        longest: Its characters at most, before encoding.

    Raises:
        InvalidRecordError: It is empty, ``.``, ``..``, too long, holds control characters or is no text.
    """
    broken = unsafe_in_path(value, longest)
    if broken:
        raise InvalidRecordError(gateway, [Violation(name, None, broken)])
    return quote(str(value), safe="")


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def unsafe_in_path(value: object, longest: int) -> str | None:
    """Why `value` cannot be one segment of a path, None when it can."""
    if not isinstance(value, str):
        return f"must be text, not {type(value).__name__}"
    if not 1 <= len(value) <= longest:
        return f"must have 1 to {longest} characters"
    if value in {".", ".."}:
        return "must not be . or .., which change the path"
    if _CONTROL.search(value):
        return "must not hold control characters"
    if _SURROGATE.search(value):
        return "must be valid Unicode"
    return None
