"""File formats: files of other programs are read, or refused with the line of the problem."""

import gzip
import os
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from bulk.sources.read_rows import read_rows

from wonder_customers import ConfigurationError
from wonder_customers.bulk import Journal, Row, sources
from wonder_customers.bulk.sources.csv_parser import LONGEST_FIELD
from wonder_customers.records import CardSource, Phone, VaultToken

HEAD = "reference,name\n"


def names(rows: list[Row]) -> list[str | None]:
    return [row.draft.name if row.draft else row.problem for row in rows]


@pytest.mark.parametrize(
    "data",
    [
        "reference,name\nc-1,Žofie Ünal\n".encode(),
        "\ufeffreference,name\nc-1,Žofie Ünal\n".encode(),
        "reference;name\r\nc-1;Žofie Ünal\r\n".encode(),
        "reference\tname\nc-1\tŽofie Ünal\n".encode("utf-16"),
        "sep=|\nreference|name\nc-1|Žofie Ünal\n".encode(),
        "reference,name\rc-1,Žofie Ünal\r".encode(),
        ' Reference ,NAME\n"c-1","Žofie Ünal"\n'.encode(),
        "\nreference,name\n\n\n,\nc-1,Žofie Ünal\n,,\n".encode(),
    ],
    ids=["utf-8", "mark", "semicolons", "utf-16 tabs", "sep=", "old Mac", "blanks", "empty lines"],
)
def test_csv_variants_are_read(data: bytes, tmp_path: Path) -> None:
    rows = read_rows(tmp_path, data)
    assert names(rows) == ["Žofie Ünal"]
    assert (rows[0].number, rows[0].reference) == (1, "c-1")


def test_line_breaks_in_quotes_keep_the_line_numbers_right(tmp_path: Path) -> None:
    rows = read_rows(tmp_path, 'reference,description\nc-1,"one\ntwo\nthree"\nc-2,x,too,much\n')
    assert rows[0].draft is not None
    assert rows[0].draft.description == "one\ntwo\nthree"
    assert rows[1].problem == "line 5: the row has 4 values, but the table has 2 columns"


@pytest.mark.parametrize("number", ["4.5E+12", "3,85912E+11", "385912e11"])
def test_phone_that_a_spreadsheet_shortened_is_refused(number: str, tmp_path: Path) -> None:
    rows = read_rows(tmp_path, f'reference,name,Phone\nc-1,Ada,"{number}"\nc-2,Grace,\n')
    assert rows[0].problem is not None
    assert rows[0].problem.startswith("line 2, column Phone: a spreadsheet shortened this number")
    assert number not in rows[0].problem
    assert rows[1].problem is None


def test_excel_dates_are_kept_as_they_are_written(tmp_path: Path) -> None:
    rows = read_rows(tmp_path, "reference,metadata.Since,metadata.until\nc-1,45123,01.02.2024\n")
    assert rows[0].draft is not None
    assert rows[0].draft.metadata == {"Since": "45123", "until": "01.02.2024"}


def test_two_hundred_columns_are_read(tmp_path: Path) -> None:
    head = ",".join(["reference", *(f"metadata.k{number}" for number in range(199))])
    rows = read_rows(tmp_path, f"{head}\n" + ",".join(["c-1", *map(str, range(199))]) + "\n")
    assert rows[0].draft is not None
    assert rows[0].draft.metadata == {f"k{number}": str(number) for number in range(199)}


def test_unclosed_quote_is_reported_with_its_line(tmp_path: Path) -> None:
    rows = read_rows(tmp_path, f'{HEAD}c-1,Ada\nc-2,"Grace\nc-3,Joan\n')
    assert names(rows) == ["Ada", "line 3: a quoted value starts here and is not closed"]


def test_too_long_field_is_reported_with_its_line(tmp_path: Path) -> None:
    rows = read_rows(tmp_path, f'{HEAD}c-2,"{"x" * (LONGEST_FIELD + 10)}\nc-3,Joan\n')
    assert rows[0].problem is not None
    assert rows[0].problem.startswith("line 2: a value is longer than 16 MB")


def test_empty_file_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path, b"") == []
    assert read_rows(tmp_path, b"", "c.jsonl") == []


@pytest.mark.parametrize(
    ("head", "mapping", "words"),
    [
        ("reference,CVV", {}, "security codes"),
        ("reference,CVV", {"CVV": ""}, "security codes"),
        ("reference,card-cvc2", {}, "security codes"),
        ("reference,x", {"x": "payment_source.cvv"}, "security codes"),
        ("reference,metadata.security_code", {}, "security codes"),
        ("reference,Card Number", {}, "seems to contain card data"),
        ("reference,PAN", {}, "seems to contain card data"),
        ("reference,expiry date", {}, "seems to contain card data"),
        ("reference,Card Number", {"card number": "metadata.x"}, "seems to contain card data"),
        ("reference,payment_source.number", {}, "seems to contain card data"),
        ("reference,Stadt,Ort", {}, "'Stadt', 'Ort'"),
        ("name", {}, "does not have a column for the reference"),
        ("reference,name,Name", {}, "more than one column is mapped to name"),
        ("reference,x", {"x": "surname"}, "'surname' is not a field of a customer"),
    ],
)
def test_unusable_columns_are_refused(head: str, mapping: Mapping[str, str], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=words):
        read_rows(tmp_path, f"{head}\n1,2,3\n", mapping=mapping)


def test_card_columns_that_are_mapped_are_read(tmp_path: Path) -> None:
    mapping = {
        "Card No": "payment_source.number",
        "MM": "payment_source.expire_month",
        "YY": "payment_source.expire_year",
    }
    data = "reference,Card No,MM,YY\nc-1,4111111111111111,12,2030\nc-2,4111111111111111,,\n"
    rows = read_rows(tmp_path, data, mapping=mapping)
    assert rows[0].draft is not None
    assert isinstance(rows[0].draft.payment_source, CardSource)
    assert b"4111" not in (rows[0].raw_values or b"")
    assert (
        rows[1].problem
        == "line 3: a card requires payment_source.number, payment_source.expire_month and payment_source.expire_year"
    )
    vault = read_rows(tmp_path, "reference,token\nc-1,abc\n", mapping={"token": "payment_source.vault_token"})
    assert vault[0].draft is not None
    assert vault[0].draft.payment_source == VaultToken("abc")


def test_card_column_can_be_excluded_by_name(tmp_path: Path) -> None:
    assert names(read_rows(tmp_path, "reference,name,pan\nc-1,Ada,4111\n", mapping={"pan": ""})) == ["Ada"]


def test_columns_are_mapped_left_out_and_ignored(tmp_path: Path) -> None:
    data = "Kundennr;Stadt;Notiz;Tel\nc-1;Wien;x;+43 1 2345678\n"
    mapping = {"kundennr": "reference", "Stadt": "address.city", "tel": "phone"}
    rows = read_rows(tmp_path, data, mapping=mapping, unknown="ignore")
    assert rows[0].draft is not None
    assert rows[0].draft.address is not None
    assert (rows[0].reference, rows[0].draft.address.city) == ("c-1", "Wien")
    assert rows[0].draft.phone == Phone("+43", "12345678")


def test_json_lines_are_read(tmp_path: Path) -> None:
    data = """{"reference": "c-1", "name": "Ada", "address": {"city": "Wien"}, "metadata": {"a": [1, {"b": 2}]}}

{"reference": 7, "phone": {"dial_code": "+385", "number": "91"}, "address.city": "Split"}
{"reference": "c-3", "name": 5.5}
{"name": "Grace"}
[1]
{"reference": "c-4"
{"reference": "c-5", "phone": "+43 1 2345678", "phone.number": "1"}
"""
    rows = read_rows(tmp_path, data, "c.jsonl")
    assert [row.reference for row in rows] == ["c-1", "7", "c-3", None, None, None, "c-5"]
    assert rows[0].draft is not None
    assert rows[0].draft.metadata == {"a": [1, {"b": 2}]}
    assert rows[1].draft is not None
    assert rows[1].draft.phone == Phone("+385", "91")
    assert [row.problem for row in rows[2:]] == [
        "line 4, column name: the value must be a string or an integer, not a decimal number",
        "line 5: the row has no reference",
        "line 6: the row must be a JSON object",
        "line 7: the row is not valid JSON (at character 19)",
        "line 8: the row has both phone and a part of phone, such as phone.number",
    ]
    with pytest.raises(ConfigurationError, match="security codes"):
        read_rows(tmp_path, '{"reference": "c", "payment_source": {"cvv": "123"}}\n', "d.jsonl")


def test_compressed_files_and_folders_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "customers"
    folder.mkdir()
    (folder / "b.csv.gz").write_bytes(gzip.compress(b"reference,name\nc-3,Joan\n"))
    (folder / "a.csv").write_text("reference,name\nc-1,Ada\nc-2,Grace,,!\n")
    (folder / "a.csv.failed.jsonl").write_text("{}\n")
    (folder / "notes.pdf").write_text("no")
    rows = list(sources.read(folder))
    assert [(row.number, row.reference, row.place) for row in rows] == [
        (1, "c-1", "a.csv, line 2"),
        (2, None, "a.csv, line 3"),
        (3, "c-3", "b.csv.gz, line 2"),
    ]


def test_zstd_file_is_read(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard", reason="needs the extra zstd")
    packed = zstandard.ZstdCompressor().compress(b"reference,name\n" + b"".join(b"c-%d,Ada\n" % n for n in range(5000)))
    assert len(read_rows(tmp_path, packed, "c.csv.zst")) == 5000


@pytest.mark.parametrize("content", [b"", b"reference,name\nc-1,Ada\n"])
def test_file_that_is_not_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"c\.parquet is not a Parquet file\."):
        read_rows(tmp_path, content, "c.parquet")


def test_damaged_parquet_file_is_reported_without_a_query(tmp_path: Path) -> None:
    pytest.importorskip("duckdb", reason="needs the extra duckdb")
    with pytest.raises(ConfigurationError, match=r"c\.parquet cannot be read: .* Export") as caught:
        read_rows(tmp_path, b"PAR1" + b"\0" * 64 + b"PAR1", "c.parquet")
    assert "query" not in str(caught.value)


def test_parquet_and_queries_are_read(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="needs the extra duckdb")
    csv, parquet = tmp_path / "c.csv", tmp_path / "c.parquet"
    csv.write_text("id,person,since\n1,Ada,2024-01-02\n2,Grace,2024-01-03\n")
    duckdb.execute(f"COPY (SELECT id AS reference, person AS name FROM '{csv}') TO '{parquet}' (FORMAT parquet)")
    assert [(row.reference, row.draft and row.draft.name) for row in sources.read(parquet)] == [
        ("1", "Ada"),
        ("2", "Grace"),
    ]
    query = "SELECT id AS reference, person AS name, since AS 'metadata.since' FROM source WHERE CAST(id AS INT) > 1"
    rows = list(sources.read(csv, query=query))
    assert rows[0].draft is not None
    assert rows[0].draft.metadata == {"since": "2024-01-03"}
    assert rows[0].place == "row 1"
    with pytest.raises(ConfigurationError, match="the query failed"):
        list(sources.read(csv, query="SELECT nothing FROM source"))
    own = list(sources.read("-", query=f"SELECT id AS reference FROM '{csv}'"))
    assert [row.reference for row in own] == ["1", "2"]


@pytest.mark.parametrize("name", ["missing.csv", "c.xlsx", "empty"])
def test_path_that_is_not_a_source_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "c.xlsx").write_bytes(b"PK")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError):
        sources.read(tmp_path / name)


def test_reader_reports_the_fraction_read(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text(HEAD + "".join(f"c-{number},Ada\n" for number in range(20_000)))
    reader = sources.read(path)
    assert 0 < (reader.fraction or 0) < 0.5
    assert len(list(reader)) == 20_000
    reader.close()


def test_fingerprint_changes_with_the_source(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text(HEAD)
    before = sources.fingerprint(path)
    assert before == sources.fingerprint(path)
    path.write_text(HEAD + "c-1,Ada\n")
    assert sources.fingerprint(path) != before


def test_mapped_column_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    mapping = {"Stadtt": "address.city"}
    with pytest.raises(ConfigurationError, match=r"have the column 'Stadtt', which the mapping leaves out\."):
        read_rows(tmp_path, "reference,Stadt\nc-1,Wien\n", mapping={"Stadtt": ""}, unknown="ignore")
    with pytest.raises(ConfigurationError, match=r"have the column 'Stadtt', which is mapped to 'address\.city'"):
        read_rows(tmp_path, "reference,Stadt\nc-1,Wien\n", mapping=mapping, unknown="ignore")
    assert names(read_rows(tmp_path, '{"reference": "c-1", "name": "Ada"}\n', "c.jsonl", mapping=mapping)) == ["Ada"]


def test_mapped_column_may_be_missing_in_some_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("reference,Name\nc-1,Ada\n")
    (tmp_path / "b.csv").write_text("reference,Vorname\nc-2,Grace\n")
    assert names(list(sources.read(tmp_path, mapping={"Vorname": "name"}))) == ["Ada", "Grace"]


def test_folder_entry_that_is_not_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"{HEAD}c-1,Ada\n")
    (tmp_path / "archive").mkdir()
    assert len(list(sources.read(tmp_path))) == len(list(sources.read(tmp_path, form="csv"))) == 1
    (tmp_path / "b.csv").symlink_to(tmp_path / "gone.csv")
    with pytest.raises(ConfigurationError, match=r"b\.csv is a link to a missing file"):
        sources.read(tmp_path)
    (tmp_path / "b.csv").rename(tmp_path / "b")
    assert len(list(sources.read(tmp_path))) == 1
    with pytest.raises(ConfigurationError, match="b is a link to a missing file"):
        sources.read(tmp_path, form="csv")
    (tmp_path / "b").unlink()
    (tmp_path / "c.csv").mkdir()
    for use in (sources.read, sources.fingerprint):
        with pytest.raises(ConfigurationError, match=r"c\.csv is a folder, although its name"):
            use(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="file names of this system are UTF-8")
def test_file_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"kund\xe9")
    folder.mkdir()
    (folder / "a.csv").write_text("reference,name\nc-1,Ada\n")
    (tmp_path / os.fsdecode(b"k\xe9.csv")).write_text("reference,name\nc-2,Grace\n")
    for use in (sources.read, sources.fingerprint):
        for path in (tmp_path, folder, folder / "a.csv", tmp_path / os.fsdecode(b"k\xe9.csv")):
            with pytest.raises(ConfigurationError, match=r"\\udce9.* is not UTF-8\. Rename the file or its folder\."):
                use(path)


def test_path_that_cannot_be_examined_is_reported() -> None:
    long = "x" * 300  # newer versions of Python report that the file does not exist
    with pytest.raises(ConfigurationError, match=r"cannot be read: .*too long|does not exist"):
        sources.read(long)
    with pytest.raises(ConfigurationError, match=r"cannot be used as a journal: .*too long"):
        Journal.open(long, gateway="monri", endpoint="https://ipgtest.monri.com/")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.csv")
    for use in (sources.read, sources.fingerprint):
        with pytest.raises(ConfigurationError, match=r"p\.csv is a pipe or a device, .* Save the rows to a file"):
            use(tmp_path / "p.csv")
    with pytest.raises(ConfigurationError, match=r"p\.csv is a pipe or a device, although"):
        sources.read(tmp_path)


def test_temporary_files_of_a_query_are_deleted_when_its_reader_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("duckdb", reason="needs the extra duckdb")
    (tmp_path / "c.csv").write_text("reference\nr-1\nr-2\n")
    (folder := tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with closing(sources.read(tmp_path / "c.csv", query="FROM source")) as rows:
        assert next(rows).reference == "r-1"
        assert list(folder.iterdir())
    assert not list(folder.iterdir())
