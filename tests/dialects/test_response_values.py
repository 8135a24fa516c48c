"""Values of responses: times, numbers, words, and card numbers, which are masked."""

from datetime import UTC, datetime
from types import ModuleType

import pytest
from attrs import field, frozen
from gateway_responses import HEX24, UUID

from wonder_customers import Customer, Phone
from wonder_customers.dialects.codec import Json, make_converter, make_reader
from wonder_customers.dialects.monri import codec as monri
from wonder_customers.dialects.paydock import codec as paydock
from wonder_customers.dialects.tolerant_reader import MissingFieldError
from wonder_customers.dialects.wonder import codec as wonder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2019-02-12T11:22:33Z", datetime(2019, 2, 12, 11, 22, 33, tzinfo=UTC)),
        ("2019-02-12T11:22:33.456Z", datetime(2019, 2, 12, 11, 22, 33, 456_000, UTC)),
        ("2019-02-12T12:22:33+01:00", datetime(2019, 2, 12, 11, 22, 33, tzinfo=UTC)),
        ("2019-02-12T11:22:33", datetime(2019, 2, 12, 11, 22, 33, tzinfo=UTC)),
    ],
)
async def test_times_are_read_with_a_time_zone(text: str, expected: datetime) -> None:
    customer = monri.read_customer({"uuid": UUID, "created_at": text})
    assert customer.created_at == expected
    assert customer.created_at.tzinfo is not None


async def test_monri_uuid_and_id_are_both_kept() -> None:
    both = monri.read_customer({"uuid": UUID, "id": "12345"})
    assert (both.id, both.extra) == (UUID, {"id": "12345"})
    same = monri.read_customer({"uuid": UUID, "id": UUID})
    assert (same.id, same.extra) == (UUID, {})
    for empty in (None, ""):
        only = monri.read_customer({"uuid": empty, "id": UUID})
        assert (only.id, only.extra) == (UUID, {})


async def test_monri_international_phone_numbers_are_split() -> None:
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


@pytest.mark.parametrize(
    ("codec", "body"),
    [(monri, {"uuid": UUID}), (paydock, {"_id": HEX24}), (wonder, {"uuid": UUID, "dial_code": "+852"})],
)
async def test_empty_phone_is_no_phone(codec: ModuleType, body: Json) -> None:
    assert codec.read_customer(body | {"phone": ""}).phone is None


@pytest.mark.parametrize("phone", [385912345678.0, ["12345678"], {"number": "12345678"}, True], ids=str)
async def test_phone_that_cannot_be_read_is_in_extra_with_its_dial_code(phone: object) -> None:
    customer = wonder.read_customer({"uuid": UUID, "dial_code": "+852", "phone": phone})
    assert (customer.phone, customer.extra) == (None, {"dial_code": "+852", "phone": phone})


async def test_paydock_default_source_that_is_not_listed_is_kept() -> None:
    customer = paydock.read_customer({"_id": HEX24, "default_source": "5f0c2f7a9b1e8d0012345678"})
    assert customer.default_payment_token is not None
    assert customer.default_payment_token.token == "5f0c2f7a9b1e8d0012345678"
    assert paydock.write_customer(customer) == {"_id": HEX24, "default_source": "5f0c2f7a9b1e8d0012345678"}
    for nothing in (None, ""):
        assert paydock.read_customer({"_id": HEX24, "default_source": nothing}).default_payment_token is None


@pytest.mark.parametrize("default", [HEX24, HEX24.upper(), {"_id": HEX24}, {"_id": HEX24, "type": "card"}], ids=str)
async def test_paydock_default_source_is_the_listed_source_in_every_form(default: str | Json) -> None:
    sources = [{"_id": "5f0c2f7a9b1e8d0012345678"}, {"_id": HEX24, "card_number_last4": "4242"}]
    customer = paydock.read_customer({"_id": "c", "default_source": default, "payment_sources": sources})
    assert [it.default for it in customer.payment_tokens] == [False, True]
    assert customer.default_payment_token == customer.payment_tokens[1]


async def test_unknown_values_of_a_card_are_in_extra() -> None:
    card = {"number": "411111******1111", "issuer": "Bank", "billing_address": {"city": "Hong Kong"}}
    token = wonder.read_token({"token": "t", "credit_card": card})
    assert token.extra == {"credit_card.issuer": "Bank", "credit_card.billing_address": {"city": "Hong Kong"}}


async def test_verify_url_that_is_not_https_is_in_extra_only() -> None:
    for url in ("https://gateway.example/3ds/5f2b", "http://127.0.0.1:8080/3ds/5f2b"):
        assert wonder.read_token({"token": "t", "verify_url": url}).verify_url == url
    assert wonder.read_token({"token": "t", "verify_url": ""}).verify_url is None
    for url in ("http://gateway.example/3ds", "javascript:alert(1)", "data:text/html,x", "//gateway.example", "https:"):
        token = wonder.read_token({"token": "t", "verify_url": url, "other": 1})
        assert (token.verify_url, dict(token.extra)) == (None, {"verify_url": url, "other": 1})
        assert wonder.write_token(token)["verify_url"] == url


async def test_full_card_number_in_response_is_masked() -> None:
    token = wonder.read_token({"token": "t", "credit_card": {"number": "4111 1111 1111 1234"}})
    assert token.card is not None
    assert token.card.number == "***************1234"
    assert token.card.last4 == "1234"
    assert "4111" not in f"{token} {token.card!r}"


@frozen(kw_only=True)
class Account:
    """A record with keyword arguments and with defaults other than None."""

    number: str
    active: bool = True
    currency: str | None = "EUR"
    labels: tuple[str, ...] = ()
    limits: list[str] = field(factory=list)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"no": "1"}, Account(number="1")),
        ({"no": "1", "on": False, "cur": "BAM"}, Account(number="1", active=False, currency="BAM")),
        ({"no": "1", "cur": None}, Account(number="1")),
        ({"no": "1", "on": "false"}, Account(number="1", active=False)),
        ({"no": 1}, None),
        ({"no": None}, None),
        ({"no": ""}, None),
        ({}, None),
    ],
)
def test_reader_of_a_record_with_defaults(body: Json, expected: Account | None) -> None:
    reader = make_reader(make_converter(), Account, {"number": "no", "active": "on", "currency": "cur"})
    if expected is None:
        with pytest.raises(MissingFieldError, match=r"^no"):
            reader.read(body)
    else:
        first, _ = reader.read(body)
        second, _ = reader.read(body)
        assert first == second == expected
        assert first.limits is not second.limits


@pytest.mark.parametrize("codec", [monri, paydock, wonder])
def test_records_are_hooks_of_the_dialects_cattrs_converter(codec: ModuleType) -> None:
    customer = Customer(UUID, first_name="Ada", email="ada@example.com", reference="c-1")
    write = getattr(codec, "_write_customer", codec.write_customer)
    assert codec._converter.unstructure(customer) == write(customer)
    body = codec.write_customer(customer)
    assert codec._converter.structure(body, Customer) == codec.read_customer(body)
