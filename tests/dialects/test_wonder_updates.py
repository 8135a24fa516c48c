"""Updates at Wonder, which read the customer and send all of its fields back."""

import json
from typing import Any

import httpx
import pytest
from attrs import evolve
from dialects.failures import failure
from examples import DRAFT
from gateway_responses import UUID
from mock_gateway import MockGateway, json_response

from wonder_customers import CustomerPatch, InvalidRecordError, InvalidResponseError, Phone
from wonder_customers.testing import CustomerSimulator

HELD = {"uuid": UUID, "reference_number": "35", "name": "Ada", "dial_code": "+852", "phone": "12345678"}
TOKEN = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"


def found(**changed: Any) -> tuple[int, Any]:
    return 200, {"code": 200, "data": {"customer": HELD | changed}}


async def written(held: dict[str, Any], patch: CustomerPatch) -> dict[str, Any]:
    """Return the customer that an update sends."""
    wire = MockGateway(*[json_response(*found(**held)) for _ in range(3)])
    async with wire.session("wonder") as session:
        await session.update(UUID, patch)
    sent: httpx.Request = wire.requests[-1]
    body: dict[str, Any] = json.loads(sent.content)["customer"]
    return body


@pytest.mark.parametrize("reference", ["", "a\tb", ".", ".."])
async def test_customer_whose_reference_cannot_be_used_is_not_updated(reference: str) -> None:
    # The write would create or change another customer.
    with pytest.raises(InvalidRecordError) as caught:
        await written({"reference_number": reference}, CustomerPatch(email="ada@shop.test"))
    assert [it.field for it in caught.value.violations] == ["reference"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("email", ["ada@shop.test"]), ("company_name", {"en": "Acme"}), ("dial_code", ["+852"]), ("name", {"en": "Ada"})],
)
async def test_update_does_not_lose_a_field_that_cannot_be_read(name: str, value: Any) -> None:
    patch = CustomerPatch(default_payment_method="Alipay")
    error = await failure("wonder", found(**{name: value}), operation=lambda s: s.update(UUID, patch))
    assert isinstance(error, InvalidResponseError)
    assert error.applied == "no"
    assert name in error.reason


async def test_update_replaces_a_field_that_cannot_be_read() -> None:
    assert (await written({"email": ["x"]}, CustomerPatch(email="ada@shop.test")))["email"] == "ada@shop.test"


async def test_default_token_that_is_a_string_is_sent_back_and_an_empty_one_is_not() -> None:
    sent = await written({"default_payment_token": TOKEN}, CustomerPatch(email="ada@shop.test"))
    assert sent["default_payment_token"] == TOKEN
    empty = {"token": "", "default": False, "credit_card": {"number": ""}}
    assert "default_payment_token" not in await written(
        {"default_payment_token": empty}, CustomerPatch(email="a@b.test")
    )


@pytest.mark.parametrize(
    ("dial_code", "number"),
    [("+385", "385912345678"), ("+852", "+852 1234 5678"), ("", "+852 12345678"), ("+1", "1 555 123 4567"), ("", "12")],
)
async def test_number_that_the_patch_does_not_change_is_sent_back_as_it_is(dial_code: str, number: str) -> None:
    sent = await written({"dial_code": dial_code, "phone": number}, CustomerPatch(email="ada@shop.test"))
    assert (sent["dial_code"], sent["phone"]) == (dial_code, number)


@pytest.mark.parametrize("held", [{"phone": ""}, {"phone": "", "dial_code": ""}, {"phone": None}])
async def test_customer_without_a_number_needs_one(held: dict[str, Any]) -> None:
    with pytest.raises(InvalidRecordError):
        await written(held, CustomerPatch(email="ada@shop.test"))
    assert (await written(held, CustomerPatch(phone=Phone("+44", "7911123456"))))["dial_code"] == "+44"


@pytest.mark.parametrize(
    ("new", "stored"),
    [
        (Phone(None, "020 7946 0000"), Phone(None, "020 7946 0000")),
        (Phone(None, "+44 7911 123456"), Phone("+44", "7911123456")),
        (Phone("+44", "+44 7911 123456"), Phone("+44", "7911123456")),
    ],
)
async def test_new_number_replaces_the_dial_code(
    new: Phone, stored: Phone, customer_simulator: CustomerSimulator
) -> None:
    draft = evolve(DRAFT, phone=new)
    async with customer_simulator.session("wonder") as session:
        held = await session.create(DRAFT)
        assert session.compare(draft, held).different
        assert (await session.upsert(draft)).phone == stored
        await session.upsert(DRAFT)
        updated = await session.update(held.id, CustomerPatch(phone=new))
        assert updated.phone == stored
        assert session.compare(draft, updated).different == ()


async def test_number_with_another_calling_code_is_refused() -> None:
    with pytest.raises(InvalidRecordError) as caught:
        await written({}, CustomerPatch(phone=Phone("+852", "+44 7911 123456")))
    assert [it.field for it in caught.value.violations] == ["phone.number"]


@pytest.mark.parametrize(
    ("sent", "held", "equal"),
    [
        (Phone("+44", "07911 123456"), ("+44", "7911123456"), True),
        (Phone("+44", "7911123456"), (None, "+447911123456"), True),
        (Phone("+44", "7911123456"), ("+1", "7911123456"), False),
        (Phone("+39", "0612345678"), ("+39", "612345678"), False),
        (Phone(None, "020 7946 0000"), ("+852", "020 7946 0000"), False),
        (Phone(None, "020 7946 0000"), (None, "020 7946 0000"), True),
    ],
)
async def test_numbers_are_compared_with_their_dial_code(sent: Phone, held: tuple[Any, str], equal: bool) -> None:
    async with MockGateway(json_response(*found(dial_code=held[0], phone=held[1]))).session("wonder") as session:
        different = session.compare(evolve(DRAFT, name="Ada", phone=sent), await session.get(UUID)).different
    assert (different == ()) == equal
