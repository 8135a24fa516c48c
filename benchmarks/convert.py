"""What does the conversion between records and JSON cost?"""

from datetime import datetime
from typing import Any

import msgspec
import orjson

from benchmarks._canned import answer
from benchmarks._contenders import draft
from benchmarks._findings import ROUNDS, Findings, alternate, microseconds, summed_up
from wonder_customers.dialects.monri import codec
from wonder_customers.records import Address, Customer, Phone

_BODY = answer(b"m", b"00000000-0000-4000-8000-000000000001").partition(b"\r\n\r\n")[2]
_DRAFT = draft("00000000-0000-4000-8000-000000000001")
_HOMES = frozenset({
    "uuid", "id", "merchant_customer_id", "description", "email", "name", "phone", "metadata", "status", "deleted",
    "created_at", "updated_at", "deleted_at", "city", "country", "zip_code", "address",
})  # fmt: skip


class _Struct(msgspec.Struct):
    """The JSON object itself: no renamed fields, no phone number, no address, no unknown keys."""

    uuid: str
    merchant_customer_id: str
    description: str
    email: str
    name: str
    phone: str
    city: str
    zip_code: str
    country: str
    address: str
    metadata: dict[str, Any]
    status: str | None = None
    deleted: bool | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    deleted_at: datetime | None = None


_decoder = msgspec.json.Decoder(_Struct)
_struct = _decoder.decode(_BODY)


def _time(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None


def _read_by_hand() -> Customer:
    body = orjson.loads(_BODY)
    address = Address(line1=body["address"], city=body["city"], postcode=body["zip_code"], country=body["country"])
    return Customer(
        id=body["uuid"],
        reference=body["merchant_customer_id"],
        description=body["description"],
        email=body["email"],
        name=body["name"],
        phone=Phone.parse(body["phone"]),
        metadata=body["metadata"],
        status=body["status"],
        deleted=body["deleted"],
        created_at=_time(body["created_at"]),
        updated_at=_time(body["updated_at"]),
        deleted_at=_time(body["deleted_at"]),
        address=address,
        extra={key: value for key, value in body.items() if key not in _HOMES},
    )


def _write_by_hand() -> bytes:
    phone, address = _DRAFT.phone, _DRAFT.address
    assert phone is not None
    assert address is not None
    body = {
        "merchant_customer_id": _DRAFT.reference,
        "description": _DRAFT.description,
        "email": _DRAFT.email,
        "name": _DRAFT.name,
        "phone": f"{phone.dial_code}{phone.number}",
        "metadata": _DRAFT.metadata,
        "address": address.line1,
        "city": address.city,
        "zip_code": address.postcode,
        "country": address.country,
    }
    return orjson.dumps(body)


CASES = {
    "decode a customer": {
        "wonder_customers": lambda: codec.read_customer(orjson.loads(_BODY)),
        "by hand": _read_by_hand,
        "msgspec.Struct": lambda: _decoder.decode(_BODY),
        "orjson dictionaries": lambda: orjson.loads(_BODY),
    },
    "encode a draft": {
        "wonder_customers": lambda: orjson.dumps(codec.checked_body(_DRAFT)[0]),
        "by hand": _write_by_hand,
        "msgspec.Struct": lambda: msgspec.json.encode(_struct),
    },
    "check a draft's limits": {"wonder_customers": lambda: codec.checked_body(_DRAFT)},
}


def measure(*, quick: bool) -> Findings:
    """Measure Monri's converter, whose customer has the most fields."""
    seconds, rounds = (0.01, 1) if quick else (0.2, ROUNDS)
    figures = []
    for case, contenders in CASES.items():
        seen = alternate({name: microseconds(run, seconds) for name, run in contenders.items()}, rounds)
        figures += summed_up(case, "µs", seen)
    note = "msgspec reads the wire's own object: it neither parses the telephone number nor keeps unknown keys."
    return Findings(__doc__ or "", tuple(figures), notes=(note,))
