"""Columns that belong together: a row uses those of one address, of one name and of one phone."""

from pathlib import Path
from typing import Any

import pytest
from bulk.sources.read_rows import read_drafts, read_rows
from bulk.sources.test_exports import shown

from wonder_customers.bulk import sources
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


def values(draft: Any, expected: dict[str, Any]) -> dict[str, Any]:
    found = shown(draft)
    return {name: found.get(name) for name in expected}


@pytest.mark.parametrize("program", PRESETS)
@pytest.mark.parametrize("written", [False, True])
def test_row_of_a_known_export_has_one_address(program: str, written: bool, tmp_path: Path) -> None:
    names, start, parts, words = PRESETS[program]
    header = names.format(*(parts.replace("{} ", f"{word} ".lstrip()).replace("{}", word) for word in words))
    first = f"Weg 5{FIRST}"
    lines = [f"{start},{first},{SECOND}", f'{start},NULL,"=""""",-,,,,{SECOND}', f"{start},{NONE},{NONE}"]
    how = written_mapping(tmp_path, header, lines) if written else {}
    drafts = read_drafts(tmp_path, "\n".join([header, *lines]), **how)
    assert values(drafts[0], BERLIN | EMPTY) == BERLIN | EMPTY
    assert values(drafts[1], SAN_FRANCISCO) == SAN_FRANCISCO
    assert drafts[2].address is None


def written_mapping(folder: Path, header: str, lines: list[str]) -> dict[str, Any]:
    """Return the mapping that the command `columns` writes."""
    path = folder / "columns.csv"
    path.write_text("\n".join([header, *lines]))
    reader = sources.read(path, inspecting=True)
    list(reader)
    assert reader.notes.mapping is not None
    (folder / "mapping.toml").write_text(reader.notes.mapping.to_toml())
    path.unlink()
    return {"mapping": sources.ColumnMapping.load(folder / "mapping.toml")}


def test_pair_of_countries_does_not_mix_two_addresses(tmp_path: Path) -> None:
    drafts = read_drafts(
        tmp_path,
        "Customer ID,Name,Billing Country,Mailing Street,Mailing City,Mailing Zip,Mailing Country,Phone\n"
        "1,Ada,Germany,Howard St,San Francisco,94105,United States,(415) 555-0123\n"
        "2,Bo,Germany,,,,,030 1234567\n",
    )
    assert shown(drafts[0])["phone"] == "+14155550123"
    expected = SAN_FRANCISCO | {"address.line2": None, "address.state": None}
    assert values(drafts[0], expected) == expected
    assert (shown(drafts[1])["phone"], drafts[1].address.country) == ("+49301234567", "DE")


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
        (draft,) = read_drafts(tmp_path, data, unsupported=unsupported)
        assert shown(draft)["phone"] == phone


def test_columns_without_a_word_belong_to_the_address_that_lacks_them(tmp_path: Path) -> None:
    (draft,) = read_drafts(tmp_path, "Customer ID,Name,Street,City,Billing Country\n1,Ada,Weg 5,Berlin,Germany\n")
    assert values(draft, EMPTY | {"address.line1": "Weg 5", "address.country": "DE"})["address.country"] == "DE"


def test_columns_without_a_word_belong_to_the_only_address(tmp_path: Path) -> None:
    for names in ("Physical Address,City,Country,Zip", "Physical Address,Physical City,Country,Physical Zip"):
        (draft,) = read_drafts(tmp_path, f"Customer ID,Name,{names}\n1,Ada,Weg 5,Berlin,Germany,10115\n")
        assert values(draft, BERLIN) == BERLIN


def test_columns_of_a_mapping_are_combined_as_they_are_listed(tmp_path: Path) -> None:
    data = "reference,Billing Street,Billing City,Home Street,Home City\n1,,Berlin,Howard St,San Francisco\n"
    fields = {
        f"address.{field}": {"first": [f"Billing {name}", f"Home {name}"]}
        for field, name in (("line1", "Street"), ("city", "City"))
    }
    for together, line1 in ((None, "Howard St"), (True, None)):
        mapping = sources.ColumnMapping(fields=fields, keep_together=together)
        (draft,) = read_drafts(tmp_path, data, mapping=mapping)
        assert (draft.address.line1, draft.address.city) == (line1, "Berlin")


def test_street_of_a_second_address_is_not_a_second_line(tmp_path: Path) -> None:
    data = "Kundennummer;Straße 1;PLZ 1;Straße 2;PLZ 2\n1;Weg 5;10115;Howard St;94105\n"
    (draft,) = read_drafts(tmp_path, data, unknown="ignore")
    assert (draft.address.line1, draft.address.line2, draft.address.postcode) == ("Weg 5", None, "10115")
    (draft,) = read_drafts(tmp_path, "Kundennummer;Straße 1;Straße 2\n1;Weg 5;Hof 2\n")
    assert (draft.address.line1, draft.address.line2) == ("Weg 5", "Hof 2")


def test_country_of_the_phone_is_counted_once(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text(
        "First Name,Last Name,E-mail Address,Business Phone,Business Street,Business Country,Home Street,Home Country\n"
        "Ada,L,a@x.test,030 1234567,Weg 5,Germany,Howard St,United States\n"
    )
    reader = sources.read(path)
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
    how = written_mapping(tmp_path, header, lines) if written else {}
    drafts = read_drafts(tmp_path, "\n".join([header, *lines]), **how)
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
    lines = [f"Ada,1,a@x.test,Weg 1,{line}"]
    how = written_mapping(tmp_path, header, lines) if written else {}
    (draft,) = read_drafts(tmp_path, "\n".join([header, *lines]), **how)
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
def test_house_number_is_joined_with_the_street(data: str, tmp_path: Path) -> None:
    (draft,) = read_drafts(tmp_path, data)
    assert draft.address.line1 == HOUSE_NUMBERS[data]
    reader = sources.read(tmp_path / "c.csv", inspecting=True)
    assert [row.draft for row in sources.read(tmp_path / "c.csv", mapping=reader.notes.mapping)] == [draft]


@pytest.mark.parametrize("name", ["Address", "Billing Address 1", "Morada", "Indirizzo"])
def test_house_number_is_not_joined_with_an_address_that_may_contain_it(name: str, tmp_path: Path) -> None:
    (draft,) = read_drafts(tmp_path, f"id,name,{name},House number,City\n1,Ada,Ilica 1,1,Zagreb", unknown="ignore")
    assert draft.address.line1 == "Ilica 1"


def test_house_number_of_another_address_is_not_joined(tmp_path: Path) -> None:
    data = "id,name,Street,City,Shipping House number\n1,Ada,Damrak,Delft,1"
    (draft,) = read_drafts(tmp_path, data, unknown="ignore")
    assert draft.address.line1 == "Damrak"
