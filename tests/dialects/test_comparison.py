"""Comparison of the values that were sent with the values of a gateway, with normalisation."""

from typing import Any

import pytest
from attrs import evolve
from examples import DRAFT
from gateway_responses import UUID, monri_customer

from scripted_transport import NO_RESPONSE, draft, make_harness, respond
from wonder_customers import CardSource, CustomerDraft, Phone
from wonder_customers.dialects.comparison import Comparison, compare_values, equal_after_normalisation
from wonder_customers.dialects.monri import codec as monri
from wonder_customers.dialects.paydock import codec as paydock
from wonder_customers.dialects.wonder import codec as wonder

EQUAL: list[tuple[str, Any, Any]] = [
    ("email", "Ada.Lovelace@Example.COM ", "ada.lovelace@example.com"),
    ("name", "Ada  Lovelace ", "Ada Lovelace"),
    ("name", "Zo\u0065\u0301", "Zo\u00e9"),
    ("phone", "+387 61/000-111", "+38761000111"),
    ("phone", "00387 61 000 111", "+38761000111"),
    ("phone.number", "013 9957 0539", "01399570539"),
    ("phone.dial_code", "+852", "852"),
    ("address.country", "ba", "BA"),
    ("address.country", "HR", "Croatia"),
    ("address.country", "HR", "HRV"),
    ("address.country", "HR", " hrvatska "),
    ("address.country", "GB", "UK"),
    ("address.postcode", "SW1A 1AA", "sw1a1aa"),
    ("address.postcode", "71000", 71000),
    ("default_payment_method", "Credit Card", "credit_card"),
    ("default_payment_token", "5F0C2F7A9B1E8D0012345678", "5f0c2f7a9b1e8d0012345678"),
    ("metadata", {"plan": " pro ", "seats": "3"}, {"plan": "pro", "seats": 3}),
    ("metadata", {"list": [1, "a  b"]}, {"list": ["1", "a b"]}),
    ("metadata", {"score": 1.5, "points": 12345678.0}, {"score": "1.5", "points": "12345678"}),
    ("metadata", {"vip": True, "list": [False]}, {"vip": "true", "list": ["false"]}),
]
DIFFERENT: list[tuple[str, Any, Any]] = [
    ("address.country", "HR", "RS"),
    ("address.country", "HR", "Serbia"),
    ("email", "ada@example.com", "ada@example.org"),
    ("name", "Ada Lovelace", "ada lovelace"),
    ("name", "Ada", "Adá"),
    ("phone", "+38761000111", "+38761000112"),
    ("phone", "call me", "call you"),
    ("address.city", "Sarajevo", "Mostar"),
    ("metadata", {"a": 1}, {"a": 1, "b": 2}),
    ("metadata", {"vip": 1}, {"vip": True}),
    ("metadata", {"list": [{"vip": False}]}, {"list": [{"vip": 0}]}),
    ("metadata", {"latitude": 45.815011}, {"latitude": 45.815012}),
    ("metadata", {"balance": 1234567.5}, {"balance": 1234568.5}),
]


@pytest.mark.parametrize(("field", "sent", "held"), EQUAL)
async def test_values_that_are_equal_after_normalisation(field: str, sent: Any, held: Any) -> None:
    assert equal_after_normalisation(field, sent, held)
    expected = Comparison(normalized=(field,))
    assert compare_values([(field, "wire")], {"wire": sent}, {"wire": held}) == expected


@pytest.mark.parametrize(("field", "sent", "held"), DIFFERENT)
async def test_values_that_differ(field: str, sent: Any, held: Any) -> None:
    expected = Comparison(different=(field,))
    assert compare_values([(field, "wire")], {"wire": sent}, {"wire": held}) == expected


async def test_absent_value_differs_from_a_value_that_was_sent() -> None:
    fields = [("name", "wire")]
    assert compare_values(fields, {"wire": "Ada"}, {"wire": None}).different == ("name",)
    assert compare_values(fields, {"wire": ""}, {"wire": None}) == Comparison()
    assert compare_values(fields, {"wire": "Ada"}, {}) == Comparison()
    assert compare_values(fields, {"wire": None}, {"wire": "Ada"}) == Comparison(different=("name",))
    assert compare_values(fields, {"wire": None}, {"wire": ""}) == Comparison()


async def test_differences_ignore_what_normalisation_removes() -> None:
    sent = CustomerDraft(reference="r", name="Ada  Lovelace", email="Ada@Example.com")
    held = monri.read_customer(
        {"uuid": "u", "merchant_customer_id": "r", "name": "Ada Lovelace", "email": "ada@example.com"}
    )
    assert monri.compare(sent, held) == Comparison(normalized=("email", "name"))
    held = wonder.read_customer(wonder.checked_body(DRAFT)[0] | {"uuid": "u", "email": "other@example.com"})
    assert wonder.compare(evolve(DRAFT, email="ada@example.com"), held).different == ("email",)


@pytest.mark.parametrize("stored", ["447911123456", "0044 7911 123456", 447911123456])
def test_paydock_numbers_are_equal_without_the_plus_sign(stored: Any) -> None:
    held = paydock.read_customer({"_id": "u", "phone": stored})
    assert "phone" in paydock.compare(draft(phone=Phone("+44", "7911123456")), held).normalized
    assert "phone" in paydock.compare(draft(phone=Phone("+44", "7911123457")), held).different


def test_comparison_does_not_read_the_payment_source() -> None:
    address: Any = "1 Main Street"
    card = CardSource("4111111111111111", expire_month="12", expire_year="2030", address=address)
    held = paydock.read_customer({"_id": "u", "email": "ada@example.com"})
    assert paydock.compare(CustomerDraft(email="ada@example.com", payment_source=card), held) == Comparison()


async def test_lost_create_is_recovered_when_the_gateway_normalises_the_email() -> None:
    body = monri_customer(merchant_customer_id="r-1", email="ada@example.com", name="Ada", phone="+447911123456")
    harness = make_harness(NO_RESPONSE, respond(200, body))
    response = await harness.create(evolve(draft(), email="Ada@Example.com "))
    assert (response.record.id, response.recovered) == (UUID, True)


@pytest.mark.parametrize("metadata", [{"plan": "a\0b"}, {"a\0b": "plan"}, {"list": ["\\\0"]}])
async def test_metadata_with_nul_is_refused(metadata: Any) -> None:
    for checked in (monri.checked_body, paydock.checked_body):
        assert "NUL" in checked(draft(metadata=metadata))[1][0].limit
    assert monri.checked_body(draft(metadata={"plan": "\\u0000"}))[1] == []
