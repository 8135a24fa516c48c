"""The verbs with the facts of their calls, and what a session shares with its views."""

import os
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define, field

from wonder_customers._core.access_tokens import AccessTokenCache
from wonder_customers._core.attempt import AccountContext
from wonder_customers._core.executor import Executor
from wonder_customers._support import clock
from wonder_customers.dialects.base import Account, Dialect, Operation, Steps
from wonder_customers.errors import (
    InvalidRecordError,
    InvalidResponseError,
    SessionClosedError,
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
from wonder_customers.retry import RetryBudget, RetryPolicy
from wonder_customers.secret import concealed, secrets_of
from wonder_customers.transports import has_connections, select_transport
from wonder_customers.wire import Origin, Transport

if TYPE_CHECKING:  # loaded only where somebody looks
    from wonder_customers.events import Stats

T = TypeVar("T")


def expect(dialect: Dialect, name: str, value: object, kind: type) -> None:
    """Refuse an argument of another kind before a dialect looks into it.

    Raises:
        InvalidRecordError: It is one; nothing was sent.
    """
    if not isinstance(value, kind):
        broken = Violation(name, None, f"must be a {kind.__name__}, not {type(value).__name__}")
        raise InvalidRecordError(dialect.gateway, [broken])


@define(eq=False)
class SessionState:
    """What a session and its views have in common."""

    executor: Executor
    policy: RetryPolicy
    transport_argument: Any = None
    max_connections: int = 32
    transport: Transport | None = None
    transport_description: str = ""
    process: int = 0
    budgets: dict[Origin, RetryBudget] = field(factory=dict)
    bearers: dict[Account, AccessTokenCache] = field(factory=dict)
    loop: object = None
    closed: bool = False
    views: int = 0

    def open(self) -> None:
        """Open the session on the running event loop, and select its transport."""
        self.transport, self.transport_description = select_transport(self.transport_argument, self.max_connections)
        self.executor.attempts.use(self.transport)
        self.process = os.getpid()
        self.loop = clock.running_loop()

    async def aclose(self) -> None:
        """Close the session, and its transport unless the caller has passed it."""
        self.closed = True
        if self.transport is not None and self.transport is not self.transport_argument:
            await self.transport.aclose()

    def account_context(self, account: Account) -> AccountContext:
        """Who speaks for `account`: one retry budget per gateway host, one bearer token per account."""
        dialect = account.dialect()
        budget = self.budgets.setdefault(dialect.origin, RetryBudget(self.policy.budget))
        bearer = None
        if dialect.token_call() is not None:
            bearer = self.bearers.setdefault(account, AccessTokenCache(self.executor.clock))
        return AccountContext(dialect, hash(account), budget, bearer, secrets_of(account))

    def stats(self) -> "Stats":
        """What was done so far, and what is under way."""
        from wonder_customers.events import ConnectionStats, Stats  # noqa: PLC0415 - who never asks does not pay for the import

        executor, connections = self.executor, None
        if has_connections(self.transport):
            it = self.transport
            connections = ConnectionStats(
                it.open_connections, it.busy_connections, it.idle_connections, it.waiting_requests
            )
        counts = executor.counts
        return Stats(
            started=counts.started,
            succeeded=counts.succeeded,
            failed=dict(counts.failed),
            attempts=counts.attempts,
            retries=counts.retries,
            lookups=counts.lookups,
            # Lists first: another thread may ask while this one's event loop adds a host.
            retry_tokens={str(origin): budget.tokens for origin, budget in list(self.budgets.items())},
            connections=connections,
            waiting_for_lock=executor.turns.waiting,
            waiting_for_rate_limit=0,
            views=self.views,
            observer_failures=0 if executor.observers is None else executor.observers.failures,
            drift=dict(counts.drift),
        )

    def check_open(self) -> None:
        """Refuse a session that is not open, or open on another event loop."""
        if self.closed:
            raise SessionClosedError("the session is closed: its `async with` block has ended. Nothing was sent.")
        if self.loop is None:
            raise SessionClosedError(
                "the session is not open yet: use it inside `async with CustomerSession(…)`. Nothing was sent."
            )
        if self.process != os.getpid():
            raise SessionClosedError(
                "the session was opened in another process, and this one was forked from it: they would share its"
                " connections. Open a session in each process, after the fork. Nothing was sent."
            )
        if self.loop != clock.running_loop():
            raise SessionClosedError(
                "the session was opened on another event loop, and its connections live there: open one session per"
                " loop. Nothing was sent."
            )


class RawOperations:
    """The session's verbs, each with the facts of its call around the record: status, headers, request id, attempts."""

    __slots__ = ("_shared", "_speaker")

    def __init__(self, shared: SessionState, account_context: AccountContext) -> None:
        self._shared = shared
        self._speaker = account_context

    @property
    def gateway(self) -> str:
        """The gateway's name."""
        return self._speaker.dialect.gateway

    async def _run(self, operation: Operation, steps: Steps[T], subject: tuple[str, Any] | None = None) -> Response[T]:
        about = subject if subject is not None and isinstance(subject[1], str) else None
        return await self._shared.executor.run(self._speaker, operation, steps, about)

    def _ready(self, operation: Operation) -> Dialect:
        """The dialect, when it may be asked for `operation` now."""
        self._shared.check_open()
        dialect = self._speaker.dialect
        if operation in dialect.unsupported_operations:
            raise UnsupportedOperationError(dialect.gateway, operation, dialect.unsupported_operations[operation])
        return dialect

    async def create(self, draft: CustomerDraft) -> Response[Customer]:
        """See `CustomerSession.create`."""
        dialect = self._ready(Operation.CREATE)
        expect(dialect, "draft", draft, CustomerDraft)
        return await self._run(Operation.CREATE, dialect.create(draft), ("reference", draft.reference))

    async def upsert(self, draft: CustomerDraft) -> Response[Customer]:
        """See `CustomerSession.upsert`."""
        dialect = self._ready(Operation.UPSERT)
        expect(dialect, "draft", draft, CustomerDraft)
        return await self._run(Operation.UPSERT, dialect.upsert(draft), ("reference", draft.reference))

    async def get(self, id: str) -> Response[Customer]:
        """See `CustomerSession.get`."""
        return await self._run(Operation.GET, self._ready(Operation.GET).get(id))

    async def get_by_reference(self, reference: str) -> Response[Customer]:
        """See `CustomerSession.get_by_reference`."""
        dialect = self._ready(Operation.GET_BY_REFERENCE)
        return await self._run(Operation.GET_BY_REFERENCE, dialect.get_by_reference(reference))

    async def update(self, id: str, patch: CustomerPatch) -> Response[Customer]:
        """See `CustomerSession.update`."""
        dialect = self._ready(Operation.UPDATE)
        expect(dialect, "patch", patch, CustomerPatch)
        return await self._run(Operation.UPDATE, dialect.update(id, patch), ("id", id))

    async def delete(self, id: str) -> Response[None]:
        """See `CustomerSession.delete`."""
        return await self._run(Operation.DELETE, self._ready(Operation.DELETE).delete(id), ("id", id))

    @concealed
    def page(
        self, limit: int | None = None, cursor: str | None = None, filters: Mapping[str, str] | None = None
    ) -> Coroutine[Any, Any, Response[Page[Customer]]]:
        """One page of `CustomerSession.list`. What somebody searches for stays in no frame while it is awaited."""
        dialect = self._ready(Operation.LIST)
        size = dialect.page_limit if limit is None else limit
        if type(size) is not int or not 1 <= size <= 1000:
            raise InvalidRecordError(
                dialect.gateway, [Violation("limit", "limit", "must be a whole number from 1 to 1000")]
            )
        return self._run(Operation.LIST, dialect.page(size, cursor, filters or {}))

    async def list_payment_tokens(self, customer_id: str) -> Response[tuple[PaymentToken, ...]]:
        """See `CustomerSession.list_payment_tokens`."""
        dialect = self._ready(Operation.LIST_PAYMENT_TOKENS)
        return await self._run(Operation.LIST_PAYMENT_TOKENS, dialect.list_payment_tokens(customer_id))

    async def create_payment_token(self, customer_id: str, source: PaymentSource) -> Response[PaymentToken]:
        """See `CustomerSession.create_payment_token`."""
        dialect = self._ready(Operation.CREATE_PAYMENT_TOKEN)
        steps = dialect.create_payment_token(customer_id, source)
        return await self._run(Operation.CREATE_PAYMENT_TOKEN, steps, ("id", customer_id))

    async def check_payment_token(self, customer_id: str, token: str | PaymentToken) -> Response[PaymentToken]:
        """See `CustomerSession.check_payment_token`."""
        dialect = self._ready(Operation.CHECK_PAYMENT_TOKEN)
        steps = dialect.check_payment_token(customer_id, self._token(token))
        return await self._run(Operation.CHECK_PAYMENT_TOKEN, steps)

    async def delete_payment_token(self, customer_id: str, token: str | PaymentToken) -> Response[None]:
        """See `CustomerSession.delete_payment_token`."""
        dialect = self._ready(Operation.DELETE_PAYMENT_TOKEN)
        steps = dialect.delete_payment_token(customer_id, self._token(token))
        return await self._run(Operation.DELETE_PAYMENT_TOKEN, steps, ("id", customer_id))

    def _token(self, token: object) -> PaymentToken:
        found = token if isinstance(token, PaymentToken) else PaymentToken(token) if isinstance(token, str) else None
        if found is None or not found.token:
            broken = Violation("token", "token", "must be a token's text or a PaymentToken, and not empty")
            raise InvalidRecordError(self._speaker.dialect.gateway, [broken])
        return found


class Listing:
    """All customers of a list, page after page: ``async for customer in session.list()``.

    Customers that move to a later page while the list is walked (newest first) are given once.
    """

    def __init__(
        self, raw: RawOperations, limit: int | None, cursor: str | None, filters: Mapping[str, str] | None
    ) -> None:
        self._raw = raw
        self._limit, self._cursor, self._filters = limit, cursor, filters
        self._customers: AsyncIterator[Customer] | None = None

    async def pages(self) -> AsyncIterator[Page[Customer]]:
        """The pages as the gateway serves them. A page's `cursor` resumes the list after it.

        Raises:
            InvalidResponseError: The gateway sends the same page again and again.
        """
        cursor, before = self._cursor, None
        while True:
            page = (await self._raw.page(self._limit, cursor, self._filters)).record
            ids = [customer.id for customer in page.items]
            if ids and ids == before:
                reason = "the gateway sent the same page twice: it does not heed the offset"
                raise InvalidResponseError(reason, gateway=self._raw.gateway, operation=Operation.LIST, attempts=1)
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
