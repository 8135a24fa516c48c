"""The rows of all partitions equal the rows of the whole source, for any contents."""

import csv
import gzip
import io
import pickle
from pathlib import Path
from typing import Any

import pytest
from bulk.customers import HEADER, OPTIONS, Jobs, collect, line, write_csv
from hypothesis import given
from hypothesis import strategies as st

from wonder_customers import ConfigurationError, CustomerSession
from wonder_customers.bulk import Partition, Row, Source, run_partition
from wonder_customers.bulk.distributed.partition import Index
from wonder_customers.bulk.sources import ColumnMapping, FieldSource

Facts = tuple[int, str | None, str, bytes | None, str | None, object]


def facts_of(row: Row) -> Facts:
    return row.number, row.reference, row.place, row.raw_values, row.problem, row.draft


def cut(source: Source, size: int, first: int | None = None) -> list[Partition]:
    """Return the partitions of a source after a round trip through JSON."""
    found = [Partition.from_json(made.to_json()) for made in Index(source, size, first)]
    assert pickle.loads(pickle.dumps(found)) == found
    return found


def check(source: Source, size: int) -> list[Partition]:
    """Divide a source, compare the rows of all partitions with those of the whole source, and return the partitions."""
    whole = [facts_of(row) for row in source.read()]
    found = cut(source, size)
    assert [facts_of(row) for partition in found for row in partition.read()] == whole
    assert [partition.place for partition in found] == list(range(len(found)))
    assert sum(partition.rows for partition in found) == len(whole)
    assert cut(source, size) == found
    seen: dict[str, int] = {}
    repeats = {}
    for number, reference, *_ in whole:
        if reference is not None and seen.setdefault(reference, number) != number:
            repeats[number] = seen[reference]
    assert {number: first for partition in found for number, first in partition.repeats.items()} == repeats
    return found


CELLS = st.text(st.sampled_from(list('ab ,;"\n\r\té€Žя\x00\x85\u2028=')), max_size=6)
ROWS = st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=12)


@st.composite
def csv_files(draw: st.DrawFn) -> bytes:
    """Return CSV files with valid rows, and with raw lines that a CSV writer would not produce."""
    text = io.StringIO(newline="")
    if draw(st.booleans()):
        text.write("sep=;\n")
    end = draw(st.sampled_from(["\n", "\r\n"]))
    writer = csv.writer(text, delimiter=";", lineterminator=end)
    text.write(draw(st.sampled_from(['reference;name;"em\nail"', "Reference;NAME;x", '\n"reference";name'])) + end)
    for row in draw(ROWS):
        if draw(st.booleans()):
            writer.writerow(row)
        else:
            text.write(";".join(row) + end)
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"]))
    return text.getvalue().encode(encoding, "replace")


@given(data=csv_files(), size=st.integers(1, 5), packed=st.booleans())
def test_partitions_of_a_csv_file_equal_the_whole(data: bytes, size: int, packed: bool, tmp_path: Path) -> None:
    path = tmp_path / ("c.csv.gz" if packed else "c.csv")
    path.write_bytes(gzip.compress(data) if packed else data)
    source = Source(str(path), ColumnMapping(unknown="ignore"))
    try:
        list(source.read())
    except ConfigurationError:
        with pytest.raises(ConfigurationError):
            cut(source, size)
        return
    found = check(source, size)
    if packed or data.startswith(b"\xff\xfe"):
        assert len(found) <= 1


@given(
    lines=st.lists(
        st.sampled_from(
            [
                '{"reference": "a"}',
                '{"reference": "é", "name": "x\\ny"}',
                "",
                "{",
                "[1]",
                '{"name": "n"}',
                '{"reference":7}',
            ]
        )
    ),
    size=st.integers(1, 4),
    marked=st.booleans(),
)
def test_partitions_of_json_lines_equal_the_whole(lines: list[str], size: int, marked: bool, tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes((b"\xef\xbb\xbf" if marked else b"") + "\n".join(lines).encode())
    check(Source(str(path)), size)


def test_folder_is_divided_by_file_with_continuous_row_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "customers"
    folder.mkdir()
    for name, rows in (("a.csv", 5), ("b.csv", 0), ("c.csv", 3)):
        write_csv(folder / name, rows)
    (folder / "d.csv.gz").write_bytes(gzip.compress((folder / "a.csv").read_bytes()))
    (folder / "e.csv").write_bytes((folder / "a.csv").read_text().encode("utf-16"))
    (folder / "f.csv").write_bytes((folder / "a.csv").read_bytes().replace(b"\n", b"\r"))
    found = check(Source(str(folder)), 2)
    assert [(it.number, it.rows) for it in found] == [
        *[(0, 2), (2, 2), (4, 1)],
        *[(5, 2), (7, 1)],
        *[(8, 5), (13, 5), (18, 5)],
    ]
    assert found[3].repeats == {6: 1, 7: 2}


def test_zstd_file_is_one_partition(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard", reason="needs the extra zstd")
    path = tmp_path / "c.csv.zst"
    path.write_bytes(zstandard.ZstdCompressor().compress(write_csv(tmp_path / "c.csv", 20).read_bytes()))
    assert len(check(Source(str(path)), 4)) == 1


def test_parquet_is_divided_at_row_groups(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="needs the extra duckdb")
    path = tmp_path / "c.parquet"
    duckdb.execute(
        "COPY (SELECT 'c-' || (range % 9000) AS Kunde, 'Ada ' || range AS name FROM range(10000))"
        f" TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 2048)"
    )
    source = Source(str(path), {"Kunde": "reference"})
    assert [(it.begin, it.end) for it in check(source, 1000)] == [
        (None, 2048), (2048, 4096), (4096, 6144), (6144, 8192), (8192, None),
    ]  # fmt: skip
    assert [it.rows for it in cut(source, 4000)] == [4096, 4096, 1808]
    assert [it.rows for it in cut(source, 1000, 3000)] == [2048, 952]


@pytest.mark.parametrize("kind", ["VARCHAR", "INTEGER", "DATE"])
def test_query_is_divided_into_ranges_of_references(kind: str, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="needs the extra duckdb")
    database = tmp_path / "c.duckdb"
    value = "DATE '2020-01-01' + i" if kind == "DATE" else f"CAST(i AS {kind})"
    with duckdb.connect(str(database)) as connection:
        connection.execute(
            f"CREATE TABLE people AS SELECT {value} AS id, 'Ada' || j AS who FROM"
            " (SELECT CASE WHEN range % 10 = 0 THEN NULL ELSE CAST(hash(range) % 70 AS INTEGER) END AS i, range AS j"
            " FROM range(200))"
        )
    query = "SELECT id AS reference, who AS name FROM people WHERE who <> 'x'; "
    source = Source(str(database), query=query)
    found = cut(source, 30)
    assert cut(source, 30) == found
    assert len(found) > 4
    read = {partition.place: list(partition.read()) for partition in found}
    rows = [row for partition in found for row in read[partition.place]]
    assert [row.number for row in rows] == list(range(1, 201))
    ordered = Source(str(database), query=f"SELECT * FROM ({query.strip('; ')}) ORDER BY reference NULLS FIRST, name")
    whole = list(ordered.read())
    if kind == "VARCHAR":
        assert [facts_of(row) for row in rows] == [facts_of(row) for row in whole]
    assert sorted(str(row.reference) for row in rows) == sorted(str(row.reference) for row in whole)
    # Rows with one reference are in one partition, and all but the first of them repeat it.
    homes: dict[str, set[int]] = {}
    for place, held in read.items():
        for row in held:
            if row.reference is not None:
                homes.setdefault(row.reference, set()).add(place)
    assert all(len(places) == 1 for places in homes.values())
    assert sum(len(partition.repeats) for partition in found) == 180 - len(homes)


def test_reference_of_several_columns_is_compared_as_a_whole(tmp_path: Path) -> None:
    pytest.importorskip("duckdb", reason="needs the extra duckdb")
    path, reference = tmp_path / "c.csv", FieldSource(join=("branch", "number"), separator="-")
    path.write_text("branch,number,name\n" + "".join(f"b{it % 3},{it // 6},N\n" for it in range(30)))
    found = cut(Source(str(path), ColumnMapping(fields={"reference": reference}), query="FROM source"), 4)
    rows = {row.number: row.reference for partition in found for row in partition.read()}
    repeats = {number: first for partition in found for number, first in partition.repeats.items()}
    assert len(repeats) == 30 - len(set(rows.values())) == 15
    assert all(rows[number] == rows[first] for number, first in repeats.items())


def test_only_the_first_rows_are_sent(tmp_path: Path) -> None:
    source = Source(str(write_csv(tmp_path / "c.csv", 10)))
    for first, sizes, more in ((7, [3, 3, 1], True), (6, [3, 3], True), (10, [3, 3, 3, 1], False)):
        index = Index(source, 3, first)
        found = list(index)
        assert ([it.rows for it in found], index.cut_short, index.rows) == (sizes, more, first)
        assert [row.number for it in found for row in it.read()] == list(range(1, first + 1))


def test_changed_source_is_reported_before_reading(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "c.csv", 10)
    found = cut(Source(str(path)), 4)
    path.write_text(path.read_text().replace("Ada Nr 9", "Eve Nr 9"))
    with pytest.raises(ConfigurationError, match="changed after its rows were counted"):
        found[0].read()


def test_query_with_fewer_rows_is_reported(tmp_path: Path) -> None:
    pytest.importorskip("duckdb", reason="needs the extra duckdb")
    path = write_csv(tmp_path / "c.csv", 10)
    found = cut(Source("-", query=f"SELECT * FROM '{path}'"), 4)
    write_csv(path, 9)
    with pytest.raises(ConfigurationError, match="changed after"):
        [list(partition.read()) for partition in found]


def test_partition_descriptor_contains_no_row(tmp_path: Path) -> None:
    source = Source(str(write_csv(tmp_path / "c.csv", 50)))
    serialized: Any = b"".join(it.to_json() for it in cut(source, 10))
    assert all(personal not in serialized for personal in (b"Ada", b"example.com", b"91 234", b"c-17"))


@pytest.mark.anyio
async def test_unchanged_row_repeats_the_reference_of_another_partition(jobs: Jobs) -> None:
    jobs.source.write_text("\n".join([HEADER, line(1), line(2), line(1)]) + "\n", encoding="utf-8")
    found = cut(Source(str(jobs.source)), 2)
    async with CustomerSession(jobs.account) as session:
        for expected in ("created", "unchanged"):
            ran = [await collect(run_partition(it, session, jobs.journal, options=OPTIONS)) for it in found]
            assert [it.status for outcomes in ran for it in outcomes] == [expected, expected, "duplicate"]
