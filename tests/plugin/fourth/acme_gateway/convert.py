"""Acme's wire names and limits."""

from typing import Any

from wonder_customers import Customer, CustomerDraft, CustomerPatch, Phone, Violation
from wonder_customers.dialects.conversion import Json, decoded, reader, rest, strict_converter, writer
from wonder_customers.dialects.limits import Row, one_name, reference, text, unlike, violations


def _phone(value: Any) -> str | None:
    return None if isinstance(value, Phone) and value.e164() else "must be a number in E.164"


ROWS = (
    Row("reference", "external_id", reference(64)),
    Row("name", "full_name", text(1, 80), required=True),
    Row("email", "mail", text(3, 100)),
    Row("phone", "phone", _phone),
)
_SENT = {row.field: row.wire for row in ROWS}
_HELD = _SENT | {"id": "person_id", "extra": "extra"}
_KEYS = frozenset(_HELD.values()) - {"extra"}

_converter = strict_converter()
_converter.register_structure_hook(Phone, lambda value, _: Phone.parse(_converter.structure(value, str)))
_converter.register_unstructure_hook(Phone, Phone.e164)
_read = reader(_converter, Customer, _HELD)
_write_draft = writer(_converter, CustomerDraft, _SENT, sparse=True)
_write_patch = writer(_converter, CustomerPatch, _SENT, sparse=True)
_write_customer = writer(_converter, Customer, _HELD, sparse=True)


def broken_limits(record: CustomerDraft | CustomerPatch) -> list[Violation]:
    """Every limit that a draft or a patch breaks."""
    homeless = "Acme's people have no such field"
    return violations(one_name(record), ROWS, homeless=homeless, partial=isinstance(record, CustomerPatch))


def person(record: CustomerDraft | CustomerPatch) -> Json:
    """The ``person`` object of a request."""
    named = one_name(record)
    return _write_draft(named) if isinstance(named, CustomerDraft) else _write_patch(named)


def read_customer(body: Any, status: int = 200) -> Customer:
    """The person in a reply."""

    def read(person: Json) -> Customer:
        return _read(person | {"extra": rest(person, _KEYS)})

    return decoded("person", status, read, body, names={Customer: _HELD}, flat=frozenset())


def customer_reply(customer: Customer) -> Json:
    """The wire form of a customer: the inverse of `read_customer`."""
    body = _write_customer(customer)
    extra: Json = body.pop("extra", {})
    return {**body, **extra}


def differences(draft: CustomerDraft, customer: Customer) -> tuple[str, ...]:
    """The record fields of `draft` that `customer` does not repeat."""
    held = dict.fromkeys(row.wire for row in ROWS) | customer_reply(customer)
    return unlike(ROWS, person(draft), held, strict=True)
