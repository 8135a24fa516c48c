"""Columns of programs without a preset, and columns that a preset does not list, are used for their fields."""

import time
from contextlib import closing
from pathlib import Path

import pytest
from bulk.sources.read_rows import read_drafts

from wonder_customers import ConfigurationError
from wonder_customers.bulk import sources

CASES: dict[str, tuple[str, dict[str, str | None]]] = {
    "numbered columns": (
        "Kundennummer;Nachname;E-Mail 1;Straße 1;PLZ 1;Ort 1;Land 1\n1;Horvat;a@example.test;Weg 1;34117;Kassel;DE\n",
        {"address.line1": "Weg 1", "address.postcode": "34117", "address.city": "Kassel", "address.country": "DE"},
    ),
    "first words": (
        "Ref,Billing Address Line1,Billing Zip,Default Billing Address City,BillTo Country\n1,Ilica,1,Split,HR\n",
        {"address.line1": "Ilica", "address.postcode": "1", "address.city": "Split", "address.country": "HR"},
    ),
    "words for customers": (
        "Guest ID,Guest First Name,Guest Last Name,Member Email,Shopper Phone\n1,Ana,Horvat,a@b.test,+385912345678\n",
        {"first_name": "Ana", "last_name": "Horvat", "email": "a@b.test", "phone": "+385912345678"},
    ),
    "additions in brackets": (
        "Ref,Name (full),Email\t(work),City [billing],Zip (5 digits),Country (ISO 3166)\n1,Ana,a@b.test,Split,1,HR\n",
        {"name": "Ana", "email": "a@b.test", "address.city": "Split", "address.postcode": "1", "address.country": "HR"},
    ),
    "other additions in brackets": (
        "Customer ID,Name,Email (spouse),Phone (fax),Username\n1,Ana,a@b.test,1,ana\n",
        {"name": "Ana", "email": None, "phone": None},
    ),
    "a field with its own column": (
        "reference,name,Billing Name,email,Customer Email\n1,Ana,Bo,a@example.test,b@example.test\n",
        {"name": "Ana", "email": "a@example.test"},
    ),
    "a preset without an e-mail": (
        "ID,Name,Email,Phone,Billing City,Billing Country\nC-1,Acme,a@example.test,+385912345678,Zagreb,HR\n",
        {"reference": "C-1", "email": "a@example.test", "phone": "+385912345678", "address.city": "Zagreb"},
    ),
    "country's name and code": ("Kundennummer;Nachname;Land;Land ISO\n1;Horvat;;HR\n", {"address.country": "HR"}),
    "mobile phone": ("customer_code,name,phone,mobile\n1,Ana,,+385912345678\n", {"phone": "+385912345678"}),
    "full name in the column of a first name": (
        "Referencia;Nombre;Correo\n1;Ana Horvat;a@example.test\n",
        {"name": "Ana Horvat", "first_name": None},
    ),
    "first name": ("Ref;First Name\n1;Ana\n", {"first_name": "Ana", "name": None}),
    "contact person of a company": (
        "ContactName,AccountNumber,EmailAddress,FirstName,LastName\nAcme,A-1,a@example.test,Ana,Horvat\n",
        {"name": "Acme", "first_name": None, "last_name": None},
    ),
    "two parts of a name at SAP": (
        "Debitor;Name 1;Name 2;Ort\n1;Handelsgesellschaft;mbH & Co. KG;Kassel\n",
        {"reference": "1", "name": "Handelsgesellschaft mbH & Co. KG", "address.city": "Kassel"},
    ),
    "technical names at SAP": ("KUNNR;NAME1;NAME2\n1;Acme;GmbH\n", {"name": "Acme GmbH"}),
    "one part of a name at SAP": ("KUNNR;NAME1;NAME2\n1;Acme;\n", {"name": "Acme"}),
    "two parts of a name at Business Central": (
        "No.,Name,Name 2,Phone No.\n1,Acme,GmbH,+385912345678\n",
        {"reference": "1", "name": "Acme GmbH"},
    ),
    "contacts of an account at Salesforce": (
        "Account ID,Account Name,First Name,Last Name,Email\n001,Acme,Ana,Horvat,a@example.test\n",
        {"reference": "a@example.test", "first_name": "Ana", "last_name": "Horvat", "company_name": "Acme"},
    ),
    "account without a contact at Salesforce": ("Account ID,Account Name,Phone\n001,Acme,\n", {"name": "Acme"}),
    "customer without a type at DATEV": (
        (
            "Konto;Name (Adressattyp Unternehmen);Name (Adressattyp natürl. Person);"
            "Name (Adressattyp keine Angabe)\n1;;;B\n"
        ),
        {"name": "B", "last_name": None},
    ),
    "last name in Dutch": ("Klantnummer;Naam;Voornaam\n1;Jansen;Piet\n", {"last_name": "Jansen", "name": None}),
    "last name in Swedish": ("Kundnummer;Namn;Förnamn\n1;Svensson;Bo\n", {"first_name": "Bo", "last_name": "Svensson"}),
    "last name in Danish": ("Kundenummer;Fornavn;Navn\n1;Bo;Hansen\n", {"first_name": "Bo", "last_name": "Hansen"}),
    "last name in Finnish": ("Asiakasnumero;Nimi;Etunimi\n1;Korhonen;Aino\n", {"last_name": "Korhonen"}),
    "two addresses": (
        "ContactName,AccountNumber,EmailAddress,POAddressLine1,POCity,Billing Zip\nAcme,A-1,a@b.test,Ilica,Split,1\n",
        {"address.line1": "Ilica", "address.city": "Split", "address.postcode": None},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_column_is_used_for_its_field(case: str, tmp_path: Path) -> None:
    data, expected = CASES[case]
    (draft,) = read_drafts(tmp_path, data, unknown="ignore")
    values = {
        f"address.{name}": getattr(draft.address, name, None) for name in ("line1", "postcode", "city", "country")
    }
    values["phone"] = draft.phone and f"{draft.phone.dial_code}{draft.phone.number}"
    assert {it: values[it] if it in values else getattr(draft, it) for it in expected} == expected


def test_column_of_a_preset_with_two_spellings_is_used_once(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("Contact ID,First Name,Last Name,Account Name\n1,Ana,Horvat,Acme\n")
    columns = sources.read(path, unsupported={"company_name": None}.keys()).notes.columns
    assert columns["Account Name"][0] == ("metadata.company_name",)


@pytest.mark.parametrize(
    ("names", "field"),
    [
        ("id,Customer Ref,Email", "reference"),
        ("Customer Ref,Customer ID,Email", "reference"),
        ("reference,Trading Name,Company,Legal Name", "company_name"),
        ("reference,Regija,Županija", "address.state"),
        ("reference,Opis,Napomena", "description"),
    ],
)
def test_names_with_several_meanings_do_not_take_the_place_of_other_columns(
    names: str, field: str, tmp_path: Path
) -> None:
    (tmp_path / "c.csv").write_text(f"{names}\n", "utf-8")
    with closing(sources.read(tmp_path / "c.csv", unknown="ignore")) as reader:
        (found,) = [name for name, (paths, _) in reader.notes.columns.items() if field in paths]
    assert found in {"id", "Customer ID", "Company", "Županija", "Napomena"}


@pytest.mark.parametrize(
    "names",
    [
        "Customer #,Email #1,Address #1,Address #2,Cell Phone #",
        "Ref #,Email,Address 1,Address 2,Cell #",
        "Customer ID #,Email,Address,Address # 2,Phone #",
    ],
)
def test_number_signs_in_column_names_are_read(names: str, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(f"{names}\n", "utf-8")
    with closing(sources.read(tmp_path / "c.csv")) as reader:
        found = [paths for paths, _ in reader.notes.columns.values()]
    assert found == [("reference",), ("email",), ("address.line1",), ("address.line2",), ("phone",)]


def test_hints_for_a_wide_table_are_found_for_its_first_columns(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text(f"reference,email,Postcod,{','.join(f'column {it}' for it in range(20000))}\n")
    began = time.process_time()
    with pytest.raises(ConfigurationError, match=r"'Postcod' \(did you mean address.postcode\?\).* and 19993 more"):
        sources.read(path)
    assert time.process_time() - began < 5  # ten times longer if all columns are compared


def test_reference_is_not_guessed_from_a_part_of_a_name(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("Billing Ref,Email\n1,a@example.test\n")
    with pytest.raises(ConfigurationError, match="does not have a column for the reference"):
        sources.read(path, unknown="ignore")


def test_title_is_explained_if_unknown_columns_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("Customer list;;\nCustomer ID;Name;Email\n1;Ana;a@example.test\n")
    with pytest.raises(ConfigurationError, match="Line 2 seems to contain the column names: add skip_lines=1"):
        sources.read(path, unknown="ignore")


@pytest.mark.parametrize(
    "row",
    [
        '{"id": 1, "email": "a@b.test", "default_address": {"address1": "Ilica 1", "zip": "1", "country_code": "HR"}}',
        '{"id": 1, "email": "a@b.test", "billing": {"address_1": "Ilica 1", "postcode": "1", "country": "HR"}}',
        '{"id": 1, "email": "a@b.test", "billing_address": {"line1": "Ilica 1", "zip": "1", "country": "HR"}}',
    ],
)
def test_nested_billing_address_is_read(row: str, tmp_path: Path) -> None:
    (draft,) = read_drafts(tmp_path, row, "c.jsonl", unknown="ignore")
    assert (draft.address.line1, draft.address.postcode, draft.address.country) == ("Ilica 1", "1", "HR")


def test_kraj_is_a_country_only_in_polish(tmp_path: Path) -> None:
    for polish in ("Nr klienta;Nazwisko;Miasto;Kraj\n1;Nowak;Gdynia;Polska\n", "ID;Nazwa firmy;Kraj\n1;Nowak;Polska\n"):
        assert [draft.address.country for draft in read_drafts(tmp_path, polish)] == ["PL"]
    for other in ("Šifra;Priimek;Kraj;Država\n1;Novak;Ljubljana;Slovenija\n", "Ref;Město;Kraj\n1;Praha;Praha\n"):
        with pytest.raises(ConfigurationError, match="unknown columns: 'Kraj'"):
            read_drafts(tmp_path, other)


def test_name_and_surname_are_refused_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'name' may be the full name or the first name"):
        read_drafts(tmp_path, "id,name,surname\n1,Ada,Lovelace\n")
