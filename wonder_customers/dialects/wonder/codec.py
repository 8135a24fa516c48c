"""Wonder's wire names, limits and forms.

Sources: Wonder's "Create a customer" and "Get customer by ref id"; the token endpoints as its older and newer pages and
its mobile client show them. Both sets of token fields are read.
"""

from collections.abc import Iterable
from typing import Any

from attrs import asdict

from wonder_customers.dialects.codec import Json, an_object, decoded, reader, reads, rest, strict_converter, writer
from wonder_customers.dialects.field_rules import (
    UUID,
    Row,
    card_number,
    changed_fields,
    hidden,
    one_name,
    one_of,
    pattern,
    reference,
    refuse,
    text,
    violations,
)
from wonder_customers.errors import InvalidRecordError, Violation
from wonder_customers.records import (
    UNSET,
    Address,
    CardSource,
    CardSummary,
    Customer,
    CustomerDraft,
    CustomerPatch,
    PaymentSource,
    PaymentToken,
    Phone,
)

ROWS = (
    Row("name", "name", text(1, 255), required=True),
    Row("email", "email", text(0, 255)),
    Row("phone.dial_code", "dial_code", text(1, 6)),
    Row("phone.number", "phone", text(1, 255), required=True),
    Row("company_name", "company_name", text(0, 255)),
    Row("default_payment_method", "default_payment_method", one_of("Credit Card", "Alipay", "Wechat Pay")),
    Row("default_payment_token", "default_payment_token", UUID),
    Row("reference", "reference_number", reference(255), required=True),
)
HOMELESS = "Wonder's customers have no such field"
_TRANSACTIONS = (
    "partial_split_shipment",
    "delayed_charges",
    "no_show",
    "recurring_payment",
    "unscheduled_cof",
    "unscheduled_cof_subsequent",
)
CARD_ROWS = (
    Row("number", "card.number", card_number, required=True),
    Row("expire_month", "card.exp_month", pattern("0[1-9]|1[0-2]", "a month, 01 to 12"), required=True),
    Row("expire_year", "card.exp_year", pattern("20[0-9]{2}", "a year of four digits"), required=True),
    Row("cvv", "card.cvv", hidden(pattern("[0-9]{3,4}", "3 or 4 digits"))),
    Row("holder_name", "card.holder_name", text(1, 255), required=True),
    Row("nickname", "card.nickname", text(0, 255)),
    Row("transaction_type", "card.transaction_type", one_of(*_TRANSACTIONS), required=True),
    Row("success_return_url", "card.3ds.success_return_url", text(1, 2000), required=True),
    Row("fail_return_url", "card.3ds.fail_return_url", text(1, 2000), required=True),
    Row("address.line1", "card.billing_address.address", text(0, 255)),
    Row("address.city", "card.billing_address.city", text(0, 255)),
    Row("address.state", "card.billing_address.state", text(0, 255)),
    Row("address.postcode", "card.billing_address.zip_code", text(0, 255)),
    Row(
        "address.country",
        "card.billing_address.country_code",
        pattern("[A-Z]{3}", "an ISO 3166-1 alpha-3 code"),
    ),
)

_SENT = {row.field: row.wire for row in ROWS if "." not in row.field} | {"phone": "phone"}
_PHONE = {"dial_code": "dial_code", "number": "phone"}
_HELD = _SENT | {"id": "uuid", "extra": "extra"}
_CARD = {name: name for name in ("number", "exp_month", "exp_year", "holder_name", "brand", "billing_currency")}
_TOKEN = {
    name: name
    for name in (
        "token",
        "token_type",
        "state",
        "default",
        "error_code",
        "verify_url",
        "verify_uuid",
        "extra",
    )
}
_TOKEN |= {"error_message": "error_msg", "card": "credit_card"}
_BILLING = {
    row.field.removeprefix("address."): row.wire.rpartition(".")[2]
    for row in CARD_ROWS
    if row.field.startswith("address.")
}
_SOURCE = {
    row.field: row.wire.removeprefix("card.") for row in CARD_ROWS if "." not in row.field and ".3ds." not in row.wire
} | {"address": "billing_address"}

_NAMES = {Customer: _HELD, PaymentToken: _TOKEN, Phone: _PHONE, CardSummary: _CARD}
_FLAT = frozenset({"phone"})
_CUSTOMER_KEYS = frozenset(_HELD.values()) - {"extra"} | {"dial_code"}
_TOKEN_KEYS = frozenset(_TOKEN.values()) - {"extra"}

_converter = strict_converter()
_read_phone = reader(_converter, Phone, _PHONE)
_read_card = reader(_converter, CardSummary, _CARD)
_read_token = reader(_converter, PaymentToken, _TOKEN)
reads(_converter, PaymentToken, lambda value, _: _token(an_object(value)))
_read_customer = reader(_converter, Customer, _HELD)
_write_phone = writer(_converter, Phone, _PHONE, sparse=True)
_write_address = writer(_converter, Address, _BILLING, sparse=True)
_write_source = writer(_converter, CardSource, _SOURCE, sparse=True)
_write_draft = writer(_converter, CustomerDraft, _SENT, sparse=True)
_write_card = writer(_converter, CardSummary, _CARD, sparse=True)
_write_token = writer(_converter, PaymentToken, _TOKEN, sparse=True)
_write_customer = writer(_converter, Customer, _HELD, sparse=True)


def broken_limits(draft: CustomerDraft) -> list[Violation]:
    """Every documented limit that a draft breaks."""
    return violations(one_name(draft), ROWS, homeless=HOMELESS)


def broken_patch(patch: CustomerPatch) -> list[Violation]:
    """Every documented limit that a patch breaks, as far as it shows without what the gateway holds."""
    named = one_name(patch)
    cleared = [row for row in ROWS if row.required and getattr(named, row.field.partition(".")[0]) is None]
    return violations(named, ROWS, homeless=HOMELESS, partial=True) + [
        Violation(row.field, row.wire, "is required") for row in cleared
    ]


def checked_card(source: PaymentSource) -> CardSource:
    """`source`, if it is a card that keeps every documented limit; Wonder makes tokens from cards only here.

    Raises:
        InvalidRecordError: It is not; all violations are listed.
    """
    if not isinstance(source, CardSource):
        broken = Violation("payment_source", "card", f"must be a CardSource, not {type(source).__name__}")
        raise InvalidRecordError("wonder", [broken])
    refuse("wonder", violations(source, CARD_ROWS, homeless="Wonder's cards have no such field"))
    return source


def customer_fields(draft: CustomerDraft, cleared: Iterable[str] = ()) -> Json:
    """The ``customer`` object of a request; fields named in `cleared` are sent as null."""
    body = _write_draft(one_name(draft))
    phone = body.pop("phone", {})
    return {**body, **phone, **{_SENT[name]: None for name in cleared}}


def card_body(source: CardSource) -> Json:
    """The request body that makes a token from a card. The nesting of ``3ds`` is the mobile client's."""
    returns = {"success_return_url": source.success_return_url, "fail_return_url": source.fail_return_url}
    return {"card": {"3ds": returns} | _write_source(source)}


def read_customer(body: Any, status: int = 200) -> Customer:
    """The customer of a reply.

    Raises:
        InvalidResponseError: A field has another type than the document says, or there is no ``uuid``.
    """
    return decoded("customer", status, _customer, body, names=_NAMES, flat=_FLAT)


def _customer(body: Json) -> Customer:
    phone = {wire: body[wire] for wire in _PHONE.values() if body.get(wire) is not None}
    return _read_customer(body | {"phone": phone or None, "extra": rest(body, _CUSTOMER_KEYS)})


def read_token(body: Any, status: int = 200) -> PaymentToken:
    """The payment token of a reply, with the older and the newer set of fields.

    Raises:
        InvalidResponseError: A field has another type than the document says, or there is no ``token``.
    """
    return decoded("payment token", status, _token, body, names=_NAMES, flat=_FLAT)


def _token(body: Json) -> PaymentToken:
    return _read_token(body | {"extra": rest(body, _TOKEN_KEYS)})


def customer_reply(customer: Customer) -> Json:
    """The wire form of a customer, as the document shows it: the inverse of `read_customer`."""
    body: Json = _write_customer(customer)
    phone = body.pop("phone", {})
    extra = body.pop("extra", {})
    if customer.default_payment_token is not None:
        body["default_payment_token"] = token_reply(customer.default_payment_token)
    return {**body, **phone, **extra}


def token_reply(token: PaymentToken) -> Json:
    """The wire form of a payment token: the inverse of `read_token`."""
    body = _write_token(token)
    extra = body.pop("extra", {})
    return {**body, **extra}


def differences(draft: CustomerDraft, customer: Customer) -> tuple[str, ...]:
    """The record fields of `draft` that the gateway's answer does not repeat.

    ``company_name`` is in no documented answer and cannot be judged; the default token is compared by its UUID.
    """
    held = dict.fromkeys(row.wire for row in ROWS if row.field != "company_name") | customer_reply(customer)
    if customer.default_payment_token is not None:
        held["default_payment_token"] = customer.default_payment_token.token
    return changed_fields(ROWS, customer_fields(draft), held, strict=True)


def merged(held: Customer, patch: CustomerPatch) -> tuple[CustomerDraft, list[str], list[Violation]]:
    """What writes `patch` over what the gateway holds, because a second create is Wonder's only update.

    Returns:
        The whole draft, the fields to clear, and the limits that the patch breaks. What the gateway itself said is not
        held against its own document.
    """
    changes = {name: value for name, value in asdict(one_name(patch), recurse=False).items() if value is not UNSET}
    token = held.default_payment_token
    kept = {
        "reference": held.reference,
        "name": held.name,
        "email": held.email,
        "phone": held.phone,
        "default_payment_method": held.default_payment_method,
        "default_payment_token": token.token if token else None,
    }
    draft = CustomerDraft(**(kept | changes))
    broken = [it for it in broken_limits(draft) if it.field.partition(".")[0] in changes or it.limit == "is required"]
    if draft.reference != held.reference:
        broken.append(Violation("reference", "reference_number", "is the customer's key and cannot be changed"))
    emptied = [name for name, value in changes.items() if value is None]
    broken += [Violation(name, None, HOMELESS) for name in emptied if name not in _SENT]
    return draft, emptied, broken
