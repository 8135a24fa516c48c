"""Unusual files: each is read with the values that a person sees, or refused with the reason and what to do."""

import gzip
import re
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from bulk.sources.read_rows import read_drafts, read_rows
from bulk.sources.spreadsheet import write_xlsx

from wonder_customers import ConfigurationError
from wonder_customers._support.normal_forms import name_key
from wonder_customers.bulk import sources
from wonder_customers.records import Address, Phone

EXPORTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "salesforce leads": (
        (
            "Lead ID,First Name,Last Name,Company / Account,Email,Phone,City,Lead Status\n"
            "00Q5f,Bertha,Boxer,Coop,b@example.test,,Tallahassee,Open"
        ),
        {
            "reference": "00Q5f",
            "first_name": "Bertha",
            "last_name": "Boxer",
            "company_name": "Coop",
            "email": "b@example.test",
        },
    ),
    "salesforce leads of the API": (
        "Id,FirstName,LastName,Company,Email,Phone,Status\n00Q5f,Bertha,Boxer,Coop,,+18506444200,Open",
        {"reference": "00Q5f", "last_name": "Boxer", "company_name": "Coop"},
    ),
    "klaviyo": (
        (
            "Email,Klaviyo ID,First Name,Last Name,Organization,Title,State / Region,Latitude,Email Marketing Consent\n"
            "ada@example.test,01HAB,Ada,Love,Acme,Dr,Zagreb,45.8,SUBSCRIBED"
        ),
        {"reference": "01HAB", "email": "ada@example.test", "first_name": "Ada", "company_name": "Acme"},
    ),
    "sap": (
        "KUNNR\tNAME1\tNAME2\tSMTP_ADDR\n0000100001\tMüller\t\ti@example.test",
        {"reference": "0000100001", "name": "Müller"},
    ),
    "sap in German": (
        "Debitor;Name 1;Name 2;PLZ;Saldo\n0000100001;Müller;;10115;1,5",
        {"reference": "0000100001", "name": "Müller"},
    ),
    "myob": (
        "Co./Last Name,First Name,Card ID,Card Status,           - Email\nMarl,Gav,CUS1,N,g@example.test",
        {"reference": "CUS1", "last_name": "Marl", "first_name": "Gav", "email": "g@example.test"},
    ),
    "odoo": (
        "External ID,Name,Phone,Email,Salesperson,Activities\n_r_7,Azure,,a@example.test,Marc,",
        {"reference": "_r_7", "name": "Azure", "email": "a@example.test"},
    ),
    "SAP in English": (
        "Customer;Name 1;Street;City;Postal Code;Country\n100;Acme;Ilica 1;Zagreb;10000;HR",
        {
            "reference": "100",
            "name": "Acme",
            "address": Address(line1="Ilica 1", city="Zagreb", postcode="10000", country="HR"),
        },
    ),
    "Zoho Books": (
        "Contact ID,Contact Name,Display Name,First Name,Last Name,EmailID\n46,Acme,Acme d.o.o.,Ana,Li,a@example.test",
        {"reference": "46", "name": "Acme", "email": "a@example.test"},
    ),
    "Square in Australia": (
        "Reference ID,First Name,Surname,Email Address,Suburb,Postcode,Square Customer ID\n,Ada,Li,,Bondi,2026,SQ1",
        {"reference": "SQ1", "last_name": "Li", "address": Address(city="Bondi", postcode="2026")},
    ),
    "PrestaShop": (
        '"ID";"Social title";"First name";"Last name";"Email address"\n"5";"Mr.";"Ada";"Li";"a@example.test"',
        {"reference": "5", "first_name": "Ada", "email": "a@example.test"},
    ),
    "consent beside an id": (
        "Customer ID,Email,Email Marketing Consent\n7,a@example.test,SUBSCRIBED",
        {"reference": "7"},
    ),
    "additions to names": (
        "Customer ID *,E-mail (obavezno),電話（必填）\n7,a@example.test,+85291234567",
        {"reference": "7", "email": "a@example.test", "phone": Phone("+852", "91234567")},
    ),
    "croatian": (
        "Šifra kupca;Naziv kupca;Ulica i broj;Naselje;Mob.;E-mail adresa\n7;Acme;Ilica 1;Zagreb;;a@example.test",
        {"reference": "7", "name": "Acme", "email": "a@example.test"},
    ),
    "serbian": (
        "ID kupca,Ime,Prezime,Mobilni telefon,Imejl\n9,Jovan,Jovanović,,j@example.test",
        {"reference": "9", "first_name": "Jovan", "last_name": "Jovanović", "email": "j@example.test"},
    ),
    "serbian in Cyrillic": (
        "Шифра;Име;Презиме;Град;Е-пошта\n9;Јован;Јовановић;Београд;j@example.test",
        {"reference": "9", "first_name": "Јован", "last_name": "Јовановић", "email": "j@example.test"},
    ),
    "traditional Chinese": (
        "客戶編號,姓名,公司名稱,電郵\nHK1,陳大文,文記,c@example.test",
        {"reference": "HK1", "name": "陳大文", "company_name": "文記", "email": "c@example.test"},
    ),
    "simplified Chinese": ("客户编号,姓名,邮箱\nC1,王小明,w@example.test", {"reference": "C1", "name": "王小明"}),
    "one identifier": (
        "ID,FirstName,Last_Name\n1,Ada,Love",
        {"reference": "1", "first_name": "Ada", "last_name": "Love"},
    ),
}


@pytest.mark.parametrize("case", EXPORTS)
def test_export_is_read_without_a_mapping(case: str, tmp_path: Path) -> None:
    data, expected = EXPORTS[case]
    (draft,) = read_drafts(tmp_path, f"{data}\n", unknown="ignore" if "consent" in case else None)
    assert {name: getattr(draft, name) for name in expected} == expected


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
    "Russian": "Код клиента,ФИО,Эл. почта,Мобильный телефон,Адрес,Город,Индекс,Страна",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_columns_in_other_languages_are_recognised(language: str, tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(f"{LANGUAGES[language]}\n", "utf-8")
    with closing(sources.read(tmp_path / "c.csv")) as reader:
        found = [paths for paths, _ in reader.notes.columns.values()]
    parts = [f"address.{part}" for part in ("line1", "city", "postcode", "country")]
    assert found == [(path,) for path in ("reference", "name", "email", "phone", *parts)]


def test_no_column_name_is_used_for_two_fields() -> None:
    given = tomllib.loads(Path(sources.__file__).with_name("presets.toml").read_text("utf-8"))
    kinds = [given["synonyms"], given["further_synonyms"]]
    pairs = {(name_key(name), field) for kind in kinds for field, names in kind.items() for name in names}
    assert len(pairs) == len(dict(pairs))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            "id,Amount,Currency,Customer ID,Card Exp Month\nch_1,1,eur,cus_1,4\n",
            "export of Stripe payments",
        ),
        ("Name,Email,Financial Status,Lineitem name\n#1,a@example.test,paid,x\n", "export of Shopify orders"),
        ("reference~name~email\n1~Ada~a\n", "set this character with `delimiter`"),
        ("My Company\nContact List\n\nCustomer,Email,Full Name\nA,,B\n", "add skip_lines=3"),
        ("'reference','name'\n'1','Ada'\n", """Add quote="'" """.strip()),
        ("<!DOCTYPE html>\n<html></html>\n", "is a web page or XML"),
        (b"PK\x03\x04\x14\0\0\0\x08\0", "but a ZIP archive or a spreadsheet"),
        (gzip.compress(b"reference,name\n" + b"1,Ada\n" * 5000, mtime=0)[:-20], "cannot be read: "),
    ],
)
def test_unusable_file_is_refused_with_the_remedy(data: str | bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_rows(tmp_path, data)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ('reference, name\n1, "Love, Ada"\n2, Bo\n', ["Love, Ada", "Bo"]),
        ('reference,name\n1,Ada\n2,"Bo\n3,"Cy"\n', ["Ada", "not closed; lines 3 to 4 were read as one row"]),
        (
            'reference,name\n1,"Ada \\"Countess\\" Love"\n2,Bo\n',
            ["a quote character within a value is not doubled", "Bo"],
        ),
        ("reference,name\n1,Ada\r2,Bo\n", ["the line contains a CR line break, but the first line does not"]),
        (b"reference,name\n1,A\0da\n2,Bo\n", ["contains a NUL character", "Bo"]),
        (b"reference,name\n1,Ada\n" + b"\0" * 400, ["Ada", "the row contains NUL characters, so the file is damaged"]),
        ("reference,name\n1001.0,Ada\n", ["a program added decimals to this number"]),
        ("reference;name\n1001,00;Ada\n", ["a program added decimals to this number"]),
        ("reference,name,postcode\n1,Ada,10000.0\n2,Bo,10000\n", ["a program added decimals to this number", "Bo"]),
        ('reference,name,postcode\n1,Ada,"1,00E+04"\n', ["a spreadsheet shortened this number"]),
        (
            "reference,name\n1,Å½eljko MariÄ‡\n2,Petri\u00c4\u008d\n",
            ["the value is UTF-8 that was decoded with another encoding"] * 2,
        ),
        ("reference,name\nč\0,Ada\nMar\ufffdc,Bo\n", ["a NUL character", "contains the replacement character U+FFFD"]),
        ("reference,name\n1,Mar\ufffdc\n2,»VILLA Å«\n", ["contains the replacement character U+FFFD", "»VILLA Å«"]),
        ("\n \n", []),
        ("reference,name,email\n1,Ada,\nFriday, Nov 27, 2026 10:00 AM\n", ["Ada"]),
        (f"reference,name\n1,{'x' * 5_000_000}\n2,Bo\n", ["x" * 5_000_000, "Bo"]),
    ],
    ids=range(16),
)
def test_untidy_rows_are_read_or_refused(data: str | bytes, found: Sequence[str], tmp_path: Path) -> None:
    drafts = read_drafts(tmp_path, data)
    assert len(drafts) == len(found)
    for draft, expected in zip(drafts, found, strict=True):
        assert expected in draft if isinstance(draft, str) else draft.name == expected


@pytest.mark.parametrize(
    "cell",
    [
        "mailto:k@example.test?subject=x",
        "mailto:k@example.test?subject=A question",
        "MAILTO: k@example.test",
        "Ada <mailto:k@example.test>",
        "'k@example.test'",
        "'Ada' <'k@example.test'>",
        "k@example.test",
    ],
)
def test_email_of_a_link_is_the_address_only(cell: str, tmp_path: Path) -> None:
    (draft,) = read_drafts(tmp_path, f"reference,email\n1,{cell}\n")
    assert draft.email == "k@example.test"


def test_apostrophe_is_no_part_of_a_domain(tmp_path: Path) -> None:
    problem, draft = read_drafts(tmp_path, "reference,email\n1,k@exam'ple.test\n2,o'neil@example.test\n")
    assert problem.endswith("the value is not an e-mail address")
    assert draft.email == "o'neil@example.test"


@pytest.mark.parametrize("cell", ["#WERT!", "#BEZUG!", "#VALEUR!", "#NAZWA?", "#¡DIV/0!", "#Н/Д", "#N/A", "#SPILL!"])
def test_error_of_a_spreadsheet_is_an_empty_cell(cell: str, tmp_path: Path) -> None:
    (draft, *_) = read_drafts(tmp_path, f"reference,name,city\n1,{cell},Zagreb\n{cell},Ada,Zagreb\n")
    assert (draft.name, draft.address.city) == (None, "Zagreb")
    assert read_rows(tmp_path, f"reference,name\n{cell},Ada\n")[0].reference is None


@pytest.mark.parametrize("name", ["c.xls", "c.xlsx", "c.ods"])
def test_text_with_the_name_of_a_spreadsheet_is_refused(name: str, tmp_path: Path) -> None:
    pytest.importorskip("python_calamine", reason="needs the extra excel")
    with pytest.raises(ConfigurationError, match="is not a spreadsheet: some programs export"):
        read_rows(tmp_path, "reference\tname\n1\tAda\n", name)
    assert len(read_rows(tmp_path, "reference\tname\n1\tAda\n", name, form="csv")) == 1


def test_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"is an archive\. Unpack the archive"):
        read_rows(tmp_path, b"PK\x03\x04", "customers.csv.zip")


@pytest.mark.parametrize(
    ("name", "words"),
    [("dump.sql", "a dump with SQL statements. Export"), ("shop.DB", "a database. Select the rows with `query`")],
)
def test_database_or_its_dump_is_refused_with_the_remedy(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f"{name} is {words}")):
        read_rows(tmp_path, b"SQLite format 3\0", name)


def test_ids_that_a_spreadsheet_keeps_as_decimals_are_whole_numbers(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine", reason="needs the extra excel")
    path = write_xlsx(tmp_path / "c.xlsx", {"A": [["reference", "name"], [12345.0, "Ada"], ["00124", "Bo"]]})
    assert [row.reference for row in sources.read(path)] == ["12345", "00124"]


DEEP = "[" * 200_000 + "]" * 200_000
OBJECTS = '[{"reference": "1", "name": "Ada"}, {"reference": "2", "name": "Bo"}]'


@pytest.mark.parametrize(
    ("data", "member"),
    [
        (f'{{"customers": {OBJECTS}, "total": 2}}', "customers"),
        (f'{{\n  "object": "list",\n  "data": {OBJECTS},\n  "more": {{"next": null}}\n}}\n', "data"),
        (f'{{"meta": {{"page": 1}}, "tags": ["a"], "none": [], "items": {OBJECTS}}}', "items"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_list_in_a_json_object_is_read(data: str, member: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(data.encode(encoding))
    with closing(sources.read(path)) as reader:
        assert [row.draft.name for row in reader if row.draft] == ["Ada", "Bo"]
        assert reader.notes.member == member


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            f'{{"new customers": {OBJECTS}, "orders": [{{"id": 1}}]}}',
            r"several members are lists of objects \('new customers', 'orders'\).* jq '.\"new customers\"' FILE >",
        ),
        (f'{{"customers": {OBJECTS[:-3]}', "line 1: the file is not valid JSON"),
        pytest.param(f'[\n{{"reference": {DEEP}}}]', "line 2: a value has more than 64 nested levels", id="deep row"),
        pytest.param(
            f'{{"customers": {OBJECTS}, "x": {DEEP}}}', "a value has more than 64 nested levels", id="deep member"
        ),
        ('{"reference": "1", "name": "Ada", "orders": [{"id": 1}]}', "unknown columns: 'orders'"),
        ('{"x": [{"a": 1}]}\n{"x": [{"a": 1}]}\n', "no column of the source"),
    ],
)
def test_json_object_without_one_list_is_refused_before_the_first_row(data: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=words):
        read_rows(tmp_path, data, "c.json")


@pytest.mark.parametrize(
    ("data", "problems"),
    [
        ('[{{"reference": {}}}, {{"reference": "2"}}]', ["line 1: the row is not valid JSON (at character 14)"]),
        ('{{"customers": [{{"reference": "2"}}], "x": {}}}', []),
    ],
)
def test_integer_of_thousands_of_digits_does_not_hide_other_rows(
    data: str, problems: list[str], tmp_path: Path
) -> None:
    *before, last = read_drafts(tmp_path, data.format("9" * 5000), "c.json")
    assert (before, last.reference) == (problems, "2")


def test_invalid_first_line_of_json_lines_is_a_row(tmp_path: Path) -> None:
    drafts = read_drafts(tmp_path, '{"reference": }\n{"reference": "2", "name": "Bo"}\n', "c.jsonl")
    assert (drafts[0], drafts[1].name) == ("line 1: the row is not valid JSON (at character 14)", "Bo")


def test_half_written_line_is_not_a_customer(tmp_path: Path) -> None:
    head = "reference,name,email,phone\n"
    lines = "".join(f"ap-{it},Person {it},p{it}@example.test,+3859100000{it:02}\n" for it in range(20))
    for cut in range(15, 45):
        text = (head + lines)[:-cut]
        path = tmp_path / "c.csv"
        path.write_text(text, encoding="utf-8")
        for row in sources.read(path):
            assert row.problem is not None or (row.draft is not None and row.draft.phone is not None)


@pytest.mark.parametrize(
    "cell", ["<row><c r='XFD1048576'>", '<row><c r="C322222222222222">', '<row r="66666666666666666666"><c>']
)
def test_spreadsheet_with_a_distant_cell_is_refused(cell: str, tmp_path: Path) -> None:
    """Reading it would need more memory than the machine has."""
    sheet = (
        '<worksheet><sheetData><row><c t="inlineStr"><is><t>reference</t></is></c></row>'
        f"{cell}<v>2</v></c></row></sheetData></worksheet>"
    )
    path = write_xlsx(tmp_path / "c.xlsx", {"A": []}, sheet.encode())
    with pytest.raises(ConfigurationError, match=r"almost all of its cells are empty\. Delete the cells"):
        next(sources.read(path))


@pytest.mark.parametrize("column", ["reference", "name", "email", "phone", "address.postcode", "metadata.since"])
def test_value_that_a_spreadsheet_did_not_show_is_refused(column: str, tmp_path: Path) -> None:
    head = "reference," if column != "reference" else ""
    data = f"{head}{column},description\n" + ("1," if head else "") + "########,x\n"
    (problem,) = read_drafts(tmp_path, data)
    assert problem == (
        f"line 2, column {column}: a spreadsheet wrote # for a value that is wider than its column; widen it and export"
        " again"
    )


@pytest.mark.parametrize("cell", ["0912345678 0912345679", "385912345678 385912345679", "091234567 098765432"])
def test_two_phones_separated_by_a_space_are_refused(cell: str, tmp_path: Path) -> None:
    (problem,) = read_drafts(tmp_path, f"reference,phone,country\n1,{cell},HR\n")
    assert problem.startswith("line 2, column phone: the value has too many digits")


@pytest.mark.parametrize("cell", ["00385 91 234 5678", "0011 385 91 234 5678", "+385 91 234 5678"])
def test_phone_with_an_international_prefix_is_read(cell: str, tmp_path: Path) -> None:
    (draft,) = read_drafts(tmp_path, f"reference,phone,country\n1,{cell},{'AU' if '0011' in cell else 'HR'}\n")
    assert draft.phone.e164() == "+385912345678"
