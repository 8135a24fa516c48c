"""The values of an answer in the record: times, numbers, words, and what may not be in it whole."""

from datetime import UTC, datetime

import pytest
from gateway_responses import HEX24, UUID
from mock_gateway import golden

from wonder_customers import InvalidResponseError, Phone
from wonder_customers.dialects.monri import codec as monri
from wonder_customers.dialects.paydock import codec as paydock
from wonder_customers.dialects.wonder import codec as wonder

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2019-02-12T11:22:33Z", datetime(2019, 2, 12, 11, 22, 33, tzinfo=UTC)),
        ("2019-02-12T11:22:33.456Z", datetime(2019, 2, 12, 11, 22, 33, 456_000, UTC)),
        ("2019-02-12T12:22:33+01:00", datetime(2019, 2, 12, 11, 22, 33, tzinfo=UTC)),
        ("2019-02-12T11:22:33", datetime(2019, 2, 12, 11, 22, 33, tzinfo=UTC)),
    ],
)
async def test_times_come_out_as_moments_with_a_zone(text: str, expected: datetime) -> None:
    customer = monri.read_customer({"uuid": UUID, "created_at": text})
    assert customer.created_at == expected
    assert customer.created_at.tzinfo is not None


@pytest.mark.parametrize("text", ["yesterday", "2019-02-30T00:00:00Z", "", 1549970553, "2019-02-12T25:00:00Z"])
async def test_what_is_no_time_is_an_invalid_reply_without_the_value(text: object) -> None:
    with pytest.raises(InvalidResponseError, match="created_at: expected an RFC 3339 time") as caught:
        monri.read_customer({"uuid": UUID, "created_at": text})
    assert str(text) not in str(caught.value) or not text


async def test_null_is_never_the_text_none_and_false_is_never_true() -> None:
    customer = monri.read_customer({**golden("monri", "create_response"), "name": None, "deleted": False})
    assert (customer.name, customer.deleted) == (None, False)
    for wrong in ("false", 0, 1, "true"):
        with pytest.raises(InvalidResponseError, match="deleted: expected bool"):
            monri.read_customer({"uuid": UUID, "deleted": wrong})


async def test_monris_two_ids_are_told_apart_when_both_are_there() -> None:
    both = monri.read_customer({"uuid": UUID, "id": "12345"})
    assert (both.id, both.extra) == (UUID, {"id": "12345"})
    same = monri.read_customer({"uuid": UUID, "id": UUID})
    assert (same.id, same.extra) == (UUID, {})
    only = monri.read_customer({"uuid": None, "id": UUID})
    assert (only.id, only.extra) == (UUID, {})


async def test_monris_telephone_numbers_are_free_text_and_international_ones_are_split() -> None:
    for text, phone in {
        "+38761000111": Phone("+387", "61000111"),
        "00387000111": Phone(None, "00387000111"),
        "call my wife": Phone(None, "call my wife"),
        "+387 61 000 111 ext. 5": Phone(None, "+387 61 000 111 ext. 5"),
        "+1 800 FLOWERS": Phone(None, "+1 800 FLOWERS"),
    }.items():
        read = monri.read_customer({"uuid": UUID, "phone": text})
        assert read.phone == phone
        assert monri.write_customer(read)["phone"] == text


async def test_unknown_words_of_enumerations_are_kept_as_they_are() -> None:
    token = wonder.read_token({"token": "t", "token_type": "ApplePay", "state": "in_review"})
    assert (token.token_type, token.state) == ("ApplePay", "in_review")
    customer = wonder.read_customer({"uuid": UUID, "default_payment_method": "credit_card"})
    assert customer.default_payment_method == "credit_card"
    assert paydock.read_customer({"_id": HEX24, "status": "on_hold"}).status == "on_hold"
    assert paydock.read_token({"_id": HEX24, "type": "crypto"}).token_type == "crypto"


async def test_a_default_source_that_is_not_listed_is_still_told() -> None:
    customer = paydock.read_customer({"_id": HEX24, "default_source": "5f0c2f7a9b1e8d0012345678"})
    assert customer.default_payment_token is not None
    assert customer.default_payment_token.token == "5f0c2f7a9b1e8d0012345678"
    assert paydock.write_customer(customer) == {"_id": HEX24, "default_source": "5f0c2f7a9b1e8d0012345678"}
    for nothing in (None, ""):
        assert paydock.read_customer({"_id": HEX24, "default_source": nothing}).default_payment_token is None


async def test_a_whole_card_number_in_an_answer_is_cut_to_its_last_four_digits() -> None:
    token = wonder.read_token({"token": "t", "credit_card": {"number": "4111 1111 1111 1234"}})
    assert token.card is not None
    assert token.card.number == "***************1234"
    assert token.card.last4 == "1234"
    assert "4111" not in f"{token} {token.card!r}"
