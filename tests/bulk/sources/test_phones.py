"""Phones of a file: one number is read, and a cell that is not exactly one number is refused."""

from pathlib import Path
from typing import Any

import phonenumbers
import pytest
from bulk.sources.read_rows import open_rows, read_draft, read_drafts

from wonder_customers._support.phone_numbers import readings
from wonder_customers.bulk import sources
from wonder_customers.bulk.sources.notes import AMBIGUOUS, NO_COUNTRY, NOT_VALID
from wonder_customers.records import Phone

REFUSED = [
    ("+1 202-555-0123 x45", "has an extension"),
    ("+1 202-555-0123 ext. 45", "has an extension"),
    ("+49 30 123456 DW 12", "has an extension"),
    ("+385912345678; +385912345679", "contains more than one number"),
    ("+385 91 234 5678 / 679", "contains more than one number"),
    ("0912345678/679", "contains more than one number"),
    ("+1 202 555 0123 - 0124", "contains more than one number"),
    ("+1 202-555-0199 ::: +1 202-555-0198", "contains more than one number"),
    ("+385912345678 +385912345679", "contains more than one number"),
    ("+385 91 234 5678-679", "has too many digits"),
    ("+385912345678.0", "has a decimal fraction, which a spreadsheet added"),
    ("385912345678,0", "has a decimal fraction, which a spreadsheet added"),
    ("385912345678.000", "has a decimal fraction, which a spreadsheet added"),
    ("+385912345678.0000", "has a decimal fraction, which a spreadsheet added"),
    ("1 " * 60, "has too many characters"),
]
READ = [
    ("0912345678", Phone(None, "0912345678")),
    ("00385912345678", Phone(None, "00385912345678")),
    ("385912345678", Phone(None, "385912345678")),
    ("+385 (0)91 234 5678", Phone("+385", "912345678")),
    ("tel:+385912345678", Phone("+385", "912345678")),
    ("Tel.: +385912345678", Phone("+385", "912345678")),
    ("(+385) 91 234 5678", Phone("+385", "912345678")),
    ("( +385 )912345678", Phone("+385", "912345678")),
    ("+385 91 234 56 78", Phone("+385", "912345678")),
    ("+49 30 / 123456", Phone("+49", "30123456")),
    ("+49 30 123456-78", Phone("+49", "3012345678")),
    ("(202) 555-0123", Phone(None, "(202) 555-0123")),
    ("202.555.0000", Phone(None, "202.555.0000")),
    ("030-0000321", Phone(None, "030-0000321")),
    ("091/234-5678", Phone(None, "091/234-5678")),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED)
@pytest.mark.parametrize("column", ["phone", "phone.number"])
def test_cell_that_is_not_one_phone_is_refused_with_the_reason(
    text: str, reason: str, column: str, tmp_path: Path
) -> None:
    found = read_drafts(tmp_path, f'reference,name,{column}\nf-1,Ada,"{text}"\n')
    assert found == [
        f"line 2, column {column}: the value {reason}; keep one phone number without additions in the cell"
    ]


@pytest.mark.parametrize(("text", "phone"), READ)
def test_one_phone_is_read_as_it_is(text: str, phone: Phone, tmp_path: Path) -> None:
    assert read_draft(tmp_path, f'reference,name,phone\nf-1,Ada,"{text}"\n').phone == phone


@pytest.mark.parametrize(
    ("text", "country"),
    [("00385 91 234 5678", "HR"), ("0011 385 91 234 5678", "AU"), ("+385 91 234 5678", "HR")],
)
def test_phone_with_an_international_prefix_is_read(text: str, country: str, tmp_path: Path) -> None:
    assert read_draft(tmp_path, f"reference,phone,country\n1,{text},{country}\n").phone.e164() == "+385912345678"


@pytest.mark.parametrize("cell", ["0912345678 0912345679", "385912345678 385912345679", "091234567 098765432"])
def test_two_phones_separated_by_a_space_are_refused(cell: str, tmp_path: Path) -> None:
    problem = read_draft(tmp_path, f"reference,phone,country\n1,{cell},HR\n")
    assert problem.startswith("line 2, column phone: the value has too many digits")


def phones(reader: Any) -> list[Phone | None]:
    return [row.draft and row.draft.phone for row in reader]


def test_national_phones_that_stay_unchanged_are_counted_with_a_masked_example(tmp_path: Path) -> None:
    rows = "f-1,091 234 5678,\nf-2,0912345679,\nf-3,12,HR\nf-4,+385912345678,\nf-5,091 234 5670,HR\n"
    reader = open_rows(tmp_path, f"reference,phone.number,address.country\n{rows}")
    assert phones(reader)[2:] == [Phone(None, "12"), Phone("+385", "912345678"), Phone("+385", "912345670")]
    assert reader.notes.national == {
        ("phone.number", NO_COUNTRY): (2, "999 999 9999"),
        ("phone.number", NOT_VALID): (1, "99"),
    }
    assert reader.notes.as_dict()["national_phones"][0]["values"] == 2
    reader = sources.read(tmp_path / "c.csv", mapping=sources.ColumnMapping(default_country="HR"))
    assert phones(reader)[:2] == [Phone("+385", "912345678"), Phone("+385", "912345679")]
    assert [reason for _, reason in reader.notes.national] == [NOT_VALID]


def test_first_filled_phone_of_several_recognised_columns_is_used(tmp_path: Path) -> None:
    data = "Kundennummer;Telefon;Mobil\n1;+49301234567;+491711234567\n2;;+491711234568\n3;;\n"
    assert phones(open_rows(tmp_path, data)) == [Phone("+49", "301234567"), Phone("+49", "1711234568"), None]


def test_unknown_country_that_is_not_sent_does_not_make_a_row_invalid(tmp_path: Path) -> None:
    data = "reference,phone,address.country\nf-1,091 234 5678,Narnia\nf-2,091 234 5678,HR\n"
    mapping = sources.ColumnMapping(unsupported="ignore", default_country="HR")
    first, second = read_drafts(tmp_path, data, unsupported={"address"}, mapping=mapping)
    # The default country is not the country of the first row.
    assert (first.phone, second.phone) == (Phone(None, "091 234 5678"), Phone("+385", "912345678"))


@pytest.mark.parametrize("kind", ["MOBILE", "FIXED_LINE"])
def test_number_that_lost_its_plus_never_becomes_another_number(kind: str) -> None:
    unclear = set()
    for region in phonenumbers.SUPPORTED_REGIONS:
        example = phonenumbers.example_number_for_type(region, getattr(phonenumbers.PhoneNumberType, kind))
        if example is None:
            continue
        number = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        found = readings(number[1:], region)
        assert number in found
        if len(found) > 1:
            unclear.add(region)
        # The national form is still read.
        national = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.NATIONAL)
        assert readings(national, region) == [number]
    assert unclear == (set() if kind == "MOBILE" else {"ID", "SE", "XK"})


def test_number_with_two_readings_stays_unchanged_and_is_counted(tmp_path: Path) -> None:
    rows = "p1,4915123456789,DE\np2,491701234567,DE\np3,0491 5123456,DE\np4,468123456,SE\n"
    reader = open_rows(tmp_path, f"reference,phone,address.country\n{rows}")
    german = [Phone("+49", it) for it in ("15123456789", "1701234567", "4915123456")]
    assert phones(reader) == [*german, Phone(None, "468123456")]
    assert reader.notes.national == {("phone", AMBIGUOUS): (1, "999999999")}
    reader = open_rows(tmp_path, "reference,phone.dial_code,phone.number\nf-1,+46,468123456\n")
    assert phones(reader) == [Phone("+46", "468123456")]
    assert reader.notes.national == {("phone.number", AMBIGUOUS): (1, "999999999")}


CODES = [
    ("+385", "+385 91 234 5678", Phone("+385", "912345678")),
    ("385", "00385 91 234 5678", Phone("+385", "912345678")),
    ("00385", "385912345678", Phone("+385", "912345678")),
    ("+1", "1 (202) 555-0123", Phone("+1", "2025550123")),
    ("+1-684", "+1 684 633 1234", Phone("+1", "6846331234")),
    ("+385", "091 234 5678", Phone("+385", "091 234 5678")),
    ("+385", "", None),
    ("+44", "+385912345678", "the number has another calling code than the row"),
    ("+49", "30 +49123456", "contains more than one number"),
]


@pytest.mark.parametrize(("code", "number", "phone"), CODES)
def test_calling_code_is_sent_once_and_only_with_a_number(
    code: str, number: str, phone: Phone | str | None, tmp_path: Path
) -> None:
    reader = open_rows(tmp_path, f"reference,name,phone.dial_code,phone.number\nf-1,Ada,{code},{number}\n")
    (row,) = reader
    if isinstance(phone, str):
        assert row.problem.startswith("line 2, column phone.number: ")
        assert phone in row.problem
        return
    changed = phone is None or not number.startswith("091")
    column = "phone.number" if number else "phone.dial_code"
    assert (row.draft.phone, reader.notes.changes) == (phone, {(column, "phone"): 1} if changed else {})


FOREIGN = {
    ("385912345678", "DE"): None,
    ("447911123456", "DE"): None,
    ("48600123456", "DE"): None,
    ("0385 912345678", "DE"): "+49385912345678",
    ("15123456789", "DE"): "+4915123456789",
    ("3012345678", "DE"): "+493012345678",
    ("401234567", "FI"): "+358401234567",
    ("11987654321", "BR"): "+5511987654321",
    ("13912345678", "CN"): "+8613912345678",
    ("12125550100", "US"): "+12125550100",
}


@pytest.mark.parametrize(("text", "country"), FOREIGN)
def test_mobile_number_of_another_country_without_plus_is_not_a_national_number(
    text: str, country: str, tmp_path: Path
) -> None:
    reader = open_rows(tmp_path, f"reference,name,phone,address.country\nf-1,Ada,{text},{country}\n")
    assert phones(reader) == [Phone.parse(FOREIGN[text, country] or text)]
    assert list(reader.notes.national) == ([] if FOREIGN[text, country] else [("phone", AMBIGUOUS)])
