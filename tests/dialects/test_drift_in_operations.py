"""Operations whose responses have fields of other types than documented."""

from typing import Any

import pytest
from dialects.documented import DOCUMENTS
from dialects.test_response_fields import WRONG_VALUES
from examples import DRAFT
from gateway_responses import HEX24, UUID, monri_customer, paydock_customer, paydock_list, wonder_customer
from mock_gateway import ACCOUNTS, MockGateway, json_response

pytestmark = pytest.mark.anyio

BODIES = {"wonder": wonder_customer, "paydock": paydock_customer, "monri": monri_customer}
IDS = {"wonder": UUID, "paydock": HEX24, "monri": UUID}
STRICT = {"uuid", "_id", "status", "reference_number", "reference", "merchant_customer_id"}
"""The envelope, the id and the reference."""


def _customer(gateway: str, value: Any) -> Any:
    """Return a response whose optional fields all have this value."""
    reference = {"wonder": "reference_number", "paydock": "reference", "monri": "merchant_customer_id"}[gateway]
    wrong = {name: value for name in DOCUMENTS[gateway]["response"]["customer"] if name not in STRICT}
    if gateway == "monri" and value is True:
        wrong["deleted"] = False  # a deleted customer is not written
    return BODIES[gateway](**wrong, **{reference: DRAFT.reference})


def _page(gateway: str, value: Any) -> Any:
    body = _customer(gateway, value)
    if gateway == "monri":
        return {"status": "approved", "data": [body]}
    if gateway == "paydock":
        return paydock_list(body["resource"]["data"], count=1)
    return {"code": 200, "data": {"customers": [body["data"]["customer"]]}}


@pytest.mark.parametrize("wrong", WRONG_VALUES)
@pytest.mark.parametrize("gateway", ACCOUNTS)
async def test_unexpected_types_do_not_fail_any_operation(gateway: str, wrong: str) -> None:
    single, page = (json_response(200, it(gateway, WRONG_VALUES[wrong])) for it in (_customer, _page))
    before_write = {"wonder": [], "paydock": [page], "monri": [single]}[gateway]
    mock = MockGateway(single, single, page, *before_write, single)
    async with mock.session(ACCOUNTS[gateway]()) as session:
        assert (await session.get(IDS[gateway])).id == IDS[gateway]
        assert (await session.create(DRAFT)).id == IDS[gateway]
        assert [it.id for it in (await session.raw.page()).record.items] == [IDS[gateway]]
        customer = await session.upsert(DRAFT)
        assert customer.id == IDS[gateway]
        session.differences(DRAFT, customer)
        assert (wrong == "null") == (session.stats().drift == {})
