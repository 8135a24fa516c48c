"""Paydock's wire names, limits and forms.

Sources: Paydock's ``POST /v1/customers`` for the request and its four flows; the fields of answers as Paydock's own
Java, PHP and .NET clients read them (no recorded answer of the customer endpoints is public).
"""

from typing import Any

from attrs import evolve

from wonder_customers.dialects.codec import (
    Json,
    an_object,
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
    HEX24,
    UUID,
    Check,
    Row,
    card_number,
    changed_fields,
    e164,
    hidden,
    json_object,
    pattern,
    reference,
    text,
    two_names,
    violations,
)
from wonder_customers.errors import Violation
from wonder_customers.records import (
    Address,
    CardSource,
    CardSummary,
    Customer,
    CustomerDraft,
    CustomerPatch,
    OneTimeToken,
    PaymentSource,
    PaymentToken,
    Phone,
    VaultToken,
)


def _texts(value: Any) -> str | None:
    texts = json_object(value) is None and all(isinstance(item, str) for item in value.values())
    return None if texts else "must be a dictionary of texts"


_CUSTOMER_ROWS = (
    Row("reference", "reference", reference(255)),
    Row("description", "description", text()),
    Row("company_name", "company_name", text()),
    Row("first_name", "first_name", text()),
    Row("last_name", "last_name", text()),
    Row("email", "email", text()),
    Row("phone", "phone", e164),
    Row("default_payment_token", "default_source", HEX24),
    Row("metadata", "meta", _texts),
)
_ADDRESS = {
    "line1": "address_line1",
    "line2": "address_line2",
    "line3": "address_line3",
    "city": "address_city",
    "state": "address_state",
    "postcode": "address_postcode",
    "country": "address_country",
    "company": "address_company",
}


def _source_row(name: str, wire: str, check: Check, *, required: bool = False) -> Row:
    return Row(f"payment_source.{name}", f"payment_source.{wire}", check, required)


_ADDRESS_ROWS = tuple(_source_row(f"address.{name}", wire, text()) for name, wire in _ADDRESS.items())
_FLOWS: dict[type, tuple[Row, ...]] = {
    OneTimeToken: (Row("payment_source.token", "token", hidden(UUID), required=True),),
    CardSource: (
        _source_row("gateway_id", "gateway_id", HEX24, required=True),
        _source_row("holder_name", "card_name", text(1), required=True),
        _source_row("number", "card_number", card_number, required=True),
        _source_row("expire_month", "expire_month", pattern("0[1-9]|1[0-2]", "a month, 01 to 12"), required=True),
        _source_row("expire_year", "expire_year", pattern("20[0-9]{2}", "a year of four digits"), required=True),
        _source_row("cvv", "card_ccv", hidden(pattern("[0-9]{3,4}", "3 or 4 digits"))),
        *_ADDRESS_ROWS,
    ),
    # Flows three and four of the document: a vault token with and without a gateway.
    VaultToken: (
        _source_row("token", "vault_token", hidden(UUID), required=True),
        _source_row("gateway_id", "gateway_id", HEX24),
        *_ADDRESS_ROWS,
    ),
}
ROWS = (*_CUSTOMER_ROWS, *dict.fromkeys(row for rows in _FLOWS.values() for row in rows))
HOMELESS = "Paydock's customers have no such field (an address belongs to the payment source)"


def _names(rows: tuple[Row, ...], prefix: str = "") -> dict[str, str]:
    return {
        row.field.removeprefix(prefix): row.wire.rpartition(".")[2]
        for row in rows
        if "." not in row.field.removeprefix(prefix)
    }


_SENT = _names(_CUSTOMER_ROWS) | {"payment_source": "payment_source"}
_HELD = {name: name for name in ("created_at", "updated_at", "deleted_at", "status", "extra")} | _names(_CUSTOMER_ROWS)
_HELD |= {"id": "_id", "deleted": "archived", "payment_tokens": "payment_sources"}
_TOKEN = {
    name: name
    for name in (
        "created_at",
        "updated_at",
        "gateway_id",
        "vault_token",
        "card",
        "address",
        "default",
        "extra",
    )
}
_TOKEN |= {"token": "_id", "token_type": "type", "state": "status", "customer_id": "customer_id"}
_CARD = {
    "holder_name": "card_name",
    "number": "card_number_last4",
    "brand": "card_scheme",
    "exp_month": "expire_month",
    "exp_year": "expire_year",
}
_CARD_NUMBERS = ("expire_month", "expire_year")
_NAMES = {Customer: _HELD, PaymentToken: _TOKEN, CardSummary: _CARD, Address: _ADDRESS}
_FLAT = frozenset({"card", "address"})
_CUSTOMER_KEYS = frozenset(_HELD.values()) - {"extra"}
_TOKEN_KEYS = (
    frozenset(_TOKEN.values()) - {"extra", "card", "address", "default"} | set(_CARD.values()) | set(_ADDRESS.values())
)

_converter = strict_converter(milliseconds=True)
reads(_converter, Phone, lambda value, _: Phone.parse(read_text(value, str)))
writes(_converter, Phone, Phone.e164)
_read_address = reader(_converter, Address, _ADDRESS)
_read_card = reader(_converter, CardSummary, _CARD)
_read_token = reader(_converter, PaymentToken, _TOKEN)
reads(_converter, PaymentToken, lambda value, _: _token(an_object(value)))
_read_customer = reader(_converter, Customer, _HELD)
_write_address = writer(_converter, Address, _ADDRESS, sparse=True)
_write_card_source = writer(
    _converter,
    CardSource,
    _names(_FLOWS[CardSource], "payment_source.") | {"address": "address"},
    sparse=True,
)
_write_vault = writer(
    _converter,
    VaultToken,
    _names(_FLOWS[VaultToken], "payment_source.") | {"address": "address"},
    sparse=True,
)
_write_draft = writer(_converter, CustomerDraft, _names(_CUSTOMER_ROWS), sparse=True)
_write_patch = writer(_converter, CustomerPatch, _names(_CUSTOMER_ROWS), sparse=True)
_write_card = writer(_converter, CardSummary, _CARD, sparse=True)
_write_token = writer(_converter, PaymentToken, _TOKEN, sparse=True)
_write_customer = writer(_converter, Customer, _HELD, sparse=True)


def broken_limits(record: CustomerDraft | CustomerPatch) -> list[Violation]:
    """Every documented limit that a draft or a patch breaks, the payment source's flow included.

    The document marks ``payment_source`` as required; customers without one are let through, because what sync jobs
    carry are customers and not cards, and the gateway's own clients send them.
    """
    rows = (*_CUSTOMER_ROWS, *_FLOWS.get(type(record.payment_source), ()))
    return violations(two_names(record), rows, homeless=HOMELESS, partial=isinstance(record, CustomerPatch))


def customer_body(record: CustomerDraft | CustomerPatch) -> Json:
    """The request body of a draft or a patch; in a patch, null clears."""
    carried = two_names(record)
    body = _write_draft(carried) if isinstance(carried, CustomerDraft) else _write_patch(carried)
    source = carried.payment_source
    if isinstance(source, OneTimeToken):
        return body | {"token": source.token.reveal()}
    if isinstance(source, (CardSource, VaultToken)):
        return body | {"payment_source": _source_body(source)}
    return body


def _source_body(source: CardSource | VaultToken) -> Json:
    body = _write_card_source(source) if isinstance(source, CardSource) else _write_vault(source)
    address = body.pop("address", {})
    return {"type": "card", **body, **address}


def read_customer(body: Any, status: int = 200) -> Customer:
    """The customer of a reply.

    Raises:
        InvalidResponseError: A field has another type than the clients know, or there is no ``_id``.
    """
    return decoded("customer", status, _customer, body, names=_NAMES, flat=_FLAT)


def _customer(body: Json) -> Customer:
    default = body.get("default_source")
    sources = body.get("payment_sources")
    if isinstance(sources, list):
        sources = [
            it | {"default": it.get("_id") == default} if isinstance(it, dict) and default else it for it in sources
        ]
    shaped = body | {
        "default_source": None if default in (None, "") else {"_id": default, "default": True},
        "payment_sources": [] if sources is None else sources,
        "extra": rest(body, _CUSTOMER_KEYS),
    }
    customer = _read_customer(shaped)
    token = next((it for it in customer.payment_tokens if it.token == default), customer.default_payment_token)
    return evolve(customer, default_payment_token=token)


def read_token(body: Any, status: int = 200) -> PaymentToken:
    """The payment source in a customer's answer.

    Raises:
        InvalidResponseError: A field has another type than the clients know, or there is no ``_id``.
    """
    return decoded("payment source", status, _token, body, names=_NAMES, flat=_FLAT)


def _token(body: Json) -> PaymentToken:
    # Months and years are numbers in answers and texts in requests.
    card = {wire: body[wire] for wire in _CARD.values() if body.get(wire) is not None}
    card |= {wire: str(card[wire]) for wire in _CARD_NUMBERS if type(card.get(wire)) is int}
    address = {wire: body[wire] for wire in _ADDRESS.values() if body.get(wire) is not None}
    extra = rest(body, _TOKEN_KEYS | {"default"})
    return _read_token(body | {"card": card or None, "address": address or None, "extra": extra})


def customer_reply(customer: Customer) -> Json:
    """The wire form of a customer: the inverse of `read_customer`."""
    body = _write_customer(customer)
    extra = body.pop("extra", {})
    body.pop("default_source", None)
    if customer.default_payment_token is not None:
        body["default_source"] = customer.default_payment_token.token
    if customer.payment_tokens:
        body["payment_sources"] = [token_reply(token) for token in customer.payment_tokens]
    return {**body, **extra}


def token_reply(token: PaymentToken) -> Json:
    """The wire form of a payment source: the inverse of `read_token`."""
    body = _write_token(token)
    extra = body.pop("extra", {})
    card, address = body.pop("card", {}), body.pop("address", {})
    body.pop("default", None)
    for name in _CARD_NUMBERS:
        if str(card.get(name, "")).isdecimal() and len(card[name]) <= 4:
            card[name] = int(card[name])
    return {**body, **card, **address, **extra}


def differences(draft: CustomerDraft, customer: Customer, *, strict: bool = True) -> tuple[str, ...]:
    """The record fields of `draft` that `customer` does not repeat; unless `strict`, absent ones are passed over."""
    held = dict.fromkeys(row.wire for row in _CUSTOMER_ROWS) | customer_reply(customer)
    return changed_fields(_CUSTOMER_ROWS, customer_body(draft), held, strict=strict)


def adds_source(source: PaymentSource | object) -> bool:
    """Whether a write that carries `source` adds a payment source each time it is sent."""
    return isinstance(source, (CardSource, OneTimeToken, VaultToken))
