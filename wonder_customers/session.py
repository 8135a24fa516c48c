"""`CustomerSession`: the verbs, and views of the same connections for other accounts."""

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from wonder_customers._core.attempt import AttemptRunner
from wonder_customers._core.executor import Executor
from wonder_customers._core.operations import Listing, RawOperations, SessionState, expect
from wonder_customers._core.write_locks import WriteLocks
from wonder_customers._support import clock
from wonder_customers.dialects.base import Account
from wonder_customers.dialects.capabilities import DeletesCustomers, StoresPaymentTokens
from wonder_customers.errors import CallError, ConfigurationError, NotFoundError, SessionClosedError
from wonder_customers.records import Customer, CustomerDraft, CustomerPatch, PaymentSource, PaymentToken
from wonder_customers.retry import RetryPolicy
from wonder_customers.transports import check_transport
from wonder_customers.wire import HttpxCompatibleTransport, Transport

if TYPE_CHECKING:  # loaded only where somebody watches
    from wonder_customers._core.observers import ObserverGroup
    from wonder_customers.events import Observer, Stats

__all__ = ["CustomerSession"]

AnyAccount_co = TypeVar("AnyAccount_co", bound=Account, covariant=True)
OtherAccount = TypeVar("OtherAccount", bound=Account)


class CustomerSession(Generic[AnyAccount_co]):
    """An open line to gateways: a pool of connections, a retry policy and the verbs.

    Open it once with ``async with`` and share it between as many tasks as you like; it lives on the event loop that
    opened it (asyncio or trio). Every verb ends with its result, or with an error that says whether it was applied.

    Args:
        account: Whose customers: `Wonder`, `Paydock`, `Monri`, or an account of a dialect that you installed.
        retry: When to send again, and the deadline of every call.
        transport: None for the default one, a `Transport`, or an httpx transport of your own. What you pass stays
            yours to close.
        max_connections: The most connections at a time, over all views of this session.
        observers: Called with an event whenever a call, an attempt or a wait begins or ends; see
            `wonder_customers.events`.
        strict: Whether a response with fields that differ from the gateway's documents raises `InvalidResponseError`.
            By default such fields are converted or None, and reported; see `wonder_customers.events.ResponseDrift`.

    Raises:
        ConfigurationError: An argument cannot work.
    """

    def __init__(
        self,
        account: AnyAccount_co,
        *,
        retry: RetryPolicy | None = None,
        transport: Transport
        | HttpxCompatibleTransport
        | Callable[[], Transport | HttpxCompatibleTransport]
        | None = None,
        max_connections: int = 32,
        observers: "Iterable[Observer]" = (),
        strict: bool = False,
    ) -> None:
        _check_account(account)
        policy = RetryPolicy() if retry is None else retry
        if not isinstance(policy, RetryPolicy):
            raise ConfigurationError("retry must be a RetryPolicy")
        check_transport(transport, max_connections)
        observer_group = _observer_group(observers)
        attempts = AttemptRunner(None, policy, strict=strict)
        executor = Executor(attempts, policy, WriteLocks(clock.monotonic), observers=observer_group)
        shared = SessionState(executor, policy, transport, max_connections)
        self._bind(account, shared, owner=True)

    def _bind(self, account: Any, shared: SessionState, *, owner: bool) -> None:
        self._account: AnyAccount_co = account
        self._shared, self._owner = shared, owner
        account_context = shared.account_context(account)
        self._dialect = account_context.dialect
        self.raw: RawOperations = RawOperations(shared, account_context)

    @property
    def gateway(self) -> str:
        """The gateway's name: ``wonder``, ``paydock``, ``monri``, or that of a gateway of your own."""
        return self._dialect.gateway

    @property
    def account(self) -> AnyAccount_co:
        """The account this session or view speaks for."""
        return self._account

    def __repr__(self) -> str:
        state = f"open ({self._shared.transport_description})" if self._shared.loop is not None else "not open yet"
        return f"<CustomerSession {self._dialect.gateway} {'closed' if self._shared.closed else state}>"

    async def __aenter__(self) -> Self:
        if self._owner:
            if self._shared.closed or self._shared.loop is not None:
                raise SessionClosedError("a session is opened once: make a new CustomerSession")
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

    def for_account(self, account: OtherAccount) -> "CustomerSession[OtherAccount]":
        """A view on the same connections for another merchant of the same or another gateway.

        It costs little and needs no closing; it ends with this session.
        """
        _check_account(account)
        view: CustomerSession[OtherAccount] = CustomerSession.__new__(CustomerSession)
        view._bind(account, self._shared, owner=False)
        self._shared.views += 1
        return view

    def stats(self) -> "Stats":
        """What this session and its views have done so far, and what they are doing; see `wonder_customers.events`.

        It waits for nothing, sends nothing, and may be asked from any thread and after the session was closed.
        """
        return self._shared.stats()

    def validate(self, draft: CustomerDraft) -> None:
        """Hold `draft` against the gateway's documented limits, without sending anything.

        Raises:
            InvalidRecordError: The gateway cannot take it, all violations are listed; or it is no draft.
        """
        expect(self._dialect, "draft", draft, CustomerDraft)
        self._dialect.validate(draft)

    def payload(self, draft: CustomerDraft) -> dict[str, Any]:
        """The customer's fields as `draft` would put them on this gateway's wire, without any payment source.

        Raises:
            InvalidRecordError: It is no draft.
        """
        expect(self._dialect, "draft", draft, CustomerDraft)
        return self._dialect.payload(draft)

    def differences(self, draft: CustomerDraft, customer: Customer) -> tuple[str, ...]:
        """The names of the fields of `draft` that `customer`, as the gateway holds it, does not repeat.

        Raises:
            InvalidRecordError: They are no draft and no customer.
        """
        expect(self._dialect, "draft", draft, CustomerDraft)
        expect(self._dialect, "customer", customer, Customer)
        return self._dialect.differences(draft, customer)

    async def check(self) -> None:
        """Find out whether the credentials are right, by asking for one customer.

        Raises:
            AuthenticationError, PermissionDeniedError: They are not.
            CallError: The gateway could not be asked.
        """
        await self.raw.page(limit=1)

    async def create(self, draft: CustomerDraft) -> Customer:
        """Make a customer. On Wonder this is an upsert by reference; elsewhere a reference that is taken is refused.

        Without a reference nothing can be looked up afterwards, so a lost answer ends in `OutcomeUnknownError`.

        Raises:
            InvalidRecordError: The draft breaks the gateway's limits; nothing was sent.
            ConflictError: Another customer holds the reference (Monri; Paydock does not check).
            OutcomeUnknownError: It may have been made; `OutcomeUnknownError.resolve` asks.
            CallError: Anything else that ended the call.
        """
        return (await self.raw.create(draft)).record

    async def upsert(self, draft: CustomerDraft) -> Customer:
        """Make the customer with this reference, or bring it up to date: the fields of the draft are written.

        Raises:
            AmbiguousReferenceError: Several customers hold the reference (Paydock).
            InvalidRecordError, OutcomeUnknownError, CallError: As for `create`.
        """
        return (await self.raw.upsert(draft)).record

    async def get(self, id: str) -> Customer:
        """The customer with the gateway's own `id`.

        Raises:
            NotFoundError: There is none.
            CallError: The call ended otherwise.
        """
        return (await self.raw.get(id)).record

    async def get_by_reference(self, reference: str) -> Customer:
        """The customer with your own `reference`, matched exactly.

        Raises:
            NotFoundError: There is none.
            AmbiguousReferenceError: Several hold it (Paydock).
            CallError: The call ended otherwise.
        """
        return (await self.raw.get_by_reference(reference)).record

    async def update(self, id: str, patch: CustomerPatch) -> Customer:
        """Change some fields: those left `UNSET` stay, None clears. On Wonder: read, merge and write.

        Raises:
            NotFoundError: There is no such customer.
            InvalidRecordError, OutcomeUnknownError, CallError: As for `create`.
        """
        return (await self.raw.update(id, patch)).record

    async def delete(self: "CustomerSession[DeletesCustomers]", id: str) -> None:
        """Delete softly (Monri) or archive (Paydock). Wonder has no such operation.

        Raises:
            UnsupportedOperationError: The gateway has none; nothing was sent.
            NotFoundError: There is no such customer.
            CallError: The call ended otherwise.
        """
        await self.raw.delete(id)

    def list(
        self, *, limit: int | None = None, cursor: str | None = None, filters: Mapping[str, str] | None = None
    ) -> Listing:
        """All customers, as an async iterator.

        Args:
            limit: Customers per request (1 to 1000), not in all.
            cursor: Where an earlier page ended, to go on from there.
            filters: The gateway's own query parameters, such as ``{"search": "Ada"}`` at Paydock.

        Raises:
            InvalidRecordError: While iterating: the limit, the cursor or the filters are invalid. Nothing was sent.
            UnsupportedOperationError: The gateway's lists know no filters (Monri).
            CallError: A page could not be fetched.
        """
        return Listing(self.raw, limit, cursor, filters)

    async def resolve(self, error: CallError) -> Customer | None:
        """Read the customer that a failed write was about, to find out whether the write was applied.

        Args:
            error: The error of a write, such as an `OutcomeUnknownError`.

        Returns:
            The customer as the gateway holds it now, or None when there is none. None does not prove that the write was
            lost, because it may still be in progress: ask again later.

        Raises:
            OutcomeUnknownError: `error` itself, when the write had neither a reference nor an id.
            CallError: The read failed.
        """
        try:
            if error.id is not None:
                return await self.get(error.id)
            if error.reference is not None:
                return await self.get_by_reference(error.reference)
        except NotFoundError:
            return None
        raise error

    async def resolve_payment_tokens(self, error: CallError) -> tuple[PaymentToken, ...]:
        """Read the payment tokens of the customer whose tokens a failed write was to change.

        Args:
            error: The error of `create_payment_token` or `delete_payment_token`.

        Raises:
            CallError: `error` itself, when it has no customer id; or the read failed.
        """
        if error.id is None:
            raise error
        return await self.list_payment_tokens(error.id)

    async def list_payment_tokens(self, customer_id: str) -> tuple[PaymentToken, ...]:
        """A customer's stored ways to pay.

        Raises:
            NotFoundError: There is no such customer.
            CallError: The call ended otherwise.
        """
        return (await self.raw.list_payment_tokens(customer_id)).record

    async def create_payment_token(
        self: "CustomerSession[StoresPaymentTokens]", customer_id: str, source: PaymentSource
    ) -> PaymentToken:
        """Store a way to pay. On Wonder it may come back ``pending``: the cardholder visits `verify_url`, then check.

        Raises:
            UnsupportedOperationError: The gateway has none (Monri); nothing was sent.
            OutcomeUnknownError: It may have been stored; it is never sent twice.
            InvalidRecordError, CallError: As for `create`.
        """
        return (await self.raw.create_payment_token(customer_id, source)).record

    async def check_payment_token(
        self: "CustomerSession[StoresPaymentTokens]", customer_id: str, token: str | PaymentToken
    ) -> PaymentToken:
        """The present state of one token.

        Raises:
            UnsupportedOperationError: The gateway has none (Monri); nothing was sent.
            NotFoundError: The customer has no such token.
            CallError: The call ended otherwise.
        """
        return (await self.raw.check_payment_token(customer_id, token)).record

    async def delete_payment_token(
        self: "CustomerSession[StoresPaymentTokens]", customer_id: str, token: str | PaymentToken
    ) -> None:
        """Delete (Wonder) or archive (Paydock) one token.

        Raises:
            UnsupportedOperationError: The gateway has none (Monri); nothing was sent.
            NotFoundError: The customer has no such token.
            CallError: The call ended otherwise.
        """
        await self.raw.delete_payment_token(customer_id, token)


def _check_account(account: object) -> None:
    if not callable(getattr(account, "dialect", None)) or isinstance(account, type):
        raise ConfigurationError(
            f"account must be Wonder(…), Paydock(…), Monri(…) or the like, not {type(account).__name__}"
        )


def _observer_group(observers: Any) -> "ObserverGroup | None":
    if not observers:
        return None
    from wonder_customers._core.observers import ObserverGroup  # noqa: PLC0415 - who has no observers does not pay for the import

    return ObserverGroup(observers)
