"""A create without a response recovers the customer that it created, and no other customer."""

import time
from typing import Any, cast

import anyio
import pytest
from attrs import evolve

from wonder_customers import (
    Address,
    CardSource,
    ConflictError,
    CustomerDraft,
    CustomerPatch,
    OutcomeUnknownError,
    Phone,
    RetryPolicy,
)
from wonder_customers.testing import CustomerSimulator

QUICK = RetryPolicy(read_timeout=0.2, confirmation_window=0.6)
HELD = CustomerDraft(reference="c-1", first_name="Ada", last_name="Lovelace")
MORE = {
    "monri": {"email": "ada@example.org", "description": "vip", "address": Address(city="Zagreb")},
    "paydock": {
        "email": "ada@example.org",
        "metadata": {"plan": "pro"},
        "payment_source": CardSource("4111111111111111", "12", "2034", "Ada", gateway_id="5" * 24),
    },
}


async def _on_another_event_loop(customer_simulator: CustomerSimulator, gateway: str, draft: CustomerDraft) -> str:
    """Create a customer as another process does: without the locks of this event loop."""

    async def create() -> str:
        async with customer_simulator.session(gateway) as session:
            return (await session.create(draft)).id

    return await anyio.to_thread.run_sync(anyio.run, create)


@pytest.mark.parametrize(("gateway", "name"), [(gateway, name) for gateway in MORE for name in MORE[gateway]])
async def test_lost_create_does_not_recover_a_customer_without_a_field_that_was_sent(
    gateway: str, name: str, customer_simulator: CustomerSimulator
) -> None:
    draft = CustomerDraft("c-1", first_name="Ada", last_name="Lovelace", **{name: MORE[gateway][name]})  # type: ignore[arg-type]
    async with customer_simulator.session(gateway, retry=QUICK) as session:
        held = await session.create(HELD)
        customer_simulator.faults.add("read_hang", method="POST", applied=False)
        with pytest.raises(ConflictError, match=f"differs in .*{name.removesuffix('ss')}") as caught:
            await session.create(draft)
    assert (caught.value.applied, caught.value.ids) == ("unknown", (held.id,))


@pytest.mark.parametrize("gateway", MORE)
async def test_lost_create_with_all_fields_is_recovered(gateway: str, customer_simulator: CustomerSimulator) -> None:
    draft = CustomerDraft("c-1", first_name="Ada", last_name="Lovelace", **MORE[gateway])  # type: ignore[arg-type]
    async with customer_simulator.session(gateway, retry=QUICK) as session:
        customer_simulator.faults.add("read_hang", method="POST", applied=True)
        response = await session.raw.create(draft)
    assert response.recovered
    assert customer_simulator.ledger(gateway) == {"c-1": 1}


@pytest.mark.parametrize("operation", ["create", "upsert"])
@pytest.mark.parametrize("clear", [(), ("email",)])
@pytest.mark.parametrize("gateway", MORE)
async def test_lost_create_is_compared_with_the_metadata_that_was_sent(
    gateway: str, clear: tuple[str, ...], operation: str, customer_simulator: CustomerSimulator
) -> None:
    draft = CustomerDraft("c-1", first_name="Ada", last_name="Lovelace", metadata={"plan": "pro"}, clear=clear)
    async with customer_simulator.session(gateway, retry=QUICK) as session, anyio.create_task_group() as group:
        customer_simulator.faults.add("read_hang", method="POST", applied=True)

        async def change_metadata() -> None:
            while not customer_simulator.ledger(gateway):  # noqa: ASYNC110 - the simulator has no event for this
                await anyio.sleep(0.01)
            cast("dict[str, Any]", draft.metadata).update(plan="free", other="added")

        group.start_soon(change_metadata)
        response = await getattr(session.raw, operation)(draft)
    assert draft.metadata == {"plan": "free", "other": "added"}
    assert response.recovered
    assert response.record.metadata == {"plan": "pro"}


@pytest.mark.parametrize("gateway", MORE)
async def test_lost_create_does_not_recover_an_equal_customer_that_is_older(
    gateway: str, customer_simulator: CustomerSimulator
) -> None:
    async with customer_simulator.session(gateway, retry=QUICK) as session:
        customer_simulator.gateway(gateway).clock = lambda: time.time() - 3600
        await session.create(HELD)
        customer_simulator.gateway(gateway).clock = time.time
        customer_simulator.faults.add("read_hang", method="POST", applied=False)
        with pytest.raises(ConflictError, match="was created before this call"):
            await session.create(HELD)


@pytest.mark.parametrize("gateway", MORE)
async def test_lost_create_of_an_upsert_updates_the_customer_of_another_writer(
    gateway: str, customer_simulator: CustomerSimulator
) -> None:
    draft = CustomerDraft("c-1", first_name="Ada", last_name="Lovelace", email="ada@example.org")
    patient = evolve(QUICK, confirmation_window=10)
    async with customer_simulator.session(gateway, retry=patient) as session, anyio.create_task_group() as group:
        customer_simulator.faults.add("read_hang", method="POST", applied=False)
        group.start_soon(session.upsert, draft)
        while not customer_simulator.faults.seen:  # noqa: ASYNC110 - the simulator runs in another thread
            await anyio.sleep(0.01)
        await _on_another_event_loop(customer_simulator, gateway, HELD)
    assert customer_simulator.ledger(gateway) == {"c-1": 1}
    assert [it["email"] for it in customer_simulator.customers(gateway)] == ["ada@example.org"]


async def test_update_of_wonder_reads_again_after_waiting_for_an_unconfirmed_upsert(
    customer_simulator: CustomerSimulator,
) -> None:
    phone = Phone("+44", "7911123456")
    policy = RetryPolicy(attempts=1, confirmation_window=1.5, read_timeout=0.2)
    # This event loop has not seen that the reference and the id belong to one customer.
    ada = await _on_another_event_loop(customer_simulator, "wonder", CustomerDraft("c-1", "Old Name", phone=phone))
    async with customer_simulator.session("wonder", retry=policy) as session:
        customer_simulator.faults.add("zombie", method="POST", delay=0.4)
        with pytest.raises(OutcomeUnknownError):
            await session.upsert(CustomerDraft(reference="c-1", name="New Name", phone=phone))
        await session.update(ada, CustomerPatch(email="ada@example.org"))
    held = customer_simulator.customers("wonder")[0]
    assert (held["name"], held["email"]) == ("New Name", "ada@example.org")
