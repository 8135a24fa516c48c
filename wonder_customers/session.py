"""`CustomerSession`: the verbs, and views of the same connections for other accounts."""

from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import anyio
from anyio.lowlevel import current_token
from attrs import define, field

from wonder_customers._attempt import Attempts, Speaker
from wonder_customers._bearer import Bearer
from wonder_customers._exchange import Exchange
from wonder_customers._turns import Turns
from wonder_customers._wire import Origin
from wonder_customers.dialects.base import Account, Operation, Steps
from wonder_customers.errors import (
    ConfigurationError,
    InvalidRecord,
    InvalidReply,
    SessionClosed,
    Unsupported,
    Violation,
)
from wonder_customers.records import (
    Customer,
    CustomerDraft,
    CustomerPatch,
    Page,
    PaymentSource,
    PaymentToken,
    Reply,
)
from wonder_customers.retry import RetryBudget, RetryPolicy
from wonder_customers.transports import Transport, choose

__all__ = ["CustomerSession", "Listing", "RawVerbs"]

T = TypeVar("T")
AnyAccount = TypeVar("AnyAccount", bound=Account)


@define(eq=False)
class _Shared:
    """What a session and its views have in common."""

    transport: Transport
    exchange: Exchange
    policy: RetryPolicy
    own_transport: bool
    budgets: dict[Origin, RetryBudget] = field(factory=dict)
    bearers: dict[Account, Bearer] = field(factory=dict)
    loop: object = None
    closed: bool = False

    def speaker(self, account: Account) -> Speaker:
        """Who speaks for `account`: one retry budget per gateway host, one bearer token per account."""
        dialect = account.dialect()
        budget = self.budgets.setdefault(dialect.origin, RetryBudget(self.policy.budget))
        bearer = None
        if dialect.token_call() is not None:
            bearer = self.bearers.setdefault(account, Bearer(self.exchange.clock))
        return Speaker(dialect, hash(account), budget, bearer)

    def check_open(self) -> None:
        """Refuse a session that is not open, or open on another event loop."""
        if self.closed:
            raise SessionClosed("the session is closed: its `async with` block has ended. Nothing was sent.")
        if self.loop is None:
            raise SessionClosed(
                "the session is not open yet: use it inside `async with CustomerSession(…)`. Nothing was sent."
            )
        if self.loop != current_token():
            raise SessionClosed(
                "the session was opened on another event loop, and its connections live there: open one session per"
                " loop. Nothing was sent."
            )


class RawVerbs:
    """The session's verbs, each with the facts of its call around the record: status, headers, request id, attempts."""

    __slots__ = ("_shared", "_speaker")

    def __init__(self, shared: _Shared, speaker: Speaker) -> None:
        self._shared = shared
        self._speaker = speaker

    async def _run(
        self, operation: Operation, steps: Steps[T], subject: tuple[str, Any] | None = None
    ) -> Reply[T]:
        about = subject if subject is not None and isinstance(subject[1], str) else None
        return await self._shared.exchange.run(self._speaker, operation, steps, about)

    def _ready(self, operation: Operation) -> Any:
        """The dialect, when it may be asked for `operation` now."""
        self._shared.check_open()
        dialect = self._speaker.dialect
        if operation in dialect.lacks:
            raise Unsupported(dialect.gateway, operation, dialect.lacks[operation])
        return dialect

    def _expect(self, name: str, value: object, kind: type) -> None:
        if not isinstance(value, kind):
            broken = Violation(name, None, f"must be a {kind.__name__}, not {type(value).__name__}")
            raise InvalidRecord(self._speaker.dialect.gateway, [broken])

    async def create(self, draft: CustomerDraft) -> Reply[Customer]:
        """See `CustomerSession.create`."""
        dialect = self._ready(Operation.CREATE)
        self._expect("draft", draft, CustomerDraft)
        return await self._run(Operation.CREATE, dialect.create(draft), ("reference", draft.reference))

    async def upsert(self, draft: CustomerDraft) -> Reply[Customer]:
        """See `CustomerSession.upsert`."""
        dialect = self._ready(Operation.UPSERT)
        self._expect("draft", draft, CustomerDraft)
        return await self._run(Operation.UPSERT, dialect.upsert(draft), ("reference", draft.reference))

    async def get(self, id: str) -> Reply[Customer]:
        """See `CustomerSession.get`."""
        return await self._run(Operation.GET, self._ready(Operation.GET).get(id))

    async def get_by_reference(self, reference: str) -> Reply[Customer]:
        """See `CustomerSession.get_by_reference`."""
        dialect = self._ready(Operation.GET_BY_REFERENCE)
        return await self._run(Operation.GET_BY_REFERENCE, dialect.get_by_reference(reference))

    async def update(self, id: str, patch: CustomerPatch) -> Reply[Customer]:
        """See `CustomerSession.update`."""
        dialect = self._ready(Operation.UPDATE)
        self._expect("patch", patch, CustomerPatch)
        return await self._run(Operation.UPDATE, dialect.update(id, patch), ("id", id))

    async def delete(self, id: str) -> Reply[None]:
        """See `CustomerSession.delete`."""
        return await self._run(Operation.DELETE, self._ready(Operation.DELETE).delete(id), ("id", id))

    async def page(
        self, limit: int | None = None, cursor: str | None = None, filters: Mapping[str, str] | None = None
    ) -> Reply[Page[Customer]]:
        """One page of `CustomerSession.list`."""
        dialect = self._ready(Operation.LIST)
        size = dialect.page_limit if limit is None else limit
        if type(size) is not int or not 1 <= size <= 1000:
            raise InvalidRecord(
                dialect.gateway, [Violation("limit", "limit", "must be a whole number from 1 to 1000")]
            )
        return await self._run(Operation.LIST, dialect.page(size, cursor, filters or {}))

    async def list_payment_tokens(self, customer_id: str) -> Reply[tuple[PaymentToken, ...]]:
        """See `CustomerSession.list_payment_tokens`."""
        dialect = self._ready(Operation.LIST_PAYMENT_TOKENS)
        return await self._run(Operation.LIST_PAYMENT_TOKENS, dialect.list_payment_tokens(customer_id))

    async def create_payment_token(self, customer_id: str, source: PaymentSource) -> Reply[PaymentToken]:
        """See `CustomerSession.create_payment_token`."""
        dialect = self._ready(Operation.CREATE_PAYMENT_TOKEN)
        steps = dialect.create_payment_token(customer_id, source)
        return await self._run(Operation.CREATE_PAYMENT_TOKEN, steps, ("id", customer_id))

    async def check_payment_token(self, customer_id: str, token: str | PaymentToken) -> Reply[PaymentToken]:
        """See `CustomerSession.check_payment_token`."""
        dialect = self._ready(Operation.CHECK_PAYMENT_TOKEN)
        steps = dialect.check_payment_token(customer_id, self._token(token))
        return await self._run(Operation.CHECK_PAYMENT_TOKEN, steps)

    async def delete_payment_token(self, customer_id: str, token: str | PaymentToken) -> Reply[None]:
        """See `CustomerSession.delete_payment_token`."""
        dialect = self._ready(Operation.DELETE_PAYMENT_TOKEN)
        steps = dialect.delete_payment_token(customer_id, self._token(token))
        return await self._run(Operation.DELETE_PAYMENT_TOKEN, steps, ("id", customer_id))

    def _token(self, token: object) -> PaymentToken:
        found = (
            token
            if isinstance(token, PaymentToken)
            else PaymentToken(token)
            if isinstance(token, str)
            else None
        )
        if found is None or not found.token:
            broken = Violation("token", "token", "must be a token's text or a PaymentToken, and not empty")
            raise InvalidRecord(self._speaker.dialect.gateway, [broken])
        return found


class Listing:
    """All customers of a list, page after page: ``async for customer in session.list()``.

    Customers that move to a later page while the list is walked (newest first) are given once.
    """

    def __init__(
        self, raw: RawVerbs, limit: int | None, cursor: str | None, filters: Mapping[str, str] | None
    ) -> None:
        self._raw = raw
        self._limit, self._cursor, self._filters = limit, cursor, filters
        self._customers: AsyncIterator[Customer] | None = None

    async def pages(self) -> AsyncIterator[Page[Customer]]:
        """The pages as the gateway serves them. A page's `cursor` resumes the list after it.

        Raises:
            InvalidReply: The gateway sends the same page again and again.
        """
        cursor, before = self._cursor, None
        while True:
            page = (await self._raw.page(self._limit, cursor, self._filters)).record
            ids = [customer.id for customer in page.items]
            if ids and ids == before:
                raise InvalidReply(
                    "the gateway sent the same page twice: it does not heed the offset", operation="list"
                )
            yield page
            if page.cursor is None:
                return
            cursor, before = page.cursor, ids

    async def _walk(self) -> AsyncIterator[Customer]:
        recent: set[str] = set()
        async for page in self.pages():
            for customer in page.items:
                if customer.id not in recent:
                    yield customer
            recent = {customer.id for customer in page.items}

    def __aiter__(self) -> AsyncIterator[Customer]:
        return self._walk()

    async def __anext__(self) -> Customer:
        self._customers = self._customers or self._walk()
        return await anext(self._customers)


class CustomerSession(Generic[AnyAccount]):
    """An open line to gateways: a pool of connections, a retry policy and the verbs.

    Open it once with ``async with`` and share it between as many tasks as you like; it lives on the event loop that
    opened it (asyncio or trio). Every verb ends with its result, or with an error that says whether it was applied.

    Args:
        account: Whose customers: `Wonder`, `Paydock`, `Monri`, or an account of a dialect that you installed.
        retry: When to send again, and the deadline of every call.
        transport: None for the default one, a `Transport`, or an httpx transport of your own. What you pass stays
            yours to close.
        max_connections: The most connections at a time, over all views of this session.

    Raises:
        ConfigurationError: An argument cannot work.
    """

    def __init__(
        self,
        account: AnyAccount,
        *,
        retry: RetryPolicy | None = None,
        transport: Any = None,
        max_connections: int = 32,
    ) -> None:
        _check_account(account)
        policy = RetryPolicy() if retry is None else retry
        if not isinstance(policy, RetryPolicy):
            raise ConfigurationError("retry must be a RetryPolicy")
        chosen = choose(transport, max_connections)
        exchange = Exchange(Attempts(chosen, policy), policy, Turns(anyio.current_time))
        shared = _Shared(chosen, exchange, policy, own_transport=chosen is not transport)
        self._bind(account, shared, owner=True)

    def _bind(self, account: AnyAccount, shared: _Shared, *, owner: bool) -> None:
        self._account, self._shared, self._owner = account, shared, owner
        speaker = shared.speaker(account)
        self._dialect = speaker.dialect
        self.raw = RawVerbs(shared, speaker)

    @property
    def account(self) -> AnyAccount:
        """The account this session or view speaks for."""
        return self._account

    def __repr__(self) -> str:
        state = (
            "closed" if self._shared.closed else "open" if self._shared.loop is not None else "not open yet"
        )
        return f"<CustomerSession {self._dialect.gateway} {state}>"

    async def __aenter__(self) -> Self:
        if self._owner:
            if self._shared.closed or self._shared.loop is not None:
                raise SessionClosed("a session is opened once: make a new CustomerSession")
            self._shared.loop = current_token()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._owner:
            self._shared.closed = True
            if self._shared.own_transport:
                await self._shared.transport.aclose()

    def for_account(self, account: Account) -> "CustomerSession[Any]":
        """A view on the same connections for another merchant of the same or another gateway.

        It costs little and needs no closing; it ends with this session.
        """
        _check_account(account)
        view: CustomerSession[Any] = CustomerSession.__new__(CustomerSession)
        view._bind(account, self._shared, owner=False)
        return view

    def validate(self, draft: CustomerDraft) -> None:
        """Hold `draft` against the gateway's documented limits, without sending anything.

        Raises:
            InvalidRecord: The gateway cannot take it; all violations are listed.
        """
        self._dialect.validate(draft)

    def payload(self, draft: CustomerDraft) -> dict[str, Any]:
        """The customer's fields as `draft` would put them on this gateway's wire, without any payment source."""
        return self._dialect.payload(draft)

    def differences(self, draft: CustomerDraft, customer: Customer) -> tuple[str, ...]:
        """The names of the fields of `draft` that `customer`, as the gateway holds it, does not repeat."""
        return self._dialect.differences(draft, customer)

    async def check(self) -> None:
        """Find out whether the credentials are right, by asking for one customer.

        Raises:
            Unauthorized, Forbidden: They are not.
            CallFailed: The gateway could not be asked.
        """
        await self.raw.page(limit=1)

    async def create(self, draft: CustomerDraft) -> Customer:
        """Make a customer. On Wonder this is an upsert by reference; elsewhere a reference that is taken is refused.

        Without a reference nothing can be looked up afterwards, so a lost answer ends in `OutcomeUnknown`.

        Raises:
            InvalidRecord: The draft breaks the gateway's limits; nothing was sent.
            Duplicate: Another customer holds the reference (Monri; Paydock does not check).
            OutcomeUnknown: It may have been made; `OutcomeUnknown.resolve` asks.
            CallFailed: Anything else that ended the call.
        """
        return (await self.raw.create(draft)).record

    async def upsert(self, draft: CustomerDraft) -> Customer:
        """Make the customer with this reference, or bring it up to date: the fields of the draft are written.

        Raises:
            Ambiguous: Several customers hold the reference (Paydock).
            InvalidRecord, OutcomeUnknown, CallFailed: As for `create`.
        """
        return (await self.raw.upsert(draft)).record

    async def get(self, id: str) -> Customer:
        """The customer with the gateway's own `id`.

        Raises:
            NotFound: There is none.
            CallFailed: The call ended otherwise.
        """
        return (await self.raw.get(id)).record

    async def get_by_reference(self, reference: str) -> Customer:
        """The customer with your own `reference`, matched exactly.

        Raises:
            NotFound: There is none.
            Ambiguous: Several hold it (Paydock).
            CallFailed: The call ended otherwise.
        """
        return (await self.raw.get_by_reference(reference)).record

    async def update(self, id: str, patch: CustomerPatch) -> Customer:
        """Change some fields: those left `UNSET` stay, None clears. On Wonder: read, merge and write.

        Raises:
            NotFound: There is no such customer.
            InvalidRecord, OutcomeUnknown, CallFailed: As for `create`.
        """
        return (await self.raw.update(id, patch)).record

    async def delete(self, id: str) -> None:
        """Delete softly (Monri) or archive (Paydock). Wonder has no such operation.

        Raises:
            Unsupported: The gateway has none; nothing was sent.
            NotFound: There is no such customer.
            CallFailed: The call ended otherwise.
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
        """
        return Listing(self.raw, limit, cursor, filters)

    async def list_payment_tokens(self, customer_id: str) -> tuple[PaymentToken, ...]:
        """A customer's stored ways to pay.

        Raises:
            NotFound: There is no such customer.
            CallFailed: The call ended otherwise.
        """
        return (await self.raw.list_payment_tokens(customer_id)).record

    async def create_payment_token(self, customer_id: str, source: PaymentSource) -> PaymentToken:
        """Store a way to pay. On Wonder it may come back ``pending``: send the cardholder to its `verify_url`, then check.

        Raises:
            Unsupported: The gateway has none (Monri); nothing was sent.
            OutcomeUnknown: It may have been stored; it is never sent twice.
            InvalidRecord, CallFailed: As for `create`.
        """
        return (await self.raw.create_payment_token(customer_id, source)).record

    async def check_payment_token(self, customer_id: str, token: str | PaymentToken) -> PaymentToken:
        """The present state of one token.

        Raises:
            Unsupported: The gateway has none (Monri); nothing was sent.
            NotFound: The customer has no such token.
            CallFailed: The call ended otherwise.
        """
        return (await self.raw.check_payment_token(customer_id, token)).record

    async def delete_payment_token(self, customer_id: str, token: str | PaymentToken) -> None:
        """Delete (Wonder) or archive (Paydock) one token.

        Raises:
            Unsupported: The gateway has none (Monri); nothing was sent.
            NotFound: The customer has no such token.
            CallFailed: The call ended otherwise.
        """
        await self.raw.delete_payment_token(customer_id, token)


def _check_account(account: object) -> None:
    if not callable(getattr(account, "dialect", None)) or isinstance(account, type):
        raise ConfigurationError(
            f"account must be Wonder(…), Paydock(…), Monri(…) or the like, not {type(account).__name__}"
        )
