"""Card data is sent in a payment source only, and is never written to a file."""

import asyncio
import random
import time
import unicodedata
import uuid
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from attrs import fields_dict
from bulk.customers import write_csv
from hypothesis import given
from hypothesis import strategies as st
from mock_gateway import MockGateway

from wonder_customers import (
    Address,
    CardSource,
    CustomerDraft,
    CustomerPatch,
    InvalidRecordError,
    PaydockFilter,
    Phone,
    WonderCard,
    WonderFilter,
)
from wonder_customers._support.card_data import contains_card_number, find_card_data, names_security_code, search_values
from wonder_customers.bulk import sources
from wonder_customers.cli.app import run
from wonder_customers.dialects.comparison import equal_after_normalisation
from wonder_customers.errors import ConfigurationError
from wonder_customers.simulator.server import SimulatorServer

CARDS = [
    "4929735926140832", "4222222222222", "5555555555554444", "2223003122003222", "378282246310005", "30569309025904",
    "3530111333300000", "6011111111111117", "6212345678900000003", "6759649826438453", "6304000000000000",
]  # fmt: skip
SEPARATORS = [
    "", " ", "-", ".", "\u00a0", "\u2009", "  ", "\t", "/", "_", ",", "\u2013", "\u200b", "\u2060", " - ", "\n",
    "\ufeff",
    "\u00ad", ":", "·", "|", "    ", "  -  ", "\r\n\r\n", "\t\t\t\t", " -- ", " " * 12,
]  # fmt: skip
CARD, CODE = CARDS[0], "917"


@pytest.mark.parametrize("card", CARDS)
def test_card_numbers_of_all_schemes_are_found(card: str) -> None:
    assert contains_card_number(card)
    assert contains_card_number(f"Karte:{card};")
    assert contains_card_number(f"+{card}")
    for stripe in (f";{card}=25121010000000000000?", f"{card}D25121010000000000000F", f"B{card}d2512101000000"):
        assert contains_card_number(stripe)
    assert not contains_card_number(card[:-1] + str((int(card[-1]) + 1) % 10))


@given(
    st.sampled_from(CARDS), st.sampled_from(SEPARATORS), st.integers(1, 6), st.sampled_from(["0", "\uff10", "\u0660"])
)
def test_card_number_is_found_with_any_separators(card: str, separator: str, size: int, zero: str) -> None:
    digits = "".join(chr(ord(zero) + int(digit)) for digit in card)
    written = separator.join(digits[start : start + size] for start in range(0, len(digits), size))
    assert contains_card_number(f"note {written} end")
    assert contains_card_number(f"12/31 exp, no. {written}")


@given(st.lists(st.sampled_from(["4", "51", "2", "4111", "1111", "00", "60110009", *CARDS]), max_size=8))
def test_every_sequence_of_complete_groups_is_checked(groups: list[str]) -> None:
    sequences = (
        "".join(groups[start:end]) for start in range(len(groups)) for end in range(start + 1, len(groups) + 1)
    )
    expected = any(13 <= len(it) <= 19 and contains_card_number(it) for it in sequences)
    assert contains_card_number(" ".join(groups)) == expected


PARTS = [("4 ",), ("4---",), ("44 ",), ("\u0664 ",), ("cvv \u0315\u0300",), ("cvv ", "\u0315", "\u0300"),
         ("4" + " " * 12,), ("cvv no ",), ("ccv" + " " * 13,)]  # fmt: skip


@pytest.mark.parametrize("size", [250_000, pytest.param(1_000_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("parts", PARTS, ids=range(len(PARTS)))
def test_long_value_of_groups_or_marks_is_searched_quickly(parts: tuple[str, ...], size: int) -> None:
    text = "".join(part * (size // len("".join(parts))) for part in parts)
    start = time.process_time()
    assert not any(find_card_data({"a": text}))
    assert any(find_card_data({"a": text + CARD}))
    assert time.process_time() - start < size / 100_000  # a quadratic search takes minutes


def test_comparison_of_long_values_is_quick() -> None:
    marks = "a" + "\u0315" * 100_000 + "\u0300" * 100_000
    start = time.process_time()
    assert not equal_after_normalisation("description", marks, "a")
    assert equal_after_normalisation("description", "e\u0301, " * 500, "\u00e9, " * 500)
    assert time.process_time() - start < 5


_PARTS = st.sampled_from([
    *CARDS[:3], "4929", "7359 2614", "0832", "cvv", "c.v", "v.", "csc", "CVC 917", "917", "Ada", '"', "\\", "\n",
    "{", "[", "}", ":", ",", " ", "\uff02", "\uff23", "\u0660", "\u200b", "ü", "u\u0308", "Pr", "fnummer 917", "\ud800",
])  # fmt: skip
_TEXTS = st.lists(_PARTS, max_size=6).map("".join)
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS | st.sampled_from([int(CARD), float(CARD)])
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(_TEXTS | st.integers(), inner, max_size=4)
        | st.dictionaries(_TEXTS, inner, max_size=4).map(MappingProxyType)
        | st.builds(Phone, _TEXTS, _TEXTS)
        | st.builds(CustomerDraft, metadata=st.dictionaries(_TEXTS, inner, max_size=4), name=_TEXTS)
    ),
    max_leaves=12,
)


@given(_VALUES)
def test_fast_check_finds_every_value_that_the_search_finds(value: Any) -> None:
    assert list(find_card_data(value)) == list(search_values(value))


def test_card_number_is_found_in_a_value_with_many_parts() -> None:
    parts: list[Any] = [{"note": "n"}] * 3000
    assert list(find_card_data({"a": parts})) == []
    assert [problem for _, problem in find_card_data({"a": [*parts, {"note": CARD}]})] == ["contains a card number"]


@pytest.mark.parametrize(
    "text",
    ["+49 1512 3456789", "2026-11-28 06:42:07.123456", "35 209900 176148 1", "1700000000000", "HR1210010051863000160",
     "550e8400-e29b-41d4-a716-446655440000", "45.8150108, 15.9819189", "0000000000000000", "1234567890123456",
     "9999999999999995", "4929735926140831", "49297359261408321234567", "2026-01-17T07:50:50.133668+00:00",
     "2026-11-24 11:24:41.521757+02", "25.03.2026-25.01.2026", "37.621429, 44.136758", "66.91.87.195, 185.126.187.220",
     "5.80.109.240:40074", "HR50 2645 2911 8971 8890 1", "GB67GEZV36056243813722", "GA1.2.458130728.1729186826",
     "+61 407 187 385 / +61 2 4639 9288",
     "44.40053219484476,33.819453409984135", "26/01/2025; 23/05/2022; 06/10/2014",
     "53b2d126be44d78ff562cfc583a031f56640aefb4005437922e6938488555942", "cus_5019453152524503998c6f6af27e802e",
     "https://shop.example/users/3ab75ab1-2a75-49f2-bc63-63273846523c/orders"],
)  # fmt: skip
def test_other_numbers_are_not_card_numbers(text: str) -> None:
    assert not contains_card_number(text)
    assert contains_card_number(f"{text} / {CARD}")


@pytest.mark.parametrize("number", [6873.390660841814, 5568.214497606418, float("inf"), float("nan")])
def test_fraction_is_not_a_card_number(number: float) -> None:
    assert not any(find_card_data({"score": number}))


NAMES = [
    "cvv", "CVV2/CVC2", "Kartenpruefnummer", "Kartenprüfnummer", unicodedata.normalize("NFD", "Kartenprüfnummer"),
    "CVV (3 digits)", "card.cvv", "cardCvc", "security-code", "Security Code", "CSC", "card_cvn2", "cvv_code", "c.v.v.",
    "Sicherheitscode", "sigurnosni kod", "Código de seguridad", "\uff23\uff36\uff36", "pin_block", "Track 2 data",
    "ccv", "CCV", "card_ccv", "cardCcv", "CCV (3 digits)", "payment_source.card_ccv", "ccv_code", "verification_value",
    "card_verification", "cardcode", "card_code", "Prüfnummer", "криптограмма", "track2",
    "cv_code", "c v v", "c-v-c2",
]  # fmt: skip
OTHERS = ["discscore", "caviar", "cid", "pin", "cvv_check", "cvc_result", "tier", "member", "code", "Postleitzahl",
          "track", "security", "recv", "acc_value", "acc_v2", "metadata.acc_volume", "verification",
          "identity_verification", "gift_card_code", "postcode", "soundtrack2",
          "cv_views", "cv_created_at", "recv_count", "acv_value", "Prüfnummer TÜV"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_of_security_codes_are_known(name: str) -> None:
    assert names_security_code(name)


@pytest.mark.parametrize("name", OTHERS)
def test_other_names_are_not_security_codes(name: str) -> None:
    assert not names_security_code(name)


METADATA: list[Any] = [
    {"cvv": CODE}, {"cvv": 917}, {"card": {"cvc2": CODE}}, {"cards": [{"a": [{"CVV (3 digits)": CODE}]}]},
    {"pan": CARD}, {"pan": int(CARD)}, {"note": f"card {CARD[:4]} {CARD[4:8]} {CARD[8:12]} {CARD[12:]}"},
    {CARD: "x"}, {"json": f'{{"cvv": "{CODE}"}}'}, {"json": f'[{{"pan": {CARD}}}]'}, {"text": f"cvv: {CODE}"},
    {"text": f"CVC{CODE}"}, {"text": f"security code is {CODE}"}, {"text": f"Prüfnummer {CODE}"}, {"list": [CARD]},
    {"card_ccv": CODE}, {"ccv": CODE}, {"text": f"CCV {CODE}"}, {"text": f"card_ccv={CODE}"},
    {"text": "CVV \uff19\uff11\uff17"}, {"text": f'paid with {{"cvv": "{CODE}"}}'}, {"text": f"CVV code: {CODE}"},
    {"text": f"CVV number {CODE}"},
    {"text": f"cvv no. {CODE}"}, {"text": f"<cvv>{CODE}</cvv>"}, {"text": f"security code number is {CODE}"},
    {"text": "card 4929    7359    2614    0832"}, {"text": "4929\r\n\r\n7359\r\n\r\n2614\r\n\r\n0832"},
]  # fmt: skip
DRAFTS: dict[str, CustomerDraft] = {
    **{f"metadata-{number}": CustomerDraft("r", "Ada", metadata=it) for number, it in enumerate(METADATA)},
    "note": CustomerDraft("r", "Ada", description=f"paid with {CARD}"),
    "code in note": CustomerDraft("r", "Ada", description=f"cvv {CODE}"),
    "name": CustomerDraft("r", f"Ada {CARD}"),
    "reference": CustomerDraft(CARD, "Ada"),
    "company": CustomerDraft("r", "Ada", company_name=CARD),
    "e-mail": CustomerDraft("r", "Ada", email=f"{CARD}@example.org"),
    "street": CustomerDraft("r", "Ada", address=Address(CARD)),
    "phone": CustomerDraft("r", "Ada", phone=Phone("+44", CARD)),
    "card holder": CustomerDraft("r", "Ada", payment_source=CardSource(CARD, "11", "2031", holder_name=CARD)),
}  # fmt: skip


@pytest.mark.parametrize("draft", DRAFTS.values(), ids=[it.replace(" ", "-") for it in DRAFTS])
def test_card_data_in_a_text_is_not_sent(gateway: str, draft: CustomerDraft) -> None:
    async def attempt() -> None:
        mock = MockGateway({})
        async with mock.session(gateway) as session:
            calls: list[Callable[[], Any]] = [
                lambda: session.create(draft),
                lambda: session.upsert(draft),
                lambda: session.update("5b1c7e7a-9d3f-4c1e-8a6b-7f0e2d4c6b8a", _patch(draft)),
            ]
            for call in calls:
                with pytest.raises(InvalidRecordError, match="must not be stored") as caught:
                    await call()
                assert CARD not in str(caught.value)
                assert CODE not in str(caught.value)
            with pytest.raises(InvalidRecordError, match="must not be stored"):
                session.validate(draft)
        assert not mock.requests

    asyncio.run(attempt())


@pytest.mark.parametrize("number", [CARD, "4929 7359 2614 0832", f"c-{CARD}"])
def test_card_number_in_an_id_is_not_sent(gateway: str, number: str) -> None:
    source = WonderCard if gateway == "wonder" else CardSource

    async def attempt() -> None:
        mock = MockGateway({})
        async with mock.session(gateway) as session:
            calls: list[Callable[[], Any]] = [
                lambda: session.get(number),
                lambda: session.get_by_reference(number),
                lambda: session.update(number, CustomerPatch(email="a@example.org")),
                lambda: session.list_payment_tokens(number),
                lambda: session.raw.page(cursor=CARD),
                lambda: session.request("GET", f"/v1/customers/{quote(number)}"),
                lambda: session.request("GET", "/v1/customers/4929/7359/2614/0832"),
                lambda: session.request("GET", "/v1/customers", query={"search": number}),
            ]
            if gateway != "wonder":
                calls.append(lambda: session.delete(number))
            if gateway != "monri":
                calls += [
                    lambda: session.create_payment_token(number, _source(source)),
                    lambda: session.check_payment_token("1" * 24, number),
                    lambda: session.delete_payment_token("1" * 24, number),
                ]
            for call in calls:
                with pytest.raises(InvalidRecordError) as caught:
                    await call()
                assert not any(it in str(caught.value) for it in (number, CARD))
        assert not mock.requests

    asyncio.run(attempt())


def _source(kind: type[CardSource]) -> CardSource:
    more = {"transaction_type": "no_show", "success_return_url": "https://a", "fail_return_url": "https://b"}
    return kind(CARD, expire_month="11", expire_year="2031", holder_name="Ada", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("filter", [PaydockFilter, WonderFilter])
def test_card_number_in_a_filter_is_refused(filter: Any) -> None:
    name = "search" if filter is PaydockFilter else "name__in"
    with pytest.raises(InvalidRecordError, match="must not be sent"):
        filter(**{name: CARD if filter is PaydockFilter else ["Ada", CARD]})


def test_digits_of_an_id_are_not_a_card_number() -> None:
    rng = random.Random(1)
    for _ in range(20_000):
        number = rng.getrandbits(128)
        for found in (str(uuid.UUID(int=number)), f"{number:032X}", f"{number >> 32:024x}"):
            assert not contains_card_number(found)
    for found in ("5f0c4929735926140832beef", "49297359-2614-0832-a111-5f0c4929735b"):
        assert not contains_card_number(found)
        assert not contains_card_number(f"https://shop.example/{found}/1")
    assert contains_card_number("4929735926140832-abcd")


def _patch(draft: CustomerDraft) -> CustomerPatch:
    found = {name: getattr(draft, name) for name in fields_dict(CustomerPatch)}
    return CustomerPatch(**{name: value for name, value in found.items() if value is not None})


def test_ordinary_drafts_have_no_card_data() -> None:
    metadata = {"tier": "gold", "score": 917, "cvv_check": "pass", "seen": "2026-11-28T06:42:07Z", "nested": [{"a": 1}]}
    phone = Phone("+49", "15123456789")
    source = CardSource(CARD, "11", "2031", "Ada", CODE, gateway_id="5f0c4929735926140832beef")
    draft = CustomerDraft("c-917", "Ada", phone=phone, description="room 917", metadata=metadata, payment_source=source)
    assert list(find_card_data(draft)) == []


def test_values_that_contain_themselves_are_searched_once() -> None:
    loop: dict[str, Any] = {"cvv": CODE}
    loop["again"] = [loop, loop]
    assert len(list(find_card_data(loop))) == 1
    deep: Any = CARD
    for _ in range(5000):
        deep = [deep]
    assert len(list(find_card_data(deep))) == 1


# Files


@pytest.mark.parametrize(
    "name",
    ["CVV2/CVC2", "Kartenpruefnummer", "CVV (3 digits)", "metadata.cvv", "metadata.card cvc", "CCV", "card_ccv",
     "metadata.ccv", "payment_source.card_ccv", "verification_value", "card-cvc2", "security code"],
)  # fmt: skip
@pytest.mark.parametrize("unknown", ["refuse", "ignore"])
def test_column_of_security_codes_is_refused(tmp_path: Path, name: str, unknown: Any) -> None:
    (tmp_path / "c.csv").write_text(f"reference,{name}\nr,{CODE}\n")
    for mapping in ({}, {name: "description"}, {name: "metadata.x"}):
        with pytest.raises(ConfigurationError, match="security codes"):
            sources.read(tmp_path / "c.csv", unknown=unknown, mapping=mapping)


def test_rows_with_card_data_leave_no_trace(
    tmp_path: Path, server: SimulatorServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    grouped = " ".join(CARD[start : start + 4] for start in range(0, 16, 4))
    rows: list[dict[str, Any]] = [
        {"reference": f"r-{number}", "name": "Ada", "email": "a@example.org", "metadata": orjson.dumps(it).decode()}
        for number, it in enumerate(METADATA)
    ]
    rows += [{"reference": "n", "name": "Ada", "email": "a@example.org", "description": f"card {grouped}"}]
    rows += [{"reference": CARD, "name": "Ada", "email": "a@example.org"}]
    rows += [{"reference": "good", "name": "Ada", "email": "a@example.org"}]
    (tmp_path / "c.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    assert run(["sync", "c.jsonl", "--to", "paydock", "--failure-values", "--report", "r", "--html", "h"]) == 2
    printed = capfd.readouterr()
    assert server.store.ledger("paydock") == {"good": 1}
    letters = (tmp_path / "c.jsonl.paydock.failed.jsonl").read_bytes()
    assert letters.count(b"\n") == len(rows) - 1
    (tmp_path / "c.jsonl").unlink()
    written = [printed.out, printed.err, *(it.read_bytes().decode("latin-1") for it in tmp_path.iterdir())]
    for text in written:
        assert not any(it in text for it in (CARD, CARD[:12], grouped, "735926140"))
    for line in letters.splitlines():
        entry = orjson.loads(line)
        assert "917" not in str([value for name, value in entry.items() if name not in {"at", "journal"}])


@pytest.mark.parametrize("card", [it for it in CARDS if len(it) <= 16])
def test_card_number_with_an_exponent_is_found_in_files(tmp_path: Path, card: str) -> None:
    # A JSON number with more digits is rounded when it is read.
    for written in (f"{card[0]}.{card[1:]}{mark}{len(card) - 1}" for mark in ("e", "E+")):
        (tmp_path / "c.jsonl").write_text(f'{{"reference": "r", "metadata": {{"a": {written}, "b": "{written}"}}}}\n')
        (tmp_path / "c.csv").write_text(f"reference,metadata.a,description\nr,{written},{written}\n")
        for name, fields in (("c.jsonl", ["metadata.a", "metadata.b"]), ("c.csv", ["description", "metadata.a"])):
            draft = next(iter(sources.read(tmp_path / name))).draft
            assert [field for field, _ in find_card_data(draft)] == fields


def test_column_that_is_left_out_is_not_in_the_digest(tmp_path: Path) -> None:
    for card in CARDS[:2]:
        write_csv(tmp_path / "c.csv", 1)
        header, row = (tmp_path / "c.csv").read_text().splitlines()
        (tmp_path / f"{card}.csv").write_text(f"{header},card\n{row},{card}\n")
    first, second = (next(sources.read(tmp_path / f"{it}.csv", mapping={"card": ""})) for it in CARDS[:2])
    assert first.raw_values == second.raw_values
