"""Wonder's field names, limits and JSON formats.

Sources: Wonder's pages "Create a customer" and "Get customer by ref id"; for tokens, Wonder's older and newer pages and
mobile client.
"""

from collections.abc import Callable, Iterable
from typing import Any, get_args

from attrs import asdict, evolve

from wonder_customers._support.loopback import is_encrypted_or_loopback
from wonder_customers.dialects import codec, drift
from wonder_customers.dialects import field_rules as rules
from wonder_customers.dialects.codec import Json
from wonder_customers.dialects.comparison import Comparison, compare_values
from wonder_customers.dialects.field_rules import FieldRule
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
    WonderTransactionType,
)

FIELD_RULES = (
    FieldRule("name", "name", rules.text(1, 255), required=True),
    FieldRule("email", "email", rules.text(0, 255)),
    FieldRule("phone.dial_code", "dial_code", rules.dial_code(6)),
    FieldRule("phone.number", "phone", rules.phone_text(1, 255), required=True),
    FieldRule("company_name", "company_name", rules.text(0, 255)),
    FieldRule("default_payment_method", "default_payment_method", rules.one_of("Credit Card", "Alipay", "Wechat Pay")),
    FieldRule("default_payment_token", "default_payment_token", rules.UUID),
    FieldRule("reference", "reference_number", rules.reference(255), required=True),
)
UNSUPPORTED_FIELD = "Wonder's customers do not have this field"
_CLEARABLE = frozenset(rule.field for rule in FIELD_RULES if not rule.required and "." not in rule.field)
CARD_RULES = (
    FieldRule("number", "card.number", rules.CARD_NUMBER, required=True),
    FieldRule("expire_month", "card.exp_month", rules.MONTH, required=True),
    FieldRule("expire_year", "card.exp_year", rules.YEAR, required=True),
    FieldRule("cvv", "card.cvv", rules.SECURITY_CODE),
    FieldRule("holder_name", "card.holder_name", rules.text(1, 255), required=True),
    FieldRule("nickname", "card.nickname", rules.text(0, 255)),
    FieldRule(
        "transaction_type", "card.transaction_type", rules.one_of(*get_args(WonderTransactionType)), required=True
    ),
    FieldRule("success_return_url", "card.3ds.success_return_url", rules.text(1, 2000), required=True),
    FieldRule("fail_return_url", "card.3ds.fail_return_url", rules.text(1, 2000), required=True),
    FieldRule("address.line1", "card.billing_address.address", rules.text(0, 255)),
    FieldRule("address.city", "card.billing_address.city", rules.text(0, 255)),
    FieldRule("address.state", "card.billing_address.state", rules.text(0, 255)),
    FieldRule("address.postcode", "card.billing_address.zip_code", rules.text(0, 255)),
    FieldRule(
        "address.country", "card.billing_address.country_code", rules.pattern("[A-Z]{3}", "an ISO 3166-1 alpha-3 code")
    ),
)

_REQUEST = rules.wire_names(FIELD_RULES) | {"phone": "phone"}
_PHONE = rules.wire_names(FIELD_RULES, "phone.")
_PHONE_FIELDS = frozenset({"phone.dial_code", "phone.number"})
_CUSTOMER = _REQUEST | {"id": "uuid", "extra": "extra"}
_CARD = {name: name for name in ("number", "exp_month", "exp_year", "holder_name", "brand", "billing_currency")}
_TOKEN = {
    name: name
    for name in ("token", "token_type", "state", "default", "error_code", "verify_url", "verify_uuid", "extra")
}
_TOKEN |= {"error_message": "error_msg", "card": "credit_card"}
_BILLING = rules.wire_names(CARD_RULES, "address.")
_SOURCE = rules.wire_names(it for it in CARD_RULES if ".3ds." not in it.wire) | {"address": "billing_address"}

_CARD_KEYS = frozenset(_CARD)


def is_empty(value: Any) -> bool:
    """Return whether a value is null, or an object in which every value is empty or the zero value of its type."""
    if not isinstance(value, dict):
        return value is None
    return all(not it or it == "0001-01-01T00:00:00Z" or is_empty(it) for it in value.values())


def _customer_shape(body: Json, extra: Json) -> Json:
    if (phone := body.get("phone")) in (None, ""):  # only a dial code
        body = body | {"dial_code": None, "phone": None}
    elif type(phone) not in {str, int}:
        drift.report_type("phone", "text", phone)
        extra.update({name: body[name] for name in _PHONE.values() if name in body})
        body = body | {"dial_code": None, "phone": None}
    elif body.get("dial_code") == "":
        body = body | {"dial_code": None}
    if isinstance(token := body.get("default_payment_token"), str):
        if token:
            drift.report("default_payment_token", "object", "text")  # as in requests
        body = body | {"default_payment_token": {"token": token} if token else None}
    elif is_empty(token):
        body = body | {"default_payment_token": None}
    return body


def _token_shape(body: Json, extra: Json) -> Json:
    if isinstance(card := body.get("credit_card"), dict):
        extra.update({f"credit_card.{key}": it for key, it in codec.unknown_keys(card, _CARD_KEYS).items()})
    url = body.get("verify_url")
    if url == "":
        return body | {"verify_url": None}
    if not isinstance(url, str) or is_encrypted_or_loopback(url):
        return body
    # Applications redirect the cardholder to this URL, so `javascript:` and plain http are not accepted.
    drift.report_type("verify_url", "https URL", url)
    extra["verify_url"] = url
    return body | {"verify_url": None}


_converter = codec.make_converter()
codec.make_reader(_converter, Phone, _PHONE)
codec.make_reader(_converter, CardSummary, _CARD)
_read_token = codec.make_reader(_converter, PaymentToken, _TOKEN, shape=_token_shape)
_read_customer = codec.make_reader(_converter, Customer, _CUSTOMER, shape=_customer_shape, inline=("phone",))
read_token: Callable[..., PaymentToken] = codec.record_reader("payment token", _read_token)
read_customer: Callable[..., Customer] = codec.record_reader("customer", _read_customer)
_write_phone = codec.make_writer(_converter, Phone, _PHONE, sparse=True)
codec.make_writer(_converter, Address, _BILLING, sparse=True)
_write_source = codec.make_writer(_converter, CardSource, _SOURCE, sparse=True)
codec.make_writer(_converter, CardSummary, _CARD, sparse=True)
write_token: Callable[[PaymentToken], Json] = codec.make_writer(
    _converter, PaymentToken, _TOKEN, sparse=True, inline=("extra",)
)
write_customer: Callable[[Customer], Json] = codec.make_writer(
    _converter, Customer, _CUSTOMER, sparse=True, inline=("phone", "extra")
)


def checked_body(draft: CustomerDraft) -> tuple[Json, list[Violation]]:
    """Return the ``customer`` object of a request, and all violations of documented limits by the draft."""
    body: Json = {}
    named = rules.merge_names(draft)
    phone = named.phone.separated() if isinstance(named.phone, Phone) else None
    if phone is not named.phone and phone is not None:
        named = evolve(named, phone=phone)
    found = rules.violations(named, FIELD_RULES, unsupported=UNSUPPORTED_FIELD, body=body)
    if phone is not None:
        # Without this, a customer could keep the dial code of the previous number. The documented type is a string.
        body.setdefault("dial_code", "")
        if not found and phone.contradicts_code():
            found.append(Violation("phone.number", "phone", rules.SECOND_CODE))
    if draft.clear:
        found += rules.not_clearable(draft, _CLEARABLE)
        body |= {_REQUEST[name]: None for name in sorted(draft.clear) if name in _REQUEST}
    return body, found


def clearable(_: CustomerDraft, fields: Iterable[str]) -> frozenset[str]:
    """Return the subset of `fields` that null clears."""
    return _CLEARABLE.intersection(fields)


def patch_violations(patch: CustomerPatch) -> list[Violation]:
    """Return the violations by a patch that can be found without reading the customer."""
    return rules.violations(rules.merge_names(patch), FIELD_RULES, unsupported=UNSUPPORTED_FIELD)


def card_body(source: PaymentSource) -> Json:
    """Return the request body that creates a token for a card, with ``3ds`` nested as in the mobile client.

    Raises:
        InvalidRecordError: `source` is not a card, or violates limits.
    """
    if not isinstance(source, CardSource):
        violation = Violation("payment_source", "card", f"must be a CardSource, not {type(source).__name__}")
        raise InvalidRecordError("wonder", [violation])
    found = rules.violations(source, CARD_RULES, unsupported="Wonder's cards do not have this field")
    rules.raise_violations("wonder", found)
    urls = {"success_return_url": source.success_return_url, "fail_return_url": source.fail_return_url}
    return {"card": {"3ds": urls} | _write_source(source)}


def compare(draft: CustomerDraft, customer: Customer) -> Comparison:
    """Compare `draft` with `customer`."""
    names = rules.field_names(FIELD_RULES)
    # The documented responses do not contain ``company_name``, so it is compared only if a response contains it.
    held = dict.fromkeys(wire for _, wire in names if wire != "company_name") | write_customer(customer)
    if customer.default_payment_token is not None:
        held["default_payment_token"] = customer.default_payment_token.token
    held["dial_code"] = held["dial_code"] or ""
    compared = compare_values(names, checked_body(draft)[0], held)
    sent, found = draft.phone, customer.phone
    if not _PHONE_FIELDS.isdisjoint(compared.different) and sent is not None and found is not None:
        whole = sent.e164()
        if whole is not None and whole == found.e164():  # such as with and without a trunk prefix
            different = tuple(it for it in compared.different if it not in _PHONE_FIELDS)
            return Comparison(different, (*compared.normalized, *_PHONE_FIELDS.intersection(compared.different)))
    return compared


def merge(held: Customer, patch: CustomerPatch) -> tuple[Json, list[Violation]]:
    """Merge `patch` with a customer, and return the ``customer`` object of the update, and the violations.

    Raises:
        InvalidResponseError: A field of the customer that the patch does not change could not be read.
    """
    changes = {
        name: value for name, value in asdict(rules.merge_names(patch), recurse=False).items() if value is not UNSET
    }
    codec.require_read(held, (rule.wire for rule in FIELD_RULES if rule.field.partition(".")[0] not in changes))
    token = held.default_payment_token
    kept = {name: getattr(held, name) for name in _REQUEST} | {"default_payment_token": token.token if token else None}
    draft = CustomerDraft(**(kept | changes))
    # Other values that Wonder returned are sent back unchanged, but the write selects the customer by its reference.
    checked = {*changes, "reference"}
    body, found = checked_body(draft)
    if held.phone is not None and "phone" not in changes:
        body |= {"dial_code": ""} | _write_phone(held.phone)
    broken = [it for it in found if it.field.partition(".")[0] in checked or it.limit == "is required"]
    if draft.reference != held.reference:
        limit = "cannot be changed, because Wonder's only update is a create with the same reference"
        broken.append(Violation("reference", "reference_number", limit))
    emptied = [name for name, value in changes.items() if value is None]
    broken += [Violation(name, None, UNSUPPORTED_FIELD) for name in emptied if name not in _REQUEST]
    return body if broken else body | {_REQUEST[name]: None for name in emptied}, broken
