"""Sessions, drafts and the simulator's stored customers, for tests with faults."""

import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from attrs import evolve

from wonder_customers import Customer, CustomerDraft, CustomerSession, Phone, RetryPolicy, dialects
from wonder_customers.dialects.base import Operation
from wonder_customers.simulator import SimulatorServer

GATEWAYS = ("wonder", "paydock", "monri")

PATIENT = RetryPolicy(
    deadline=120,
    connect_timeout=20,
    read_timeout=20,
    write_timeout=20,
    base=0.01,
    throttle_base=0.01,
    cap=0.05,
    confirmation_window=1,
)
"""The policy of sessions: no request times out on a busy machine, and waits between attempts are short."""

POLICY = evolve(
    PATIENT, deadline=2.5, connect_timeout=0.3, read_timeout=0.3, write_timeout=0.3, confirmation_window=0.4
)
"""A policy for faults that end in a timeout. Its tests hold for every outcome of a request."""

NAME_FIELD = {"wonder": "name", "paydock": "first_name", "monri": "name"}
REFERENCE_FIELD = {"wonder": "reference_number", "paydock": "reference", "monri": "merchant_customer_id"}
DELETED_FIELD = {"paydock": "archived", "monri": "deleted"}


def session(
    simulator: SimulatorServer, gateway: str, policy: RetryPolicy = PATIENT, **more: Any
) -> CustomerSession[Any]:
    account = dialects.package(gateway).ACCOUNT.from_environment(simulator.environment())
    return CustomerSession(account, retry=policy, **more)


def supports(gateway: str, operation: str) -> bool:
    account = dialects.package(gateway).ACCOUNT
    assert account is not None
    return not (gateway == "wonder" and operation == Operation.DELETE)


def fresh(gateway: str, name: str = "First") -> CustomerDraft:
    return CustomerDraft(reference=f"{gateway}-{uuid4().hex[:12]}", name=name, phone=Phone("+44", "7911123456"))


def held(simulator: SimulatorServer, gateway: str, reference: str) -> list[Mapping[str, Any]]:
    """Return the customers with a reference from the simulator's store, without deleted ones."""
    field, deleted = REFERENCE_FIELD[gateway], DELETED_FIELD.get(gateway, "")
    found = simulator.store.customers(gateway)
    return [body for body in found if body.get(field) == reference and not body.get(deleted)]


def names(simulator: SimulatorServer, gateway: str, reference: str) -> list[Any]:
    return [body[NAME_FIELD[gateway]] for body in held(simulator, gateway, reference)]


def name_of(customer: Customer) -> str | None:
    return customer.name or customer.first_name


def until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait until the condition is true, such as the arrival of a delayed request."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("the condition did not become true in time")
        time.sleep(0.005)
