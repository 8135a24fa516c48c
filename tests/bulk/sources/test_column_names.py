"""Names of columns without a preset, or that a preset does not list: each column is used for its field."""

import re
import time
import tomllib
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from bulk.sources.read_rows import open_rows, read_draft, read_rows, shown_as

from wonder_customers import ConfigurationError
from wonder_customers._support.normal_forms import name_key
from wonder_customers.bulk import sources

Cases = Mapping[str, tuple[str, Mapping[str, Any]]]

ALL_KNOWN: Cases = {
    "leads of Salesforce": (
        "Lead ID,First Name,Last Name,Company / Account,Email,Phone,City,Lead Status\n7,Ana,Li,Coop,b@x.test,,Pula,New",
        {"reference": "7", "first_name": "Ana", "last_name": "Li", "company_name": "Coop", "email": "b@x.test"},
    ),
    "leads of Salesforce's API": (
        "Id,FirstName,LastName,Company,Email,Phone,Status\n00Q5f,Bertha,Boxer,Coop,,+18506444200,Open",
        {"reference": "00Q5f", "last_name": "Boxer", "company_name": "Coop"},
    ),
    "Klaviyo": (
        (
            "Email,Klaviyo ID,First Name,Last Name,Organization,Title,State / Region,Latitude,Email Marketing Consent\n"
            "ada@x.test,01HAB,Ada,Love,Acme,Dr,Zagreb,45.8,SUBSCRIBED"
        ),
        {"reference": "01HAB", "email": "ada@x.test", "first_name": "Ada", "company_name": "Acme"},
    ),
    "SAP, technical names": (
        "KUNNR\tNAME1\tNAME2\tSMTP_ADDR\n0000100001\tMüller\t\ti@x.test", {"reference": "0000100001", "name": "Müller"}
    ),
    "SAP, technical names, two parts of a name": ("KUNNR;NAME1;NAME2\n1;Acme;GmbH", {"name": "Acme GmbH"}),
    "SAP in German": (
        "Debitor;Name 1;Name 2;PLZ;Saldo\n0000100001;Müller;;10115;1,5", {"reference": "0000100001", "name": "Müller"}
    ),
    "SAP in German, two parts of a name": (
        "Debitor;Name 1;Name 2;Ort\n1;Handelsgesellschaft;mbH & Co. KG;Kassel",
        {"reference": "1", "name": "Handelsgesellschaft mbH & Co. KG", "address.city": "Kassel"},
    ),
    "SAP in English": (
        "Customer;Name 1;Street;City;Postal Code;Country\n100;Acme;Ilica 1;Zagreb;10000;HR",
        {
            "reference": "100", "name": "Acme", "address.line1": "Ilica 1", "address.city": "Zagreb",
            "address.postcode": "10000", "address.country": "HR",
        },
    ),
    "MYOB": (
        "Co./Last Name,First Name,Card ID,Card Status,           - Email\nMarl,Gav,CUS1,N,g@x.test",
        {"reference": "CUS1", "last_name": "Marl", "first_name": "Gav", "email": "g@x.test"},
    ),
    "Odoo": (
        "External ID,Name,Phone,Email,Salesperson,Activities\n_r_7,Azure,,a@x.test,Marc,",
        {"reference": "_r_7", "name": "Azure", "email": "a@x.test"},
    ),
    "Zoho Books": (
        "Contact ID,Contact Name,Display Name,First Name,Last Name,EmailID\n46,Acme,Acme d.o.o.,Ana,Li,a@x.test",
        {"reference": "46", "name": "Acme", "email": "a@x.test"},
    ),
    "Square in Australia": (
        "Reference ID,First Name,Surname,Email Address,Suburb,Postcode,Square Customer ID\n,Ada,Li,,Bondi,2026,SQ1",
        {"reference": "SQ1", "last_name": "Li", "address.city": "Bondi", "address.postcode": "2026"},
    ),
    "PrestaShop": (
        '"ID";"Social title";"First name";"Last name";"Email address"\n"5";"Mr.";"Ada";"Li";"a@x.test"',
        {"reference": "5", "first_name": "Ada", "email": "a@x.test"},
    ),
    "additions to names": (
        "Customer ID *,E-mail (obavezno),電話（必填）\n7,a@x.test,+85291234567",
        {"reference": "7", "email": "a@x.test", "phone": "+85291234567"},
    ),
    "Croatian": (
        "Šifra kupca;Naziv kupca;Ulica i broj;Naselje;Mob.;E-mail adresa\n7;Acme;Ilica 1;Zagreb;;a@x.test",
        {"reference": "7", "name": "Acme", "email": "a@x.test"},
    ),
    "Serbian": (
        "ID kupca,Ime,Prezime,Mobilni telefon,Imejl\n9,Jovan,Jovanović,,j@x.test",
        {"reference": "9", "first_name": "Jovan", "last_name": "Jovanović", "email": "j@x.test"},
    ),
    "Serbian in Cyrillic": (
        "Шифра;Име;Презиме;Град;Е-пошта\n9;Јован;Јовановић;Београд;j@x.test",
        {"reference": "9", "first_name": "Јован", "last_name": "Јовановић", "email": "j@x.test"},
    ),
    "traditional Chinese": (
        "客戶編號,姓名,公司名稱,電郵\nHK1,陳大文,文記,c@x.test",
        {"reference": "HK1", "name": "陳大文", "company_name": "文記", "email": "c@x.test"},
    ),
    "simplified Chinese": ("客户编号,姓名,邮箱\nC1,王小明,w@x.test", {"reference": "C1", "name": "王小明"}),
    "one identifier": (
        "ID,FirstName,Last_Name\n1,Ada,Love", {"reference": "1", "first_name": "Ada", "last_name": "Love"}
    ),
}  # fmt: skip
SOME_UNKNOWN: Cases = {
    "consent beside an id": ("Customer ID,Email,Email Marketing Consent\n7,a@x.test,SUBSCRIBED", {"reference": "7"}),
    "numbered columns": (
        "Kundennummer;Nachname;E-Mail 1;Straße 1;PLZ 1;Ort 1;Land 1\n1;Horvat;a@x.test;Weg 1;34117;Kassel;DE",
        {"address.line1": "Weg 1", "address.postcode": "34117", "address.city": "Kassel", "address.country": "DE"},
    ),
    "first words": (
        "Ref,Billing Address Line1,Billing Zip,Default Billing Address City,BillTo Country\n1,Ilica,1,Split,HR",
        {"address.line1": "Ilica", "address.postcode": "1", "address.city": "Split", "address.country": "HR"},
    ),
    "words for customers": (
        "Guest ID,Guest First Name,Guest Last Name,Member Email,Shopper Phone\n1,Ana,Horvat,a@b.test,+385912345678",
        {"first_name": "Ana", "last_name": "Horvat", "email": "a@b.test", "phone": "+385912345678"},
    ),
    "additions in brackets": (
        "Ref,Name (full),Email\t(work),City [billing],Zip (5 digits),Country (ISO 3166)\n1,Ana,a@b.test,Split,1,HR",
        {"name": "Ana", "email": "a@b.test", "address.city": "Split", "address.postcode": "1", "address.country": "HR"},
    ),
    "other additions in brackets": (
        "Customer ID,Name,Email (spouse),Phone (fax),Username\n1,Ana,a@b.test,1,ana",
        {"name": "Ana", "email": None, "phone": None},
    ),
    "a field with its own column": (
        "reference,name,Billing Name,email,Customer Email\n1,Ana,Bo,a@x.test,b@x.test",
        {"name": "Ana", "email": "a@x.test"},
    ),
    "a preset without an e-mail": (
        "ID,Name,Email,Phone,Billing City,Billing Country\nC-1,Acme,a@x.test,+385912345678,Zagreb,HR",
        {"reference": "C-1", "email": "a@x.test", "phone": "+385912345678", "address.city": "Zagreb"},
    ),
    "country's name and code": ("Kundennummer;Nachname;Land;Land ISO\n1;Horvat;;HR", {"address.country": "HR"}),
    "mobile phone": ("customer_code,name,phone,mobile\n1,Ana,,+385912345678", {"phone": "+385912345678"}),
    "full name in the column of a first name": (
        "Referencia;Nombre;Correo\n1;Ana Horvat;a@x.test", {"name": "Ana Horvat", "first_name": None}
    ),
    "first name": ("Ref;First Name\n1;Ana", {"first_name": "Ana", "name": None}),
    "contact person of a company": (
        "ContactName,AccountNumber,EmailAddress,FirstName,LastName\nAcme,A-1,a@x.test,Ana,Horvat",
        {"name": "Acme", "first_name": None, "last_name": None},
    ),
    "one part of a name at SAP": ("KUNNR;NAME1;NAME2\n1;Acme;", {"name": "Acme"}),
    "two parts of a name at Business Central": (
        "No.,Name,Name 2,Phone No.\n1,Acme,GmbH,+385912345678", {"reference": "1", "name": "Acme GmbH"}
    ),
    "contacts of an account at Salesforce": (
        "Account ID,Account Name,First Name,Last Name,Email\n001,Acme,Ana,Horvat,a@x.test",
        {"reference": "a@x.test", "first_name": "Ana", "last_name": "Horvat", "company_name": "Acme"},
    ),
    "account without a contact at Salesforce": ("Account ID,Account Name,Phone\n001,Acme,", {"name": "Acme"}),
    "customer without a type at DATEV": (
        "Konto;Name (Adressattyp Unternehmen);Name (Adressattyp natürl. Person);Name (Adressattyp keine Angabe)\n1;;;B",
        {"name": "B", "last_name": None},
    ),
    "last name in Dutch": ("Klantnummer;Naam;Voornaam\n1;Jansen;Piet", {"last_name": "Jansen", "name": None}),
    "last name in Swedish": ("Kundnummer;Namn;Förnamn\n1;Svensson;Bo", {"first_name": "Bo", "last_name": "Svensson"}),
    "last name in Danish": ("Kundenummer;Fornavn;Navn\n1;Bo;Hansen", {"first_name": "Bo", "last_name": "Hansen"}),
    "last name in Finnish": ("Asiakasnumero;Nimi;Etunimi\n1;Korhonen;Aino", {"last_name": "Korhonen"}),
    "two addresses": (
        "ContactName,AccountNumber,EmailAddress,POAddressLine1,POCity,Billing Zip\nAcme,A-1,a@b.test,Ilica,Split,1",
        {"address.line1": "Ilica", "address.city": "Split", "address.postcode": None},
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("case", "unknown"), [*((it, None) for it in ALL_KNOWN), *((it, "ignore") for it in SOME_UNKNOWN)]
)
def test_column_is_used_for_its_field(case: str, unknown: str | None, tmp_path: Path) -> None:
    data, expected = (SOME_UNKNOWN if unknown else ALL_KNOWN)[case]
    draft = read_draft(tmp_path, f"{data}\n", unknown=unknown)
    assert shown_as(draft, expected) == expected


LANGUAGES = {
    "Croatian": "Šifra klijenta,Prezime i ime,E-pošta,Broj mobitela,Ulica i kućni broj,Mjesto,PBR,Država",
    "Bosnian": "ID klijenta,Klijent,Elektronska pošta,Mobilni,Adresa,Mjesto,Poštanski broj,Zemlja",
    "Serbian": "Шифра клијента,Купац,Имејл адреса,Број телефона,Улица и број,Место,Поштански број,Држава",
    "Traditional Chinese": "會員號碼,會員姓名,電子郵件地址,流動電話號碼,通訊地址,城市,郵政編碼,國家/地區",
    "Simplified Chinese": "会员号,全名,邮箱地址,移动电话,联系地址,城市,邮政编码,国家",
    "Australian": "Customer #,Client Name,Email,Mobile No.,Addr 1,Town/Suburb,Postcode,Country",
    "Japanese": "顧客番号,氏名,メールアドレス,電話番号,住所,市区町村,郵便番号,国",
    "Korean": "고객번호,이름,이메일,휴대폰,주소,도시,우편번호,국가",
    "Turkish": "Müşteri No,Ad Soyad,E-posta,Cep Telefonu,Adres,Şehir,Posta Kodu,Ülke",
    "Polish": "Kod klienta,Nazwa klienta,Adres e-mail,Telefon komórkowy,Ulica i numer,Miasto,Kod pocztowy,Kraj",
    "Czech": "Kód zákazníka,Celé jméno,E-mail,Telefonní číslo,Ulice a číslo,Město,PSČ,Země",
    "Hungarian": "Vevőkód,Név,E-mail cím,Telefonszám,Utca,Település,Irányítószám,Ország",
    "Romanian": "Cod client,Nume,Adresă de e-mail,Număr de telefon,Strada,Oraș,Cod poștal,Țară",
    "Greek": "Κωδικός πελάτη,Όνομα,E-mail,Κινητό,Διεύθυνση,Πόλη,Τ.Κ.,Χώρα",
    "Dutch": "Klantnr,Naam,E-mail,Telefoon,Straat,Woonplaats,Postcode,Land",
    "Arabic": "رقم العميل,الاسم,البريد الإلكتروني,رقم الهاتف,العنوان,المدينة,الرمز البريدي,البلد",
    "Hebrew": "מספר לקוח,שם מלא,אימייל,נייד,כתובת,עיר,מיקוד,מדינה",
    "Russian": "Код клиента,ФИО,Эл. почта,Мобильный телефон,Адрес,Город,Индекс,Страна",
}
USED = {
    **dict.fromkeys(LANGUAGES.values(), "name email phone address.line1 address.city address.postcode address.country"),
    "Customer #,Email #1,Address #1,Address #2,Cell Phone #": "email address.line1 address.line2 phone",
    "Ref #,Email,Address 1,Address 2,Cell #": "email address.line1 address.line2 phone",
    "Customer ID #,Email,Address,Address # 2,Phone #": "email address.line1 address.line2 phone",
}


@pytest.mark.parametrize("names", USED, ids=[*LANGUAGES, "number signs 1", "number signs 2", "number signs 3"])
def test_columns_in_other_languages_and_with_number_signs_are_recognised(names: str, tmp_path: Path) -> None:
    with closing(open_rows(tmp_path, f"{names}\n")) as reader:
        found = [paths for paths, _ in reader.notes.columns.values()]
    assert found == [(path,) for path in ("reference", *USED[names].split())]


def test_no_column_name_is_used_for_two_fields() -> None:
    given = tomllib.loads(Path(sources.__file__).with_name("presets.toml").read_text("utf-8"))
    kinds = [given["synonyms"], given["further_synonyms"]]
    pairs = {(name_key(name), field) for kind in kinds for field, names in kind.items() for name in names}
    assert len(pairs) == len(dict(pairs))


def test_column_of_a_preset_with_two_spellings_is_used_once(tmp_path: Path) -> None:
    data = "Contact ID,First Name,Last Name,Account Name\n1,Ana,Horvat,Acme\n"
    reader = open_rows(tmp_path, data, unsupported={"company_name": None}.keys())
    assert reader.notes.columns["Account Name"][0] == ("metadata.company_name",)


@pytest.mark.parametrize(
    ("names", "field", "column"),
    [
        ("id,Customer Ref,Email", "reference", "id"),
        ("Customer Ref,Customer ID,Email", "reference", "Customer ID"),
        ("reference,Trading Name,Company,Legal Name", "company_name", "Company"),
        ("reference,Regija,Županija", "address.state", "Županija"),
        ("reference,Opis,Napomena", "description", "Napomena"),
    ],
)
def test_name_with_several_meanings_does_not_take_the_place_of_another_column(
    names: str, field: str, column: str, tmp_path: Path
) -> None:
    with closing(open_rows(tmp_path, f"{names}\n", unknown="ignore")) as reader:
        assert [name for name, (paths, _) in reader.notes.columns.items() if field in paths] == [column]


@pytest.mark.parametrize(
    "row",
    [
        '{"id": 1, "email": "a@b.test", "default_address": {"address1": "Ilica 1", "zip": "1", "country_code": "HR"}}',
        '{"id": 1, "email": "a@b.test", "billing": {"address_1": "Ilica 1", "postcode": "1", "country": "HR"}}',
        '{"id": 1, "email": "a@b.test", "billing_address": {"line1": "Ilica 1", "zip": "1", "country": "HR"}}',
    ],
)
def test_nested_billing_address_is_read(row: str, tmp_path: Path) -> None:
    draft = read_draft(tmp_path, row, "c.jsonl", unknown="ignore")
    assert (draft.address.line1, draft.address.postcode, draft.address.country) == ("Ilica 1", "1", "HR")


@pytest.mark.parametrize(
    "data", ["Nr klienta;Nazwisko;Miasto;Kraj\n1;Nowak;Gdynia;Polska\n", "ID;Nazwa firmy;Kraj\n1;Nowak;Polska\n"]
)
def test_kraj_is_a_country_in_polish(data: str, tmp_path: Path) -> None:
    assert read_draft(tmp_path, data).address.country == "PL"


REFUSED: Mapping[str, tuple[str, Mapping[str, Any], str]] = {
    "kraj in Slovene": ("Šifra;Priimek;Kraj;Država\n1;Novak;Ljubljana;Slovenija", {}, "unknown columns: 'Kraj'"),
    "kraj in Czech": ("Ref;Město;Kraj\n1;Praha;Praha", {}, "unknown columns: 'Kraj'"),
    "serial number": ("No.,Name,Phone No.,Email\n1,Ada,,a@x.test", {}, "unknown columns: 'No.'"),
    "name and surname": ("id,name,surname\n1,Ada,Love", {}, "'name' may be the full name or the first name"),
    "reference in a part of a name": (
        "Billing Ref,Email\n1,a@x.test", {"unknown": "ignore"}, "does not have a column for the reference"
    ),
    "no reference": ("name\nAda", {}, "does not have a column for the reference"),
    "title": (
        "Customer list;;\nCustomer ID;Name;Email\n1;Ana;a@x.test", {"unknown": "ignore"},
        "Line 2 seems to contain the column names: add skip_lines=1",
    ),
    "unknown names": ("reference,Stadt,Ort\n1,2,3", {}, "'Stadt', 'Ort'"),
    "two references": (
        "Customer #,Customer ID,name\n1,k,Ada", {}, "Keep the column whose values never change for a customer."
    ),
    "one field twice": ("reference,name,Name\n1,2,3", {}, "more than one column is mapped to name"),
    "unknown field": ("reference,x\n1,2", {"mapping": {"x": "surname"}}, "'surname' is not a field of a customer"),
    "field that has a column": ("reference,phone,phones,Telefonn\n1,,,", {}, "unknown columns: 'phones', 'Telefonn'."),
    "similar name": ("reference,phones\n1,", {}, "'phones' (did you mean phone?)"),
    "similar name of the reference": ("Referenze,name\n1,Ada", {}, "'Referenze' (did you mean reference?)"),
    "names that are similar by chance": (
        "reference,Time,Status,Addresses,Address 2 - Town\n1,,,", {},
        "unknown columns: 'Time', 'Status', 'Addresses', ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_unusable_columns_are_refused(case: str, tmp_path: Path) -> None:
    data, how, words = REFUSED[case]
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        read_rows(tmp_path, f"{data}\n", **how)


def test_hints_for_a_wide_table_are_found_for_its_first_columns(tmp_path: Path) -> None:
    names = ",".join(f"column {it}" for it in range(20000))
    began = time.process_time()
    with pytest.raises(ConfigurationError, match=r"'Postcod' \(did you mean address.postcode\?\).* and 19993 more"):
        open_rows(tmp_path, f"reference,email,Postcod,{names}\n")
    assert time.process_time() - began < 5  # ten times longer if all columns are compared
