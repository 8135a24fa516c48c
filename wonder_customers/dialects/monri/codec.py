"""Monri's wire names, limits and forms. Source: Monri's "Customers API" (API v2)."""

from typing import Any

from wonder_customers.dialects.codec import (
    Json,
    decoded,
    read_text,
    reader,
    reads,
    rest,
    strict_converter,
    writer,
    writes,
)
from wonder_customers.dialects.field_rules import (
    Row,
    changed_fields,
    country,
    json_object,
    one_name,
    reference,
    text,
    violations,
)
from wonder_customers.errors import Violation
from wonder_customers.records import (
    Address,
    CardSummary,
    Customer,
    CustomerDraft,
    CustomerPatch,
    PaymentToken,
    Phone,
)


def _phone_text(phone: Phone) -> str:
    return phone.e164() or f"{phone.dial_code or ''}{phone.number}"


def _phone(value: Any) -> str | None:
    if not isinstance(value, Phone) or not all(isinstance(part, str) for part in (value.dial_code or "", value.number)):
        return "must be a Phone of texts"
    return text(1, 30)(_phone_text(value))


ROWS = (
    Row("reference", "merchant_customer_id", reference(100)),
    Row("description", "description", text(1, 200)),
    Row("email", "email", text(1, 200)),
    Row("name", "name", text(1, 50)),
    Row("phone", "phone", _phone),
    Row("metadata", "metadata", json_object),
    Row("address.postcode", "zip_code", text(1, 9)),
    Row("address.city", "city", text(3, 30)),
    Row("address.line1", "address", text(3, 100)),
    Row("address.country", "country", country),
)
HOMELESS = "Monri's customers have no such field"

_ADDRESS = {row.field.removeprefix("address."): row.wire for row in ROWS if row.field.startswith("address.")}
_SENT = {row.field: row.wire for row in ROWS if "." not in row.field} | {"address": "address"}
_HELD = (
    {name: name for name in ("status", "deleted", "created_at", "updated_at", "deleted_at", "extra")}
    | _SENT
    | {"id": "uuid"}
)
_TOKEN = {name: name for name in ("id", "token", "keep_until", "created_at", "updated_at", "card", "extra")}
_TOKEN |= {"state": "status", "customer_id": "customer_uuid"}
_CARD = {"number": "masked_pan", "expires": "expiration_date", "expired": "expired"}

_NAMES = {Customer: _HELD, PaymentToken: _TOKEN, CardSummary: _CARD, Address: _ADDRESS}
_FLAT = frozenset({"card", "address"})
_CUSTOMER_KEYS = frozenset(_HELD.values()) - {"extra"} | frozenset(_ADDRESS.values()) | {"id"}
_TOKEN_KEYS = frozenset(_TOKEN.values()) - {"extra", "card"} | frozenset(_CARD.values())

_converter = strict_converter()
reads(_converter, Phone, lambda value, _: Phone.parse(read_text(value, str)))
writes(_converter, Phone, _phone_text)
_read_address = reader(_converter, Address, _ADDRESS)
_read_card = reader(_converter, CardSummary, _CARD)
_read_token = reader(_converter, PaymentToken, _TOKEN)
_read_customer = reader(_converter, Customer, _HELD)
_write_address = writer(_converter, Address, _ADDRESS, sparse=True)
_write_card = writer(_converter, CardSummary, _CARD, sparse=False)
_write_token = writer(_converter, PaymentToken, _TOKEN, sparse=False)
_write_draft = writer(_converter, CustomerDraft, _SENT, sparse=True)
_write_patch = writer(_converter, CustomerPatch, _SENT, sparse=True)
_write_customer = writer(_converter, Customer, _HELD, sparse=False)


def broken_limits(record: CustomerDraft | CustomerPatch) -> list[Violation]:
    """Every documented limit that a draft or a patch breaks."""
    return violations(one_name(record), ROWS, homeless=HOMELESS, partial=isinstance(record, CustomerPatch))


def customer_body(record: CustomerDraft | CustomerPatch) -> Json:
    """The request body of a draft or a patch; in a patch, null clears."""
    carried = one_name(record)
    body = _write_draft(carried) if isinstance(carried, CustomerDraft) else _write_patch(carried)
    if "address" in body:
        parts = body.pop("address")
        body |= dict.fromkeys(_ADDRESS.values()) if parts is None else parts
    return body


def read_customer(body: Any, status: int = 200) -> Customer:
    """The customer in a reply: one customer's own answer, or one item of a list.

    Answers carry the id as ``uuid``, or as ``id`` in the document's list example; both are read.

    Raises:
        InvalidResponseError: A field has another type than the document says, or there is no id.
    """
    return decoded("customer", status, _customer, body, names=_NAMES, flat=_FLAT)


def _customer(body: Json) -> Customer:
    address = {wire: body[wire] for wire in _ADDRESS.values() if body.get(wire) is not None}
    shaped = body | {"address": address or None, "extra": rest(body, _CUSTOMER_KEYS)}
    if body.get("uuid") is None and "id" in body:
        shaped["uuid"] = body["id"]
    elif body.get("id") not in (None, body.get("uuid")):
        shaped["extra"]["id"] = body["id"]
    return _read_customer(shaped)


def read_token(body: Any, status: int = 200) -> PaymentToken:
    """The payment method in a list's item.

    Raises:
        InvalidResponseError: A field has another type than the document says, or there is no token.
    """
    return decoded("payment method", status, _token, body, names=_NAMES, flat=_FLAT)


def _token(body: Json) -> PaymentToken:
    return _read_token(body | {"card": body, "extra": rest(body, _TOKEN_KEYS)})


def customer_reply(customer: Customer) -> Json:
    """The wire form of a customer, as the document shows it: the inverse of `read_customer`."""
    body = _write_customer(customer)
    address = body.pop("address") or {}
    extra = body.pop("extra")
    return {**body, **{wire: address.get(wire) for wire in _ADDRESS.values()}, **extra}


def token_reply(token: PaymentToken) -> Json:
    """The wire form of a payment method: the inverse of `read_token`."""
    body = _write_token(token)
    card = body.pop("card") or {}
    extra = body.pop("extra")
    return {**body, **card, **extra}


def differences(draft: CustomerDraft, customer: Customer, *, strict: bool = True) -> tuple[str, ...]:
    """The record fields of `draft` that `customer` does not repeat; unless `strict`, absent ones are passed over."""
    return changed_fields(ROWS, customer_body(draft), customer_reply(customer), strict=strict)
