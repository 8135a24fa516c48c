"""The fields of responses: each is read and written back, and a field of another type does not affect the others."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from itertools import product
from typing import Any

import pytest
from dialects.documented import DOCUMENTS

from wonder_customers import InvalidResponseError
from wonder_customers.dialects import drift
from wonder_customers.dialects.drift import Drift
from wonder_customers.dialects.monri import codec as monri
from wonder_customers.dialects.paydock import codec as paydock
from wonder_customers.dialects.wonder import codec as wonder

READERS: dict[tuple[str, str], tuple[Callable[[Any], Any], Callable[[Any], dict[str, Any]]]] = {
    ("wonder", "customer"): (wonder.read_customer, wonder.write_customer),
    ("wonder", "payment_token"): (wonder.read_token, wonder.write_token),
    ("wonder", "older_payment_token"): (wonder.read_token, wonder.write_token),
    ("paydock", "customer"): (paydock.read_customer, paydock.write_customer),
    ("paydock", "payment_source"): (paydock.read_token, paydock.write_token),
    ("monri", "customer"): (monri.read_customer, monri.write_customer),
    ("monri", "payment_method"): (monri.read_token, monri.write_token),
}
OBJECTS = pytest.mark.parametrize(("gateway", "kind"), READERS)
WRONG_VALUES = {
    "number": 71000,
    "text": "Countess of Lovelace",
    "boolean": True,
    "list": ["Countess of Lovelace"],
    "object": {"Countess": "Lovelace"},
    "null": None,
    "empty text": "",
    "long number": 9_007_199_254_740_993,
}


def _sample(gateway: str, name: str, kind: str) -> Any:
    times = {"paydock": "2024-05-01T12:01:23.456Z"}
    plain: dict[str, Any] = {
        "string": f"text of {name}",
        "boolean": True,
        "number": 2030,
        "time": times.get(gateway, "2024-05-01T12:01:23Z"),
        "date": "2034-12-31",
        "e164": "+12345678901",
        "object": {"key": "value"},
    }
    if name == "verify_url":
        return "https://127.0.0.1/verify"
    if kind in plain:
        return plain[kind]
    return [full_object(gateway, kind)] if name.endswith("s") else full_object(gateway, kind)


def full_object(gateway: str, kind: str) -> dict[str, Any]:
    table = DOCUMENTS[gateway]["response"][kind]
    return {name: _sample(gateway, name, type_) for name, type_ in table.items()}


def accepted_values(kind: str, path: str) -> set[str]:
    """Return which of `WRONG_VALUES` a field of this documented type accepts without a report."""
    texts = {"text", "empty text"}
    accepted = {
        "string": texts,
        "e164": texts,
        "boolean": {"boolean"},
        "object": {"object"},
        "number": {"number", "long number", *texts},
    }.get(kind, set()) | {"null"}
    name = path.rpartition(".")[2]
    if name == "verify_url":
        return {"empty text", "null"}  # applications redirect to it
    if name == "credit_card":  # without any known key, the record is empty
        accepted |= {"object"}
    return accepted | ({"empty text"} if name in {"default_source", "default_payment_token"} else set())


def _required(gateway: str, kind: str) -> list[str]:
    names: list[str] = DOCUMENTS[gateway]["required_in_response"].get(kind, ["token"])
    return names


def _read(read: Callable[[Any], Any], body: Any) -> tuple[Any, tuple[Drift, ...]]:
    drift.start()
    record = None
    try:
        record = read(body)
    finally:
        found = drift.stop()
    return record, found


@OBJECTS
def test_every_documented_response_field_is_read_and_written_back(gateway: str, kind: str) -> None:
    read, write = READERS[gateway, kind]
    body = full_object(gateway, kind)
    record, found = _read(read, body)
    assert record.extra == {}
    assert write(record) == body
    assert found == ()


@pytest.mark.parametrize("kind", ["customer", "payment_source"])
def test_paydock_fields_without_a_record_field_are_kept_in_extra(kind: str) -> None:
    read, write = READERS["paydock", kind]
    more: dict[str, Any] = {name: {"of": name} for name in DOCUMENTS["paydock"]["kept_in_extra"][kind]}
    body = full_object("paydock", kind) | more
    assert read(body).extra == more
    assert write(read(body)) == body


@OBJECTS
def test_undocumented_keys_are_kept_in_extra(gateway: str, kind: str) -> None:
    read, write = READERS[gateway, kind]
    body = full_object(gateway, kind) | {"new_thing": [1, {"a": None}]}
    assert read(body).extra == {"new_thing": [1, {"a": None}]}
    assert write(read(body)) == body


@OBJECTS
def test_only_the_id_is_required_and_null_counts_as_absent(gateway: str, kind: str) -> None:
    read, _ = READERS[gateway, kind]
    full = full_object(gateway, kind)
    required = {name: full[name] for name in _required(gateway, kind)}
    record, found = _read(read, dict.fromkeys(full) | required)
    assert record == read(required)
    assert found == ()


@OBJECTS
def test_missing_or_empty_id_raises_and_is_named(gateway: str, kind: str) -> None:
    read, _ = READERS[gateway, kind]
    for name in _required(gateway, kind):
        body = {key: value for key, value in full_object(gateway, kind).items() if key not in {name, "id"}}
        for empty in ({}, {name: ""}):
            with pytest.raises(InvalidResponseError, match=rf"\b{name} is missing"):
                read(body | empty)


@OBJECTS
def test_id_of_another_type_raises_without_the_value(gateway: str, kind: str) -> None:
    read, _ = READERS[gateway, kind]
    body = {key: value for key, value in full_object(gateway, kind).items() if key != "id"}
    wrong_values = [value for wrong, value in WRONG_VALUES.items() if not wrong.endswith("text")]
    for name, value in product(_required(gateway, kind), wrong_values):
        with pytest.raises(InvalidResponseError, match=rf"\b{name}: expected text") as caught:
            read(body | {name: value})
        assert "Lovelace" not in str(caught.value)
        assert caught.value.applied == "unknown"


def _optional_fields() -> list[Any]:
    return [
        pytest.param(gateway, kind, name, type_, id=f"{gateway} {kind}: {name}")
        for gateway, kind in READERS
        for name, type_ in DOCUMENTS[gateway]["response"][kind].items()
        if name not in _required(gateway, kind)
    ]


@pytest.mark.parametrize(("gateway", "kind", "name", "type_"), _optional_fields())
def test_optional_field_of_another_type_is_read_or_kept_in_extra(
    gateway: str, kind: str, name: str, type_: str
) -> None:
    for wrong in WRONG_VALUES:
        _check_wrong_value(gateway, kind, name, type_, wrong)


def _check_wrong_value(gateway: str, kind: str, name: str, type_: str, wrong: str) -> None:
    read, write = READERS[gateway, kind]
    value = WRONG_VALUES[wrong]
    full = full_object(gateway, kind)
    record, found = _read(read, full | {name: value})
    body = write(record)
    if wrong in accepted_values(type_, name):
        assert found == (), wrong
        return
    assert {it.field for it in found} == {name} or all(it.field.startswith(f"{name}.") for it in found), found
    assert found
    assert "Lovelace" not in repr(found)
    assert "71000" not in repr(found)
    coerced = (wrong in {"number", "long number"} and type_ in {"string", "e164"}) or (
        (type_ in {"payment_token", "credit_card"} and wrong == "object")
        or (name == "default_payment_token" and wrong == "text")
    )
    if name in {"masked_pan", "card_number_last4"} and wrong == "long number":
        assert body[name] == "************0993"
    elif coerced:
        assert str(value) in repr(body[name]) or record.phone.number == str(value)
    else:
        assert body[name] == value
    unchanged = {key: it for key, it in body.items() if key != name}
    assert unchanged == {key: it for key, it in full.items() if key != name}


@pytest.mark.parametrize(
    ("gateway", "kind", "path"),
    [
        ("wonder", "customer", "dial_code"),
        ("wonder", "customer", "default_payment_token.credit_card.brand"),
        ("wonder", "customer", "default_payment_token.state"),
        ("monri", "customer", "zip_code"),
        ("monri", "payment_method", "masked_pan"),
        ("paydock", "customer", "payment_sources.card_scheme"),
        ("paydock", "customer", "payment_sources.address_postcode"),
        ("paydock", "payment_source", "card_scheme"),
        ("paydock", "payment_source", "address_postcode"),
    ],
)
def test_drift_is_reported_with_the_gateways_own_path(gateway: str, kind: str, path: str) -> None:
    read, _ = READERS[gateway, kind]
    body = target = full_object(gateway, kind)
    *outer, last = path.split(".")
    for name in outer:
        target = target[name][0] if isinstance(target[name], list) else target[name]
    target[last] = 5.5
    record, found = _read(read, body)
    assert found == (Drift(path, "text", "number"),)
    assert 5.5 in _values(record)


def _values(record: Any) -> list[Any]:
    """Return the raw values in the `extra` of a record and of the records in it."""
    inner = [getattr(record, "default_payment_token", None), *getattr(record, "payment_tokens", ())]
    return [*record.extra.values(), *(value for it in inner if it for value in _values(it))]


@OBJECTS
def test_unknown_status_word_is_kept(gateway: str, kind: str) -> None:
    read, _ = READERS[gateway, kind]
    body = full_object(gateway, kind)
    word = "state" if "state" in body else "status" if "status" in body else "default_payment_method"
    record = read(body | {word: "Frozen by Court"})
    assert "Frozen by Court" in {getattr(record, name, None) for name in ("status", "state", "default_payment_method")}


MOMENT = datetime(2019, 2, 12, 11, 22, 33, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        1549970553,
        1549970553000,
        "1549970553",
        "1549970553000",
        "2019-02-12 11:22:33 UTC",
        "Tue, 12 Feb 2019 11:22:33 GMT",
    ],
)
def test_times_in_other_forms_are_read_and_reported(value: Any) -> None:
    record, found = _read(monri.read_customer, {"uuid": "u", "created_at": value})
    assert record.created_at == MOMENT
    assert record.extra == {}
    assert [it.field for it in found] == ["created_at"]


@pytest.mark.parametrize(
    "value", ["03/04/2024", "yesterday", 5, -1, 1e300, True, "9999-12-31T23:59:59-10:00", "0001-01-01T00:00:00+08:00"]
)
def test_ambiguous_times_are_not_guessed(value: Any) -> None:
    record, found = _read(monri.read_customer, {"uuid": "u", "created_at": value})
    assert record.created_at is None
    assert record.extra == {"created_at": value}
    assert [(it.field, it.expected) for it in found] == [("created_at", "time")]


@pytest.mark.parametrize("value", ["12/27", "12/2027", "12-27", "2027-12", "2027/12", "2027-12-31T00:00:00Z"])
def test_card_expiry_in_other_forms_is_read(value: str) -> None:
    record, found = _read(monri.read_token, {"token": "t", "expiration_date": value})
    assert record.card.expires == date(2027, 12, 31)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, False), (1, True), ("0", False), ("true", True), ("False", False), ("f", False), ("t", True)],
)
def test_booleans_in_other_forms_are_read(value: Any, expected: bool) -> None:
    record, found = _read(monri.read_customer, {"uuid": "u", "deleted": value})
    assert record.deleted is expected
    assert len(found) == 1


@pytest.mark.parametrize(("value", "expected"), [('{"a": 1}', {"a": 1}), ([], {})])
def test_metadata_in_other_forms_is_read(value: Any, expected: Any) -> None:
    record, found = _read(monri.read_customer, {"uuid": "u", "metadata": value})
    assert record.metadata == expected
    assert found == (Drift("metadata", "object", "text" if isinstance(value, str) else "list"),)


def test_payment_source_without_id_is_skipped_and_the_customer_is_read() -> None:
    sources = [{"_id": "5f0c2f7a9b1e8d0012345678"}, {"type": "card"}, {"_id": 5}, 7]
    record, found = _read(paydock.read_customer, {"_id": "c", "payment_sources": sources})
    assert [it.token for it in record.payment_tokens] == ["5f0c2f7a9b1e8d0012345678"]
    assert record.extra == {"payment_sources": sources}
    by_id = (Drift("payment_sources._id", "text", it) for it in ("missing", "number"))
    assert found == (*by_id, Drift("payment_sources", "object", "number"))
