"""Drafts, patches and cards that break field rules: all violations are named, nothing sent, no value shown."""

from datetime import UTC, datetime
from typing import Any

import pytest
from attrs import fields_dict
from error_checks import invalid_record_error, visible_text
from gateway_responses import HEX24, UUID
from mock_gateway import ACCOUNTS

from wonder_customers import Address, CardSource, CustomerDraft, CustomerPatch, InvalidRecordError, Phone, Secret

WRONG: Any = CustomerDraft(
    reference="a\nprivate",
    name="private " * 100,
    first_name="private",
    last_name=5,  # type: ignore[arg-type]
    email="private@" + "x" * 300,
    phone=Phone("+private852", "private" * 50),
    company_name="private" * 50,
    description="private" * 50,
    metadata={"private": object()},
    address=Address(line1="pr", line2="private", city="pr", postcode="private-private", country="private"),
    default_payment_method="private",
    default_payment_token="private",
    payment_source=CardSource(
        "4111111111111112", expire_month="13", expire_year="30", holder_name="", cvv="private", gateway_id="private"
    ),
)
ADDRESS = [f"address.{name}" for name in ("line1", "line2", "city", "postcode", "country")]
CARD = [
    f"payment_source.{name}" for name in ("number", "expire_month", "expire_year", "holder_name", "cvv", "gateway_id")
]


def fields(same: str, others: dict[str, str], *unknown: str) -> dict[str, str | None]:
    """Return the gateway's name of each field: the `same`, one of `others`, or None for those that it does not have."""
    return {name: name for name in same.split()} | others | dict.fromkeys(unknown)


EVERYTHING_WRONG = {
    "wonder": fields(
        "name email company_name default_payment_method default_payment_token",
        {"reference": "reference_number", "phone.dial_code": "dial_code", "phone.number": "phone"},
        *("first_name", "last_name", "description", "metadata", *ADDRESS, *CARD),
    ),
    "paydock": fields(
        "reference email phone company_name description last_name "
        "payment_source.expire_month payment_source.expire_year payment_source.gateway_id",
        {
            "metadata": "meta",
            "default_payment_token": "default_source",
            "payment_source.number": "payment_source.card_number",
            "payment_source.holder_name": "payment_source.card_name",
            "payment_source.cvv": "payment_source.card_ccv",
        },
        *("name", "default_payment_method", *ADDRESS),
    ),
    "monri": fields(
        "name email phone description metadata",
        {
            "reference": "merchant_customer_id",
            "address.line1": "address",
            "address.city": "city",
            "address.postcode": "zip_code",
            "address.country": "country",
        },
        *("first_name", "last_name", "company_name", "address.line2"),
        *("default_payment_method", "default_payment_token", *CARD),
    ),
}


async def test_invalid_draft_lists_every_violation(gateway: str) -> None:
    for name in ("create", "upsert"):
        error = await invalid_record_error(gateway, lambda session, name=name: getattr(session, name)(WRONG))  # type: ignore[misc]
        found = {it.field: it.wire_field for it in error.violations}
        assert found == EVERYTHING_WRONG[gateway]
        assert len(found) == len(error.violations)
        for violation in error.violations:
            assert violation.limit
            assert str(violation) in str(error)
            assert violation.wire_field is None or violation.wire_field in str(violation)
        shown = visible_text(error, local_values=True)
        assert "4111111111111112" not in shown
        assert "private " not in visible_text(error)
        assert "private@" not in visible_text(error)


WRONG_TYPES: Any = CustomerDraft(
    reference=["private"],  # type: ignore[arg-type]
    name={"private": 1},  # type: ignore[arg-type]
    first_name=b"private",  # type: ignore[arg-type]
    last_name=object(),  # type: ignore[arg-type]
    email=float("nan"),  # type: ignore[arg-type]
    phone="private",  # type: ignore[arg-type]
    company_name=True,  # type: ignore[arg-type]
    description=datetime.now(UTC),  # type: ignore[arg-type]
    metadata="private",
    address="private",  # type: ignore[arg-type]
    default_payment_method=["private"],  # type: ignore[arg-type]
    default_payment_token={"private"},  # type: ignore[arg-type]
    payment_source="private",  # type: ignore[arg-type]
)


async def test_draft_with_wrong_types_names_every_field(gateway: str) -> None:
    error = await invalid_record_error(gateway, lambda session: session.create(WRONG_TYPES))
    named = {it.field.partition(".")[0] for it in error.violations}
    assert named == fields_dict(CustomerDraft).keys() - {"clear"}
    assert "private" not in str(error)


async def test_invalid_patch_is_rejected(gateway: str) -> None:
    patches = [
        CustomerPatch(email="private@" + "x" * 300),
        CustomerPatch(reference="a\nb"),
        CustomerPatch(phone="private"),  # type: ignore[arg-type]
        CustomerPatch(default_payment_token="private", name=5),  # type: ignore[arg-type]
        CustomerPatch(first_name="private", name="another"),
    ]
    for patch in patches:
        error = await invalid_record_error(gateway, lambda session, patch=patch: session.update(HEX24, patch))  # type: ignore[misc]
        assert "private" not in visible_text(error)


async def test_wonder_required_fields_cannot_be_cleared() -> None:
    for field in ("name", "phone", "reference"):
        patch = CustomerPatch(**{field: None})
        error = await invalid_record_error("wonder", lambda session, patch=patch: session.update(UUID, patch))  # type: ignore[misc]
        assert [it.field.partition(".")[0] for it in error.violations] == [field]


METADATA: dict[str, Any] = {
    "nan": {"a": float("nan")},
    "infinity": {"a": [float("inf")]},
    "datetime": {"a": datetime.now(UTC)},
    "bytes": {"a": b"x"},
    "secret": {"a": Secret("hidden")},
    "numbers as keys": {1: "x"},
    "set": {"a": {1}},
    "huge integer": {"a": 2**64},
    "surrogates": {"a": "\ud800"},
    "list": ["a"],
}
_loop: dict[str, Any] = {}
_loop["self"] = _loop
METADATA["recursive"] = _loop


@pytest.mark.parametrize("metadata", METADATA.values(), ids=METADATA)
async def test_metadata_that_json_cannot_represent_is_rejected(metadata: Any) -> None:
    error = await invalid_record_error("monri", lambda session: session.create(CustomerDraft(metadata=metadata)))
    assert [(it.field, it.wire_field) for it in error.violations] == [("metadata", "metadata")]


def test_invalid_card_lists_every_violation_without_values() -> None:
    with pytest.raises(InvalidRecordError) as caught:
        ACCOUNTS["wonder"]().dialect().create_payment_token(UUID, WRONG.payment_source)
    assert [it.field for it in caught.value.violations] == [
        "number",
        "expire_month",
        "expire_year",
        "cvv",
        "holder_name",
        "transaction_type",
        "success_return_url",
        "fail_return_url",
        "gateway_id",
    ]
    shown = visible_text(caught.value, local_values=True)
    assert "4111" not in shown
    assert "private" not in shown.replace("gateway_id='private'", "")


def test_payload_of_an_invalid_draft_contains_the_invalid_value(gateway: str) -> None:
    dialect, long = ACCOUNTS[gateway]().dialect(), "x" * 300
    assert long in dialect.payload(CustomerDraft(reference="c-1", email=long)).values()
