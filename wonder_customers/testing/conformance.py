"""The conformance suite that every dialect must pass, including those of other packages.

In a test module of the dialect's package:

    from wonder_customers.testing.conformance import DialectConformance


    class TestAcme(DialectConformance):
        gateway = "acme"

The suite loads the dialect by name and sends requests to its simulator over real HTTP. It requires no
pytest plug-in for asynchronous tests.
"""

# ruff: noqa: S101 - these are tests
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, Final, TypeVar
from urllib.parse import quote

import anyio
import pytest
from attrs import evolve

from wonder_customers import dialects
from wonder_customers.dialects import drift
from wonder_customers.dialects.base import Account, Call, Dialect, LockCustomer, Operation, Steps
from wonder_customers.dialects.capabilities import CustomerDeletion, PaymentTokenStorage
from wonder_customers.dialects.offline import offline_account, offline_simulator
from wonder_customers.dialects.provided_secrets import with_secrets
from wonder_customers.errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidRecordError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitError,
    UnsupportedOperationError,
)
from wonder_customers.records import Customer, CustomerPatch
from wonder_customers.retry import RetryPolicy
from wonder_customers.secret import Secret, fields_of
from wonder_customers.session import CustomerSession
from wonder_customers.testing.examples import examples
from wonder_customers.testing.factories import OPTIONAL_FIELDS, make_draft, make_source, supported_fields
from wonder_customers.testing.routes import routes
from wonder_customers.testing.simulated import CustomerSimulator
from wonder_customers.wire import Replay

__all__ = ["DialectConformance"]

T = TypeVar("T")

_POLICY = RetryPolicy(deadline=60, read_timeout=20, base=0.01, throttle_base=0.01, confirmation_window=0.3)
_UNKNOWN = "00000000-0000-4000-8000-000000000000"
_CAPABILITIES: Final = ((CustomerDeletion, Operation.DELETE), (PaymentTokenStorage, Operation.CREATE_PAYMENT_TOKEN))


class DialectConformance:
    """Base class for the tests of a dialect. The name of a subclass must start with ``Test``.

    Attributes:
        gateway: The name under which the dialect is registered.
        backend: The event loop, ``asyncio`` or ``trio``.
    """

    gateway: ClassVar[str]
    backend: ClassVar[str] = "asyncio"

    @pytest.fixture
    def simulated(self) -> Iterator[CustomerSimulator]:
        """Return the simulated gateways without data."""
        with CustomerSimulator() as simulated:
            yield simulated

    @pytest.fixture
    def account(self, simulated: CustomerSimulator) -> Account:
        """Return an account of the simulated gateway."""
        return simulated.account(self.gateway)

    @pytest.fixture
    def dialect(self, account: Account) -> Dialect:
        """Return the dialect of the account."""
        return account.dialect()

    def run(self, account: Account, work: Callable[[CustomerSession[Any]], Awaitable[T]]) -> T:
        """Open a session for `account`, and return the result of `work` with this session."""

        async def inside() -> T:
            async with CustomerSession(account, retry=_POLICY) as session:
                return await work(session)

        return anyio.run(inside, backend=self.backend)

    # Registration and accounts

    def test_registry_dialect_and_simulator_have_the_same_name(self, dialect: Dialect) -> None:
        """The registry, the dialect and the simulator use the same name."""
        assert self.gateway in dialects.names()
        assert dialect.gateway == offline_simulator(self.gateway).name == self.gateway
        assert 1 <= dialect.page_limit <= 1000

    def test_unsupported_operations_have_reasons(self, dialect: Dialect) -> None:
        """`unsupported_operations` maps operations to readable reasons."""
        assert dialect.unsupported_operations.keys() <= set(Operation)
        assert all(reason.strip() for reason in dialect.unsupported_operations.values())

    def test_capability_classes_match_the_supported_operations(self, dialect: Dialect) -> None:
        """A type checker allows the same operations as a session at run time."""
        for capability, operation in _CAPABILITIES:
            offered = operation not in dialect.unsupported_operations
            assert isinstance(dialect, capability) is offered, (
                f"{capability.__name__} must {'be' if offered else 'not be'} a base class of the dialect"
            )

    def test_response_field_of_another_type_does_not_affect_the_others(self) -> None:
        """A field of an unexpected type does not prevent reading. Only this field is reported. Ids are not tested."""
        codec, customer = examples(self.gateway).codec, examples(self.gateway).customer
        body = codec.write_customer(customer)
        for name, value in body.items():
            if value == customer.id:
                continue
            for wrong in ([["wrong"]], 5.5, True, 71000, {"wrong": 1}, "", "wrong"):
                drift.start()
                read = codec.read_customer(body | {name: wrong})
                reported = drift.stop()
                assert read.id == customer.id
                assert all(it.field.startswith(name) for it in reported), name
                assert "wrong" not in repr(reported)

    def test_credentials_are_read_from_environment_and_hidden(self, simulated: CustomerSimulator) -> None:
        """Missing variables raise `ConfigurationError`, and the ``repr`` of an account contains no secret."""
        kind = dialects.package(self.gateway).ACCOUNT
        with pytest.raises(ConfigurationError):
            kind.from_environment({})
        variables = simulated.server.gateways[self.gateway].environment(simulated.origin)
        shown = repr(kind.from_environment(variables))
        secrets = {name: value for name, value in variables.items() if value in shown and not name.endswith("_URL")}
        assert not any("KEY" in name or "SECRET" in name or "TOKEN" in name for name in secrets), shown
        for names in ({it for it in variables if not it.endswith("_URL")}, {f"{self.gateway.upper()}_BASE_URL"}):
            with pytest.raises(ConfigurationError):
                kind.from_environment(variables | dict.fromkeys(names, "a\nb"))

    def test_equal_accounts_are_equal(self, simulated: CustomerSimulator) -> None:
        """Accounts from the same environment are equal and have equal hashes."""
        kind, variables = dialects.package(self.gateway).ACCOUNT, simulated.environment()
        assert kind.from_environment(variables) == kind.from_environment(variables)
        assert hash(kind.from_environment(variables)) == hash(kind.from_environment(variables))

    def test_secrets_may_be_functions(self, account: Account) -> None:
        """Each secret of an account may be a function that returns a `Secret`."""
        functions = {name: partial(Secret, it.reveal()) for name, it in fields_of(account) if type(it) is Secret}
        provided = with_secrets(account, functions)
        assert "partial" not in repr(provided)
        self.run(provided, lambda session: session.check())

    # Requests

    def test_encoding_is_deterministic(self, dialect: Dialect) -> None:
        """Encoding a draft twice results in the same request."""
        draft = make_draft()
        first, second = _first(dialect.create(draft)), _first(dialect.create(draft))
        assert first.request == second.request
        assert first.request.method == first.request.method.upper()
        assert first.request.target.startswith("/")
        assert first.request.target.isascii()

    def test_create_has_a_lookup_or_is_never_sent_twice(self, dialect: Dialect) -> None:
        """A create with a reference may have a lookup for lost responses. A create without one is never sent twice."""
        with suppress(InvalidRecordError):  # some gateways require a reference
            assert _first(dialect.create(make_draft(reference=None))).replay is Replay.NONE
        call = _first(dialect.create(make_draft()))
        assert call.replay in {Replay.LOOKUP, Replay.NATURAL_UPSERT, Replay.NONE}
        if call.replay is not Replay.NONE:
            assert call.lookup is not None, "a create needs a lookup"
            assert call.reference is not None, "errors need the reference"
        if call.replay is Replay.LOOKUP:
            assert call.mismatches is not None, "the customer found by the lookup may differ from the draft"

    def test_reads_have_routes_without_ids(self, dialect: Dialect) -> None:
        """Routes of reads contain neither ids nor references."""
        for steps in (dialect.get("customer-77"), dialect.get_by_reference("reference-77"), dialect.page(1, None)):
            call = _first(steps)
            assert call.replay is Replay.READ
            assert "-77" not in call.request.route

    @pytest.mark.parametrize("id", ["", ".", "..", "a/../b", "a\x00b", "a\nb", "x" * 300])
    def test_invalid_ids_are_refused(self, dialect: Dialect, id: str) -> None:
        """Empty ids, dot segments, control characters and overlong ids raise `InvalidRecordError`."""
        for operation, find in _by_customer(dialect).items():
            if operation is not Operation.GET_BY_REFERENCE:
                with pytest.raises(InvalidRecordError):
                    _first(find(id))

    def test_ids_and_references_are_percent_encoded(self, dialect: Dialect) -> None:
        """Reserved characters of an id or a reference are percent-encoded, or refused."""
        odd = "a/../b?c#d&e=f"
        for operation, find in _by_customer(dialect).items():
            with suppress(InvalidRecordError):
                target = _first(find(odd)).request.target
                assert target.replace(quote(odd, safe=""), "aXb") == _first(find("aXb")).request.target, operation

    def test_calls_have_the_id_or_reference_of_their_customer(self, dialect: Dialect) -> None:
        """Locks and errors use `Call.id` and `Call.reference`. "Not found" after a repeated deletion is success."""
        for operation, find in _by_customer(dialect).items():
            call = _first(find("customer-77"))
            assert (call.reference if operation is Operation.GET_BY_REFERENCE else call.id) == "customer-77", operation
            if operation is Operation.DELETE and call.replay is not Replay.READ:
                assert call.not_found_is_success

    @pytest.mark.parametrize("name", ["x" * 100_000, "\ud800"], ids=["too-long", "not-unicode"])
    def test_invalid_records_are_not_sent(self, account: Account, name: str) -> None:
        """Each write of a record that violates a limit raises `InvalidRecordError`."""

        async def attempts(session: CustomerSession[Any]) -> None:
            held = await session.create(make_draft())
            for write in (session.create, session.upsert):
                with pytest.raises(InvalidRecordError):
                    await write(make_draft(name=name))
            with pytest.raises(InvalidRecordError):
                await session.update(held.id, CustomerPatch(name=name))

        self.run(account, attempts)

    def test_unsupported_fields_are_refused(self, account: Account, dialect: Dialect) -> None:
        """A field is either sent, or refused with an error that contains its name."""
        held = supported_fields(account)
        for name, value in OPTIONAL_FIELDS.items():
            draft = make_draft(**{name: value})
            if name in held:
                assert dialect.payload(draft) != dialect.payload(make_draft(reference=draft.reference)), name
            else:
                with pytest.raises(InvalidRecordError) as refused:
                    dialect.validate(draft)
                assert name in {violation.field.partition(".")[0] for violation in refused.value.violations}

    # Responses

    def test_examples_round_trip(self, dialect: Dialect) -> None:
        """The documented customer can be decoded and encoded, and each supported operation has an example response."""
        known = examples(self.gateway)
        codec, customer = known.codec, known.customer
        assert codec.read_customer(codec.write_customer(customer)) == customer
        for operation in (it for it in Operation if it not in dialect.unsupported_operations):
            assert routes(self.gateway, operation)

    def test_customer_life_cycle(self, simulated: CustomerSimulator, account: Account, dialect: Dialect) -> None:
        """A customer can be created, read by id and reference, updated, upserted, listed and, if supported, deleted."""
        draft = make_draft(**supported_fields(account))

        async def life(session: CustomerSession[Any]) -> list[Customer]:
            created = await session.create(draft)
            assert created.reference in {draft.reference, None}
            assert dialect.compare(draft, created).different == ()
            for name, value in {"name": draft.name, **supported_fields(account)}.items():
                if isinstance(value, str) and (name == "name" or getattr(created, name) is not None):
                    other: dict[str, Any] = {name: f"{value}x"}
                    assert dialect.compare(evolve(draft, **other), created).different, name
            assert (await session.get(created.id)).id == created.id
            assert (await _find_by_reference(session, draft.reference or "")).id == created.id
            changed = await session.update(created.id, CustomerPatch(name="Grace Hopper"))
            assert "Grace Hopper" in {changed.name, changed.first_name, f"{changed.first_name} {changed.last_name}"}
            assert (await session.upsert(draft)).id == created.id
            second = make_draft()
            await session.create(second)
            await _find_by_reference(session, second.reference or "")
            listed = [customer async for customer in session.list(limit=1)]
            if Operation.DELETE not in dialect.unsupported_operations:
                await session.delete(created.id)
            return listed

        assert len({customer.id for customer in self.run(account, life)}) == 2
        assert set(simulated.ledger(self.gateway).values()) == {1}

    def test_payment_token_life_cycle(self, account: Account, dialect: Dialect) -> None:
        """Payment tokens can be listed, created, checked and deleted, if the gateway supports it."""
        source = make_source(account)

        async def life(session: CustomerSession[Any]) -> None:
            customer = await session.create(make_draft())
            if Operation.LIST_PAYMENT_TOKENS not in dialect.unsupported_operations:
                assert await session.list_payment_tokens(customer.id) == ()
            if source is not None and Operation.CREATE_PAYMENT_TOKEN not in dialect.unsupported_operations:
                token = await session.create_payment_token(customer.id, source)
                assert (await session.check_payment_token(customer.id, token)).token == token.token
                await session.delete_payment_token(customer.id, token)

        self.run(account, life)

    def test_unsupported_operations_send_nothing(
        self, simulated: CustomerSimulator, account: Account, dialect: Dialect
    ) -> None:
        """`UnsupportedOperationError` is raised before a request is sent."""
        calls: dict[Operation, Callable[[CustomerSession[Any]], Awaitable[Any]]] = {
            Operation.DELETE: lambda session: session.delete(_UNKNOWN),
            Operation.LIST_PAYMENT_TOKENS: lambda session: session.list_payment_tokens(_UNKNOWN),
            Operation.CREATE_PAYMENT_TOKEN: lambda session: session.create_payment_token(_UNKNOWN, _SOURCE),
            Operation.CHECK_PAYMENT_TOKEN: lambda session: session.check_payment_token(_UNKNOWN, "t"),
            Operation.DELETE_PAYMENT_TOKEN: lambda session: session.delete_payment_token(_UNKNOWN, "t"),
        }
        for operation in dialect.unsupported_operations:
            with pytest.raises(UnsupportedOperationError):
                self.run(account, calls[operation])
        assert not simulated.faults.requests

    # Errors

    def test_unknown_customer_raises_not_found(self, account: Account) -> None:
        """Reads by id and by reference raise `NotFoundError`."""
        with pytest.raises(NotFoundError):
            self.run(account, lambda session: session.get(examples(self.gateway).customer.id))
        with pytest.raises(NotFoundError):
            self.run(account, lambda session: session.get_by_reference("unknown"))

    def test_wrong_credentials_raise(self, simulated: CustomerSimulator) -> None:
        """Unknown credentials raise `AuthenticationError`, or `PermissionDeniedError` (Paydock)."""
        unknown = offline_account(self.gateway, simulated.origin)
        with pytest.raises((AuthenticationError, PermissionDeniedError)):
            self.run(unknown, lambda session: session.check())

    @pytest.mark.parametrize("fault", ["read_close", "truncated_body", "headers_rst"])
    def test_lost_create_response_does_not_create_a_second_customer(
        self, simulated: CustomerSimulator, account: Account, fault: str
    ) -> None:
        """After a lost response to a create, one customer exists."""
        draft = make_draft()
        simulated.faults.add(fault, gateway=self.gateway, method="POST", applied=True)
        with suppress(OutcomeUnknownError):
            created = self.run(account, lambda session: session.create(draft))
            assert created.reference in {draft.reference, None}
        assert simulated.faults.seen == [fault]
        assert simulated.ledger(self.gateway) == {draft.reference: 1}

    def test_rate_limit_responses_are_retried(self, simulated: CustomerSimulator, account: Account) -> None:
        """A 429 is retried after ``Retry-After``. If the wait exceeds the deadline, `RateLimitError` is raised."""
        simulated.faults.add("rate_limited", gateway=self.gateway, retry_after=0)
        self.run(account, lambda session: session.create(make_draft()))
        simulated.faults.add("rate_limited", gateway=self.gateway, retry_after=3600)
        with pytest.raises(RateLimitError) as limited:
            self.run(account, lambda session: session.check())
        assert limited.value.retry_after == 3600


def _by_customer(dialect: Dialect) -> dict[Operation, Callable[[str], Steps[Any]]]:
    """Return the supported operations that require an id or a reference."""
    found: dict[Operation, Callable[[str], Steps[Any]]] = {
        Operation.GET: dialect.get,
        Operation.GET_BY_REFERENCE: dialect.get_by_reference,
        Operation.UPDATE: lambda value: dialect.update(value, CustomerPatch(name="Grace Hopper")),
        Operation.DELETE: dialect.delete,
        Operation.LIST_PAYMENT_TOKENS: dialect.list_payment_tokens,
    }
    return {it: find for it, find in found.items() if it not in dialect.unsupported_operations}


def _first(steps: Steps[Any]) -> Call[Any]:
    """Return the first call of an operation."""
    step = next(steps)
    while isinstance(step, LockCustomer):
        step = steps.send(False)
    return step


async def _find_by_reference(session: CustomerSession[Any], reference: str) -> Customer:
    """Return the customer with a reference, after a delay if necessary."""
    with anyio.move_on_after(_POLICY.confirmation_window):
        while True:
            try:
                return await session.get_by_reference(reference)
            except NotFoundError:
                await anyio.sleep(0.02)
    return await session.get_by_reference(reference)


_SOURCE: Any = object()
"""A placeholder for a payment source that is not used."""
