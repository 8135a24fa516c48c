"""What all dialects share: accounts, operations and the calls that they consist of.

A dialect is pure: it turns an operation into HTTP requests and HTTP responses into records. It never waits, reads a
clock or opens a socket. An operation that needs several requests is a generator of calls; the executor sends them.
Responses are read with the helpers in `wonder_customers.dialects.responses`.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Hashable, Iterable, Mapping
from enum import StrEnum
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar
from urllib.parse import quote

from attrs import field, frozen

from wonder_customers.dialects.accounts import parse_base_url
from wonder_customers.dialects.comparison import Comparison
from wonder_customers.errors import (
    ConflictError,
    InvalidRecordError,
    InvalidRequestError,
    NotFoundError,
    UnsupportedOperationError,
    Violation,
)
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
from wonder_customers.wire import Header, HttpRequest, HttpResponse, Origin, Replay

__all__ = [
    "AccessToken",
    "Account",
    "Call",
    "Dialect",
    "LockReference",
    "Operation",
    "Steps",
    "path_segment",
    "path_segment_problem",
    "send",
    "upsert_by_lookup",
]

T = TypeVar("T")


class Operation(StrEnum):
    """The operations of a session. `Dialect.unsupported_operations` lists those that a gateway does not offer."""

    CREATE = "create"
    UPSERT = "upsert"
    GET = "get"
    GET_BY_REFERENCE = "get_by_reference"
    UPDATE = "update"
    DELETE = "delete"
    LIST = "list"
    LIST_PAYMENT_TOKENS = "list_payment_tokens"
    CREATE_PAYMENT_TOKEN = "create_payment_token"  # noqa: S105 - the name of an operation
    CHECK_PAYMENT_TOKEN = "check_payment_token"  # noqa: S105 - the name of an operation
    DELETE_PAYMENT_TOKEN = "delete_payment_token"  # noqa: S105 - the name of an operation


@frozen
class Call(Generic[T]):
    """One request and what the executor needs to know about it.

    Attributes:
        request: The unsigned request.
        replay: The effect of sending it a second time.
        decode: Returns the record in the response, or raises the `CallError` that the response means.
        lookup: Returns the reads that show whether this write was applied; None where no read can show it.
        mismatches: Returns the names of the fields in which a record that `lookup` found differs from the one that
            this write sent.
        reference: The customer's reference, for errors.
        id: The gateway's id of the customer, for errors.
        signed: Whether the account's credentials are sent with it.
        not_found_is_success: Whether a "not found" after an attempt without a response means that this delete was
            applied.
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
    """A request for the write lock of the customer with this reference, held until the operation ends.

    The executor sends back whether another write of the session ended since the operation began. In that case a
    customer that was read before may be out of date.
    """

    reference: str


Steps = Generator[Call[Any] | LockReference, Any, T]
"""An operation: a generator that yields calls, receives their responses or errors, and returns the record."""


def send(call: Call[T]) -> Steps[T]:
    """Return the operation that consists of one call."""
    response: Response[T] = yield call
    return response.record


def upsert_by_lookup(
    lookup: Callable[[], Steps[Customer]], create: Call[Customer], update: Callable[[Customer], Steps[Customer]]
) -> Steps[Customer]:
    """Return the steps that look a reference up, then create or update its customer.

    How a gateway words "already exists" is not documented. So after a create that was refused with a 4xx about the
    request itself, the reference is looked up once more: another writer may have created the customer. If it is still
    missing, the refusal is raised.
    """
    try:
        held = yield from lookup()
    except NotFoundError:
        try:
            return (yield from send(create))
        except (ConflictError, InvalidRequestError) as refused:
            try:
                held = yield from lookup()
            except NotFoundError:
                raise refused from None
    return (yield from update(held))


@frozen
class AccessToken:
    """A bearer token and its lifetime in seconds, counted from the response that contained it."""

    value: Secret = field(converter=secret)
    lifetime: float = 0.0


class Account(Protocol):
    """A merchant's credentials for one gateway."""

    @property
    def base_url(self) -> str:
        """The URL of the gateway."""

    def dialect(self) -> "Dialect":
        """Return the dialect for this account."""


_UNEXPLAINED: Final = "the dialect does not implement it"
_OPTIONAL: Final = (
    Operation.DELETE,
    Operation.LIST_PAYMENT_TOKENS,
    Operation.CREATE_PAYMENT_TOKEN,
    Operation.CHECK_PAYMENT_TOKEN,
    Operation.DELETE_PAYMENT_TOKEN,
)


class Dialect(ABC):
    """The protocol of one gateway, for one account.

    A gateway offers an optional operation when its dialect overrides the method of that name. Dialects of gateways that
    delete customers or store payment tokens inherit from the classes in `wonder_customers.dialects.capabilities`, which
    declare these methods for type checkers too.

    Attributes:
        gateway: The gateway's name.
        missing: The reason why the gateway does not offer an operation, for each operation that it does not offer.
        unsupported_operations: The same, for every optional method that the dialect does not override. Computed.
        page_limit: The default number of records per page.
        merchant: Identifies the merchant at the gateway, so that several credentials of one merchant share the order of
            writes. None where the credentials do not tell it; then each credential counts as a merchant.
        signs_slowly: Whether `headers` computes long enough (a signature with a private key) to be moved to a thread
            when other calls are in progress. It may then run in several threads at the same time.
    """

    gateway: ClassVar[str]
    missing: ClassVar[Mapping[Operation, str]] = {}
    unsupported_operations: ClassVar[Mapping[Operation, str]] = {}
    page_limit: ClassVar[int]
    signs_slowly: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.unsupported_operations = {
            it: cls.missing.get(it, _UNEXPLAINED)
            for it in _OPTIONAL
            if getattr(cls, it.value) is getattr(Dialect, it.value)
        }

    def __init__(self, base_url: str) -> None:
        self.merchant: Hashable = None
        self.origin: Origin
        self.prefix: str
        self.origin, self.prefix = parse_base_url(base_url)

    def unsupported(self, operation: Operation) -> UnsupportedOperationError:
        """Return the error for an operation that the gateway does not offer."""
        reason = self.unsupported_operations.get(operation, _UNEXPLAINED)
        return UnsupportedOperationError(self.gateway, operation, reason)

    @abstractmethod
    def headers(self, request: HttpRequest, now: float, nonce: str, bearer: Secret | None) -> tuple[Header, ...]:
        """Return the headers that authenticate this request.

        Args:
            request: The request, byte for byte as it will be sent.
            now: Unix time in seconds.
            nonce: 16 random hexadecimal digits, new for every attempt.
            bearer: The token that `token_call` fetched; None where the account needs none.
        """

    def token_call(self) -> Call[AccessToken] | None:
        """Return the call that fetches a bearer token, or None where the account needs none."""
        return None

    @abstractmethod
    def create(self, draft: CustomerDraft) -> Steps[Customer]:
        """Create a customer."""

    @abstractmethod
    def upsert(self, draft: CustomerDraft) -> Steps[Customer]:
        """Create the customer with this reference, or update it."""

    @abstractmethod
    def get(self, id: str) -> Steps[Customer]:
        """Return the customer with this id."""

    @abstractmethod
    def get_by_reference(self, reference: str) -> Steps[Customer]:
        """Return the customer with this reference."""

    @abstractmethod
    def update(self, id: str, patch: CustomerPatch) -> Steps[Customer]:
        """Change some fields of a customer."""

    def delete(self, id: str) -> Steps[None]:
        """Delete a customer; gateways may keep it as deleted or archived."""
        raise self.unsupported(Operation.DELETE)

    @abstractmethod
    def page(self, limit: int, cursor: str | None, filters: Mapping[str, str]) -> Steps[Page[Customer]]:
        """Return one page of customers.

        Args:
            limit: The number of records on the page, 1 to 1000.
            cursor: The `Page.cursor` of the page before; None for the first page.
            filters: The gateway's own query parameters.
        """

    def list_payment_tokens(self, customer_id: str) -> Steps[tuple[PaymentToken, ...]]:
        """Return all payment tokens of a customer."""
        raise self.unsupported(Operation.LIST_PAYMENT_TOKENS)

    def create_payment_token(self, customer_id: str, source: PaymentSource) -> Steps[PaymentToken]:
        """Store a payment source."""
        raise self.unsupported(Operation.CREATE_PAYMENT_TOKEN)

    def check_payment_token(self, customer_id: str, token: PaymentToken) -> Steps[PaymentToken]:
        """Return the current state of one token."""
        raise self.unsupported(Operation.CHECK_PAYMENT_TOKEN)

    def delete_payment_token(self, customer_id: str, token: PaymentToken) -> Steps[None]:
        """Delete one token."""
        raise self.unsupported(Operation.DELETE_PAYMENT_TOKEN)

    @abstractmethod
    def validate(self, draft: CustomerDraft) -> None:
        """Raise `InvalidRecordError` when `draft` breaks one of the gateway's limits."""

    @abstractmethod
    def payload(self, draft: CustomerDraft) -> dict[str, Any]:
        """Return the customer's fields of `draft` as a JSON object, without a payment source."""

    def clearable(self, draft: CustomerDraft, fields: Iterable[str]) -> frozenset[str]:
        """Return those of `fields` that a write of `draft` can clear. By default none.

        Args:
            draft: The draft, which has no value for the fields.
            fields: Names such as ``email``, ``address.city`` or ``metadata.plan``.
        """
        return frozenset()

    @abstractmethod
    def compare(self, draft: CustomerDraft, customer: Customer) -> Comparison:
        """Compare `draft` with the customer that the gateway holds."""

    def differences(self, draft: CustomerDraft, customer: Customer) -> tuple[str, ...]:
        """Return the fields of `draft` in which `customer` differs, after normalisation."""
        return self.compare(draft, customer).different


def path_segment(gateway: str, name: str, value: object, longest: int = 255) -> str:
    """Return `value` percent-encoded as one segment of a path.

    Args:
        gateway: The gateway's name, for the error.
        name: The name of the value, such as ``id``, for the error.
        value: An id or a reference given by the caller.
        longest: The greatest number of characters, before encoding.

    Raises:
        InvalidRecordError: See `path_segment_problem`.
    """
    if isinstance(value, str) and len(value) <= longest and _PLAIN_SEGMENT.fullmatch(value):
        return value
    problem = path_segment_problem(value, longest)
    if problem:
        raise InvalidRecordError(gateway, [Violation(name, None, problem)])
    return quote(str(value), safe="")


_PLAIN_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def path_segment_problem(value: object, longest: int) -> str | None:
    """Return why `value` cannot be one segment of a path, or None when it can.

    It must be text, not empty, not longer than `longest` characters, not ``.`` or ``..``, and without control
    characters or surrogates.
    """
    if not isinstance(value, str):
        return f"must be text, not {type(value).__name__}"
    if not 1 <= len(value) <= longest:
        return f"must have 1 to {longest} characters"
    if value in {".", ".."}:
        return "must not be . or .., which change the path"
    if _CONTROL.search(value):
        return "must not contain control characters"
    if _SURROGATE.search(value):
        return "must be valid Unicode"
    return None
