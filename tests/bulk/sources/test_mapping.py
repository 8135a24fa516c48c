"""Mapping files: one column for several fields, several columns for one field, constants, defaults, options."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bulk.sources.read_rows import read_drafts

from wonder_customers import ConfigurationError, CustomerSession
from wonder_customers.bulk import Options, sources, sync
from wonder_customers.bulk.distributed.partition import Partition
from wonder_customers.bulk.job import Job
from wonder_customers.bulk.plan import plan
from wonder_customers.bulk.sources import ColumnMapping
from wonder_customers.bulk.sources.reader import Source
from wonder_customers.errors import BulkError
from wonder_customers.records import Phone

FILE = """
default_country = "HR"
several = "first"
nulls = ["?"]
unknown = "ignore"

[text]
delimiter = ";"
skip_lines = 1

[columns]
"Mail" = ["reference", "email"]
"Notiz" = ""

[fields]
name = { join = ["Vorname", "Nachname"] }
phone = { first = ["Mobil", "Telefon"] }
"address.city" = { first = ["Ort"], default = "Zagreb" }
"metadata.origin" = { constant = "shop" }
"""
TABLE = """Title
Mail;Vorname;Nachname;Mobil;Telefon;Ort;Notiz;Alter
a@example.test ::: b@example.test;Ana;Marić;?;091 234 5678;?;x;7
c@example.test;;Horvat;+43 1 2345678;1;Split;x;7
"""


def loaded(folder: Path, text: str) -> ColumnMapping:
    (folder / "mapping.toml").write_text(text, encoding="utf-8")
    return ColumnMapping.load(folder / "mapping.toml")


def test_mapping_file_is_applied(tmp_path: Path) -> None:
    first, second = read_drafts(tmp_path, TABLE, mapping=loaded(tmp_path, FILE))
    assert (first.reference, first.email, first.name) == ("a@example.test", "a@example.test", "Ana Marić")
    assert (first.phone, first.address.city, first.metadata) == (
        Phone("+385", "912345678"),
        "Zagreb",
        {"origin": "shop"},
    )
    assert (second.name, second.phone, second.address.city) == ("Horvat", Phone("+43", "12345678"), "Split")


def test_mapping_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    assert loaded(tmp_path, f"\ufeff{FILE}") == loaded(tmp_path, FILE)


def test_mapping_is_the_same_after_writing_and_in_other_processes(tmp_path: Path) -> None:
    mapping = loaded(tmp_path, FILE)
    assert loaded(tmp_path, mapping.to_toml()) == mapping
    part = Partition(source=Source("c.csv", mapping, unsupported=("address",)), place=0, number=0, rows=1, repeats={})
    assert Partition.from_json(part.to_json()) == part


def test_inspection_writes_a_mapping_that_reads_the_same(tmp_path: Path) -> None:
    for path in sorted((Path(__file__).parent / "files").glob("t*.csv")):
        inspected = sources.read(path, inspecting=True)
        inspected.close()
        assert inspected.notes.mapping is not None
        written = inspected.notes.mapping.to_toml()
        assert "nulls" not in written  # the default list is long
        mapping = loaded(tmp_path, written)
        found = [row.draft for row in sources.read(path, mapping=mapping)]
        assert found == [row.draft for row in sources.read(path, unknown="ignore")]


WRITTEN = {
    "company without a name": {"c.csv": "Kundennummer;Vorname;Nachname;Firma\n1;Ana;Horvat;Acme\n2;;;Acme\n"},
    "company beside an empty name": {"c.csv": "reference,name,Firma\n1,Ana,Acme\n2,,Acme\n"},
    "company with the name of the field": {"c.csv": "reference,name,company_name\n1,,Acme\n"},
    "export": {
        "c.csv": "First Name,Last Name,Email,Accepts Marketing,Total Spent,Company\n,,a@example.test,no,1,Acme\n"
    },
    "joined name": {"c.csv": "Debitor;Name 1;Name 2\n1;Acme;GmbH\n"},
    "names that differ in case": {
        "a.csv": "reference,name\n1,Ana\n",
        "b.csv": "Kundennummer;Name;Ort\n2;Bo;Split\n",
        "c.csv": "Kundennummer;NAME;Firma\n3;;Acme\n",
    },
    "one phone and two phones": {
        "a.csv": "reference,Telefon\n1,+385912345678\n",
        "b.csv": "reference,Phone,Mobile\n2,,+385912345679\n",
    },
}


@pytest.mark.parametrize("case", WRITTEN)
def test_written_mapping_reads_the_same_rows(case: str, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for name, data in WRITTEN[case].items():
        (folder / name).write_text(data)
    path = folder / "c.csv" if len(WRITTEN[case]) == 1 else folder
    missing = ["company_name"] if case == "export" else []
    inspected = sources.read(path, inspecting=True, unsupported=missing)
    list(inspected)
    assert inspected.notes.mapping is not None
    mapping = loaded(tmp_path, inspected.notes.mapping.to_toml())
    found = [row.draft or row.problem for row in sources.read(path, mapping=mapping, unsupported=missing)]
    assert found == [row.draft or row.problem for row in sources.read(path, unsupported=missing)]


def test_company_is_the_name_if_the_mapping_says_so(tmp_path: Path) -> None:
    for chosen, name in {True: "Acme", False: None, None: None}.items():
        columns = {"Nr": ("reference",), "Firma": ("company_name",)}
        mapping = ColumnMapping(columns=columns, company_as_name=chosen)
        (draft,) = read_drafts(tmp_path, "Nr,Firma\n1,Acme\n", mapping=mapping)
        assert (draft.company_name, draft.name) == ("Acme", name)
    (draft,) = read_drafts(tmp_path, "reference,Firma\n1,Acme\n", mapping=ColumnMapping(company_as_name=False))
    assert (draft.company_name, draft.name) == ("Acme", None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour = 1", "'colour' is not a key of a mapping; the valid keys are columns"),
        ('unknown = "keep"', "unknown must be one of refuse, ignore"),
        ('default_country = "Croatia"', r"a two-letter ISO 3166-1 code, such as HR, not 'Croatia'\. Use HR\."),
        ('default_country = "UK"', r"not 'UK'\. Use GB\."),
        ('default_country = "XX"', "such as HR, not 'XX'"),
        ('transformations = ["magic"]', "'magic' is not a transformation; the transformations are readable"),
        ("columns = 1", r"\[columns\] must be a table"),
        ("[columns]\na = 1", "the field must be a string or a list of strings"),
        ("[fields]\nname = 1", r"\[fields\] name must be a table; the valid keys are"),
        ("[fields]\nname = {}", "must have exactly one of the keys first, join and constant"),
        ('[fields]\nname = { first = ["A"], constant = "x" }', "must have exactly one of the keys"),
        ("[text]\ncolour = 1", r"'colour' is not a key of \[text\]; the valid keys are"),
        ('[text]\ndelimiter = "ab"', "delimiter must be one character"),
        ("recognise = 2", "recognise must be one of true, false, not 2"),
        ("nulls = 5", "nulls must be a string or a list of strings"),
        pytest.param(f"nulls = {'[' * 5000}{']' * 5000}", "is not a TOML file: ", id="nested lists"),
    ],
)
def test_invalid_mapping_file_is_refused(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=words):
        loaded(tmp_path, text)


@pytest.mark.parametrize(
    ("data", "missing", "words"),
    [
        (
            "reference,Firma,metadata.company_name\n1,A,B\n",
            "company_name",
            "metadata.company_name ('Firma', 'metadata.",
        ),
        ("reference,Firma,metadata.company_name\n1,A,B\n", "address", None),
        ("reference,Ulica,metadata.address_line1\n1,A,B\n", "address", "metadata.address_line1 ('Ulica', 'metadata."),
    ],
)
def test_two_values_for_one_key_of_metadata_are_refused(
    data: str, missing: str, words: str | None, tmp_path: Path
) -> None:
    if words is None:
        (draft,) = read_drafts(tmp_path, data, unsupported=[missing])
        assert (draft.company_name, draft.metadata) == ("A", {"company_name": "B"})
        return
    with pytest.raises(ConfigurationError, match=re.escape(f"more than one column is mapped to {words}")):
        read_drafts(tmp_path, data, unsupported=[missing])


def test_field_with_a_constant_and_a_column_is_refused(tmp_path: Path) -> None:
    mapping = loaded(tmp_path, '[fields]\nname = { constant = "Shop" }')
    with pytest.raises(ConfigurationError, match=r"name has a constant .* and a column \('name'\)"):
        read_drafts(tmp_path, "reference,name\n1,Ada\n", mapping=mapping)


def test_transformation_can_be_left_out(tmp_path: Path) -> None:
    mapping = ColumnMapping(transformations=("nfc",))
    (draft,) = read_drafts(tmp_path, "reference,name,phone\n8.5E+11,N/A,123\n", mapping=mapping)
    assert (draft.reference, draft.name) == ("8.5E+11", "N/A")


async def _all(job: Job) -> list[bool]:
    return [outcome.ok async for outcome in job]


@pytest.mark.anyio
async def test_column_that_fails_in_every_row_stops_the_job(account: Callable[[str], Any], tmp_path: Path) -> None:
    lines = "".join(f"c-{number},Name {number},not an address\n" for number in range(3000))
    (tmp_path / "c.csv").write_text(f"reference,name,email\n{lines}", encoding="utf-8")
    async with CustomerSession(account("monri")) as session:
        found = await plan(session, sources.read(tmp_path / "c.csv"))
        assert found.systematic is not None
        assert "(invalid email)" in found.systematic
        assert found.requests == 0
        unlimited = await plan(session, sources.read(tmp_path / "c.csv"), options=Options(failure_share=None))
        assert (unlimited.systematic, unlimited.invalid) == (None, 3000)
        job = sync(session, sources.read(tmp_path / "c.csv"))
        async with job:
            with pytest.raises(
                BulkError, match=r"1000 of 1000 rows cannot be sent for the same reason \(invalid email\)"
            ):
                await _all(job)
    assert job.exit_status == "failures"
    assert job.rows_read == 1000


@pytest.mark.anyio
async def test_twins_and_changes_are_counted_in_plan_and_report(account: Callable[[str], Any], tmp_path: Path) -> None:
    lines = ("A-1,Ada,Croatia", "a-1,Ana,HR", "b\u200b-1,Bo,NULL", "\ufb01-1,Cy,", "fi-1,Di,")
    (tmp_path / "c.csv").write_text("\n".join(["reference,name,address.country", *lines, ""]), encoding="utf-8")
    async with CustomerSession(account("monri")) as session:
        found = await plan(session, sources.read(tmp_path / "c.csv"))
        async with sync(session, sources.read(tmp_path / "c.csv")) as job:
            assert await _all(job) == [True] * 5
    assert found.notes.as_dict() == job.notes.as_dict()
    assert job.notes.near_duplicates == 2
    assert job.notes.changes == {
        ("address.country", "country"): 1,
        ("address.country", "placeholders"): 1,
        ("reference", "invisible"): 1,
    }
    assert job.notes.examples["address.country", "country"] == [("Croatia", "HR")]
    assert found.samples[0] == {"merchant_customer_id": "A-9", "name": "Axx", "country": "Hx"}


def test_olympic_and_vehicle_codes_are_read_as_countries(tmp_path: Path) -> None:
    codes = {"CRO": "HR", "SLO": "SI", "GER": "DE", "SUI": "CH", "POR": "PT", "D": "DE", "a": "AT", "I": "IT"}
    lines = "".join(f"r-{code},{code}\n" for code in codes)
    found = read_drafts(tmp_path, f"reference,address.country\n{lines}")
    assert [it.address and it.address.country for it in found] == list(codes.values())


def test_unknown_country_is_reported_with_its_line_and_without_its_value(tmp_path: Path) -> None:
    (problem,) = read_drafts(tmp_path, "reference,address.country\nr-1,Narnia\n")
    assert problem == (
        "line 2, column address.country: the value is not a known country; use an ISO 3166-1 code, such as HR, or the"
        " name of the country"
    )


def test_field_that_has_a_column_is_not_suggested_again(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"unknown columns: 'phones', 'Telefonn'\."):
        read_drafts(tmp_path, "reference,phone,phones,Telefonn\n1,,,\n")
    with pytest.raises(ConfigurationError, match=r"'phones' \(did you mean phone\?\)"):
        read_drafts(tmp_path, "reference,phones\n1,\n")


def test_suggestions_are_not_made_by_chance(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("reference,Time,Status,Addresses,Address 2 - Town\n1,,,\n")
    with pytest.raises(ConfigurationError, match=r"unknown columns: 'Time', 'Status', 'Addresses', "):
        sources.read(path)
