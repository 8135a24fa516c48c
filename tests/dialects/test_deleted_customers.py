"""The effect of a deleted (Monri) or archived (Paydock) customer with the same reference on each operation."""

import pytest

from wonder_customers import ConflictError, CustomerDraft, CustomerSession, NotFoundError, RetryPolicy
from wonder_customers.bulk import Options, plan, sync, verify
from wonder_customers.testing import CustomerSimulator

pytestmark = pytest.mark.anyio

QUICK = RetryPolicy(read_timeout=0.2, confirmation_window=0.5)
DRAFT = CustomerDraft(reference="c-1", first_name="Ada", last_name="Lovelace", email="ada@example.org")
GATEWAYS = ["monri", "paydock"]


async def _delete(session: CustomerSession) -> str:  # type: ignore[type-arg]
    made = await session.create(DRAFT)
    await session.delete(made.id)
    return made.id


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_deleted_customer_is_found_by_id_and_not_by_reference(
    gateway: str, in_process: CustomerSimulator
) -> None:
    with in_process:
        async with in_process.session(gateway) as session:
            held = await _delete(session)
            assert (await session.get(held)).deleted
            with pytest.raises(NotFoundError) as caught:
                await session.get_by_reference("c-1")
    assert caught.value.id == (held if gateway == "monri" else None)


@pytest.mark.parametrize("operation", ["create", "upsert"])
async def test_write_for_the_reference_of_a_deleted_customer_is_a_conflict_at_monri(
    operation: str, in_process: CustomerSimulator
) -> None:
    with in_process:
        async with in_process.session("monri") as session:
            held = await _delete(session)
            with pytest.raises(ConflictError) as caught:
                await getattr(session, operation)(DRAFT)
    assert caught.value.applied == "no"
    assert "use another reference" in caught.value.hint.lower()
    if operation == "upsert":
        assert (caught.value.ids, "upsert" in caught.value.hint) == ((held,), False)


@pytest.mark.parametrize("operation", ["create", "upsert"])
async def test_write_for_the_reference_of_an_archived_customer_makes_a_new_one_at_paydock(
    operation: str, in_process: CustomerSimulator
) -> None:
    with in_process:
        async with in_process.session("paydock") as session:
            held = await _delete(session)
            made = await getattr(session, operation)(DRAFT)
            assert made.id != held
            assert (await session.get_by_reference("c-1")).id == made.id


async def test_lost_create_does_not_recover_a_deleted_customer_at_monri(in_process: CustomerSimulator) -> None:
    with in_process:
        async with in_process.session("monri", retry=QUICK) as session:
            await _delete(session)
            in_process.faults.add("read_hang", method="POST", applied=False)
            with pytest.raises(ConflictError, match="differs in these fields: deleted") as caught:
                await session.create(DRAFT)
    assert caught.value.applied == "unknown"


async def test_lost_create_does_not_recover_an_archived_customer_at_paydock(in_process: CustomerSimulator) -> None:
    with in_process:
        async with in_process.session("paydock", retry=QUICK) as session:
            held = await _delete(session)
            in_process.faults.add("read_hang", method="POST", applied=False)
            made = await session.raw.create(DRAFT)
    assert (made.record.id == held, made.record.deleted, made.recovered) == (False, False, False)


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_bulk_jobs_agree_on_deleted_customers(gateway: str, in_process: CustomerSimulator) -> None:
    with in_process:
        async with in_process.session(gateway, retry=QUICK) as session:
            await _delete(session)
            planned = await plan(session, [DRAFT], retry=QUICK)
            assert (planned.creates, planned.invalid, planned.adds_up) == (
                (0, 1, True) if gateway == "monri" else (1, 0, True)
            )
            assert dict((await verify(session, [DRAFT], retry=QUICK)).counts) == {"missing": 1}
            async with sync(session, [DRAFT], options=Options(retry=QUICK)) as job:
                outcomes = [it.status async for it in job]
            assert outcomes == ["failed" if gateway == "monri" else "created"]
            found = await verify(session, [DRAFT], retry=QUICK)
            assert dict(found.counts) == {"missing" if gateway == "monri" else "equal": 1}
