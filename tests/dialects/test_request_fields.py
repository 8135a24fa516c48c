"""The fields of requests: every documented field has a rule, and every limit holds at its boundary."""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import pytest
from attrs import evolve, fields_dict, frozen
from dialects.documented import DOCUMENTS
from examples import CARD, DRAFT
from mock_gateway import golden

from wonder_customers import (
    Address,
    BankAccountSource,
    CardSource,
    CustomerDraft,
    CustomerPatch,
    InvalidRecordError,
    OneTimeToken,
    Phone,
    VaultToken,
    Violation,
)
from wonder_customers.dialects.field_rules import FieldRule
from wonder_customers.dialects.monri import codec as monri
from wonder_customers.dialects.paydock import codec as paydock
from wonder_customers.dialects.wonder import codec as wonder

UUID = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"
HEX = "5f0c2f7a9b1e8d0012345678"


@frozen
class Table:
    """A gateway's documented request fields, and the library's rules and functions for them.

    Where a document has no length, the library's limit is 0 to 255 characters, or 1 to 255 for required fields.
    """

    facts: Mapping[str, Mapping[str, Any]]
    rows: tuple[FieldRule, ...]
    valid: Any
    broken: Callable[[Any], list[Violation]]
    body: Callable[[Any], dict[str, Any]]

    def accepts(self, wire: str, value: Any) -> None:
        """Check that a field may have this value, and that it is sent unchanged."""
        fits = _put(self.valid, _row(self, wire).field, value)
        assert self.broken(fits) == [], value
        assert _at(self.body(fits), wire) == value

    def refuses(self, wire: str, value: Any) -> Violation:
        """Check that only this value breaks a rule, and return the violation."""
        field = _row(self, wire).field
        (broken,) = self.broken(_put(self.valid, field, value))
        assert (broken.field, broken.wire_field) == (field, wire), value
        return broken


def _part(codec: ModuleType, part: int) -> Callable[[Any], Any]:
    return lambda record: codec.checked_body(record)[part]


def _card_violations(source: CardSource) -> list[Violation]:
    try:
        wonder.card_body(source)
    except InvalidRecordError as error:
        return list(error.violations)
    return []


PAYDOCK_DRAFTS = {
    "1": CustomerDraft(
        payment_source=CardSource(
            "4111111111111111", expire_month="05", expire_year="2030", holder_name="Ada Lovelace", gateway_id=HEX
        )
    ),
    "2": CustomerDraft(payment_source=OneTimeToken(UUID)),
    "3": CustomerDraft(payment_source=VaultToken(UUID, gateway_id=HEX)),
    "4": CustomerDraft(payment_source=VaultToken(UUID)),
}
BANK_ACCOUNT = CustomerDraft(payment_source=BankAccountSource("123456789", "Ada Lovelace", bsb="012-345"))
PAYDOCK_FACTS = DOCUMENTS["paydock"]["request"] | DOCUMENTS["paydock"]["request_of_clients"]
TABLES = {
    "wonder": Table(DOCUMENTS["wonder"]["request"], wonder.FIELD_RULES, DRAFT, _part(wonder, 1), _part(wonder, 0)),
    "wonder card": Table(
        DOCUMENTS["wonder"]["card_request"], wonder.CARD_RULES, CARD, _card_violations, wonder.card_body
    ),
    "monri": Table(DOCUMENTS["monri"]["request"], monri.FIELD_RULES, CustomerDraft(), _part(monri, 1), _part(monri, 0)),
}
for flow, draft in {**PAYDOCK_DRAFTS, "5": BANK_ACCOUNT}.items():
    in_flow = {
        wire: facts
        for wire, facts in PAYDOCK_FACTS.items()
        if not wire.startswith(("payment_source", "token"))
        or (flow == "2" and wire == "token")
        or (flow == "1" and wire.startswith("payment_source.") and "vault" not in wire and "account_" not in wire)
        or (flow == "5" and wire.startswith(("payment_source.acc", "payment_source.gateway", "payment_source.addr")))
        or (flow in "34" and wire.startswith(("payment_source.vault", "payment_source.gateway", "payment_source.addr")))
    }
    in_flow = {
        wire: facts
        for wire, facts in in_flow.items()
        if "always" not in facts and flow not in facts.get("absent_in", ())
    }
    in_flow = {
        wire: {**facts, "required": flow in facts.get("required_in", ()) if "waived" not in facts else False}
        for wire, facts in in_flow.items()
    }
    TABLES[f"paydock flow {flow}"] = Table(
        in_flow, paydock.FIELD_RULES, draft, _part(paydock, 1), paydock.customer_body
    )

# For each documented form: valid and invalid values.
FORMS: dict[str, tuple[list[Any], list[Any]]] = {
    "uuid": ([UUID, UUID.upper()], ["x", UUID[:-1], UUID + "0", UUID.replace("1", "g"), f"{UUID}\n", 5]),
    "hex24": ([HEX, HEX.upper()], [HEX[:-1], HEX + "0", HEX[:-1] + "g", f"{HEX}\n", 5]),
    "e164": (["+12345678901", "+390612345678", "+38761000111"], ["12345678901", "+852 call me", "", "+1" * 20]),
    "object": ([{"key": "value"}, {}], [["key"], "key", {1: "value"}]),
    "card number": (
        ["4111111111111111", "378282246310005", "6304000000000000"],
        [
            "4111111111111112",
            "41111111111",
            "4111 1111 1111 1111",
            "4" * 20,
            "",
            "\uff14\uff11\uff11\uff11\uff11\uff11\uff11\uff11\uff11\uff11\uff11\uff11\uff11\uff11\uff11\uff11",
        ],
    ),
    "mm": (["01", "05", "12"], ["1", "00", "13", "005", "", "\uff11\uff12", 12]),
    "yyyy": (["2026", "2099"], ["26", "20260", "1999", "", "abcd", 2030]),
    "account number": (["123456789", "DE89 3704 0044"], ["", "1" * 35, "12_3", 123]),
    "bsb": (["012-345", "012345"], ["12345", "0123456", "", 12345]),
    "cvv": (["123", "0123"], ["12", "12345", "abc", ""]),
    "alpha-2": (["BA", "HR", "HK", "AQ", "PS"], ["ba", "BIH", "ZZ", "EU", "UK", "AC", "TA", "", "B1"]),
    "alpha-3": (["BIH", "HKG"], ["hkg", "HK", "HKGX", "", "344"]),
}


def _row(table: Table, wire: str) -> FieldRule:
    return next(row for row in table.rows if row.wire == wire)


def _at(body: Mapping[str, Any], path: str) -> Any:
    found: Any = body
    for name in path.split("."):
        found = found[name]
    return found


def _put(record: Any, path: str, value: Any) -> Any:
    """Return `record` with `value` at a path such as ``address.city``. A telephone number is given as a string."""
    head, _, tail = path.partition(".")
    if head == "phone" and not tail and isinstance(value, str):
        return evolve(record, phone=Phone.parse(value))
    if not tail:
        return evolve(record, **{head: value})
    inner = getattr(record, head) or {"phone": Phone("+852", "1"), "address": Address()}[head]
    return evolve(record, **{head: _put(inner, tail, value)})


def _fields(name: str, *, having: str = "") -> list[tuple[Table, str]]:
    table = TABLES[name]
    return [(table, wire) for wire, facts in table.facts.items() if not having or facts.get(having)]


def _limits(facts: Mapping[str, Any]) -> tuple[int, int]:
    return facts.get("min", 1 if facts.get("required") else 0), facts.get("max", 255)


def _has_length(facts: Mapping[str, Any]) -> bool:
    return "format" not in facts and "enum" not in facts


def _texts(name: str) -> list[tuple[Table, str]]:
    return [it for it in _fields(name) if _has_length(it[0].facts[it[1]]) and it[1] != "dial_code"]


EACH_TABLE = pytest.mark.parametrize("name", TABLES)


def test_field_rules_match_the_documented_request_fields(gateway: str) -> None:
    facts = DOCUMENTS[gateway]
    if gateway == "paydock":
        # The library writes the type itself. A payment source consists of its fields.
        documented = PAYDOCK_FACTS.keys() - {"payment_source", "payment_source.type"}
        homes = {row.wire for row in paydock.FIELD_RULES}
    elif gateway == "wonder":
        documented = facts["request"].keys() | facts["card_request"].keys()
        homes = {row.wire for row in (*wonder.FIELD_RULES, *wonder.CARD_RULES)}
    else:
        documented, homes = facts["request"].keys(), {row.wire for row in monri.FIELD_RULES}
    assert homes == documented


def test_wonder_billing_owner_is_the_only_card_field_without_a_rule() -> None:
    homeless = DOCUMENTS["wonder"]["card_request_without_home"]
    assert {name.rpartition(".")[2] for name in homeless}.isdisjoint(fields_dict(Address))


@EACH_TABLE
def test_text_longer_than_documented_is_refused(name: str) -> None:
    for table, wire in _texts(name):
        longest = 2000 if "url" in wire else _limits(table.facts[wire])[1]
        table.accepts(wire, "1" * longest)
        table.accepts(wire, "é" * (longest - 1) + "1")  # the limit counts characters
        assert str(longest) in table.refuses(wire, "1" * (longest + 1)).limit


@pytest.mark.parametrize("text", ["nope", "-", "+", "ext.", "", "+44 7911 123456"])
def test_number_without_digits_or_with_another_calling_code_is_refused(text: str) -> None:
    for table in TABLES.values():
        if hasattr(table.valid, "phone"):
            (broken,) = table.broken(evolve(table.valid, phone=Phone("+385", text)))
            assert broken.field.startswith("phone")
            assert any(it in broken.limit for it in ("digit", "characters", "calling code"))


@pytest.mark.parametrize(
    "code", ["abc", "+", "HK", "+385x", "+(385)", " +385", "+385\n", "+\u0663\u0668\u0665", "+385 912 345 67", 385]
)
def test_dial_code_with_other_characters_than_digits_is_refused(code: Any) -> None:
    for gateway in DOCUMENTS:
        table = TABLES["paydock flow 1" if gateway == "paydock" else gateway]
        (broken,) = table.broken(evolve(table.valid, phone=Phone(code, "912345678")))
        assert broken.field == ("phone.dial_code" if gateway == "wonder" else "phone")
        assert "dial code" in broken.limit or gateway == "wonder"
        assert "abc" not in broken.limit


@pytest.mark.parametrize("code", ["+385", "385", "00385", "+38591", "+385-91", "385 91"])
def test_dial_code_is_accepted_with_and_without_a_prefix_and_separators(code: str) -> None:
    phone = Phone(code, "2345678" if "91" in code else "912345678")
    for gateway in DOCUMENTS:
        table = TABLES["paydock flow 1" if gateway == "paydock" else gateway]
        if gateway == "wonder" and len(code) > 6:  # the documented maximum
            continue
        record = evolve(table.valid, phone=phone)
        assert table.broken(record) == []
        sent = table.body(record)
        assert (sent.get("dial_code"), sent["phone"]) == (
            (code, phone.number) if gateway == "wonder" else (None, "+385912345678")
        )


@EACH_TABLE
def test_text_shorter_than_documented_is_refused(name: str) -> None:
    for table, wire in _texts(name):
        shortest, _ = _limits(table.facts[wire])
        # References in paths and names on cards must not be empty.
        shortest = max(shortest, 1) if wire == "reference" else shortest
        table.accepts(wire, "1" * shortest)
        if shortest:
            table.refuses(wire, "1" * (shortest - 1))


@EACH_TABLE
def test_other_types_and_invalid_unicode_are_refused(name: str) -> None:
    for table, wire in _texts(name):
        for value in (5, True, b"text", ["text"], {"text": 1}, "1234\ud800", "1234\0"):
            table.refuses(wire, value)


@EACH_TABLE
def test_missing_required_field_is_refused(name: str) -> None:
    texts = {"card_number", "number", "token", "vault_token", "account_number"}
    for table, wire in _fields(name, having="required"):
        table.refuses(wire, "" if wire.rpartition(".")[2] in texts else None)


@EACH_TABLE
def test_missing_optional_field_is_not_sent(name: str) -> None:
    for table, wire in _fields(name):
        if table.facts[wire].get("required"):
            assert _at(table.body(table.valid), wire)
            continue
        without = _put(table.valid, _row(table, wire).field, None)
        assert table.broken(without) == []
        if wire == "dial_code":  # otherwise a customer would keep the previous one
            assert table.body(without)[wire] == ""
            continue
        with pytest.raises(KeyError):
            _at(table.body(without), wire)


@EACH_TABLE
def test_undocumented_words_are_refused(name: str) -> None:
    for table, wire in _fields(name, having="enum"):
        words = table.facts[wire]["enum"]
        for word in words:
            table.accepts(wire, word)
        for word in ("", "other", words[0].swapcase(), 5, ["Alipay"]):
            table.refuses(wire, word)


@EACH_TABLE
def test_values_of_another_form_are_refused(name: str) -> None:
    for table, wire in _fields(name, having="format"):
        good, bad = FORMS[table.facts[wire]["format"]]
        for value in good:
            table.accepts(wire, value)
        owner = type(getattr(table.valid, "payment_source", None) or table.valid)
        secret = fields_dict(owner).get(_row(table, wire).field.rpartition(".")[2])
        takes_text_only = (
            secret is not None and secret.converter is not None and "object" not in table.facts[wire]["format"]
        )
        for value in bad:
            if not takes_text_only or isinstance(value, str):
                table.refuses(wire, value)


@pytest.mark.parametrize("flow", PAYDOCK_DRAFTS)
def test_paydock_flows_send_the_source_type_and_their_own_fields(flow: str) -> None:
    body = golden("paydock", f"create_request_{DOCUMENTS['paydock']['flows'][flow]}")
    assert paydock.customer_body(PAYDOCK_DRAFTS[flow]).keys() <= body.keys()
    source = paydock.customer_body(PAYDOCK_DRAFTS[flow]).get("payment_source", {"type": None})
    assert source["type"] == (None if flow == "2" else PAYDOCK_FACTS["payment_source.type"]["always"])
    assert ("token" in paydock.customer_body(PAYDOCK_DRAFTS[flow])) == (flow == "2")


def test_paydock_bank_account_is_sent_with_its_type() -> None:
    source = {"account_name": "Ada Lovelace", "account_number": "123456789"}
    assert paydock.customer_body(BANK_ACCOUNT)["payment_source"] == source | {"type": "bsb", "account_bsb": "012-345"}
    other = CustomerDraft(payment_source=BankAccountSource("123456789", "Ada Lovelace"))
    assert paydock.customer_body(other)["payment_source"] == source | {"type": "bank_account"}
    assert "123456789" not in repr(other)


def test_paydock_customers_without_a_source_are_accepted() -> None:
    waived = {wire for wire, facts in PAYDOCK_FACTS.items() if facts.get("waived")}
    assert waived == {"default_source", "payment_source"}
    assert _part(paydock, 1)(CustomerDraft(first_name="Ada")) == []


@pytest.mark.parametrize("check", [_part(paydock, 1), _part(monri, 1)], ids=["paydock", "monri"])
def test_patch_fields_have_the_same_limits(check: Callable[[CustomerPatch], list[Violation]]) -> None:
    assert check(CustomerPatch()) == []
    assert [it.field for it in check(CustomerPatch(email="1" * 256))] == ["email"]


@pytest.mark.parametrize(
    ("check", "field"),
    [
        (wonder.patch_violations, "address"),
        (wonder.patch_violations, "payment_source"),
        (_part(paydock, 1), "address"),
        (_part(paydock, 1), "payment_source"),
        (_part(monri, 1), "payment_source"),
    ],
    ids=["wonder address", "wonder source", "paydock address", "paydock source", "monri source"],
)
def test_patch_that_clears_an_unsupported_field_is_refused(
    check: Callable[[CustomerPatch], list[Violation]], field: str
) -> None:
    expected = Violation(field, None, "cannot be cleared at this gateway")
    assert check(CustomerPatch(**{field: None})) == [expected]


def test_paydock_hint_about_addresses_is_only_on_address_fields() -> None:
    draft = CustomerDraft(first_name="Ada", default_payment_method="Alipay", address=Address(city="Zagreb"))
    assert {it.field: it.limit for it in _part(paydock, 1)(draft)} == {
        "default_payment_method": paydock.UNSUPPORTED_FIELD,
        "address.city": f"{paydock.UNSUPPORTED_FIELD} (an address belongs to the payment source)",
    }


@pytest.mark.parametrize(
    ("check", "record", "fields"),
    [
        (_part(monri, 1), CustomerPatch(first_name="Ada"), ["first_name"]),
        (_part(monri, 1), CustomerDraft(name="A", first_name="B", last_name="C"), ["first_name", "last_name"]),
        (wonder.patch_violations, CustomerPatch(last_name="Lovelace"), ["last_name"]),
        (_part(paydock, 1), CustomerDraft(name="Ada Lovelace", first_name="Ada"), ["name"]),
    ],
    ids=["monri part", "monri conflict", "wonder part", "paydock conflict"],
)
def test_names_that_cannot_be_combined_are_not_reported_as_unknown_fields(
    check: Callable[[Any], list[Violation]], record: CustomerDraft | CustomerPatch, fields: list[str]
) -> None:
    expected = "must be given as name, or as first_name and last_name together"
    assert [(it.field, it.limit) for it in check(record)] == [(field, expected) for field in fields]
