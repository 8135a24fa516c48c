"""Paydock's field names, limits and JSON formats.

Sources: Paydock's page ``POST /v1/customers`` for requests and the four flows; Paydock's Java, PHP and .NET clients and
the page "Payment source" for the fields of responses.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve, fields

from wonder_customers.dialects import codec, drift
from wonder_customers.dialects import field_rules as rules
from wonder_customers.dialects.codec import Json
from wonder_customers.dialects.comparison import Comparison, compare_values
from wonder_customers.dialects.field_rules import FieldRule, Limit
from wonder_customers.dialects.responses import same_id
from wonder_customers.errors import Violation
from wonder_customers.records import (
    Address,
    BankAccountSource,
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


def _metadata_problem(value: Any) -> str | None:
    texts = rules.json_object_problem(value) is None and all(isinstance(item, str) for item in value.values())
    return None if texts else "must be a dictionary of strings without NUL characters"


_CUSTOMER_RULES = (
    FieldRule("reference", "reference", rules.reference(255)),
    FieldRule("description", "description", rules.text()),
    FieldRule("company_name", "company_name", rules.text()),
    FieldRule("first_name", "first_name", rules.text()),
    FieldRule("last_name", "last_name", rules.text()),
    FieldRule("email", "email", rules.text()),
    FieldRule("phone", "phone", rules.E164, write=Phone.e164),
    FieldRule("default_payment_token", "default_source", rules.HEX24),
    FieldRule("metadata", "meta", Limit("a dictionary of strings", _metadata_problem), write=dict),
)
_ADDRESS = {it.name: f"address_{it.name}" for it in fields(Address)}


def _source_rule(name: str, wire: str, limit: Limit, *, required: bool = False) -> FieldRule:
    return FieldRule(f"payment_source.{name}", f"payment_source.{wire}", limit, required)


_ADDRESS_RULES = tuple(_source_rule(f"address.{name}", wire, rules.text()) for name, wire in _ADDRESS.items())
_FLOWS: dict[type, tuple[FieldRule, ...]] = {
    OneTimeToken: (FieldRule("payment_source.token", "token", rules.secret_value(rules.UUID), required=True),),
    CardSource: (
        _source_rule("gateway_id", "gateway_id", rules.HEX24, required=True),
        _source_rule("holder_name", "card_name", rules.text(1), required=True),
        _source_rule("number", "card_number", rules.CARD_NUMBER, required=True),
        _source_rule("expire_month", "expire_month", rules.MONTH, required=True),
        _source_rule("expire_year", "expire_year", rules.YEAR, required=True),
        _source_rule("cvv", "card_ccv", rules.SECURITY_CODE),
        *_ADDRESS_RULES,
    ),
    # Flows three and four of the document: a vault token with and without a gateway.
    VaultToken: (
        _source_rule("token", "vault_token", rules.secret_value(rules.UUID), required=True),
        _source_rule("gateway_id", "gateway_id", rules.HEX24),
        *_ADDRESS_RULES,
    ),
    BankAccountSource: (
        _source_rule("holder_name", "account_name", rules.text(1), required=True),
        _source_rule(
            "number",
            "account_number",
            rules.secret_value(rules.pattern("[0-9A-Za-z -]{1,34}", "1 to 34 letters, digits, spaces and hyphens")),
            required=True,
        ),
        _source_rule("bsb", "account_bsb", rules.pattern("[0-9]{3}-?[0-9]{3}", "six digits, with or without a hyphen")),
        _source_rule("routing", "account_routing", rules.text()),
        _source_rule("holder_type", "account_holder_type", rules.text()),
        _source_rule("bank_name", "account_bank_name", rules.text()),
        _source_rule("gateway_id", "gateway_id", rules.HEX24),
        *_ADDRESS_RULES,
    ),
}
_RULES = {kind: (*_CUSTOMER_RULES, *rules) for kind, rules in _FLOWS.items()}
FIELD_RULES = (*_CUSTOMER_RULES, *dict.fromkeys(rule for rules in _FLOWS.values() for rule in rules))
_CLEARABLE = frozenset(rule.field for rule in _CUSTOMER_RULES) - {"reference", "default_payment_token"} | {"name"}
UNSUPPORTED_FIELD = "Paydock's customers do not have this field"


_CUSTOMER = {name: name for name in ("created_at", "updated_at", "deleted_at", "status", "extra")}
_CUSTOMER |= rules.wire_names(_CUSTOMER_RULES)
_CUSTOMER |= {"id": "_id", "deleted": "archived", "payment_tokens": "payment_sources"}
_SAME_NAMES = ("created_at", "updated_at", "gateway_id", "vault_token", "card", "address", "extra")
_TOKEN = {name: name for name in _SAME_NAMES}
_TOKEN |= {"token": "_id", "token_type": "type", "state": "status", "customer_id": "customer_id"}
_READ_TOKEN = _TOKEN | {"default": "default"}
_CARD = {
    "holder_name": "card_name",
    "number": "card_number_last4",
    "brand": "card_scheme",
    "exp_month": "expire_month",
    "exp_year": "expire_year",
}
_CARD_NUMBERS = ("expire_month", "expire_year")


def _customer_shape(body: Json, _: Json) -> Json:
    default, sources = body.get("default_source"), body.get("payment_sources")
    token = default.get("_id") if isinstance(default, dict) else default
    if isinstance(token, str):
        if token is not default:
            drift.report("default_source", "text", "object")
        details = default if isinstance(default, dict) else {"_id": token}
        default = details | {"default": True} if token else None
    if isinstance(token, str) and token and isinstance(sources, list):
        sources = [it | {"default": same_id(token, it.get("_id"))} if isinstance(it, dict) else it for it in sources]
    return body | {"default_source": default, "payment_sources": [] if sources is None else sources}


def _with_default(customer: Customer, _: Json) -> Customer:
    """Return `customer` with the details of its default token, if `payment_sources` contains it."""
    token = next((it for it in customer.payment_tokens if it.default), customer.default_payment_token)
    return evolve(customer, default_payment_token=token)


def _token_shape(body: Json, _: Json) -> Json:
    # Months and years are numbers in responses and strings in requests.
    dates = {wire: str(body[wire]) for wire in _CARD_NUMBERS if type(body.get(wire)) is int}
    return body | dates


_converter = codec.make_converter(milliseconds=True)
codec.make_reader(_converter, Address, _ADDRESS)
codec.make_reader(_converter, CardSummary, _CARD)
_read_token = codec.make_reader(_converter, PaymentToken, _READ_TOKEN, shape=_token_shape, inline=("card", "address"))
_read_customer = codec.make_reader(_converter, Customer, _CUSTOMER, shape=_customer_shape, finish=_with_default)
read_token: Callable[..., PaymentToken] = codec.record_reader("payment source", _read_token)
read_customer: Callable[..., Customer] = codec.record_reader("customer", _read_customer)
codec.make_writer(_converter, Address, _ADDRESS, sparse=True)
_write_source = {
    kind: codec.make_writer(
        _converter,
        kind,
        rules.wire_names(_FLOWS[kind], "payment_source.") | {"address": "address"},
        sparse=True,
        inline=("address",),
    )
    for kind in (CardSource, VaultToken, BankAccountSource)
}
codec.make_writer(_converter, CardSummary, _CARD, sparse=True)
_write_token = codec.make_writer(_converter, PaymentToken, _TOKEN, sparse=True, inline=("card", "address", "extra"))
_write_customer = codec.make_writer(_converter, Customer, _CUSTOMER, sparse=True, inline=("extra",))


def checked_body(record: CustomerDraft | CustomerPatch) -> tuple[Json, list[Violation]]:
    """Return the request body of a draft or patch without its payment source, and all violations of limits."""
    body: Json = {}
    # The document requires ``payment_source``, but the gateway's clients create customers without a source.
    table = _RULES.get(type(record.payment_source), _CUSTOMER_RULES)
    found = rules.violations(rules.name_as_first_name(record), table, unsupported=UNSUPPORTED_FIELD, body=body)
    found = [
        evolve(it, limit=f"{it.limit} (an address belongs to the payment source)")
        if it.field.startswith("address.")
        else it
        for it in found
    ]
    if isinstance(record, CustomerDraft) and record.clear:
        found += rules.not_clearable(record, clearable(record, record.clear))
        body = rules.cleared_body(record, _CUSTOMER_RULES, {"name": "first_name"}) | body
    return body, found


def clearable(draft: CustomerDraft, fields: Iterable[str]) -> frozenset[str]:
    """Return the subset of `fields` that null clears."""
    known = _CLEARABLE - {"name", "first_name"} if draft.name or draft.first_name else _CLEARABLE
    return frozenset(name for name in fields if name in known or name.startswith("metadata."))


def customer_body(record: CustomerDraft | CustomerPatch, held: Customer | None = None) -> Json:
    """Return the request body of a draft or a patch. The `held` state of the customer is needed to clear parts of it.

    Raises:
        InvalidResponseError: The draft clears metadata keys, and the metadata of `held` could not be read.
    """
    if held is None or isinstance(record, CustomerPatch):
        return with_source(record, checked_body(record)[0])
    return with_source(record, _clearing_body(record, held))


def _clearing_body(draft: CustomerDraft, held: Customer) -> Json:
    """Return the request body of a draft without its payment source, for a customer whose state is `held`."""
    body = checked_body(draft)[0]
    one_name = draft.name is not None and draft.first_name is None  # it is stored as the first name
    if held.last_name and (one_name or "name" in draft.clear):
        body = {"last_name": None} | body
    keys = {name.removeprefix("metadata.") for name in draft.clear if name.startswith("metadata.")}
    if keys and draft.metadata is None:
        # The metadata is replaced as a whole, so the other keys are sent back.
        codec.require_read(held, ["meta"])
        body = body | {"meta": {key: it for key, it in (held.metadata or {}).items() if key not in keys} or None}
    return body


def with_source(record: CustomerDraft | CustomerPatch, body: Json) -> Json:
    """Return `body` with the payment source of a draft or a patch, if any."""
    source = record.payment_source
    if isinstance(source, OneTimeToken):
        return body | {"token": source.token.reveal()}
    if not isinstance(source, PaymentSource):
        return body
    kind = "card"
    if isinstance(source, BankAccountSource):
        kind = "bank_account" if source.bsb is None else "bsb"
    return body | {"payment_source": {"type": kind, **_write_source[type(source)](source)}}


def write_customer(customer: Customer) -> Json:
    """Return the JSON object of a customer."""
    default = customer.default_payment_token
    return _write_customer(customer) | ({} if default is None else {"default_source": default.token})


def write_token(token: PaymentToken) -> Json:
    """Return the JSON object of a payment source."""
    body = _write_token(token)
    for name in _CARD_NUMBERS:
        value = body.get(name)
        if isinstance(value, str) and value.isdecimal() and len(value) <= 4:
            body[name] = int(value)
    return body


codec.register_writer(_converter, PaymentToken, write_token)


def compare(draft: CustomerDraft, customer: Customer) -> Comparison:
    """Compare `draft` with `customer`. Payment sources are not compared."""
    return _compare_body(_clearing_body(draft, customer), customer)


def _compare_body(body: Json, customer: Customer) -> Comparison:
    names = rules.field_names(_CUSTOMER_RULES)
    held = dict.fromkeys(wire for _, wire in names) | write_customer(customer)
    return compare_values(names, body, held)


def created_differences(body: Json, source: PaymentSource | None, customer: Customer) -> tuple[str, ...]:
    """Return the fields in which `customer` differs from a customer created with `body` and `source`."""
    # A customer that was created without a last name has none.
    different = _compare_body(body if "first_name" not in body else {"last_name": None} | body, customer).different
    if source is None:
        return different
    held = [it.card.last4 if it.card else None for it in customer.payment_tokens]
    last4 = source.number.reveal()[-4:] if isinstance(source, CardSource) else None
    found = bool(held) if last4 is None else last4 in held
    return different if found else (*different, "payment_source")


def write_fields(body: Json, messages: Mapping[str, Sequence[str]]) -> Json:
    """Return the body of a refusal with messages by field, in the form of recorded refusals."""
    details = [{"param_name": name, "description": text} for name, texts in messages.items() for text in texts]
    return {**body, "error_summary": {**body["error_summary"], "details": details}}
