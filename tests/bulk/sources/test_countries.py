"""Countries of a file: their names and codes, and calling codes, which are not numeric codes of other countries."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from bulk.sources.read_rows import read_draft, read_drafts
from bulk.sources.spreadsheet import write_xlsx

from wonder_customers._support.countries import country_code
from wonder_customers.bulk import sources
from wonder_customers.bulk.distributed.partition import Index
from wonder_customers.bulk.sources.reader import Source
from wonder_customers.records import Phone

IGNORE = sources.ColumnMapping(unsupported="ignore")
CALLING_CODES = ["+44", "+40", "44", "36", "1", "0031", "00385", "+1 684", "1-684", "1684", "372", "(+385)", "\uff0b49"]
NAMES = {
    "香港": "HK", "中國香港": "HK", "Hong Kong, China": "HK", "澳門": "MO", "中国大陆": "CN", "P.R. China": "CN",
    "臺灣": "TW", "韓國": "KR", "Korea, Republic of": "KR", "Großbritannien": "GB", "Velika Britanija": "GB",
    "SAD": "US", "Bosna": "BA",
    "Hrvatska": "HR", "Republic of Austria": "AT", "Slovak Republic": "SK",
    "Republika Srbija": "RS", "KSA": "SA", "Netherlands (the)": "NL",
}  # fmt: skip
OTHER_CODES = {"CRO": "HR", "SLO": "SI", "GER": "DE", "SUI": "CH", "POR": "PT", "D": "DE", "a": "AT", "I": "IT"}
NUMERIC_CODES = {"191": "HR", "840": "US", "036": "AU", "040": "AT", "8": "AL"}


def countries(folder: Path, codes: Sequence[str], column: str = "Country") -> list[Any]:
    """Return the country of each row, or its problem."""
    lines = (f'{number},Ada,"{code}"\n' for number, code in enumerate(codes))
    found = read_drafts(folder, f"reference,name,{column}\n{''.join(lines)}")
    return [it if isinstance(it, str) else it.address and it.address.country for it in found]


@pytest.mark.parametrize("unsupported", [[], ["address"]])
@pytest.mark.parametrize(
    ("code", "column"),
    [
        *((code, "Country Code") for code in CALLING_CODES),
        *(("+44", column) for column in ("Ländercode", "Billing Country", "address.country")),
    ],
)
def test_calling_code_is_not_a_country(code: str, column: str, unsupported: list[str], tmp_path: Path) -> None:
    data = f"Customer ID,Name,{column},Phone\n1,Ada,{code},201234567\n"
    problem = read_draft(tmp_path, data, unsupported=unsupported, mapping=IGNORE)
    assert problem.startswith(f"line 2, column {column}: the value may be a calling code; if it is, map this column to")


def test_calling_code_in_a_preset_is_not_a_country(tmp_path: Path) -> None:
    names = "Customer ID,First Name,Last Name,Email,Accepts Email Marketing,Total Spent,Country Code,Phone"
    problem = read_draft(tmp_path, f"{names}\n1,Zsofia,Nagy,z@example.test,no,0,36,201234567\n")
    assert "may be a calling code" in problem


@pytest.mark.parametrize("code", NUMERIC_CODES)
def test_numeric_code_that_is_no_calling_code_is_a_country(code: str, tmp_path: Path) -> None:
    assert countries(tmp_path, [code], "Country Code") == [NUMERIC_CODES[code]]


@pytest.mark.parametrize("code", ["+36", "36", ""])
def test_phone_is_read_in_the_named_country_beside_a_calling_code(code: str, tmp_path: Path) -> None:
    draft = read_draft(tmp_path, f"ID,Name,Country Code,Phone,Country\n1,Bo,{code},20 123 4567,Hungary\n")
    assert (draft.phone, draft.address.country) == (Phone("+36", "201234567"), "HU")


def test_calling_code_that_is_mapped_is_part_of_the_phone(tmp_path: Path) -> None:
    mapping = {"Country Code": "phone.dial_code", "Phone": "phone.number"}
    draft = read_draft(tmp_path, "ID,Name,Country Code,Phone\n1,Bo,+36,20 123 4567\n", mapping=mapping)
    assert draft.phone.e164() == "+36201234567"


def test_no_name_or_code_belongs_to_two_countries() -> None:
    lines = files("wonder_customers._support").joinpath("countries.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        *codes, names = line.split(" ", 3)
        assert {country_code(it) for it in (*codes, *names.split("|"))} == {codes[0]}


@pytest.mark.parametrize("kind", ["names", "Olympic and vehicle codes"])
def test_common_names_and_codes_of_countries_are_read(kind: str, tmp_path: Path) -> None:
    known = NAMES if kind == "names" else OTHER_CODES
    assert countries(tmp_path, list(known)) == list(known.values())


def test_unknown_country_is_reported_with_its_line_and_without_its_value(tmp_path: Path) -> None:
    (problem,) = countries(tmp_path, ["Narnia"])
    assert problem == (
        "line 2, column Country: the value is not a known country; use an ISO 3166-1 code, such as HR, or the"
        " name of the country"
    )


def test_phone_is_read_in_hong_kong_in_chinese(tmp_path: Path) -> None:
    draft = read_draft(tmp_path, "客戶編號,姓名,電話,國家\n1,陳大文,9123 4567,香港\n", unsupported=["address"])
    assert draft.phone == Phone("+852", "91234567")


def test_code_of_a_former_country_is_not_another_country(tmp_path: Path) -> None:
    pytest.importorskip("babel", reason="needs the extra countries")
    found = countries(tmp_path, ["rh", "Yd", "ct", "zr"])
    assert ["is not a known country" in it for it in found] == [True] * 4


@pytest.mark.parametrize("kind", ["csv", "utf-16", "json", "xlsx", "parquet", "query", "database"])
@pytest.mark.parametrize("unsupported", [[], ["address"]])
def test_calling_code_in_a_column_of_numeric_codes_is_a_country(
    kind: str, unsupported: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("babel", reason="needs the extra countries")
    codes = {"250": "FR", "40": "AT", "372": "IE", "": None, "NULL": None, "276": "DE", "008": "AL"}
    table = [["Nr", "Name", "Pays", "Phone"], *([f"c{it}", "Ada", it, "+33612345678"] for it in codes)]
    path = tmp_path / f"c.{'csv' if kind in {'utf-16', 'query'} else kind}"
    if kind == "query":
        pytest.importorskip("duckdb", reason="needs the extra duckdb")
    if kind in {"csv", "utf-16", "query"}:
        path.write_text("".join(",".join(row) + "\n" for row in table), kind if kind == "utf-16" else "utf-8")
    elif kind == "json":
        path.write_text(json.dumps([dict(zip(table[0], row, strict=True)) for row in table[1:]]))
    elif kind == "xlsx":
        pytest.importorskip("python_calamine", reason="needs the extra excel")
        write_xlsx(path, {"A": table})
    elif kind == "database":
        pytest.importorskip("sqlalchemy", reason="needs the extra sql")
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE c (Nr TEXT, Name TEXT, Pays, Phone TEXT)")
            connection.executemany("INSERT INTO c VALUES (?, ?, ?, ?)", table[1:])
            connection.commit()
    else:
        duckdb = pytest.importorskip("duckdb", reason="needs the extra duckdb")
        (tmp_path / "c.csv").write_text("".join(",".join(row) + "\n" for row in table))
        with duckdb.connect() as connection:
            connection.execute(f"COPY (FROM read_csv('{tmp_path}/c.csv', all_varchar = true)) TO '{path}'")
    source = Source(str(path), {"Nr": "reference"}, unsupported=tuple(unsupported))
    if kind == "query":
        source = evolve(source, query="SELECT * FROM source")
    elif kind == "database":
        source = evolve(source, path="-", query="SELECT * FROM c", database=f"sqlite:///{path}")
    parts = () if kind == "database" else (chain.from_iterable(part.read() for part in Index(source, 2)),)
    for rows in (source.read(), *parts):
        drafts = {row.reference: row.draft for row in rows}
        assert all(it is not None and it.phone is not None for it in drafts.values())
        found = {key: it and it.address and it.address.country for key, it in drafts.items()}
        assert unsupported or found == {f"c{code}": country for code, country in codes.items()}


@pytest.mark.parametrize("other", ["44", "372", "049", "DE", "+276", "Germany", "1"])
def test_calling_code_beside_other_values_is_not_a_country(other: str, tmp_path: Path) -> None:
    first, _, third = countries(tmp_path, ["250", other, "380"])
    assert ["may be a calling code" in it for it in (first, third)] == [True, True]
