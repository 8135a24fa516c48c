"""The base classes of dialects: accounts, operations, and the calls of which operations consist.

A dialect turns operations into HTTP requests, and HTTP responses into results. An operation is a generator of calls,
which the executor sends.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Hashable, Iterable, Mapping
from enum import StrEnum
from typing import Any, ClassVar, Final, Generic, Literal, Protocol, TypeVar, cast
from urllib.parse import quote

from attrs import define, field, frozen

from wonder_customers.dialects.accounts import parse_base_url
from wonder_customers.dialects.comparison import Comparison
from wonder_customers.dialects.filters import CustomerFilter
from wonder_customers.errors import (
    ConflictError,
    InvalidRecordError,
    InvalidRequestError,
    InvalidResponseError,
    NotFoundError,
    UnsupportedOperationError,
    Violation,
)
from wonder_customers.records import Customer, CustomerDraft, CustomerPatch, Page, PaymentToken, Response
from wonder_customers.secret import Secret, secret
from wonder_customers.wire import Header, HttpRequest, HttpResponse, Origin, Replay

__all__ = [
    "AccessToken",
    "Account",
    "Call",
    "Dialect",
    "LockCustomer",
    "Operation",
    "Steps",
    "path_segment",
    "path_segment_problem",
    "send",
    "upsert_by_lookup",
]

T = TypeVar("T")


class Operation(StrEnum):
    """The operations of a session."""

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


@define(eq=False)
class Call(Generic[T]):
    """One request, and how the executor handles its response.

    Attributes:
        request: The unsigned request.
        replay: The effect of sending the request twice.
        decode: Returns the result in a response, or raises a `CallError`.
        lookup: Returns the operation that looks up the written record; None if the record cannot be looked up.
        mismatches: Returns the names of the fields in which a record found by `lookup` differs from the sent values;
            None if they are not compared. A caller can change the metadata of the draft during the call.
        reference: The customer's reference, for locks and errors.
        id: The gateway's id for the customer, for locks and errors.
        signed: Whether the headers of `Dialect.headers` are added to the request.
        not_found_is_success: Whether the call is a deletion, for which "not found" counts as success after an attempt
            that may have been applied.
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
class LockCustomer:
    """A request to lock a customer until the operation ends, by its ``reference`` or its ``id``.

    The executor sends True to the generator if the customer may have changed since the operation began.
    """

    by: Literal["reference", "id"]
    value: str


Steps = Generator[Call[Any] | LockCustomer, Any, T]
"""An operation: a generator that yields each `Call` or `LockCustomer`, and receives its result or error."""


def send(call: Call[T]) -> Steps[T]:
    """Return the operation that consists of one call."""
    response: Response[T] = yield call
    return response.record


def upsert_by_lookup(
    reference: str | None,
    lookup: Callable[[str], Steps[Customer]],
    create: Callable[[], Call[Customer]],
    update: Callable[[Customer], Steps[Customer]],
) -> Steps[Customer]:
    """Look up a reference, then create or update its customer. Without a reference, create a customer.

    If the create raises `ConflictError` or `InvalidRequestError`, the reference is looked up again, because another
    writer may have created the customer. If the customer is still missing, the error of the create is raised.

    Raises:
        ConflictError: The updated customer is deleted.
        InvalidResponseError: The id of the customer that was found cannot be part of a path.
    """
    if reference is None:
        return (yield from send(create()))
    try:
        held = yield from _locked(lookup, reference)
    except NotFoundError:
        try:
            return (yield from send(create()))
        except (ConflictError, InvalidRequestError) as refused:
            try:
                held = yield from _locked(lookup, reference)
            except NotFoundError:
                raise refused from None
    try:
        written = yield from update(held)
    except InvalidRecordError as error:
        problem = next((it.limit for it in error.violations if it.field == "id"), None)
        if problem is None:
            raise
        reason = f"the id of the customer in the response cannot be used: it {problem}"
        raise InvalidResponseError(reason) from None
    if written.deleted:  # the lookup was late, or the customer was deleted after it
        raise ConflictError(f"the customer {held.id} is deleted", ids=(held.id,), reference=reference, applied="yes")
    return written


def _locked(lookup: Callable[[str], Steps[Customer]], reference: str) -> Steps[Customer]:
    """Look up a customer, and lock it by its id."""
    held = yield from lookup(reference)
    while (yield LockCustomer("id", held.id)):
        held = yield from lookup(reference)
    return held


@frozen
class AccessToken:
    """A bearer token and its lifetime in seconds."""

    value: Secret = field(converter=secret)
    lifetime: float = 0.0


class Account(Protocol):
    """A merchant's credentials for one gateway."""

    @property
    def base_url(self) -> str:
        """The URL of the gateway."""

    def dialect(self) -> "Dialect":
        """Return the dialect for this account."""


_UNEXPLAINED: Final = "the dialect does not implement this operation"
_OPTIONAL: Final = (Operation.DELETE, *(it for it in Operation if "payment_token" in it))


class Dialect(ABC):
    """The protocol of one gateway, for one account.

    A gateway offers an optional operation when its dialect overrides the method of that name. The classes in
    `wonder_customers.dialects.capabilities` declare optional operations for type checkers. A method that returns
    `Steps` must raise `InvalidRecordError` for an invalid id, reference or record before a write is sent.

    Attributes:
        gateway: The gateway's name.
        missing: The reason for each operation that the gateway does not offer.
        unsupported_operations: The reason for each optional operation that the dialect does not implement.
        page_limit: The default number of records per page.
        filter_type: The class of the gateway's filters; None if its lists have no filters.
        merchant: A value by which several credentials of one merchant share locks; None if the account identifies it.
        reuses_body: Whether an upsert sends only the body of `checked_body`, if the draft clears no fields.
        search_is_late: Whether the search by reference may not find a customer that was created recently.
        signs_slowly: Whether `headers` is slow. It may then run in several threads at the same time.
        origin: The origin of the base URL.
        prefix: The path of the base URL, without a slash at the end.
    """

    gateway: ClassVar[str]
    missing: ClassVar[Mapping[Operation, str]] = {}
    unsupported_operations: ClassVar[Mapping[Operation, str]] = {}
    page_limit: ClassVar[int]
    filter_type: ClassVar[type[CustomerFilter[Any]] | None] = None
    reuses_body: ClassVar[bool] = False
    search_is_late: ClassVar[bool] = False
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
            request: The request, with the exact target and body that will be sent.
            now: Unix time in seconds.
            nonce: 16 random hexadecimal digits, new for every attempt.
            bearer: The token that `token_call` fetched; None if the account needs no token.
        """

    def token_call(self) -> Call[AccessToken] | None:
        """Return the call that fetches a bearer token, with `signed` False; None if the account needs no token."""
        return None

    @abstractmethod
    def create(self, draft: CustomerDraft) -> Steps[Customer]:
        """Create a customer, and return the customer in the response."""

    @abstractmethod
    def upsert(self, draft: CustomerDraft) -> Steps[Customer]:
        """Create the customer with the draft's reference, or update it.

        A draft without a reference creates a customer, or is invalid if the gateway requires a reference.
        """

    def upsert_checked(self, draft: CustomerDraft, body: dict[str, Any]) -> Steps[Customer]:
        """Upsert a draft for which `checked_body` returned `body`. The default calls `upsert`."""
        return self.upsert(draft)

    @abstractmethod
    def get(self, id: str) -> Steps[Customer]:
        """Return the customer with this id. The operation raises `NotFoundError` if the customer does not exist."""

    @abstractmethod
    def get_by_reference(self, reference: str) -> Steps[Customer]:
        """Return the customer with exactly this reference, unless the customer is deleted or archived.

        Raises:
            InvalidRecordError: The reference is invalid.
            NotFoundError: No customer has the reference.
            AmbiguousReferenceError: Several customers have the reference.
        """

    @abstractmethod
    def update(self, id: str, patch: CustomerPatch) -> Steps[Customer]:
        """Change the fields of a customer that are not `UNSET` in `patch`. None clears a field."""

    def delete(self, id: str) -> Steps[None]:
        """Delete a customer. Some gateways only mark the customer as deleted or archived."""
        raise self.unsupported(Operation.DELETE)

    @abstractmethod
    def page(self, limit: int, cursor: str | None, filter: Any = None) -> Steps[Page[Customer]]:
        """Return one page of customers.

        Args:
            limit: The maximum number of records on the page, 1 to 1000.
            cursor: The `Page.cursor` of the previous page; None for the first page.
            filter: An instance of `filter_type`; None for all customers.
        """

    def required_filter_type(self) -> type[CustomerFilter[Any]]:
        """Return `filter_type`.

        Raises:
            UnsupportedOperationError: The gateway's lists have no filters.
        """
        if self.filter_type is None:
            raise UnsupportedOperationError(self.gateway, "filters on lists", "its documentation describes no filters")
        return self.filter_type

    def list_payment_tokens(self, customer_id: str) -> Steps[tuple[PaymentToken, ...]]:
        """Return all payment tokens of a customer."""
        raise self.unsupported(Operation.LIST_PAYMENT_TOKENS)

    def create_payment_token(self, customer_id: str, source: Any) -> Steps[PaymentToken]:
        """Store a payment source, and return its token."""
        raise self.unsupported(Operation.CREATE_PAYMENT_TOKEN)

    def check_payment_token(self, customer_id: str, token: PaymentToken) -> Steps[PaymentToken]:
        """Return one token with its current state."""
        raise self.unsupported(Operation.CHECK_PAYMENT_TOKEN)

    def delete_payment_token(self, customer_id: str, token: PaymentToken) -> Steps[None]:
        """Delete one token."""
        raise self.unsupported(Operation.DELETE_PAYMENT_TOKEN)

    @abstractmethod
    def validate(self, draft: CustomerDraft) -> None:
        """Raise `InvalidRecordError` if `draft` violates the gateway's limits."""

    def checked_body(self, draft: CustomerDraft) -> dict[str, Any]:
        """Return the `payload` of `draft`. Raise `InvalidRecordError` if `draft` violates the gateway's limits."""
        self.validate(draft)
        return self.payload(draft)

    @abstractmethod
    def payload(self, draft: CustomerDraft) -> dict[str, Any]:
        """Return the customer fields of `draft` as a JSON object, without a payment source."""

    def clearable(self, draft: CustomerDraft, fields: Iterable[str]) -> frozenset[str]:
        """Return the subset of `fields` that a write of `draft` can clear. The default is an empty set.

        The `fields`, such as ``email``, ``address.city`` or ``metadata.plan``, have no value in the draft.
        """
        return frozenset()

    @abstractmethod
    def compare(self, draft: CustomerDraft, customer: Customer) -> Comparison:
        """Compare `draft` with a customer returned by the gateway."""


def path_segment(gateway: str, name: str, value: object, longest: int = 255) -> str:
    """Return `value` percent-encoded as one segment of a path.

    The error contains `gateway` and the `name` of the value, such as ``id``.

    Raises:
        InvalidRecordError: `value` cannot be a path segment, or has more than `longest` characters.
    """
    if isinstance(value, str) and len(value) <= longest and _PLAIN_SEGMENT.fullmatch(value):
        return str.__str__(value)  # `str` of an enum member would be its name
    problem = path_segment_problem(value, longest)
    if problem:
        raise InvalidRecordError(gateway, [Violation(name, None, problem)])
    return quote(cast("str", value), safe="")


_PLAIN_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_DOT_SEGMENT = re.compile(r"(?:^|[/\\])\.\.?(?:[/\\]|$)")  # also after %2F, which some servers decode
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
UNPAIRED_SURROGATE = re.compile(r"[\ud800-\udfff]")


def path_segment_problem(value: object, longest: int) -> str | None:
    """Return why `value` cannot be one segment of a path, or None if it can.

    The value must be a str of 1 to `longest` characters of valid Unicode without control characters, and without the
    segments ``.`` and ``..``.
    """
    if not isinstance(value, str):
        return f"must be a str, not {type(value).__name__}"
    if not 1 <= len(value) <= longest:
        return f"must have 1 to {longest} characters, but has {len(value)}"
    if _DOT_SEGMENT.search(value):
        return "must not contain the segments . or .., because they would change the path"
    if value.isascii() and value.isprintable():
        return None  # most values, without the slower search
    if _CONTROL.search(value):
        return "must not contain control characters"
    return "must be valid Unicode" if UNPAIRED_SURROGATE.search(value) else None
