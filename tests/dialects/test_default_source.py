"""Paydock makes an added payment source the default; an account can keep the default as it was."""

from typing import Any

import pytest
from attrs import evolve
from gateway_responses import HEX24, paydock_customer
from mock_gateway import MockGateway, json_response, paydock

from wonder_customers import BankAccountSource, CustomerDraft, CustomerPatch, CustomerSession, InvalidResponseError
from wonder_customers.testing.simulated import CustomerSimulator

OLD, NEW = "5f0c2f7a9b1e8d0000000001", "5f0c2f7a9b1e8d0000000002"
BANK = BankAccountSource("123456789", "Ada Lovelace", bsb="012-345")
KEEPING = evolve(paydock(), keep_default_source=True)


def _customer(default: str) -> Any:
    return json_response(200, paydock_customer(default_source=default, payment_sources=[{"_id": OLD}, {"_id": NEW}]))


@pytest.mark.parametrize("keep", [False, True])
async def test_added_source_becomes_the_default_unless_the_account_keeps_it(
    customer_simulator: CustomerSimulator, keep: bool
) -> None:
    account: Any = customer_simulator.account("paydock")
    async with CustomerSession(evolve(account, keep_default_source=keep)) as session:
        made = await session.create(CustomerDraft("r-1", first_name="Ada", payment_source=BANK))
        first = made.default_payment_token
        assert first is not None
        added = await session.create_payment_token(made.id, BANK)
        updated = await session.update(made.id, CustomerPatch(payment_source=BANK))
        upserted = await session.upsert(CustomerDraft("r-1", payment_source=BANK))
        assert len(upserted.payment_tokens) == 4
        for customer in (updated, upserted):
            assert customer.default_payment_token is not None
            assert (customer.default_payment_token.token == first.token) is keep
        assert (added.default, added.token_type) == (not keep or None, "bsb") or added.default is False


async def test_default_that_the_gateway_replaced_anyway_is_restored() -> None:
    mock = MockGateway(_customer(OLD), _customer(NEW), _customer(OLD))
    async with mock.session(KEEPING) as session:
        customer = await session.update(HEX24, CustomerPatch(payment_source=BANK))
    assert customer.default_payment_token is not None
    assert customer.default_payment_token.token == OLD
    assert [body and body.get("default_source") for body in mock.bodies] == [None, OLD, OLD]


@pytest.mark.parametrize(
    ("response", "shown"), [(json_response(400, {"error": "no"}), "refused"), (_customer(NEW), "shows another default")]
)
async def test_default_that_cannot_be_restored_is_an_error_that_says_applied(response: Any, shown: str) -> None:
    mock = MockGateway(_customer(OLD), _customer(NEW), response)
    async with mock.session(KEEPING) as session:
        with pytest.raises(InvalidResponseError, match=f"the payment source was added, but .*{shown}") as caught:
            await session.update(HEX24, CustomerPatch(payment_source=BANK))
    assert (caught.value.applied, caught.value.id) == ("yes", HEX24)
    assert OLD not in f"{caught.value} {caught.value!r}", "tokens are secrets"
    assert len(mock.requests) == 3


@pytest.mark.parametrize("order", [(OLD, NEW), (NEW, OLD)])
async def test_added_source_is_the_default_if_others_were_added_at_the_same_time(order: tuple[str, str]) -> None:
    sources = [{"_id": it} for it in order]
    after = json_response(200, paydock_customer(default_source=NEW, payment_sources=sources))
    async with MockGateway(paydock_customer(), after).session("paydock") as session:
        assert (await session.create_payment_token(HEX24, BANK)).token == NEW
