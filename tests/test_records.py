"""Records: immutability, reprs without personal data, phone numbers."""

import copy
import gc
import pickle
import sys
from datetime import UTC, datetime
from functools import cache
from typing import Any

import attrs
import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wonder_customers import (
    UNSET,
    Address,
    CardSource,
    CardSummary,
    Customer,
    CustomerDraft,
    CustomerPatch,
    OneTimeToken,
    Page,
    PaymentToken,
    Phone,
    Response,
    VaultToken,
    WonderCard,
)
from wonder_customers._support import phone_numbers

PERSONAL: dict[str, Any] = {
    "name": "Lovelace",
    "first_name": "Lovelace",
    "last_name": "Lovelace",
    "email": "Lovelace@example.com",
    "phone": Phone("+44", "2079460958"),
    "company_name": "Lovelace Ltd",
    "description": "Lovelace's note",
    "metadata": {"Lovelace": 1},
    "address": Address(*["Lovelace"] * 8),
    "default_payment_method": "Lovelace",
}
CARD = CardSummary("************1234", "12", "2030", "Lovelace", "Visa", "HKD")
TOKEN = PaymentToken(
    "tok-Lovelace",
    id="Lovelace",
    card=CARD,
    error_message="Lovelace",
    verify_url="https://x.example/Lovelace",
    verify_uuid="Lovelace",
    vault_token="Lovelace",
    address=Address("Lovelace"),
    extra={"Lovelace": 1},
)
SOURCE = CardSource(
    "4111111111111111",
    expire_month="12",
    expire_year="2030",
    holder_name="Lovelace",
    cvv="987",
    nickname="Lovelace",
    address=Address("Lovelace"),
)
RECORDS: list[Any] = [
    CustomerDraft(reference="r-1", default_payment_token="Lovelace", payment_source=SOURCE, **PERSONAL),
    CustomerPatch(reference="r-1", default_payment_token="Lovelace", payment_source=SOURCE, **PERSONAL),
    Customer("c-1", "r-1", default_payment_token=TOKEN, payment_tokens=(TOKEN,), extra={"Lovelace": 1}, **PERSONAL),
    TOKEN,
    CARD,
    SOURCE,
    OneTimeToken("Lovelace"),
    VaultToken("Lovelace", address=Address("Lovelace")),
    Phone("+44", "2079460958"),
    Address(*["Lovelace"] * 8),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda it: type(it).__name__)
def test_record_repr_shows_no_personal_data(record: Any) -> None:
    for text in (
        repr(record),
        repr([record]),
        repr(Page([record], "1")),
        repr(Response(record, 200, {"x": "Lovelace"})),
        repr(Response({"name": "Lovelace", "data": [{"email": "ada@example.com"}]}, 200, {})),
        repr(Response(["Lovelace"], 200, {})),
    ):
        for private in ("Lovelace", "2079460958", "4111", "987", "1234", "2030"):
            assert private not in text
    for shown in ("r-1", "c-1"):
        if shown in attrs.astuple(record, recurse=False):
            assert shown in repr(record)


@pytest.mark.parametrize("kind", [CustomerDraft, CustomerPatch])
def test_repr_shows_only_the_type_of_another_payment_source(kind: Any) -> None:
    shown = repr(kind(payment_source={"card_number": "4111111111111111", "card_ccv": "123"}))
    assert "payment_source=<dict>" in shown
    assert "4111" not in shown


@pytest.mark.parametrize("record", RECORDS, ids=lambda it: type(it).__name__)
def test_record_is_frozen(record: Any) -> None:
    for name in attrs.fields_dict(type(record)):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(record, name, None)


@pytest.mark.parametrize("record", [it for it in RECORDS if "SOURCE" not in repr(it) and "***" not in repr(it)])
def test_record_without_secrets_can_be_copied_and_pickled(record: Any) -> None:
    assert pickle.loads(pickle.dumps(record)) == record
    assert copy.deepcopy(record) == record


def test_draft_copies_the_metadata_dictionary() -> None:
    mine = {"tier": "gold"}
    draft, patch = CustomerDraft(metadata=mine), CustomerPatch(metadata=mine)
    mine["tier"] = "lost"
    assert draft.metadata == patch.metadata == {"tier": "gold"}


@pytest.mark.parametrize("value", ["email", b"email"])
def test_clear_is_a_set_of_names(value: Any) -> None:
    with pytest.raises(TypeError, match="clear must be a set of names of fields"):
        CustomerDraft(clear=value)
    assert CustomerDraft(clear=frozenset(["email"])).clear == {"email"}


def test_patch_fields_are_unset_by_default() -> None:
    assert set(attrs.astuple(CustomerPatch(), recurse=False)) == {UNSET}
    assert attrs.fields_dict(CustomerPatch).keys() == attrs.fields_dict(CustomerDraft).keys() - {"clear"}


def test_unset_is_false_and_a_singleton() -> None:
    assert not UNSET
    assert repr(UNSET) == "UNSET"
    assert copy.deepcopy(UNSET) is UNSET
    assert pickle.loads(pickle.dumps(UNSET)) is UNSET
    assert CustomerPatch(email=None) != CustomerPatch()


def test_fastapi_encodes_results_with_payment_tokens() -> None:
    encoders = pytest.importorskip("fastapi.encoders")
    token = PaymentToken("t-1", card=CardSummary("411111******1111"), address=Address(city="Zagreb"))
    page = Page([Customer("1", phone=Phone("+385", "912345678"), payment_tokens=(token,))], cursor="2")
    (customer,) = encoders.jsonable_encoder(page)["items"]
    assert customer["payment_tokens"][0]["card"]["number"] == "411111******1111"


@pytest.mark.parametrize(
    ("text", "dial_code", "number"),
    [
        ("+85212345678", "+852", "12345678"),
        ("+852 1234 5678", "+852", "12345678"),
        ("+1 (234) 567-8901", "+1", "2345678901"),
        ("+387 61/000-111", "+387", "61000111"),
        ("+390612345678", "+39", "0612345678"),
        ("\uff0b38761000111", "+387", "61000111"),
        # Text without a calling code, or with more than a number, is kept unchanged.
        ("12345678", None, "12345678"),
        ("00387000111", None, "00387000111"),
        ("", None, ""),
        ("+", None, "+"),
        ("+1 234 567 8901 ext. 5", None, "+1 234 567 8901 ext. 5"),
        ("+12345678901;ext=5", None, "+12345678901;ext=5"),
        ("+1 800 FLOWERS", None, "+1 800 FLOWERS"),
        ("+85212345678/x999", None, "+85212345678/x999"),
        ("tel:+85212345678", "+852", "12345678"),
        ("tel:+385-91-234-5678", "+385", "912345678"),
        ("tel:+44-7911-123456;ext=5", None, "tel:+44-7911-123456;ext=5"),
        ("+852123\ud800", None, "+852123\ud800"),
        ("+385 91 234 5678 / 679", None, "+385 91 234 5678 / 679"),
        ("+1 202 555 0123 - 0124", None, "+1 202 555 0123 - 0124"),
        ("+385 91 234 5678-679", None, "+385 91 234 5678-679"),
        ("+385912345678.0", None, "+385912345678.0"),
        ("+385912345678; +385912345679", None, "+385912345678; +385912345679"),
        ("+49 30 / 123456", "+49", "30123456"),
        ("+1.202.555.0100", "+1", "2025550100"),
    ],
)
def test_phone_parse_splits_the_calling_code(text: str, dial_code: str | None, number: str) -> None:
    assert Phone.parse(text) == Phone(dial_code, number)


@pytest.mark.parametrize(
    ("phone", "expected"),
    [
        (Phone("+852", "1234 5678"), "+85212345678"),
        (Phone("+44", "07911 123456"), "+447911123456"),
        (Phone("+44", "(0)7911-123456"), "+447911123456"),
        (Phone("+39", "0612345678"), "+390612345678"),
        (Phone(None, "+85212345678"), "+85212345678"),
        (Phone(None, "12345678"), None),
        (Phone("852", "12345678"), "+85212345678"),
        (Phone("00852", "12345678"), "+85212345678"),
        (Phone("+999", "12345678"), None),
        (Phone("+852", ""), None),
        (Phone("+852", "1234 5678 ext 9"), None),
        (Phone("+1", "800 FLOWERS"), None),
        (Phone("+852", "+85212345678"), "+85212345678"),
        (Phone("+852", "+44 7911 123456"), None),
        (Phone("+44", "447911123456"), "+447911123456"),
        (Phone("44", "0044 7911 123456"), "+447911123456"),
        (Phone("+49", "4915112345678"), "+4915112345678"),
        (Phone("+91", "9123456789"), "+919123456789"),
        (Phone("+44", 7911123456), "+447911123456"),  # type: ignore[arg-type]
        (Phone("+44", None), None),  # type: ignore[arg-type]
        (Phone("+39", "3912345678"), "+393912345678"),
        (Phone("+44", "447911123456 x12"), None),
        (Phone("+44", "+44 7911 123456 / +44 7911 123457"), None),
        (Phone("+852", "1" * 17), None),
        (Phone("+852", "1" * 400), None),
        (Phone("+852", "call me"), None),
    ],
)
def test_e164_is_the_complete_number_or_none(phone: Phone, expected: str | None) -> None:
    assert phone.e164() == expected


@given(text=st.text())
def test_phone_parse_and_e164_accept_any_text(text: str) -> None:
    phone = Phone.parse(text)
    assert phone.dial_code is not None or phone.number == text
    written = phone.e164()
    assert written is None or (written.startswith("+") and written[1:].isdecimal() and len(written) <= 16)


@pytest.mark.parametrize(
    ("number", "shown", "last4"),
    [
        ("4111111111111234", "************1234", "1234"),
        ("4111 1111 1111 1234", "***************1234", "1234"),
        ("405840******0005", "405840******0005", "0005"),
        ("************1234", "************1234", "1234"),
        ("1234", "1234", "1234"),
        ("39", "39", None),
        ("", "", None),
        (None, None, None),
    ],
)
def test_card_summary_masks_the_card_number(number: str | None, shown: str | None, last4: str | None) -> None:
    summary = CardSummary(number)
    assert (summary.number, summary.last4) == (shown, last4)


def test_page_holds_a_tuple_of_records() -> None:
    page = Page([1, 2], "2", 7)
    assert (page.items, page.cursor, page.total) == ((1, 2), "2", 7)


def test_record_equality() -> None:
    one = Customer("c", created_at=datetime(2024, 5, 1, tzinfo=UTC))
    assert one == Customer("c", created_at=datetime(2024, 5, 1, tzinfo=UTC))
    assert attrs.evolve(one, email="x") != one


@given(
    st.builds(
        "+{}{}{}".format,
        st.sampled_from(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)),
        st.sampled_from(["", "0", "1", "8", "06"]),
        st.text("0123456789 ", max_size=14),
    )
)
def test_fast_phone_parsing_agrees_with_full_parsing(text: str) -> None:
    fast = phone_numbers._split_digits(text)
    assert fast in (None, phone_numbers._split_formatted(text))


def test_phone_parse_agrees_with_phonenumbers_for_every_region() -> None:
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        example = phonenumbers.example_number(region)
        assert example is not None, region
        text = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        number = phonenumbers.national_significant_number(example)
        assert Phone.parse(text) == Phone(f"+{example.country_code}", number), region
        assert Phone(f"+{example.country_code}", number).e164() == text, region


def test_wonder_card_requires_the_arguments_that_wonder_requires() -> None:
    arguments: dict[str, Any] = {
        "expire_month": "12",
        "expire_year": "2031",
        "holder_name": "Ada Lovelace",
        "transaction_type": "no_show",
        "success_return_url": "https://a.test",
        "fail_return_url": "https://b.test",
    }
    card = WonderCard("4111111111111111", **arguments)
    assert isinstance(card, CardSource)
    assert repr(card) == "WonderCard(number=***, cvv=None, gateway_id=None, transaction_type='no_show')"
    for name in arguments:
        with pytest.raises(TypeError, match=name) as caught:
            WonderCard("4111111111111111", **{key: value for key, value in arguments.items() if key != name})
        assert "4111" not in str(caught.value)


def test_no_cache_keeps_a_phone_number() -> None:
    number = Phone.parse("+385 91 765 4321")
    assert number.e164() == "+385917654321"
    modules = [module for name, module in sys.modules.items() if name.startswith("wonder_customers")]
    caches = [it for module in modules for it in vars(module).values() if isinstance(it, type(cache(str)))]
    keys = [key for it in caches for found in gc.get_referents(it) if isinstance(found, dict) for key in found]
    assert keys
    assert not [key for key in keys if "917654321" in str(key).replace(" ", "")]


@pytest.mark.parametrize(
    ("phone", "expected"),
    [
        (Phone(None, "+44 7911 123456"), Phone("+44", "7911123456")),
        (Phone("+44", "+44 7911 123456"), Phone("+44", "7911123456")),
        (Phone("+44", "447911123456"), Phone("+44", "7911123456")),
        (Phone("+44", "07911 123456"), Phone("+44", "07911 123456")),
        (Phone(None, "020 7946 0000"), Phone(None, "020 7946 0000")),
        (Phone("+852", "+44 7911 123456"), Phone("+852", "+44 7911 123456")),
    ],
)
def test_calling_code_in_the_number_becomes_the_dial_code(phone: Phone, expected: Phone) -> None:
    assert phone.separated() == expected
