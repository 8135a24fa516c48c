"""Monri's field names, limits and JSON formats. Source: Monri's page "Customers API" (API v2)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve

from wonder_customers.dialects import codec
from wonder_customers.dialects import field_rules as rules
from wonder_customers.dialects.codec import Json
from wonder_customers.dialects.comparison import Comparison, compare_values
from wonder_customers.dialects.field_rules import FieldRule, Limit
from wonder_customers.errors import Violation
from wonder_customers.records import Address, CardSummary, Customer, CustomerDraft, CustomerPatch, PaymentToken, Phone

_PHONE_TEXT = rules.phone_text(1, 30)


def _phone_problem(value: Any) -> str | None:
    if not isinstance(value, Phone):
        return f"must be a Phone, not {type(value).__name__}: use Phone.parse(…)"
    parts: tuple[object, object] = (value.dial_code or "", value.number)
    if not isinstance(parts[0], str) or not isinstance(parts[1], str):
        return "must be a Phone whose dial code and number are strings"
    if parts[0] and rules.DIAL_CODE.check(parts[0]):
        return f"must have a dial code of {rules.DIAL_CODE.description}"
    if value.e164() is not None:
        return None
    if value.contradicts_code():
        return rules.SECOND_CODE
    return _PHONE_TEXT.check(parts[1]) or _PHONE_TEXT.check(codec.write_phone(value))


FIELD_RULES = (
    FieldRule("reference", "merchant_customer_id", rules.reference(100)),
    FieldRule("description", "description", rules.text(1, 200)),
    FieldRule("email", "email", rules.text(1, 200)),
    FieldRule("name", "name", rules.text(1, 50)),
    FieldRule("phone", "phone", Limit(_PHONE_TEXT.description, _phone_problem), write=codec.write_phone),
    FieldRule("metadata", "metadata", rules.JSON_OBJECT, write=rules.json_copy),
    FieldRule("address.postcode", "zip_code", rules.text(1, 9)),
    FieldRule("address.city", "city", rules.text(3, 30)),
    FieldRule("address.line1", "address", rules.text(3, 100)),
    FieldRule("address.country", "country", rules.COUNTRY),
)
UNSUPPORTED_FIELD = "Monri's customers do not have this field"

_NAMES = ("name", "first_name", "last_name")
_CLEARABLE = frozenset(rule.field for rule in FIELD_RULES) - {"reference"} | {*_NAMES, "address"}
_ADDRESS = rules.wire_names(FIELD_RULES, "address.")
_NO_ADDRESS = dict.fromkeys(_ADDRESS.values())
_REQUEST = rules.wire_names(FIELD_RULES) | {"address": "address"}
_CUSTOMER = (
    {name: name for name in ("status", "deleted", "created_at", "updated_at", "deleted_at", "extra")}
    | _REQUEST
    | {"id": "uuid"}
)
_TOKEN = {name: name for name in ("id", "token", "keep_until", "created_at", "updated_at", "card", "extra")}
_TOKEN |= {"state": "status", "customer_id": "customer_uuid"}
_CARD = {"number": "masked_pan", "expires": "expiration_date", "expired": "expired"}


def _customer_shape(body: Json, extra: Json) -> Json:
    if "id" not in body:
        return body
    other = extra.pop("id")
    if not body.get("uuid"):
        return body | {"uuid": other}
    if other not in (None, body["uuid"]):
        extra["id"] = other
    return body


def _with_card(token: PaymentToken, _: Json) -> PaymentToken:
    """Return `token` with a card, which may be empty."""
    return token if token.card is not None else evolve(token, card=CardSummary())


_converter = codec.make_converter()
codec.make_reader(_converter, Address, _ADDRESS)
codec.make_reader(_converter, CardSummary, _CARD)
_read_token = codec.make_reader(_converter, PaymentToken, _TOKEN, finish=_with_card, inline=("card",))
read_token: Callable[..., PaymentToken] = codec.record_reader("payment method", _read_token)
_read_customer = codec.make_reader(_converter, Customer, _CUSTOMER, shape=_customer_shape, inline=("address",))
codec.make_writer(_converter, Address, _ADDRESS, sparse=True)
codec.make_writer(_converter, CardSummary, _CARD, sparse=False)
_write_customer = codec.make_writer(_converter, Customer, _CUSTOMER, sparse=False, inline=("address", "extra"))
write_token: Callable[[PaymentToken], Json] = codec.make_writer(
    _converter, PaymentToken, _TOKEN, sparse=False, inline=("card", "extra")
)


def checked_body(record: CustomerDraft | CustomerPatch) -> tuple[Json, list[Violation]]:
    """Return the request body of a draft or a patch, and all violations of documented limits."""
    body: Json = {}
    found = rules.violations(rules.merge_names(record), FIELD_RULES, unsupported=UNSUPPORTED_FIELD, body=body)
    if isinstance(record, CustomerDraft) and record.clear:
        found += rules.not_clearable(record, clearable(record, record.clear))
        body = body if found else _with_cleared(record, body)
    return body, found


def clearable(draft: CustomerDraft, fields: Iterable[str]) -> frozenset[str]:
    """Return the subset of `fields` that null clears."""
    named = any(getattr(draft, name) is not None for name in _NAMES)
    known = _CLEARABLE - set(_NAMES) if named else _CLEARABLE
    return frozenset(name for name in fields if name in known or name.startswith("metadata."))


def _with_cleared(draft: CustomerDraft, body: Json) -> Json:
    body = rules.cleared_body(draft, FIELD_RULES, dict.fromkeys(_NAMES, "name"), _ADDRESS.values()) | body
    keys = [name.removeprefix("metadata.") for name in sorted(draft.clear) if name.startswith("metadata.")]
    if keys and body.get("metadata", {}) is not None:
        body["metadata"] = dict.fromkeys(keys) | body.get("metadata", {})
    return body


def read_customer(body: Any, status: int = 200) -> Customer:
    """Return the customer in a response or in an item of a list."""
    customer = codec.read_record("customer", status, _read_customer, body)
    # A customer with ``deleted_at`` is deleted, whatever the value of ``deleted``.
    return evolve(customer, deleted=True) if customer.deleted_at and not customer.deleted else customer


def write_customer(customer: Customer) -> Json:
    """Return the JSON object of a customer in the documented format."""
    return {**_NO_ADDRESS, **_write_customer(customer)}


def compare(draft: CustomerDraft, customer: Customer) -> Comparison:
    """Compare `draft` with `customer`."""
    body = checked_body(draft)[0]
    if draft.metadata is None and isinstance(body.get("metadata"), dict):
        # Only the keys that the draft clears are compared.
        body["metadata"] = {**(customer.metadata or {}), **body["metadata"]}
    return compare_body(body, customer)


def compare_body(body: Json, customer: Customer) -> Comparison:
    """Compare the request body of a draft with `customer`."""
    held = write_customer(customer)
    if isinstance(body.get("metadata"), dict):
        body = body | {"metadata": _without_nulls(body["metadata"])}
        held["metadata"] = _without_nulls(customer.metadata or {})
    return compare_values(rules.field_names(FIELD_RULES), body, held)


def _without_nulls(metadata: Mapping[str, Any]) -> Json:
    return {key: value for key, value in metadata.items() if value is not None}


def replacing_metadata(draft: CustomerDraft, body: Json, held: Customer) -> Json:
    """Return `body` with metadata that replaces the metadata of `held`."""
    if draft.metadata is None or not held.metadata:
        return body
    # Monri merges metadata, and removes keys whose value is null.
    return body | {"metadata": dict.fromkeys(held.metadata) | body["metadata"]}


def write_fields(body: Json, fields: Mapping[str, Sequence[str]]) -> Json:
    """Return the body of a refusal with messages by field, in the form that third-party clients read."""
    return {**body, "errors": {name: list(messages) for name, messages in fields.items()}}
