"""The effect of a deleted (Monri) or archived (Paydock) customer with the same reference on each operation."""

from typing import Any

import pytest
from gateway_responses import HEX24, UUID, monri_customer, paydock_customer
from mock_gateway import MockGateway, json_response

from wonder_customers import (
    ConflictError,
    CustomerDraft,
    CustomerSession,
    GatewayUnavailableError,
    InvalidRequestError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RetryPolicy,
)
from wonder_customers.bulk import Options, plan, sync, verify
from wonder_customers.testing import CustomerSimulator

QUICK = RetryPolicy(read_timeout=0.2, confirmation_window=0.5)
DRAFT = CustomerDraft(reference="c-1", first_name="Ada", last_name="Lovelace", email="ada@example.org")
GATEWAYS = ["monri", "paydock"]


async def _delete(session: CustomerSession) -> str:  # type: ignore[type-arg]
    made = await session.create(DRAFT)
    await session.delete(made.id)
    return made.id


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_deleted_customer_is_found_by_id_and_not_by_reference(
    gateway: str, customer_simulator: CustomerSimulator
) -> None:
    async with customer_simulator.session(gateway) as session:
        held = await _delete(session)
        assert (await session.get(held)).deleted
        with pytest.raises(NotFoundError) as caught:
            await session.get_by_reference("c-1")
    assert caught.value.id == (held if gateway == "monri" else None)


@pytest.mark.parametrize("operation", ["create", "upsert"])
async def test_write_for_the_reference_of_a_deleted_customer_is_a_conflict_at_monri(
    operation: str, customer_simulator: CustomerSimulator
) -> None:
    async with customer_simulator.session("monri") as session:
        held = await _delete(session)
        with pytest.raises(ConflictError) as caught:
            await getattr(session, operation)(DRAFT)
    assert caught.value.applied == "no"
    assert "use another reference" in caught.value.hint.lower()
    if operation == "upsert":
        assert (caught.value.ids, "upsert" in caught.value.hint) == ((held,), False)


@pytest.mark.parametrize("operation", ["create", "upsert"])
async def test_write_for_the_reference_of_an_archived_customer_makes_a_new_one_at_paydock(
    operation: str, customer_simulator: CustomerSimulator
) -> None:
    async with customer_simulator.session("paydock") as session:
        held = await _delete(session)
        made = await getattr(session, operation)(DRAFT)
        assert made.id != held
        assert (await session.get_by_reference("c-1")).id == made.id


async def test_lost_create_does_not_recover_a_deleted_customer_at_monri(customer_simulator: CustomerSimulator) -> None:
    async with customer_simulator.session("monri", retry=QUICK) as session:
        await _delete(session)
        customer_simulator.faults.add("read_hang", method="POST", applied=False)
        with pytest.raises(ConflictError, match="differs in these fields: deleted") as caught:
            await session.create(DRAFT)
    assert caught.value.applied == "unknown"


async def test_lost_create_does_not_recover_an_archived_customer_at_paydock(
    customer_simulator: CustomerSimulator,
) -> None:
    async with customer_simulator.session("paydock", retry=QUICK) as session:
        held = await _delete(session)
        customer_simulator.faults.add("read_hang", method="POST", applied=False)
        made = await session.raw.create(DRAFT)
    assert (made.record.id == held, made.record.deleted, made.recovered) == (False, False, False)


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_bulk_jobs_agree_on_deleted_customers(gateway: str, customer_simulator: CustomerSimulator) -> None:
    async with customer_simulator.session(gateway, retry=QUICK) as session:
        await _delete(session)
        planned = await plan(session, [DRAFT], options=Options(retry=QUICK))
        assert (planned.creates, planned.invalid, planned.adds_up) == (
            (0, 1, True) if gateway == "monri" else (1, 0, True)
        )
        assert dict((await verify(session, [DRAFT], options=Options(retry=QUICK))).counts) == {"missing": 1}
        async with sync(session, [DRAFT], options=Options(retry=QUICK)) as job:
            outcomes = [it.status async for it in job]
        assert outcomes == ["failed" if gateway == "monri" else "created"]
        found = await verify(session, [DRAFT], options=Options(retry=QUICK))
        assert dict(found.counts) == {"missing" if gateway == "monri" else "equal": 1}


@pytest.mark.parametrize("deleted", [None, False, "no", "yes", True])
async def test_monri_customer_with_a_time_of_deletion_is_deleted(deleted: Any) -> None:
    held = monri_customer(merchant_customer_id="c-1", deleted=deleted, deleted_at="2026-01-01T00:00:00Z")
    wire = MockGateway(*[held] * 2)
    async with wire.session("monri") as session:
        with pytest.raises(NotFoundError):
            await session.get_by_reference("c-1")
        with pytest.raises(ConflictError):
            await session.upsert(DRAFT)
    assert [request.method for request in wire.requests] == ["GET", "GET"]


@pytest.mark.parametrize("value", [False, 0, "0", "false", "no"])
async def test_deletion_that_the_response_denies_is_not_done(value: Any) -> None:
    wire = MockGateway({"status": "approved", "id": UUID, "deleted": value})
    async with wire.session("monri") as session:
        with pytest.raises(InvalidRequestError, match="the customer was not deleted"):
            await session.delete(UUID)
        assert session.stats().drift == ({} if value is False else {"monri.deleted": 1})
    wire = MockGateway({"code": 200, "data": {"success": value}})
    async with wire.session("wonder") as session:
        with pytest.raises(InvalidRequestError, match="the token was not deleted"):
            await session.delete_payment_token(UUID, "t")
    wire = MockGateway(*[{"success": value}] * 2)
    async with wire.session("wonder") as session:
        with pytest.raises(InvalidRequestError):
            await session.delete_payment_token(UUID, "t")
    async with wire.session("monri") as session:
        with pytest.raises(InvalidRequestError):
            await session.delete(UUID)


NOT_STATED = [
    *({"message": it} for it in ("Customer not found", "No customer was deleted", "the customer")),
    *({"error_message": "no"}, {"data": {}, "id": ""}, {"data": {"status": "failed"}}),
]
STATED = [
    *({"message": it} for it in ("Customer successfully deleted.", "The payment token has been removed", "OK")),
    *({"result": "success"}, {"status": "Success"}, {"ok": True}, {"data": "deleted"}, {"data": {"deleted": True}}),
    *({"status": "deleted"}, {"code": "200"}, {"data": None, "code": 200}),
]


@pytest.mark.parametrize("body", NOT_STATED, ids=str)
@pytest.mark.parametrize("gateway", ["monri", "wonder"])
async def test_response_that_states_nothing_about_the_deletion_leaves_it_unknown(gateway: str, body: Any) -> None:
    answers = [body, {}, {"success": True}, *STATED]
    async with MockGateway(*[json_response(200, it) for it in answers]).session(gateway) as session:

        async def delete() -> None:
            await (session.delete(UUID) if gateway == "monri" else session.delete_payment_token(UUID, "t"))

        with pytest.raises(InvalidResponseError, match="does not show that the") as caught:
            await delete()
        assert caught.value.applied == "unknown"
        for _ in answers[1:]:
            await delete()


@pytest.mark.parametrize("value", [False, "false"])
async def test_archiving_that_the_response_denies_is_read_back_at_paydock(value: Any) -> None:
    """The response may contain the customer as it was before."""
    denied = json_response(200, paydock_customer(archived=value))
    wire = MockGateway(
        *(denied, json_response(200, paydock_customer(archived=True))),
        *(denied, json_response(404, {"error": {"message": "Not found"}})),
        *(denied, json_response(200, paydock_customer(archived=False))),
        *(denied, json_response(503)),
    )
    async with wire.session("paydock") as session:
        await session.delete(HEX24)
        await session.delete(HEX24)
        with pytest.raises(InvalidRequestError, match="the customer was not deleted"):
            await session.delete(HEX24)
        with pytest.raises(GatewayUnavailableError) as caught:
            await session.delete(HEX24)
    assert caught.value.applied == "unknown"
    assert [request.method for request in wire.requests] == ["DELETE", "GET"] * 4


async def test_refusal_in_the_body_of_a_deletion_with_http_200_at_paydock() -> None:
    refused = json_response(200, {"status": 403, "error": None, "resource": {"type": "customer", "data": None}})
    async with MockGateway(refused, refused).session("paydock") as session:
        for deletion in (session.delete(HEX24), session.delete_payment_token(HEX24, HEX24)):
            with pytest.raises(PermissionDeniedError):
                await deletion
