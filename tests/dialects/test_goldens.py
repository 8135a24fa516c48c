"""The documented examples are read and written without any difference."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from mock_gateway import golden

from wonder_customers import (
    Address,
    CardSource,
    CardSummary,
    Customer,
    CustomerDraft,
    CustomerPatch,
    OneTimeToken,
    PaymentToken,
    Phone,
    VaultToken,
)
from wonder_customers.dialects.monri import codec as monri
from wonder_customers.dialects.paydock import codec as paydock
from wonder_customers.dialects.wonder import codec as wonder
from wonder_customers.records import PaymentSource

# Wonder

WONDER_CUSTOMER = Customer(
    id="feac5c50-010a-4582-a84a-673357245ffb",
    reference="35",
    name="禚雨欣",
    email="i8lv9r_gxn26@gmail.com",
    phone=Phone("+852", "013 9957 0539"),
    default_payment_method="Credit Card",
    default_payment_token=PaymentToken(
        "culpa magna",
        token_type="CreditCard",
        state="success",
        default=False,
        card=CardSummary(
            number="39", exp_month="十月", exp_year="2026", holder_name="有超栋", brand="Visa", billing_currency="HKD"
        ),
    ),
)
WONDER_AUTO = Customer(
    id="string",
    reference="string",
    name="string",
    email="string",
    phone=Phone("+852", "string"),
    default_payment_method="string",
    default_payment_token=PaymentToken(
        "string",
        token_type="CreditCard",
        state="string",
        default=True,
        error_code="string",
        error_message="string",
        card=CardSummary("string", "string", "string", "string", "string", "string"),
    ),
)
WONDER_BARE = Customer(
    id="0b5a7c8e-1f73-4d51-8d36-7ac28f7f5a10", reference="36", name="Ada Lovelace", phone=Phone("+852", "12345678")
)


def test_wonder_create_example_is_written() -> None:
    draft = CustomerDraft(
        reference="<Your side the customer unique id>",
        name="<Your Customer's name>",
        email="abc@def.com",
        phone=Phone("+852", "12345678"),
        company_name="Universal Group Limited",
        default_payment_method="Credit Card",
        default_payment_token="1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed",
    )
    assert wonder.checked_body(draft)[1] == []
    assert {"customer": wonder.checked_body(draft)[0]} == golden("wonder", "create_request")


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        ("create_response", WONDER_CUSTOMER),
        ("create_response_auto", WONDER_AUTO),
        ("get_by_reference_response_auto", WONDER_AUTO),
    ],
)
def test_wonder_customer_examples_are_read_and_written_back(example: str, expected: Customer) -> None:
    body = golden("wonder", example)["data"]["customer"]
    read = wonder.read_customer(body)
    assert read == expected
    assert read.extra == {}
    assert wonder.write_customer(read) == body


def test_wonder_list_example_is_read_and_written_back() -> None:
    bodies = golden("wonder", "list_response")["data"]["customers"]
    read = [wonder.read_customer(body) for body in bodies]
    assert read == [WONDER_CUSTOMER, WONDER_BARE]
    assert [wonder.write_customer(it) for it in read] == bodies


def test_wonder_older_and_newer_payment_tokens_are_read_and_written_back() -> None:
    newer = PaymentToken(
        "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed",
        token_type="CreditCard",
        state="success",
        default=True,
        card=CardSummary("************1111", "12", "2030", "Ada Lovelace", "Visa", "HKD"),
    )
    older = PaymentToken(
        "0d4ed1d8-5bd1-4c0c-9c5e-0a1f5c1f7d11",
        token_type="CreditCard",
        state="pending",
        default=False,
        verify_url="https://gateway-stg.wonder.today/svc/payment/3ds/5f2b",
        verify_uuid="9a1b0c7e-54a0-4a0a-b2b7-64f5a2f0b9d2",
        card=CardSummary("************0002", "01", "2031", "Ada Lovelace", "Mastercard", "HKD"),
    )
    failed = PaymentToken(
        "6d2f6cf0-7f5f-4e0b-a3c6-f5a0f4e0b8a3",
        token_type="CreditCard",
        state="failed",
        default=False,
        error_code="E100001",
        error_message="The card was declined.",
    )
    bodies = golden("wonder", "list_payment_tokens_response")["data"]["payment_tokens"]
    read = [wonder.read_token(body) for body in bodies]
    assert read == [newer, older, failed]
    assert [wonder.write_token(it) for it in read] == bodies
    assert wonder.read_token(golden("wonder", "create_payment_token_response_older")["data"]["payment_token"]) == older


# Paydock

SOURCE_ADDRESS = Address(
    line1="1 Main Street", line2="Suite 2", state="NSW", country="AU", city="Sydney", postcode="2000"
)
PAYDOCK_FLOWS: dict[str, PaymentSource] = {
    "card": CardSource(
        "4111111111111111",
        expire_month="05",
        expire_year="2030",
        holder_name="Ada Lovelace",
        cvv="123",
        gateway_id="5f0c2f7a9b1e8d00aabbccdd",
        address=SOURCE_ADDRESS,
    ),
    "one_time_token": OneTimeToken("c3a9a5b1-45d6-4b2c-8e1a-6a5f3c2b1d00"),
    "vault_token": VaultToken(
        "0f8fad5b-d9cb-469f-a165-70867728950e", gateway_id="5f0c2f7a9b1e8d00aabbccdd", address=SOURCE_ADDRESS
    ),
    "vault_token_without_gateway": VaultToken("0f8fad5b-d9cb-469f-a165-70867728950e"),
}


@pytest.mark.parametrize("flow", PAYDOCK_FLOWS)
def test_paydock_create_flows_are_written(flow: str) -> None:
    draft = CustomerDraft(
        reference="customer-1234",
        description="A regular",
        company_name="Analytical Engines" if flow == "card" else None,
        first_name="Ada",
        last_name="Lovelace",
        email="ada@example.com",
        phone=Phone("+1", "2345678901"),
        default_payment_token="5f0c2f7a9b1e8d0012345678",
        payment_source=PAYDOCK_FLOWS[flow],
    )
    assert paydock.checked_body(draft)[1] == []
    assert paydock.customer_body(draft) == golden("paydock", f"create_request_{flow}")


CARD_ON_FILE = PaymentToken(
    "5f0c2f7a9b1e8d0012345678",
    token_type="card",
    state="active",
    default=True,
    card=CardSummary("1111", "5", "2030", "Ada Lovelace", "visa"),
    vault_token="0f8fad5b-d9cb-469f-a165-70867728950e",
    gateway_id="5f0c2f7a9b1e8d00aabbccdd",
    address=SOURCE_ADDRESS,
    created_at=datetime(2024, 5, 1, 12, 1, 23, 456000, UTC),
    updated_at=datetime(2024, 5, 1, 12, 1, 23, 456000, UTC),
    extra={"ref_token": "cus_8f2a"},
)
ACCOUNT_ON_FILE = PaymentToken(
    "5f0c2f7a9b1e8d0087654321",
    token_type="bsb",
    state="active",
    default=False,
    gateway_id="5f0c2f7a9b1e8d00aabbccdd",
    created_at=datetime(2024, 5, 2, 12, 1, 23, tzinfo=UTC),
    updated_at=datetime(2024, 5, 2, 12, 1, 23, tzinfo=UTC),
    extra={"account_name": "A. Lovelace", "account_bsb": "012003", "account_number": "456456"},
)
PAYDOCK_CUSTOMER = Customer(
    id="5f0c2f7a9b1e8d00deadbeef",
    reference="customer-1234",
    first_name="Ada",
    last_name="Lovelace",
    email="ada@example.com",
    phone=Phone("+1", "2345678901"),
    default_payment_token=CARD_ON_FILE,
    payment_tokens=(CARD_ON_FILE, ACCOUNT_ON_FILE),
    status="active",
    deleted=False,
    created_at=datetime(2024, 5, 1, 12, 1, 23, 456000, UTC),
    updated_at=datetime(2024, 5, 2, 12, 1, 23, tzinfo=UTC),
    extra={
        "__v": 0,
        "_source_ip_address": "203.0.113.7",
        "company_id": "5f0c2f7a9b1e8d0000000001",
        "user_id": "5f0c2f7a9b1e8d0000000002",
        "statistics": {"total_collected_amount": 12.5, "successful_transactions": 2},
        "_service": {"default_gateway_id": "5f0c2f7a9b1e8d00aabbccdd"},
    },
)


@pytest.mark.parametrize("example", ["customer_response", "list_response"])
def test_paydock_customer_example_is_read_and_written_back(example: str) -> None:
    data = golden("paydock", example)["resource"]["data"]
    body = data[0] if isinstance(data, list) else data
    read = paydock.read_customer(body)
    assert read == PAYDOCK_CUSTOMER
    assert paydock.write_customer(read) == body
    # Numbers stay numbers. Equality does not show that, because True == 1.
    assert type(paydock.write_customer(read)["payment_sources"][0]["expire_month"]) is int


# Monri

MONRI_CUSTOMER: dict[str, Any] = {
    "id": "4b281da4-d145-4233-b957-2018cf9aa0fb",
    "description": "Customer",
    "email": "email@email.com",
    "name": "Test",
    "status": "approved",
    "deleted": False,
    "address": Address(country="BA", postcode="71000"),
    "metadata": {"key": "value"},
    "created_at": datetime(2019, 2, 12, 11, 22, 33, tzinfo=UTC),
    "updated_at": datetime(2019, 2, 12, 11, 22, 33, tzinfo=UTC),
}


def test_monri_cleared_address_clears_each_part() -> None:
    assert monri.checked_body(CustomerPatch(address=None))[0] == dict.fromkeys(
        ("zip_code", "city", "address", "country")
    )


def test_monri_customer_example_is_read_and_written_back() -> None:
    body = golden("monri", "create_response")
    read = monri.read_customer(body)
    assert read == Customer(reference="customer-id-1234", **MONRI_CUSTOMER)
    assert read.extra == {}
    assert monri.write_customer(read) == body


def test_monri_list_example_with_older_id_is_read_and_written_back() -> None:
    (body,) = golden("monri", "list_response")["data"]
    read = monri.read_customer(body)
    assert read == Customer(**MONRI_CUSTOMER)
    assert read.extra == {}
    # The list example has `id` instead of `uuid`, and omits fields that are null in other responses.
    assert monri.write_customer(read) == {
        **{key: value for key, value in body.items() if key != "id"},
        "uuid": body["id"],
        "merchant_customer_id": None,
    }


def test_monri_payment_method_example_is_read_and_written_back() -> None:
    (body,) = golden("monri", "payment_methods_response")["data"]
    read = monri.read_token(body)
    assert read == PaymentToken(
        token="00c1eb1a4a0b61d1c2921c8d3a3f4570801da3f3f087c280e832cb4876a5e633",
        id="00c1eb1a4a0b61d1c2921c8d3a3f4570801da3f3f087c280e832cb4876a5e633",
        state="approved",
        card=CardSummary(number="405840******0005", expires=date(2025, 12, 31), expired=False),
        keep_until=datetime(2024, 12, 31, 23, tzinfo=UTC),
        created_at=datetime(2019, 2, 12, 11, 22, 33, tzinfo=UTC),
        updated_at=datetime(2019, 2, 12, 11, 22, 33, tzinfo=UTC),
        customer_id="4b281da4-d145-4233-b957-2018cf9aa0fb",
    )
    assert read.extra == {}
    assert read.card is not None
    assert read.card.last4 == "0005"
    assert monri.write_token(read) == body
