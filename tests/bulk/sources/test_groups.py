"""Columns that belong together: a row uses those of one address, of one name and of one phone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from bulk.sources.read_rows import inspected, open_rows, read_draft, read_drafts, read_rows, shown, shown_as

from wonder_customers.bulk.sources import ColumnMapping

BERLIN = {"address.line1": "Weg 5", "address.city": "Berlin", "address.country": "DE", "address.postcode": "10115"}
EMPTY = {"address.line2": None, "address.state": None}
SAN_FRANCISCO = {
    "address.line1": "Howard St", "address.line2": "Apt 4", "address.city": "San Francisco", "address.state": "CA",
    "address.postcode": "94105", "address.country": "US",
}  # fmt: skip
FIRST = ",,Berlin,,10115,Germany"
SECOND = "Howard St,Apt 4,San Francisco,CA,94105,United States"
NONE = ",,,,,"

PRESETS = {
    "Squarespace": (
        "Email,First Name,Last Name,Accepts Marketing,Total Spent,Billing Name,{},{}",
        "a@x.test,Ada,L,yes,1,Ada",
        "{} Address 1,{} Address 2,{} City,{} Province/State,{} Zip,{} Country",
        ("Billing", "Shipping"),
    ),
    "Stripe": (
        "id,Email,Name,Created (UTC),Delinquent,{},{}",
        "1,a@x.test,Ada,,false",
        "{} Address Line1,{} Address Line2,{} Address City,{} Address State,{} Address Postal Code,{} Address Country",
        ("", "Shipping"),
    ),
    "Xero": (
        "ContactName,AccountNumber,EmailAddress,{},{}",
        "Ada,1,a@x.test",
        "{}AddressLine1,{}AddressLine2,{}City,{}Region,{}PostalCode,{}Country",
        ("PO", "SA"),
    ),
    "Outlook": (
        "First Name,Last Name,E-mail Address,{},{}",
        "Ada,L,a@x.test",
        "{} Street,{} Street 2,{} City,{} State,{} Postal Code,{} Country/Region",
        ("Business", "Home"),
    ),
}


def read(folder: Path, header: str, lines: Sequence[str], *, written: bool) -> list[Any]:
    """Return the drafts, read with or without the mapping that the command `columns` writes."""
    data = "\n".join([header, *lines])
    (folder / "c.csv").write_text(data)
    return read_drafts(folder, data, mapping=inspected(folder / "c.csv") if written else None)


@pytest.mark.parametrize("program", PRESETS)
@pytest.mark.parametrize("written", [False, True])
def test_row_of_a_known_export_has_one_address(program: str, written: bool, tmp_path: Path) -> None:
    names, start, parts, words = PRESETS[program]
    header = names.format(*(parts.replace("{} ", f"{word} ".lstrip()).replace("{}", word) for word in words))
    lines = [f"{start},Weg 5{FIRST},{SECOND}", f'{start},NULL,"=""""",-,,,,{SECOND}', f"{start},{NONE},{NONE}"]
    first, second, third = read(tmp_path, header, lines, written=written)
    assert shown_as(first, BERLIN | EMPTY) == BERLIN | EMPTY
    assert shown_as(second, SAN_FRANCISCO) == SAN_FRANCISCO
    assert third.address is None


def test_pair_of_countries_does_not_mix_two_addresses(tmp_path: Path) -> None:
    first, second = read_drafts(
        tmp_path,
        "Customer ID,Name,Billing Country,Mailing Street,Mailing City,Mailing Zip,Mailing Country,Phone\n"
        "1,Ada,Germany,Howard St,San Francisco,94105,United States,(415) 555-0123\n"
        "2,Bo,Germany,,,,,030 1234567\n",
    )
    expected = SAN_FRANCISCO | EMPTY | {"phone": "+14155550123"}
    assert shown_as(first, expected) == expected
    assert (shown(second)["phone"], second.address.country) == ("+49301234567", "DE")


@pytest.mark.parametrize(
    ("addresses", "phone"),
    [
        ("Weg 5,Berlin,Germany,Howard St,San Francisco,United States", "+14155550123"),
        ("Weg 5,Berlin,United States,,,", "+14155550123"),
        ("Weg 5,Berlin,Germany,Howard St,San Francisco,", "(415) 555-0123"),
    ],
)
def test_phone_is_read_in_the_country_of_its_own_address(addresses: str, phone: str, tmp_path: Path) -> None:
    names = "First Name,Last Name,E-mail Address,Home Phone,Business Street,Business City,Business Country/Region"
    data = f"{names},Home Street,Home City,Home Country/Region\nAda,L,a@x.test,(415) 555-0123,{addresses}\n"
    for unsupported in ([], ["address"]):
        assert shown(read_draft(tmp_path, data, unsupported=unsupported))["phone"] == phone


ONE_ADDRESS: dict[str, tuple[str, dict[str, Any]]] = {
    "columns without a word belong to the address that lacks them": (
        "Customer ID,Name,Street,City,Billing Country\n1,Ada,Weg 5,Berlin,Germany",
        {"address.line1": "Weg 5", "address.city": "Berlin", "address.country": "DE"},
    ),
    "columns without a word belong to the only address": (
        "Customer ID,Name,Physical Address,City,Country,Zip\n1,Ada,Weg 5,Berlin,Germany,10115", BERLIN
    ),
    "some columns without a word": (
        "Customer ID,Name,Physical Address,Physical City,Country,Physical Zip\n1,Ada,Weg 5,Berlin,Germany,10115", BERLIN
    ),
    "street of a second address": (
        "Kundennummer;Straße 1;PLZ 1;Straße 2;PLZ 2\n1;Weg 5;10115;Howard St;94105",
        {"address.line1": "Weg 5", "address.line2": None, "address.postcode": "10115"},
    ),
    "second line of the street": (
        "Kundennummer;Straße 1;Straße 2\n1;Weg 5;Hof 2", {"address.line1": "Weg 5", "address.line2": "Hof 2"}
    ),
    **{
        f"house number that may be in {it}": (
            f"id,name,{it},House number,City\n1,Ada,Ilica 1,1,Zagreb", {"address.line1": "Ilica 1"}
        )
        for it in ("Address", "Billing Address 1", "Morada", "Indirizzo")
    },
    "house number of another address": (
        "id,name,Street,City,Shipping House number\n1,Ada,Damrak,Delft,1", {"address.line1": "Damrak"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ONE_ADDRESS)
def test_columns_of_one_address_are_used(case: str, tmp_path: Path) -> None:
    data, expected = ONE_ADDRESS[case]
    assert shown_as(read_draft(tmp_path, data, unknown="ignore"), expected) == expected


@pytest.mark.parametrize(("together", "line1"), [(None, "Howard St"), (True, None)])
def test_columns_of_a_mapping_are_combined_as_they_are_listed(
    together: bool | None, line1: str | None, tmp_path: Path
) -> None:
    data = "reference,Billing Street,Billing City,Home Street,Home City\n1,,Berlin,Howard St,San Francisco\n"
    fields = {
        f"address.{field}": {"first": [f"Billing {name}", f"Home {name}"]}
        for field, name in (("line1", "Street"), ("city", "City"))
    }
    draft = read_draft(tmp_path, data, mapping=ColumnMapping(fields=fields, keep_together=together))
    assert (draft.address.line1, draft.address.city) == (line1, "Berlin")


def test_country_of_the_phone_is_counted_once(tmp_path: Path) -> None:
    names = "First Name,Last Name,E-mail Address,Business Phone,Business Street,Business Country,Home Street"
    line = "Ada,L,a@x.test,030 1234567,Weg 5,Germany,Howard St,United States"
    reader = open_rows(tmp_path, f"{names},Home Country\n{line}\n")
    assert [shown(row.draft)["phone"] for row in reader] == ["+49301234567"]
    assert reader.notes.changes["Business Country", "country"] == 1


NAMES = {
    "company in Croatian": ("Šifra;Ime;Prezime;Naziv", ["1;Ana;Horvat;H. Ana", "2;;;Acme"], ["Ana Horvat", "Acme"]),
    "named fields": ("reference;first_name;last_name;Full Name", ["1;Ana;Horvat;", "2;;;Acme"], ["Ana Horvat", "Acme"]),
    "full name and first name": ("reference;First Name;Full Name", ["1;Ana;Ana Horvat"], ["Ana Horvat"]),
    "full name and given name": ("reference;Given Name;Full Name", ["1;Ana;Ana Horvat"], ["Ana Horvat"]),
    "full name and last name": ("reference;Last Name;Full Name", ["1;Horvat;Ana Horvat"], ["Ana Horvat"]),
    "full name in Croatian": ("Šifra;Ime;Naziv", ["1;Ana;Ana Horvat"], ["Ana Horvat"]),
    "WooCommerce": (
        "ID;user_email;first_name;last_name;billing_first_name;billing_last_name;billing_country",
        ["1;a@x.test;Bob;Smith;Robert;;", "2;b@x.test;Bob;Smith;Robert;Smythe;"],
        ["Bob Smith", "Robert Smythe"],
    ),
}


@pytest.mark.parametrize("case", NAMES)
@pytest.mark.parametrize("written", [False, True])
def test_row_has_one_name(case: str, written: bool, tmp_path: Path) -> None:
    header, lines, expected = NAMES[case]
    drafts = read(tmp_path, header, lines, written=written)
    assert [it.name or f"{it.first_name} {it.last_name}" for it in drafts] == expected
    assert not any(it.name and (it.first_name or it.last_name) for it in drafts)


XERO = "ContactName,AccountNumber,EmailAddress,POAddressLine1,POCountry,PhoneNumber,PhoneAreaCode,PhoneCountryCode"
PHONES = {
    "Germany,23456789,30,49,,,": "+493023456789",
    "Italy,68881234,06,39,,,": "+390668881234",
    "United Kingdom,79460000,020,44,7911123456,,44": "+447911123456",
    "United Kingdom,79460000,020,44,,,44": "+442079460000",
    "New Zealand,4720000,4,,,,": "+6444720000",
    "Germany,,30,49,,,": None,
    "Germany,,,,2345678,171,49": "+491712345678",
    "Germany,+49 30 23456789,,,,,": "+493023456789",
}


@pytest.mark.parametrize("line", PHONES)
@pytest.mark.parametrize("written", [False, True])
def test_parts_of_a_phone_are_joined(line: str, written: bool, tmp_path: Path) -> None:
    header = f"{XERO},MobileNumber,MobileAreaCode,MobileCountryCode"
    (draft,) = read(tmp_path, header, [f"Ada,1,a@x.test,Weg 1,{line}"], written=written)
    assert (draft.phone and draft.phone.e164()) == PHONES[line]


def test_row_is_decided_again_if_its_groups_are_kept_in_another_way(tmp_path: Path) -> None:
    data = "reference,name,email\n1,Ada,a@x.test\n"
    digests = {
        read_rows(tmp_path, data, mapping=ColumnMapping(keep_together=together))[0].raw_values
        for together in (None, True, False)
    }
    assert len(digests) == 3


HOUSE_NUMBERS = {
    "Kunden-Nr,Name,Straße,Hausnr.,Ort\n1,Ada,Weg,5a,Ulm": "Weg 5a",
    "Kunden-Nr,Name,Straße,Hausnr.,Ort\n1,Ada,Weg 5,,Ulm": "Weg 5",
    "id,name,House Number,Street,City\n1,Ada,12,High Street,Leeds": "12 High Street",
    "id,name,Billing Street,Billing City,Billing House number\n1,Ada,Damrak,Delft,1": "Damrak 1",
    "id,name,Ulica,Kućni broj,Grad\n1,Ada,Ilica,,Zagreb": "Ilica",
}


@pytest.mark.parametrize("data", HOUSE_NUMBERS)
@pytest.mark.parametrize("written", [False, True])
def test_house_number_is_joined_with_the_street(data: str, written: bool, tmp_path: Path) -> None:
    header, line = data.split("\n")
    (draft,) = read(tmp_path, header, [line], written=written)
    assert draft.address.line1 == HOUSE_NUMBERS[data]
