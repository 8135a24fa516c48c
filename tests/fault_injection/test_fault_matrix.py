"""Every fault, operation, gateway and event loop, checked against the simulator's store.

After each call: the reference was created at most once, the gateway has the intended state or the error reports that
it may not have it, the number of requests is within the policy, no connection leaked, and the deadline was kept.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import pytest
from attrs import field, frozen
from fault_injection.sessions import GATEWAYS, POLICY, fresh, name_of, names, session, supports, until

from wonder_customers import (
    AmbiguousReferenceError,
    CallError,
    Customer,
    CustomerDraft,
    CustomerPatch,
    CustomerSession,
    WonderCustomersError,
)
from wonder_customers.simulator import SimulatorServer


@frozen
class Fault:
    """A fault of the simulator and its options."""

    name: str
    more: Mapping[str, Any] = field(factory=dict)

    def __str__(self) -> str:
        return "-".join([self.name, *(f"{value}" for value in self.more.values())]).replace(" ", "")


def both(name: str, **more: Any) -> list[Fault]:
    """Return a fault that applies the request and one that does not."""
    return [Fault(name, {"applied": True, **more}), Fault(name, {"applied": False, **more})]


# Faults with a 2xx status always apply the request: a client cannot detect a false success.
FAULTS = [
    Fault("refuse", {"seconds": 0.1}),
    Fault("blackhole"),
    Fault("accept_rst"),
    *both("read_close"),
    *both("read_hang"),
    Fault("headers_rst"),
    Fault("truncated_body"),
    Fault("drip", {"interval": 0.2}),
    Fault("wrong_length", {"difference": 10}),
    Fault("wrong_length", {"difference": -10}),
    Fault("bad_chunk"),
    Fault("gzip_bomb"),
    Fault("huge_headers"),
    Fault("rate_limited"),
    Fault("rate_limited", {"retry_after": "0"}),
    Fault("rate_limited", {"retry_after": "-5"}),
    Fault("rate_limited", {"retry_after": "1e9"}),
    Fault("rate_limited", {"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}),
    *both("server_error", status=500),
    *both("server_error", status=503),
    Fault("server_error", {"status": 502, "times": 2}),
    Fault("server_error", {"status": 504, "times": None}),
    Fault("read_hang", {"applied": False, "times": None}),
    Fault("read_close", {"applied": False, "times": None}),
    Fault("zombie", {"delay": 0.2}),
    Fault("duplicate"),
    Fault("half_close_idle"),
    Fault("stale_rst"),
]


@frozen
class Operation:
    """An operation, on an existing or a new customer."""

    name: str
    existing: bool
    method: str
    call: Callable[[CustomerSession[Any], CustomerDraft, Customer | None], Awaitable[Any]]

    def __str__(self) -> str:
        return f"{self.name}-{'existing' if self.existing else 'new'}"


def _required(customer: Customer | None) -> Customer:
    assert customer is not None
    return customer


OPERATIONS = [
    Operation("create", False, "POST", lambda it, draft, _: it.create(draft)),
    Operation("upsert", False, "POST", lambda it, draft, _: it.upsert(draft)),
    Operation("upsert", True, "POST", lambda it, draft, _: it.upsert(draft)),
    Operation("upsert", True, "GET", lambda it, draft, _: it.upsert(draft)),
    Operation(
        "update", True, "POST", lambda it, draft, stored: it.update(_required(stored).id, CustomerPatch(name="Second"))
    ),
    Operation("get", True, "GET", lambda it, draft, stored: it.get(_required(stored).id)),
    Operation("get_by_reference", True, "GET", lambda it, draft, stored: it.get_by_reference(str(draft.reference))),
    Operation("delete", True, "DELETE", lambda it, draft, stored: it.delete(_required(stored).id)),
]
WRITES = {"create", "upsert", "update", "delete"}

CASES = [
    pytest.param(gateway, operation, fault, id=f"{gateway}-{operation}-{operation.method}-{fault}")
    for gateway in GATEWAYS
    for operation in OPERATIONS
    for fault in FAULTS
    if supports(gateway, operation.name)
    # At Wonder, an upsert is a single POST.
    if not (gateway == "wonder" and operation.name == "upsert" and operation.method == "GET")
    # The last test of this file covers this case.
    if not (gateway == "paydock" and fault.name == "duplicate" and not operation.existing)
]


PLAIN = 19
"""The step of the cases that run without ``--long``. The others are not collected then, because they are many."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "operation" not in metafunc.fixturenames:
        return
    cases = CASES[::PLAIN]
    if metafunc.config.getoption("--long"):
        cases = [
            case if number % PLAIN == 0 else pytest.param(*case.values, id=case.id, marks=pytest.mark.long)
            for number, case in enumerate(CASES)
        ]
    metafunc.parametrize(("gateway", "operation", "fault"), cases)


async def test_fault_never_loses_or_duplicates_a_customer(
    simulator: SimulatorServer, kind: Callable[..., Any], gateway: str, operation: Operation, fault: Fault
) -> None:
    transport = kind()
    first = fresh(gateway)
    reference = str(first.reference)
    second = CustomerDraft(reference=reference, name="Second", phone=first.phone)
    intended = second if operation.name in WRITES else first
    async with session(simulator, gateway) as setup:
        existing = await setup.create(first) if operation.existing else None
    async with aclosing(transport), session(simulator, gateway, POLICY, transport=transport) as it:
        _add_fault(simulator, gateway, operation, fault)
        before = sum(simulator.faults.requests.values())
        began = time.monotonic()
        result: Any = None
        error: WonderCustomersError | None = None
        try:
            result = await operation.call(it, intended, existing)
        except WonderCustomersError as caught:
            error = caught
        took = time.monotonic() - began
        requests = sum(simulator.faults.requests.values()) - before
        assert transport.busy_connections == 0
        assert transport.open_connections <= 1
        budget = it.raw._account_context.account.budget
        assert 0 <= budget.tokens <= budget.size
    assert transport.open_connections == 0, "a closed transport must have no connection"
    simulator.faults.clear()
    if fault.name == "zombie" and operation.name in WRITES and operation.method != "GET":
        _wait_for_delayed_request(simulator, gateway, reference, operation)
    assert took <= POLICY.deadline + 30
    # At most three sends and a few lookups, each with at most three attempts.
    assert requests <= 3 * (POLICY.attempts + 4)
    assert simulator.store.ledger(gateway).get(reference, 0) <= 1
    _check_state(names(simulator, gateway, reference), operation, result, error)
    assert _has_complete_message(error)


def _add_fault(simulator: SimulatorServer, gateway: str, operation: Operation, fault: Fault) -> None:
    at_accept = fault.name in {"refuse", "accept_rst"}
    target = {} if at_accept else {"gateway": gateway, "method": operation.method}
    simulator.faults.add(fault.name, **(target | dict(fault.more)))


def _wait_for_delayed_request(simulator: SimulatorServer, gateway: str, reference: str, operation: Operation) -> None:
    if operation.name == "delete":
        until(lambda: not names(simulator, gateway, reference))
    else:
        until(lambda: names(simulator, gateway, reference) == ["Second"])


def _check_state(stored: list[Any], operation: Operation, result: Any, error: WonderCustomersError | None) -> None:
    before = ["First"] if operation.existing else []
    after = [] if operation.name == "delete" else ["Second"] if operation.name in WRITES else ["First"]
    if error is None:
        assert stored == after
        if isinstance(result, Customer):
            assert name_of(result) == after[0]
        return
    assert isinstance(error, CallError)
    if operation.name not in WRITES:
        assert error.applied == "no"
    allowed = {"no": [before], "yes": [after], "unknown": [before, after]}[error.applied]
    assert stored in allowed, f"{type(error).__name__} reports applied={error.applied}"


def _has_complete_message(error: WonderCustomersError | None) -> bool:
    return error is None or (error.args != () and "attempt" in str(error) and str(error).endswith("."))


async def test_create_duplicated_by_proxy_is_reported_as_ambiguous(simulator: SimulatorServer) -> None:
    """Paydock accepts both requests of a duplicating proxy. Later calls report both ids."""
    draft = fresh("paydock")
    simulator.faults.add("duplicate", gateway="paydock", method="POST")
    async with session(simulator, "paydock") as it:
        created = await it.create(draft)
        with pytest.raises(AmbiguousReferenceError) as caught:
            await it.get_by_reference(str(draft.reference))
        with pytest.raises(AmbiguousReferenceError):
            await it.upsert(draft)
    assert created.id in caught.value.ids
    assert len(names(simulator, "paydock", str(draft.reference))) == len(caught.value.ids) == 2
