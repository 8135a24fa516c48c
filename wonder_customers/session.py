"""`CustomerSession`: the operations on customers, and views that share its connections."""

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, Unpack

from attrs import evolve

from wonder_customers._core import arguments
from wonder_customers._core.attempt import AttemptRunner
from wonder_customers._core.context import check_owner
from wonder_customers._core.executor import Executor
from wonder_customers._core.listing import Listing
from wonder_customers._core.operations import RawOperations, SessionState, expect
from wonder_customers._core.view_settings import SessionOptions, ViewSettings
from wonder_customers._core.write_locks import WriteLocks, WriteOrder
from wonder_customers.dialects.base import Account
from wonder_customers.dialects.capabilities import AnySource, DeletesCustomers, StoresPaymentTokens
from wonder_customers.dialects.comparison import Comparison
from wonder_customers.dialects.filters import CustomerFilter
from wonder_customers.errors import AmbiguousReferenceError, CallError, NotFoundError, SessionClosedError
from wonder_customers.rate_limit import RateLimiter
from wonder_customers.records import Customer, CustomerDraft, CustomerPatch, PaymentToken, Response
from wonder_customers.retry import RetryPolicy
from wonder_customers.secret import concealed_coroutine
from wonder_customers.transports import check_transport
from wonder_customers.wire import HttpxCompatibleTransport, Transport

if TYPE_CHECKING:  # loaded only when there are observers
    from wonder_customers.events import Observer, Stats

__all__ = ["CustomerSession", "SessionOptions"]

AnyAccount_co = TypeVar("AnyAccount_co", bound=Account, covariant=True)
OtherAccount = TypeVar("OtherAccount", bound=Account)


class CustomerSession(Generic[AnyAccount_co]):
    """Async client for one gateway account: connection pool, retry policy, customer operations.

    Open a session with ``async with`` and share it between any number of tasks of one event loop (asyncio or trio).
    Each operation returns its result or raises an error that states whether the operation was applied. Outside the
    block, operations raise `SessionClosedError`.

    Args:
        account: The account: `Wonder`, `Paydock`, `Monri`, or an account of an installed dialect.
        retry: When requests are sent again, and the deadline of each call; None for ``RetryPolicy()``.
        rate_limit: When requests may be sent: a `RateLimit`, an `AdaptiveRateLimit` or another `RateLimiter`; None for
            no limit. Lookups, retries and token requests count too. Views share the rate limit.
        transport: None for the default, a `Transport`, a transport of httpx or httpx2, or a function that returns a
            transport. A transport passed by the caller is not closed with the session.
        max_connections: Maximum number of connections, shared with all views. A `Transport` has its own limit.
        observers: Called with the events of the session and its calls; see `wonder_customers.events`.
        strict: Whether fields that differ from the gateway's documentation raise `InvalidResponseError`. By default,
            they are reported; see `wonder_customers.events.ResponseDrift`.
        app_info: Name and version of the application, such as ``shop/3.1``, appended to the ``User-Agent`` header.

    Raises:
        ConfigurationError: An argument is invalid.
    """

    def __init__(
        self,
        account: AnyAccount_co,
        *,
        retry: RetryPolicy | None = None,
        rate_limit: RateLimiter | None = None,
        transport: Transport
        | HttpxCompatibleTransport
        | Callable[[], Transport | HttpxCompatibleTransport]
        | None = None,
        max_connections: int = 32,
        observers: "Iterable[Observer]" = (),
        strict: bool = False,
        app_info: str | None = None,
    ) -> None:
        arguments.check_account(account)
        policy = arguments.checked_policy(retry)
        arguments.check_rate_limit(rate_limit)
        check_transport(transport, max_connections)
        order = WriteOrder(WriteLocks())
        runner = AttemptRunner(None, order, strict, rate_limit)
        executor = Executor(runner, order, observers=arguments.observer_group(observers))
        shared = SessionState(executor, policy, transport, max_connections, arguments.check_app_info(app_info))
        self._bind(account, shared, ViewSettings(policy), owner=True)

    def _bind(self, account: Any, shared: SessionState, settings: ViewSettings, *, owner: bool) -> None:
        self._account: AnyAccount_co = account
        self._shared, self._owner, self._settings = shared, owner, settings
        context = shared.account_context(account, settings)
        self._dialect, self._account_state = context.dialect, context.account
        self.raw: RawOperations = RawOperations(shared, context)

    @property
    def gateway(self) -> str:
        """The name of the gateway: ``wonder``, ``paydock``, ``monri``, or the name from an installed dialect."""
        return self._dialect.gateway

    @property
    def account(self) -> AnyAccount_co:
        """The account of this session or view."""
        return self._account

    @property
    def rate_limit(self) -> RateLimiter | None:
        """The rate limit of this session and its views; None without a rate limit."""
        return self._shared.executor.runner.rate_limit

    def __repr__(self) -> str:
        state = f"open ({self._shared.transport_description})" if self._shared.loop is not None else "not open yet"
        return f"<CustomerSession {self._dialect.gateway} {'closed' if self._shared.closed else state}>"

    async def __aenter__(self) -> Self:
        if self._owner:
            if self._shared.closed or self._shared.loop is not None:
                raise SessionClosedError("a session can be opened only once. Create a new CustomerSession.")
            self._shared.open()
            if self._shared.executor.observers is not None:
                self._shared.executor.observers.opened(self._shared.stats)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._owner:
            try:
                await self._shared.aclose()
            finally:
                if self._shared.executor.observers is not None:
                    self._shared.executor.observers.closed()

    def for_account(self, account: OtherAccount, **options: Unpack[SessionOptions]) -> "CustomerSession[OtherAccount]":
        """Return a view of the same connections for another account, of the same or another gateway.

        A view needs no closing, and ends with this session.

        Args:
            account: The account. It determines the language, unless `language` is given.
            **options: As for `with_options`.

        Raises:
            ConfigurationError: `account` is not an account, or an option is unknown or invalid.
        """
        arguments.check_account(account)
        return self._view(account, evolve(self._settings, language=None).changed(options))

    def with_options(self, **options: Unpack[SessionOptions]) -> "CustomerSession[AnyAccount_co]":
        """Return a view of this session with some options changed. Options that are missing or None keep their values.

        Raises:
            ConfigurationError: An option is unknown or invalid.
        """
        return self._view(self._account, self._settings.changed(options))

    def _view(self, account: OtherAccount, settings: ViewSettings) -> "CustomerSession[OtherAccount]":
        view: CustomerSession[OtherAccount] = CustomerSession.__new__(CustomerSession)
        view._bind(account, self._shared, settings, owner=False)
        self._shared.views += 1
        return view

    def stats(self) -> "Stats":
        """Return the statistics of the session and its views, or of a view's account. Threads may call this method."""
        return self._shared.stats(None if self._owner else self._account_state)

    def validate(self, draft: CustomerDraft) -> None:
        """Check `draft` against the gateway's documented limits. Nothing is sent.

        Raises:
            InvalidRecordError: `draft` is not a `CustomerDraft`, contains card data, or violates limits.
        """
        self.raw._checked(draft)  # noqa: SLF001 - not for applications

    def payload(self, draft: CustomerDraft) -> dict[str, Any]:
        """Return the customer fields of the request body for `draft`, without a payment source. No limit is checked.

        Raises:
            InvalidRecordError: `draft` is not a `CustomerDraft`.
        """
        expect(self._dialect, "draft", draft, CustomerDraft)
        return self._dialect.payload(draft)

    def compare(self, draft: CustomerDraft, customer: Customer) -> Comparison:
        """Return the fields in which `customer` differs from `draft`, and fields that only normalisation makes equal.

        Raises:
            InvalidRecordError: An argument has a wrong type.
        """
        expect(self._dialect, "draft", draft, CustomerDraft)
        expect(self._dialect, "customer", customer, Customer)
        return self._dialect.compare(draft, customer)

    async def check(self) -> None:
        """Check the credentials by reading a page of one customer.

        Raises:
            CallError: The gateway does not accept the credentials, or the request failed.
        """
        await self.raw.page(limit=1)

    async def create(self, draft: CustomerDraft) -> Customer:
        """Create a customer. At Wonder, this is an upsert by reference.

        Raises:
            InvalidRecordError: The draft is invalid; see `validate`. Nothing was sent.
            ConflictError: Another customer, possibly a deleted one, has the reference. Paydock does not check this.
            OutcomeUnknownError: The customer may have been created. If the draft has a reference, call `resolve`.
            CallError: The call failed for another reason.
        """
        return (await self.raw.create(draft)).record

    async def upsert(self, draft: CustomerDraft) -> Customer:
        """Create the customer with this reference, or update it with the fields of the draft.

        Raises:
            AmbiguousReferenceError: Several customers have the reference (Paydock).
            InvalidRecordError, ConflictError, OutcomeUnknownError, CallError: As for `create`.
        """
        return (await self.raw.upsert(draft)).record

    async def get(self, id: str) -> Customer:
        """Return the customer with the gateway's `id`.

        Raises:
            NotFoundError: The customer does not exist.
            InvalidRecordError, CallError: `id` is invalid, or the call failed for another reason.
        """
        return (await self.raw.get(id)).record

    async def get_by_reference(self, reference: str) -> Customer:
        """Return the customer with exactly this `reference`.

        Raises:
            NotFoundError: The customer does not exist.
            AmbiguousReferenceError: Several customers have the reference (Paydock).
            InvalidRecordError, CallError: `reference` is invalid, or the call failed for another reason.
        """
        return (await self.raw.get_by_reference(reference)).record

    async def update(self, id: str, patch: CustomerPatch) -> Customer:
        """Change the fields of a customer that are not `UNSET` in `patch`; None clears a field.

        Raises:
            NotFoundError: The customer does not exist.
            OutcomeUnknownError: The customer may have been changed. Call `resolve`.
            InvalidRecordError, CallError: An argument is invalid, or the call failed for another reason.
        """
        return (await self.raw.update(id, patch)).record

    async def delete(self: "CustomerSession[DeletesCustomers]", id: str) -> None:
        """Soft-delete a customer (Monri) or archive it (Paydock). Wonder does not offer this operation.

        Raises:
            UnsupportedOperationError: The gateway does not offer the operation. Nothing was sent.
            NotFoundError: The customer does not exist.
            OutcomeUnknownError: The customer may have been deleted. Call `resolve`.
            InvalidRecordError, CallError: `id` is invalid, or the call failed for another reason.
        """
        await self.raw.delete(id)

    def list(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        filter: CustomerFilter[AnyAccount_co] | None = None,
    ) -> Listing:
        """Return the customers as an async iterator. Collect them before you delete any: deletions shift the pages.

        On trio, leave a loop early only inside ``async with session.list() as customers``.

        Args:
            limit: Customers per request, 1 to 1000; None for the gateway's default.
            cursor: The `Page.cursor` of an earlier page, to continue after that page; None for the first page.
            filter: A filter of the gateway, such as `WonderFilter` or `PaydockFilter`; None for all customers.

        Raises:
            UnsupportedOperationError: While iterating: the gateway does not support filters (Monri).
            InvalidRecordError, CallError: While iterating: an argument is invalid, or a page could not be read.
        """
        return Listing(self.raw, limit, cursor, filter)

    @concealed_coroutine
    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        json: Any = None,
        idempotent: bool = False,
    ) -> Response[Any]:
        """Send a signed request to an endpoint that has no operation in this library.

        Args:
            method: GET, POST, PUT, PATCH or DELETE.
            path: The path from the root of the gateway's host, percent-encoded, such as ``/v2/customers``.
            query: Query parameters.
            json: The body, sent as JSON; None for no body.
            idempotent: Whether a write may be sent again if its response is lost. A GET may always be sent again.

        Returns:
            The response. Its `record` is the decoded JSON; None for an empty body. A status in the JSON is not
            interpreted.

        Raises:
            InvalidRecordError: An argument is invalid. Nothing was sent.
            OutcomeUnknownError: The write may have been applied.
            CallError: The call failed for another reason.
        """
        return await self.raw.request(method, path, query=query, json=json, idempotent=idempotent)

    async def resolve(self, error: CallError) -> Customer | None:
        """Return the customer of a failed write as it is now; None if the gateway does not have it.

        A customer whose create is unconfirmed may appear later: call again.

        Raises:
            ConfigurationError: `error` was raised by a call of another account.
            AmbiguousReferenceError: Several customers have the reference.
            CallError: `error` itself: the read failed with the error in `__cause__`, or no id or reference is known.
        """
        check_owner(error, self.raw._account_context)  # noqa: SLF001 - not for applications
        try:
            if error.id is not None:
                return await self.get(error.id)
            if error.reference is not None:
                return await self.get_by_reference(error.reference)
        except AmbiguousReferenceError:
            raise
        except CallError as failed:
            if isinstance(failed, NotFoundError) and failed.certain:
                return None
            raise error from failed
        raise error

    async def resolve_payment_tokens(self, error: CallError) -> tuple[PaymentToken, ...]:
        """Return the customer's payment tokens after an error of `create_payment_token` or `delete_payment_token`.

        Raises:
            ConfigurationError, CallError: As for `resolve`. The customer's id must be known.
        """
        check_owner(error, self.raw._account_context)  # noqa: SLF001 - not for applications
        try:
            if error.id is not None:
                return await self.list_payment_tokens(error.id)
        except CallError as failed:
            raise error from failed
        raise error

    async def list_payment_tokens(self, customer_id: str) -> tuple[PaymentToken, ...]:
        """Return the stored payment methods of a customer.

        Raises:
            UnsupportedOperationError: The gateway does not offer the operation. Nothing was sent.
            NotFoundError: The customer does not exist.
            InvalidRecordError, CallError: `customer_id` is invalid, or the call failed for another reason.
        """
        return (await self.raw.list_payment_tokens(customer_id)).record

    async def create_payment_token(
        self: "CustomerSession[StoresPaymentTokens[AnySource]]", customer_id: str, source: AnySource
    ) -> PaymentToken:
        """Store a payment method: any payment source at Paydock, a `WonderCard` at Wonder.

        At Wonder, the token may be ``pending``. The cardholder then has to visit `PaymentToken.verify_url`; call
        `check_payment_token` afterwards.

        Raises:
            UnsupportedOperationError: The gateway does not offer the operation (Monri). Nothing was sent.
            OutcomeUnknownError: The payment method may have been stored. Call `resolve_payment_tokens`.
            InvalidRecordError, CallError: An argument is invalid, or the call failed for another reason.
        """
        return (await self.raw.create_payment_token(customer_id, source)).record

    async def check_payment_token(
        self: "CustomerSession[StoresPaymentTokens[Any]]", customer_id: str, token: str | PaymentToken
    ) -> PaymentToken:
        """Return the current state of a token.

        Raises:
            UnsupportedOperationError: The gateway does not offer the operation (Monri). Nothing was sent.
            NotFoundError: The customer does not have this token.
            InvalidRecordError, CallError: An argument is invalid, or the call failed for another reason.
        """
        return (await self.raw.check_payment_token(customer_id, token)).record

    async def delete_payment_token(
        self: "CustomerSession[StoresPaymentTokens[Any]]", customer_id: str, token: str | PaymentToken
    ) -> None:
        """Delete a token (Wonder) or archive it (Paydock).

        Raises:
            UnsupportedOperationError: The gateway does not offer the operation (Monri). Nothing was sent.
            NotFoundError: The customer does not have this token.
            InvalidRecordError, CallError: An argument is invalid, or the call failed for another reason.
        """
        await self.raw.delete_payment_token(customer_id, token)
