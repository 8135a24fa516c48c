"""`RawOperations` (``session.raw``), and the state shared by a session and its views."""

import sys
from collections.abc import Coroutine, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from attrs import define, evolve, field

from wonder_customers._core.account_state import AccountState, AccountStates, identity
from wonder_customers._core.context import AccountContext
from wonder_customers._core.executor import Executor
from wonder_customers._core.view_settings import ViewSettings
from wonder_customers._core.write_locks import shared_locks
from wonder_customers._support import clock
from wonder_customers._support.card_data import contains_card_number, find_card_data, may_contain_card_number
from wonder_customers._support.installed_version import installed_version
from wonder_customers._support.unique_ids import process
from wonder_customers._support.wait_queue import DividedSlots
from wonder_customers.dialects.base import Account, Dialect, Operation, Steps
from wonder_customers.dialects.custom_request import custom_request
from wonder_customers.dialects.filters import CustomerFilter
from wonder_customers.errors import InvalidRecordError, SessionClosedError, UnsupportedOperationError, Violation
from wonder_customers.records import Customer, CustomerDraft, CustomerPatch, Page, PaymentSource, PaymentToken, Response
from wonder_customers.retry import RetryPolicy
from wonder_customers.secret import concealed, concealed_coroutine, secrets_of, without_frames
from wonder_customers.transports import select_transport
from wonder_customers.transports.network import running_on_asyncio
from wonder_customers.wire import Header, Transport

if TYPE_CHECKING:  # loaded only when statistics are read
    from wonder_customers.events import ConnectionStats, Stats

T = TypeVar("T")


def expect(dialect: Dialect, name: str, value: object, kind: type) -> None:
    """Raise `InvalidRecordError` unless `value` is a `kind`."""
    if not isinstance(value, kind):
        broken = Violation(name, None, f"must be a {kind.__name__}, not {type(value).__name__}")
        raise InvalidRecordError(dialect.gateway, [broken])


@concealed
def check_card_data(dialect: Dialect, record: object) -> None:
    """Raise `InvalidRecordError` if a record contains card data outside of its secrets."""
    found = [
        Violation(path, None, f"the value {problem}, which must not be stored")
        for path, problem in find_card_data(record)
    ]
    if found:
        raise InvalidRecordError(dialect.gateway, found)


class CheckedDraft(NamedTuple):  # a tuple is created faster than other objects, for every row of a job
    """A draft that a session has checked, and its request body."""

    draft: CustomerDraft
    body: dict[str, Any]
    dialect: Dialect

    def __repr__(self) -> str:
        return "<CheckedDraft>"  # the body contains personal data


@define(eq=False)
class SessionState:
    """The state shared by a session and its views."""

    executor: Executor
    policy: RetryPolicy
    transport_argument: Any = None
    max_connections: int = 32
    app_info: str | None = None
    transport: Transport | None = None
    transport_description: str = ""
    process: object = None  # the process that opened the session
    accounts: AccountStates = field(init=False)
    loop: object = None
    closed: bool = False
    views: int = 0  # created so far
    _contexts: list[AccountContext] = field(factory=list)  # created before the session was opened

    def __attrs_post_init__(self) -> None:
        self.accounts = AccountStates(self.policy.budget)

    def open(self) -> None:
        """Open the session on the running event loop."""
        self.transport, self.transport_description = select_transport(self.transport_argument, self.max_connections)
        self.executor.runner.use(self.transport)
        if getattr(self.transport, "reaches_origin", False) is True:  # not known earlier if a function returned it
            for context in self._contexts:
                context.merchant = context.owner
        self._contexts.clear()
        self.executor.runner.user_agent = _user_agent(self.app_info)
        if self.transport is not self.transport_argument:
            self.executor.runner.slots = DividedSlots(self.max_connections)
            self.executor.runner.slots.divided = self.accounts.several
        self.process = process.mark
        self.loop = clock.running_loop()
        self.executor.order.locks = shared_locks(self.loop)

    async def aclose(self) -> None:
        """Close the session and its own transport.

        Raises:
            SessionClosedError: The connections belong to another event loop.
        """
        self.closed = self.executor.runner.closed = True
        self.accounts.forget_views()
        if self.transport is None or self.transport is self.transport_argument:
            return
        try:
            await self.transport.aclose()
        except RuntimeError as error:
            raise SessionClosedError(
                "the session was opened on another event loop, so its connections were discarded, not closed"
                f" ({type(error).__name__}). Close each session on the event loop that opened it."
            ) from None

    def account_context(self, account: Account, settings: ViewSettings) -> AccountContext:
        """Return the context of an account with `settings`."""
        source = settings.localized(account)
        dialect = source.dialect()
        with self.accounts.changing:  # web frameworks may create views in threads
            state = self.accounts.of(account, dialect)
        self.executor.runner.slots.divided = self.accounts.several
        # By origin: the base URL may be spelled in several ways.
        owner = str(dialect.origin), identity(account if dialect.merchant is None else dialect.merchant)
        # A transport of the caller may connect to any server, so its gateways are not those of other sessions.
        given = self.transport_argument
        transport = given if self.transport is None else self.transport
        known = given is None or getattr(transport, "reaches_origin", False) is True
        keys = owner if known else (*owner, id(given))
        secrets = secrets_of(account)
        context = AccountContext(
            dialect, keys, state, settings.policy, secrets, settings.stop, settings.headers, source, owner
        )
        if self.transport is None:
            self._contexts.append(context)
        return context

    def stats(self, account: AccountState | None = None) -> "Stats":
        """Return the statistics of an account, or of all accounts if `account` is None."""
        from wonder_customers.events import Stats  # noqa: PLC0415 - loaded only when statistics are read

        executor, counts = self.executor, self.accounts.totals() if account is None else account.counts
        return Stats(
            started=counts.started,
            succeeded=counts.succeeded,
            failed=dict(counts.failed),
            attempts=counts.attempts,
            retries=counts.retries,
            lookups=counts.lookups,
            retry_tokens=self.accounts.tokens() if account is None else {str(account.origin): account.budget.tokens},
            connections=self._connections(),
            waiting_for_lock=counts.waiting_for_lock,
            waiting_for_rate_limit=counts.waiting_for_rate_limit,
            drift=dict(counts.drift),
            views=self.views,
            observer_failures=0 if executor.observers is None else executor.observers.failures,
        )

    def _connections(self) -> "ConnectionStats | None":
        from wonder_customers.events import ConnectionStats  # noqa: PLC0415 - loaded only when statistics are read

        pool: Any = self.transport
        try:
            waiting = pool.waiting_requests + self.executor.runner.slots.waiting
            return ConnectionStats(pool.open_connections, pool.busy_connections, pool.idle_connections, waiting)
        except AttributeError:  # a transport without a connection pool
            return None

    def check_open(self) -> None:
        """Raise `SessionClosedError` unless the session is open in this process and on this event loop."""
        if self.closed:
            raise SessionClosedError("the session is closed: its `async with` block has ended. Nothing was sent.")
        if self.loop is None:
            raise SessionClosedError(
                "the session is not open yet: use it inside `async with CustomerSession(…)`. Nothing was sent."
            )
        if self.process is not process.mark:
            raise SessionClosedError(
                "the session was opened before this process was forked, so both processes would share its connections."
                " Nothing was sent. Open a session in each process after the fork."
            )
        if self.loop != clock.running_loop():
            raise SessionClosedError(
                "the session was opened on another event loop, to which its connections belong. Nothing was sent."
                " Open a session on each event loop."
            )


def _user_agent(app_info: str | None) -> Header:
    """Return the ``User-Agent`` header for requests on the running event loop."""
    loop, version = "asyncio" if running_on_asyncio() else "trio", installed_version()
    library = "wonder-customers" if version is None else f"wonder-customers/{version}"
    product = f"{library} (Python/{sys.version_info.major}.{sys.version_info.minor}; {loop})"
    return b"User-Agent", (product if app_info is None else f"{product} {app_info}").encode("ascii")


def check_id(dialect: Dialect, name: str, value: object) -> None:
    """Raise `InvalidRecordError` if an id, a reference or a token contains a card number."""
    if isinstance(value, str) and contains_card_number(value):
        value = None  # a tool that shows local variables must not show the number
        broken = Violation(name, None, "the value contains a card number, which must not be sent")
        raise InvalidRecordError(dialect.gateway, [broken])


class RawOperations:
    """The operations of a session (``session.raw``). Each of them returns a `Response` that contains the result.

    They raise the same errors as the operations of the session.
    """

    __slots__ = ("_account_context", "_shared")

    def __init__(self, shared: SessionState, account_context: AccountContext) -> None:
        self._shared = shared
        self._account_context = account_context

    def __repr__(self) -> str:
        return f"<RawOperations {self.gateway}: each operation returns a Response>"

    @property
    def gateway(self) -> str:
        """The name of the gateway."""
        return self._account_context.dialect.gateway

    async def _run(
        self,
        operation: str,
        steps: Steps[T],
        subject: tuple[str, Any] | None = None,
        record: object = None,
    ) -> Response[T]:
        # `record`: the argument whose values are redacted in errors.
        known = subject if subject is not None and isinstance(subject[1], str) else None
        try:
            return await self._shared.executor.run(self._account_context, operation, steps, known, record)
        except BaseException as error:
            # The request can be reached from variables of the inner frames.
            without_frames(error, keep_others=True)
            raise

    def _ready(self, operation: Operation, name: str = "", value: object = None) -> Dialect:
        """Return the dialect if the session can run `operation` and the id contains no card number."""
        self._shared.check_open()
        dialect = self._account_context.dialect
        if operation in dialect.unsupported_operations:
            raise UnsupportedOperationError(dialect.gateway, operation, dialect.unsupported_operations[operation])
        if name and isinstance(value, str) and (may_contain_card_number(value) or not value.isascii()):
            check_id(dialect, name, value)
        return dialect

    async def create(self, draft: CustomerDraft) -> Response[Customer]:
        """See `CustomerSession.create`."""
        dialect = self._ready(Operation.CREATE)
        expect(dialect, "draft", draft, CustomerDraft)
        check_card_data(dialect, draft)
        return await self._run(Operation.CREATE, dialect.create(draft), ("reference", draft.reference), draft)

    async def upsert(self, draft: CustomerDraft) -> Response[Customer]:
        """See `CustomerSession.upsert`."""
        self._ready(Operation.UPSERT)
        return await self._upsert_checked(self._checked(draft))

    def _checked(self, draft: CustomerDraft) -> CheckedDraft:
        """Check a draft, and return it with its request body."""
        dialect = self._account_context.dialect
        expect(dialect, "draft", draft, CustomerDraft)
        check_card_data(dialect, draft)
        body = dialect.checked_body(draft)
        if draft.metadata is not None and (draft.clear or not dialect.reuses_body):
            # The upsert writes a body after its lookup, and the caller can change the metadata until then.
            draft = evolve(draft, metadata=deepcopy(draft.metadata))
        return CheckedDraft(draft, body, dialect)

    def _upsert_checked(self, checked: CheckedDraft) -> Coroutine[Any, Any, Response[Customer]]:
        """Upsert a checked draft."""
        # Not a coroutine function, so that no stack frame contains the body, which tracebacks may show.
        dialect, draft = self._ready(Operation.UPSERT), checked.draft
        if checked.dialect is not dialect:  # another session may have other rules
            return self.upsert(draft)
        steps = dialect.upsert_checked(draft, checked.body)
        return self._run(Operation.UPSERT, steps, ("reference", draft.reference), draft)

    def _remember(self, reference: str, id: str) -> None:
        """Record the id of a customer, so that no upsert creates it again if the search does not find it."""
        self._shared.executor.order.remember(self._account_context, reference, id)

    async def get(self, id: str) -> Response[Customer]:
        """See `CustomerSession.get`."""
        return await self._run(Operation.GET, self._ready(Operation.GET, "id", id).get(id))

    async def get_by_reference(self, reference: str) -> Response[Customer]:
        """See `CustomerSession.get_by_reference`."""
        dialect = self._ready(Operation.GET_BY_REFERENCE, "reference", reference)
        return await self._run(Operation.GET_BY_REFERENCE, dialect.get_by_reference(reference))

    async def update(self, id: str, patch: CustomerPatch) -> Response[Customer]:
        """See `CustomerSession.update`."""
        dialect = self._ready(Operation.UPDATE, "id", id)
        expect(dialect, "patch", patch, CustomerPatch)
        check_card_data(dialect, patch)
        return await self._run(Operation.UPDATE, dialect.update(id, patch), ("id", id), patch)

    async def delete(self, id: str) -> Response[None]:
        """See `CustomerSession.delete`."""
        return await self._run(Operation.DELETE, self._ready(Operation.DELETE, "id", id).delete(id), ("id", id))

    @concealed_coroutine
    async def page(
        self, limit: int | None = None, cursor: str | None = None, filter: CustomerFilter[Any] | None = None
    ) -> Response[Page[Customer]]:
        """Return one page of customers.

        Args:
            limit: Customers per page, 1 to 1000; None for the gateway's default.
            cursor: The `Page.cursor` of the previous page; None for the first page.
            filter: A filter of the gateway, such as `PaydockFilter`; None for all customers.

        Raises:
            InvalidRecordError: An argument is invalid, or the filter belongs to another gateway. Nothing was sent.
            UnsupportedOperationError: The gateway supports no lists, or no filters (Monri). Nothing was sent.
            CallError: The page could not be read.
        """
        dialect = self._account_context.dialect
        size = dialect.page_limit if limit is None else limit
        if type(size) is not int or not 1 <= size <= 1000:
            raise InvalidRecordError(
                dialect.gateway, [Violation("limit", "limit", "must be an integer from 1 to 1000")]
            )
        if filter is not None:
            expect(dialect, "filter", filter, dialect.required_filter_type())
        self._shared.check_open()
        return await self._run(Operation.LIST, dialect.page(size, cursor, filter))

    async def list_payment_tokens(self, customer_id: str) -> Response[tuple[PaymentToken, ...]]:
        """See `CustomerSession.list_payment_tokens`."""
        dialect = self._ready(Operation.LIST_PAYMENT_TOKENS, "customer_id", customer_id)
        return await self._run(Operation.LIST_PAYMENT_TOKENS, dialect.list_payment_tokens(customer_id))

    async def create_payment_token(self, customer_id: str, source: PaymentSource) -> Response[PaymentToken]:
        """See `CustomerSession.create_payment_token`."""
        dialect = self._ready(Operation.CREATE_PAYMENT_TOKEN, "customer_id", customer_id)
        if isinstance(source, PaymentSource):
            check_card_data(dialect, source)
        steps = dialect.create_payment_token(customer_id, source)
        return await self._run(Operation.CREATE_PAYMENT_TOKEN, steps, ("id", customer_id), source)

    async def check_payment_token(self, customer_id: str, token: str | PaymentToken) -> Response[PaymentToken]:
        """See `CustomerSession.check_payment_token`."""
        dialect = self._ready(Operation.CHECK_PAYMENT_TOKEN, "customer_id", customer_id)
        steps = dialect.check_payment_token(customer_id, self._token(token))
        return await self._run(Operation.CHECK_PAYMENT_TOKEN, steps)

    async def delete_payment_token(self, customer_id: str, token: str | PaymentToken) -> Response[None]:
        """See `CustomerSession.delete_payment_token`."""
        dialect = self._ready(Operation.DELETE_PAYMENT_TOKEN, "customer_id", customer_id)
        steps = dialect.delete_payment_token(customer_id, self._token(token))
        return await self._run(Operation.DELETE_PAYMENT_TOKEN, steps, ("id", customer_id))

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
        """See `CustomerSession.request`."""
        dialect = self._account_context.dialect
        steps = custom_request(dialect, method, path, query or {}, json, idempotent=idempotent)
        self._shared.check_open()
        return await self._run("request", steps)

    def _token(self, token: object) -> PaymentToken:
        found = token if isinstance(token, PaymentToken) else PaymentToken(token) if isinstance(token, str) else None
        if found is None or not found.token:
            broken = Violation("token", "token", "must be a PaymentToken or a str, and not be empty")
            raise InvalidRecordError(self._account_context.dialect.gateway, [broken])
        check_id(self._account_context.dialect, "token", found.token)
        check_id(self._account_context.dialect, "verify_uuid", found.verify_uuid)
        return found


async def read_back(raw: RawOperations, reference: str, draft: CustomerDraft) -> Response[Customer]:
    """Return the customer with the reference of a draft. Errors contain no values of the draft."""
    dialect = raw._ready(Operation.GET_BY_REFERENCE, "reference", reference)  # noqa: SLF001 - of this module
    steps = dialect.get_by_reference(reference)
    return await raw._run(Operation.GET_BY_REFERENCE, steps, record=draft)  # noqa: SLF001 - of this module
