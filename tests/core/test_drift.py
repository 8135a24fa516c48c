"""Responses whose fields differ from the gateway's documentation: read, reported, and errors in a strict session."""

import logging
from typing import Any

import pytest
from examples import DRAFT
from gateway_responses import HEX24, IDS, UUID, monri_customer, paydock_customer, paydock_list, wonder_customer
from mock_gateway import ACCOUNTS, MockGateway

from wonder_customers import CustomerSession, InvalidResponseError, Monri, RetryPolicy
from wonder_customers.bulk.migrate import losses
from wonder_customers.contrib.logs import log_events
from wonder_customers.events import Event, ResponseDrift

CANARY = "Lovelace-5551"


def _wrong_customer(gateway: str) -> Any:
    """A customer whose optional fields have other types than documented."""
    if gateway == "monri":
        return monri_customer(merchant_customer_id="35", zip_code=71000, deleted=0, created_at=[CANARY])
    if gateway == "paydock":
        return paydock_customer(archived=0, created_at=1549970553000, company_name=[CANARY])
    return wonder_customer(reference_number="35", dial_code=852, email=[CANARY])


FIELDS = {
    "monri": {"monri.zip_code": 1, "monri.deleted": 1, "monri.created_at": 1},
    "paydock": {"paydock.archived": 1, "paydock.created_at": 1, "paydock.company_name": 1},
    "wonder": {"wonder.dial_code": 1, "wonder.email": 1},
}


async def test_drift_is_counted_and_sent_to_observers_without_values(
    gateway: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    events: list[Event] = []
    mock = MockGateway(_wrong_customer(gateway))
    async with CustomerSession(
        ACCOUNTS[gateway](), transport=mock.transport(), observers=[events.append, log_events]
    ) as session:
        customer = await session.get(IDS[gateway])
        assert customer.id == IDS[gateway]
        assert session.stats().drift == FIELDS[gateway]
    found = [event for event in events if isinstance(event, ResponseDrift)]
    assert {f"{gateway}.{it.field}": it.count for it in found} == FIELDS[gateway]
    assert {it.call.operation for it in found} == {"get"}
    assert CANARY not in f"{events} {caplog.text}"


async def test_create_with_unexpected_types_in_the_response_succeeds(gateway: str) -> None:
    async with MockGateway(_wrong_customer(gateway)).session(gateway) as session:
        assert (await session.create(DRAFT)).id == IDS[gateway]


@pytest.mark.parametrize(("operation", "applied"), [("get", "no"), ("create", "yes")])
async def test_strict_session_raises_on_drift(gateway: str, operation: str, applied: str) -> None:
    mock = MockGateway(_wrong_customer(gateway))
    async with CustomerSession(
        ACCOUNTS[gateway](), transport=mock.transport(), retry=RetryPolicy(attempts=1), strict=True
    ) as session:
        with pytest.raises(InvalidResponseError, match="differ from the gateway's documentation") as caught:
            await (session.get(IDS[gateway]) if operation == "get" else session.create(DRAFT))
        assert (caught.value.applied, caught.value.status) == (applied, 200)
        assert CANARY not in str(caught.value)
        assert session.stats().drift == FIELDS[gateway]


async def test_error_of_a_strict_session_names_ten_fields() -> None:
    wrong = {name: [CANARY] for name, value in monri_customer().items() if value is None}
    mock = MockGateway(monri_customer(**wrong))
    async with CustomerSession(Monri("k", "t"), transport=mock.transport(), strict=True) as session:
        with pytest.raises(InvalidResponseError) as caught:
            await session.get(UUID)
    assert caught.value.reason.count("expected") == 10


async def test_list_item_without_id_is_counted_and_the_rest_is_returned() -> None:
    bodies = {
        "monri": {"status": "approved", "data": [{"uuid": UUID}, {"name": CANARY}, 5]},
        "paydock": paydock_list({"_id": HEX24}, {"first_name": CANARY}),
        "wonder": {"code": 200, "data": {"customers": [{"uuid": UUID}, {"uuid": 7}, {"name": CANARY}]}},
    }
    for gateway, body in bodies.items():
        async with MockGateway(body).session(gateway) as session:
            page = (await session.raw.page()).record
            assert [it.id for it in page.items] == [IDS[gateway]]
            assert page.unreadable == (1 if gateway == "paydock" else 2)
            assert sum(session.stats().drift.values()) == page.unreadable


async def test_unreadable_items_do_not_shift_the_next_page() -> None:
    mock = MockGateway(
        {"status": "approved", "data": [{"name": "no id"}, {"uuid": UUID}]}, {"status": "approved", "data": []}
    )
    async with mock.session("monri") as session:
        assert [it.id async for it in session.list(limit=2)] == [UUID]
    assert mock.lines[1] == "GET /v2/customers?limit=2&offset=2"


async def test_byte_order_mark_is_skipped_and_reported() -> None:
    mock = MockGateway(b'\xef\xbb\xbf{"status": "approved", "uuid": "' + UUID.encode() + b'"}')
    async with mock.session("monri") as session:
        assert (await session.get(UUID)).id == UUID
        assert session.stats().drift == {"monri.(body)": 1}


async def test_documented_response_causes_no_drift_and_strict_session_accepts_it() -> None:
    mock = MockGateway(monri_customer())
    async with CustomerSession(Monri("k", "t"), transport=mock.transport(), strict=True) as session:
        await session.get(UUID)
        assert session.stats().drift == {}


async def test_migration_reports_customers_without_an_id() -> None:
    items = {"status": "approved", "data": [{"uuid": UUID, "merchant_customer_id": "35"}, {"name": CANARY}]}
    source = MockGateway(items, {"status": "approved", "data": []})
    async with source.session("monri") as reader, MockGateway().session("paydock") as writer:
        found = await losses(reader, writer)
    assert (found.customers, found.unreadable, found.any) == (1, 1, True)
