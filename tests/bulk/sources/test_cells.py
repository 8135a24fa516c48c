"""Cells: each is read as a person sees it, whatever its encoding, quoting and characters, or refused."""

import csv
import io
import re
import time
from contextlib import suppress
from pathlib import Path
from unicodedata import normalize

import pytest
from bulk.sources.read_rows import open_rows, read_draft, read_rows
from hypothesis import assume, given
from hypothesis import strategies as st

from wonder_customers import ConfigurationError
from wonder_customers.bulk import sources
from wonder_customers.bulk.sources import ColumnMapping
from wonder_customers.bulk.sources.mapping import NULLS
from wonder_customers.bulk.sources.text import TextOptions

INVISIBLE = "\u200b\u200e\u202a\u2060\ufeff\u00ad"
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "cp1250", "gb18030"]
HEAD = "reference,name\n"
HEADER = ["reference", "name", "description", "metadata.note"]

references = st.one_of(
    st.from_regex(r"[A-Z]{1,3}-[0-9]{1,6}", fullmatch=True),
    st.from_regex(r"0{1,3}[0-9]{1,20}", fullmatch=True),
    st.from_regex(r"[0-9]{1,2}E[0-9]{1,6}", fullmatch=True),
)
numbers = st.one_of(
    st.integers(-(10**24), 10**24).map(str), st.from_regex(r"[0-9]{1,3}[.,][0-9]{1,20}", fullmatch=True)
)
dates = st.dates().flatmap(lambda day: st.sampled_from([day.isoformat(), f"{day:%d.%m.%Y}", f"{day:%m/%d/%Y}"]))
words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Cn", "Co"]), max_size=12)
messy = st.text(st.sampled_from("aé\u0107Ž,;\t|\"'\n =+-@#" + INVISIBLE), max_size=10)
cells = st.one_of(words, messy, numbers, dates)


def seen(text: str) -> str | None:
    """Return what a person reads in a cell; None for an empty one."""
    text = re.sub("\n\ufeff+", "\n", text).strip()  # a byte order mark at the start of a line
    formula = re.fullmatch('="(.*)"', text, re.DOTALL)
    if formula:
        text = formula[1].replace('""', '"').strip()
    elif (re.match(r"'[+=@\-0-9\t]", text) and not text.endswith("'")) or re.fullmatch(r"=[+0-9][0-9 ()+\-./]*", text):
        text = text[1:]
    text = normalize("NFC", text)
    return None if text in NULLS else text or None


def is_damaged(text: str) -> bool:
    """Return whether a text has lost characters, or could be UTF-8 that was decoded as Windows-1252."""
    return "\ufffd" in text or re.search("[\u00c2-\u00f4][^\0-\x7f]", text) is not None


@given(
    rows=st.lists(st.tuples(references, cells, cells, cells), min_size=1, max_size=6),
    encoding=st.sampled_from(ENCODINGS),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    ending=st.sampled_from(["\n", "\r\n"]),
    hidden=st.sampled_from(["", *INVISIBLE]),
)
def test_cells_are_read_as_a_person_sees_them(
    rows: list[tuple[str, str, str, str]],
    encoding: str,
    delimiter: str,
    quoting: int,
    ending: str,
    hidden: str,
    tmp_path: Path,
) -> None:
    text = io.StringIO(newline="")
    table = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=ending)  # type: ignore[arg-type]
    table.writerow(HEADER)
    table.writerows((f"{reference[:1]}{hidden}{reference[1:]}", *rest) for reference, *rest in rows)
    try:
        data = text.getvalue().encode(encoding)
    except UnicodeEncodeError:
        assume(False)
    path = tmp_path / "c.csv"
    path.write_bytes(data)
    named = encoding if encoding in {"cp1250", "gb18030"} else None
    try:
        found = list(sources.read(path, mapping=ColumnMapping(text=TextOptions(encoding=named))))
    except ConfigurationError as error:
        # A short table may look like another encoding. It is then refused, and never read without a message.
        assert "encoding" in str(error) or "not a text file" in str(error)  # noqa: PT017
        return
    assert len(found) == len(rows)
    for row, (reference, name, description, note) in zip(found, rows, strict=True):
        if row.draft is None:
            assert "export the data" in str(row.problem)
            assert any(map(is_damaged, (name, description, note)))
            continue
        assert row.reference == row.draft.reference == reference
        assert (row.draft.name, row.draft.description) == (seen(name), seen(description))
        assert (row.draft.metadata or {}).get("note") == seen(note)


@given(
    data=st.one_of(
        st.binary(max_size=80),
        st.text(st.sampled_from('abé",;\n\r\t{}[]:0123456789.eE+-\\ \0\ufeff'), max_size=80).map(str.encode),
        st.text(st.sampled_from('reference,name\n"ab1{}[]: '), max_size=60).map(lambda it: f"{HEAD}{it}".encode()),
    ),
    name=st.sampled_from(["c.csv", "c.json", "c.jsonl", "c.xlsx", "c.csv.gz"]),
)
def test_any_bytes_are_read_or_refused(data: bytes, name: str, tmp_path: Path) -> None:
    with suppress(ConfigurationError):
        for row in open_rows(tmp_path, data, name):
            assert (row.draft is None) != (row.problem is None)


@pytest.mark.parametrize(("column", "cell"), [("email", "<" + "a@" * 100_000), ("phone", "1" + " " * 200_000 + "x")])
def test_long_invalid_cell_is_refused_quickly(column: str, cell: str, tmp_path: Path) -> None:
    start = time.process_time()
    problem = read_draft(tmp_path, f"reference,{column}\nr,{cell}\n", mapping=ColumnMapping(several="first"))
    assert isinstance(problem, str)
    assert time.process_time() - start < 10  # a quadratic search takes minutes


ERRORS = ["#WERT!", "#BEZUG!", "#VALEUR!", "#NAZWA?", "#¡DIV/0!", "#Н/Д", "#N/A", "#SPILL!"]
LINKS = [
    "mailto:k@x.test?subject=x",
    "mailto:k@x.test?subject=A question",
    "MAILTO: k@x.test",
    "mailto:k@x.test",
    "Ada <mailto:k@x.test>",
    "Ada <k@x.test>",
    "'k@x.test'",
    "'Ada' <'k@x.test'>",
    "k@x.test",
    "k@x.test;",
    "k@x.test ; ",
    "Ada <k@x.test>;",
]
READ = [
    *(("email", cell, "k@x.test") for cell in LINKS),
    *(("email", cell, cell) for cell in ("o'neil@x.test", "ADA@X.TEST")),
    *(("email", cell, None) for cell in ("N/A", "null", "n.a.", "NaN")),
    *(("phone", cell, None) for cell in ("-", "N/A", "#REF!")),
    *(("name", cell, None) for cell in (*ERRORS, "NULL", r"\N", "-", "nan")),
    *(("name", cell, "D’Arcy & Sons") for cell in ("D&rsquo;Arcy&nbsp;&amp;&#32;Sons", "D&#x2019;Arcy &#38; Sons")),
    *(
        ("name", cell, cell)
        for cell in ("AT&T", "R&D; Lab", "[Ada]", "{Ada}", "50% off", "A&copy", "=", "= Ada =", "=Ada", "e=mc2")
    ),
    ("description", "<p>A &amp; B%20C</p>", "<p>A &amp; B%20C</p>"),
]


@pytest.mark.parametrize(("column", "cell", "value"), READ)
def test_cell_is_read_without_additions_and_placeholders(
    column: str, cell: str, value: str | None, tmp_path: Path
) -> None:
    draft = read_draft(tmp_path, f"reference,{column},city\n1,{cell},Zagreb\n")
    assert (getattr(draft, column), draft.address.city) == (value, "Zagreb")


@pytest.mark.parametrize("cell", ERRORS)
def test_error_of_a_spreadsheet_is_not_a_reference(cell: str, tmp_path: Path) -> None:
    assert read_rows(tmp_path, f"{HEAD}{cell},Ada\n")[0].reference is None


FORMULA = "the value is a formula instead of its result"
ENCODED = "the value is JSON or has encoded characters"
WRONG = "the value was decoded with another encoding"
DATE = "a spreadsheet changed this value to a date"
SHORTENED = "a spreadsheet shortened this number"
DECIMALS = "a spreadsheet added decimals or separators to this number"
HIDDEN = "a spreadsheet wrote # for a value that is wider than its column; widen it and export again"
REFUSED = [
    *(
        ("email", cell, "the value is not an e-mail")
        for cell in ("none@none", "not an email", "a@x..test", "k@x'y.z", "a@x.test/", "k@x/y.z")
    ),
    *(("email", cell, "contains more than one e-mail address") for cell in ("a@x.test;b@x.test", "a@x.test, b@x.test")),
    *(("phone", cell, "the value is not a phone number") for cell in ("0", "?!", "９１")),
    *(("phone", cell, SHORTENED) for cell in ("4.5E+12", "3,85912E+11", "385912e11")),
    *(("reference", cell, SHORTENED) for cell in ("8.52E+11", "1E+15", "3,85913E+11", "1.2345678E7", "1.0E12")),
    *(
        ("reference", cell, DECIMALS)
        for cell in ("1001.0", "1001,00", "1001.0000", "12.00000", "1001.000", "1001,0000")
    ),
    *(("address.postcode", cell, SHORTENED) for cell in ("1,00E+04", "1.2345678E7", "1.0E12")),
    *(("address.postcode", cell, DECIMALS) for cell in ("10000.0", "1001.0000", "12.00000", "1001.000", "1001,0000")),
    *(("reference", cell, DECIMALS) for cell in ("1,001", "12,345,678")),
    *(("name", cell, ENCODED) for cell in ("{'first': 'Ada'}", "[{'first': 'Ada'}]", "['Ada']")),
    *(("reference", cell, DATE) for cell in ("1-Mar", "03-May", "01. Mrz", "12-déc", "2-ene", "5-ott")),
    ("address.postcode", "1-Dec", DATE),
    *(("name", cell, FORMULA) for cell in ("=A2", "=Sheet1!B2", "=+$B$2&C2", "=CONCAT(A1,B1)", "='Old list'!A1")),
    *(("name", cell, ENCODED) for cell in ("Ada%20Love", "S%C3%A3o", "=?UTF-8?B?xb1hcg==?=", "=C5=BDarko")),
    *(("name", cell, WRONG) for cell in ("\x8aime", "Ana \x9ari\xe6", "O\x92Brien")),
    *((it, "########", HIDDEN) for it in ("reference", "name", "email", "phone", "address.postcode", "metadata.since")),
]


@pytest.mark.parametrize(("column", "cell", "words"), REFUSED)
def test_cell_that_a_program_changed_or_that_is_no_value_is_refused(
    column: str, cell: str, words: str, tmp_path: Path
) -> None:
    reference = "" if column == "reference" else "reference,"
    data = f'{reference}{column},description\n{"1," if reference else ""}"{cell}",x\n'
    problem = read_draft(tmp_path, data)
    assert problem.startswith(f"line 2, column {column}: ")
    assert words in problem
    assert cell not in problem


@pytest.mark.parametrize(
    ("postcode", "country", "read"),
    [
        *((code, "DE", "01067") for code in ("1067", "01067")), *((code, "IT", "00100") for code in ("100", "00100")),
        ("2110", "US", "02110"), ("800", "AU", "0800"), ("1310100", "Brazil", "01310100"), ("1001", "SK", "01001"),
    ],
)  # fmt: skip
def test_postcode_that_lost_its_leading_zeros_is_refused(
    postcode: str, country: str, read: str, tmp_path: Path
) -> None:
    data = f"reference,Zip,country\n1,{postcode},{country}\n"
    found = read_draft(tmp_path, data)
    assert found.address.postcode == read if postcode == read else "column Zip: the postcode has fewer digits" in found
    assert read_draft(tmp_path, data, mapping={"Zip": "metadata.address_postcode"}).metadata == {
        "address_postcode": postcode
    }
    kept = ColumnMapping(transformations=("country",))
    assert read_draft(tmp_path, data, mapping=kept).address.postcode == postcode


@pytest.mark.parametrize(
    ("postcode", "country"),
    [
        ("34117", "DE"), ("D-1067", "DE"), ("12345-6789", "US"), ("K1A 0B1", "CA"), ("75001", "FR"), ("2000", "AU"),
        ("1010", "AT"), ("8001", "CH"), ("100-0001", "JP"), ("01310-100", "BR"), ("1000", "SI"), ("10000", "HR"),
        ("1067", ""), ("0150", "NO"), ("00-001", "PL"), ("1234 AB", "NL"), ("999077", "HK"), ("018956", "SG"),
        ("12", "DE"), ("12345", "JP"),
    ],
)  # fmt: skip
def test_other_postcode_is_read(postcode: str, country: str, tmp_path: Path) -> None:
    assert read_draft(tmp_path, f"reference,zip,country\n1,{postcode},{country}\n").address.postcode == postcode


@pytest.mark.parametrize(
    "cell",
    [
        "12E45678",
        "1E10",
        "7e3",
        "12E4+5",
        "00E1",
        "123456789012345678901234",
        "1.000",
        "12.001",
        "1.5",
        "1.2.3",
        "123.000",
        "Mar-01",
        "1-MARS",
        "1-12",
        "12-A",
        "2026-03-01",
    ],
)
def test_id_that_looks_like_a_number_is_a_reference(cell: str, tmp_path: Path) -> None:
    assert read_draft(tmp_path, f"{HEAD}{cell},Ada\n").reference == cell


def test_excel_dates_are_kept_as_they_are_written(tmp_path: Path) -> None:
    draft = read_draft(tmp_path, "reference,metadata.Since,metadata.until\nc-1,45123,01.02.2024\n")
    assert draft.metadata == {"Since": "45123", "until": "01.02.2024"}
