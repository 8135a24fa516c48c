"""Mapping files: one column for several fields, several columns for one field, constants, defaults, options."""

import re
from pathlib import Path
from typing import Any

import pytest
from bulk.customers import Jobs, collect
from bulk.sources.read_rows import inspected, read_draft, read_drafts

from wonder_customers import ConfigurationError
from wonder_customers.bulk import Options, sources, sync
from wonder_customers.bulk.distributed.partition import Partition
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


def drafts(path: Path, **how: Any) -> list[Any]:
    return [row.draft or row.problem for row in sources.read(path, **how)]


def test_mapping_file_is_applied(tmp_path: Path) -> None:
    first, second = read_drafts(tmp_path, TABLE, mapping=loaded(tmp_path, FILE))
    assert (first.reference, first.email, first.name) == ("a@example.test", "a@example.test", "Ana Marić")
    assert (first.phone.e164(), first.address.city, first.metadata) == ("+385912345678", "Zagreb", {"origin": "shop"})
    assert (second.name, second.phone, second.address.city) == ("Horvat", Phone("+43", "12345678"), "Split")
    assert loaded(tmp_path, f"\ufeff{FILE}") == loaded(tmp_path, FILE)  # with a byte order mark


def test_mapping_is_the_same_after_writing_and_in_other_processes(tmp_path: Path) -> None:
    mapping = loaded(tmp_path, FILE)
    assert loaded(tmp_path, mapping.to_toml()) == mapping
    part = Partition(source=Source("c.csv", mapping, unsupported=("address",)), place=0, number=0, rows=1, repeats={})
    assert Partition.from_json(part.to_json()) == part


def test_inspection_writes_a_mapping_that_reads_the_same() -> None:
    for path in sorted((Path(__file__).parent / "files").glob("t*.csv")):
        mapping = inspected(path)
        assert "nulls" not in mapping.to_toml()  # the default list is long
        assert drafts(path, mapping=mapping) == drafts(path, unknown="ignore")


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
    for name, data in WRITTEN[case].items():
        (tmp_path / name).write_text(data)
    path = tmp_path / "c.csv" if len(WRITTEN[case]) == 1 else tmp_path
    how = {"unsupported": ["company_name"] if case == "export" else []}
    assert drafts(path, mapping=inspected(path, **how), **how) == drafts(path, **how)


@pytest.mark.parametrize(("chosen", "name"), [(True, "Acme"), (False, None), (None, None)])
def test_company_is_the_name_if_the_mapping_says_so(chosen: bool | None, name: str | None, tmp_path: Path) -> None:
    columns = {"Nr": ("reference",), "Firma": ("company_name",)}
    for names, mapped in (("Nr", columns), *((("reference", {}),) if chosen is False else ())):
        mapping = ColumnMapping(columns=mapped, company_as_name=chosen)
        draft = read_draft(tmp_path, f"{names},Firma\n1,Acme\n", mapping=mapping)
        assert (draft.company_name, draft.name) == ("Acme", name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour = 1", "'colour' is not a key of a mapping; the valid keys are columns"),
        ('unknown = "keep"', "unknown must be one of refuse, ignore"),
        ('default_country = "Croatia"', r"such as HR, not 'Croatia' \(use HR\)\. Correct the mapping file\."),
        ('default_country = "UK"', r"not 'UK' \(use GB\)\."),
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
    ("column", "field", "words"),
    [
        ("Firma", "company_name", "metadata.company_name ('Firma', 'metadata."),
        ("Ulica", "address_line1", "metadata.address_line1 ('Ulica', 'metadata."),
    ],
)
def test_two_values_for_one_key_of_metadata_are_refused(column: str, field: str, words: str, tmp_path: Path) -> None:
    data = f"reference,{column},metadata.{field}\n1,A,B\n"
    with pytest.raises(ConfigurationError, match=re.escape(f"more than one column is mapped to {words}")):
        read_drafts(tmp_path, data, unsupported=["company_name", "address"])
    assert read_draft(tmp_path, data, unsupported=["description"]).metadata == {field: "B"}


def test_field_with_a_constant_and_a_column_is_refused(tmp_path: Path) -> None:
    mapping = loaded(tmp_path, '[fields]\nname = { constant = "Shop" }')
    with pytest.raises(ConfigurationError, match=r"name has a constant .* and a column \('name'\)"):
        read_drafts(tmp_path, "reference,name\n1,Ada\n", mapping=mapping)


def test_transformation_can_be_left_out(tmp_path: Path) -> None:
    mapping = ColumnMapping(transformations=("nfc",))
    draft = read_draft(tmp_path, "reference,name,phone\n8.5E+11,N/A,123\n", mapping=mapping)
    assert (draft.reference, draft.name) == ("8.5E+11", "N/A")


def test_columns_are_mapped_left_out_and_ignored(tmp_path: Path) -> None:
    data = "Kundennr;Stadt;Notiz;Tel\nc-1;Wien;x;+43 1 2345678\n"
    mapping = {"kundennr": "reference", "Stadt": "address.city", "tel": "phone"}
    draft = read_draft(tmp_path, data, mapping=mapping, unknown="ignore")
    assert (draft.reference, draft.address.city, draft.phone) == ("c-1", "Wien", Phone("+43", "12345678"))


@pytest.mark.parametrize(("field", "words"), {"": "the mapping leaves out", "address.city": "is mapped to"}.items())
def test_mapped_column_that_does_not_exist_is_refused(field: str, words: str, tmp_path: Path) -> None:
    mapping = {"Stadtt": field}
    with pytest.raises(ConfigurationError, match=rf"have the column 'Stadtt', which {words}.*{re.escape(field)}"):
        read_drafts(tmp_path, "reference,Stadt\nc-1,Wien\n", mapping=mapping, unknown="ignore")
    assert read_draft(tmp_path, '{"reference": "c-1", "name": "Ada"}\n', "c.jsonl", mapping=mapping).name == "Ada"


def test_mapped_column_may_be_missing_in_some_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("reference,Name\nc-1,Ada\n")
    (tmp_path / "b.csv").write_text("reference,Vorname\nc-2,Grace\n")
    assert [it.name for it in drafts(tmp_path, mapping={"Vorname": "name"})] == ["Ada", "Grace"]


@pytest.mark.anyio
async def test_column_that_fails_in_every_row_stops_the_job(jobs: Jobs) -> None:
    lines = "".join(f"c-{number},Name {number},not an address\n" for number in range(3000))
    jobs.source.write_text(f"reference,name,email\n{lines}", encoding="utf-8")
    async with jobs.session() as session:
        found = await plan(session, jobs.rows())
        assert "(invalid email)" in (found.systematic or "")
        assert found.requests == 0
        unlimited = await plan(session, jobs.rows(), options=Options(failure_share=None))
        assert (unlimited.systematic, unlimited.invalid) == (None, 3000)
        job = sync(session, jobs.rows())
        reason = r"1000 of 1000 rows cannot be sent for the same reason \(invalid email\)"
        with pytest.raises(BulkError, match=reason):
            await collect(job)
    assert (job.exit_status, job.rows_read) == ("failures", 1000)


@pytest.mark.anyio
@pytest.mark.parametrize("jobs", ["monri"], indirect=True)
async def test_twins_and_changes_are_counted_in_plan_and_report(jobs: Jobs) -> None:
    lines = ("A-1,Ada,Croatia", "a-1,Ana,HR", "b\u200b-1,Bo,NULL", "\ufb01-1,Cy,", "fi-1,Di,")
    jobs.source.write_text("\n".join(["reference,name,address.country", *lines, ""]), encoding="utf-8")
    async with jobs.session() as session:
        found, job = await plan(session, jobs.rows()), sync(session, jobs.rows())
        assert all(outcome.ok for outcome in await collect(job))
    assert found.notes.as_dict() == job.notes.as_dict()
    assert job.notes.near_duplicates == 2
    assert job.notes.changes == {
        ("address.country", "country"): 1,
        ("address.country", "placeholders"): 1,
        ("reference", "invisible"): 1,
    }
    assert job.notes.examples["address.country", "country"] == [("Croatia", "HR")]
    assert found.samples[0] == {"merchant_customer_id": "A-9", "name": "Axx", "country": "Hx"}
