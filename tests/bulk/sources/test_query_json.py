"""A query over JSON: strings stay strings, as without a query."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from bulk.sources.read_rows import read_rows

from wonder_customers import ConfigurationError
from wonder_customers.bulk import sources

pytest.importorskip("duckdb", reason="needs the extra duckdb")

UUID = "6F1C8E62-0000-4000-8000-00000000000A"
TABLES: dict[str, list[dict[str, Any]]] = {
    "numbers and strings": [{"reference": 1, "name": "A"}, {"reference": "002", "name": "B"}],
    "a string after many numbers": [*({"reference": it, "name": "A"} for it in range(25_000)), {"reference": "0042"}],
    "UUIDs": [{"reference": UUID, "name": UUID}],
    "dates": [{"reference": "2024-01-05", "name": "2024-01-02 10:00"}, {"reference": "2024-1-6", "name": "12:30"}],
    "nested": [
        {
            "reference": "1",
            "metadata": {
                "since": "2024-01-02T03:04:05+02:00",
                "id": UUID,
                "DATE": "2024-01-02",
                'DATE, "x': "2024-01-02",
            },
        },
        {"reference": "2", "metadata": {"other": "x", "visits": 3, "last": {"shop": "A", "tags": [{"a": 1}]}}},
        {"reference": "3", "metadata": {"last": {"day": "2024-01-02", "tags": [{"b": "2"}]}}},
    ],
    "metadata of several kinds": [{"reference": "1", "metadata.a": 7}, {"reference": "2", "metadata.a": "07"}],
}


@pytest.mark.parametrize("name", ["c.jsonl", "c.json", "it's.jsonl", "c.jsonl.gz"])
@pytest.mark.parametrize(
    "table",
    [pytest.param(it, id=name, marks=pytest.mark.long if len(it) > 1000 else ()) for name, it in TABLES.items()],
)
def test_query_reads_the_strings_of_json(
    table: list[dict[str, Any]], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = json.dumps(table) if name == "c.json" else "".join(json.dumps(row) + "\n" for row in table)
    data = gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
    expected = [row.draft for row in read_rows(tmp_path, data, name)]
    if table is TABLES["metadata of several kinds"]:
        expected = [row.draft for row in read_rows(tmp_path, text.replace(" 7}", ' "7"}'), "text.jsonl")]
    monkeypatch.chdir(tmp_path)
    quoted = name.replace("'", "''")
    for path, source in ((name, "source"), ("-", f"'{quoted}'")):
        assert [row.draft for row in sources.read(path, query=f"SELECT * FROM {source}")] == expected


def test_values_in_a_structure_are_read_like_other_values(tmp_path: Path) -> None:
    query = "SELECT 'C1' AS reference, {'visit': {'day': DATE '2024-01-02', 'sum': 1.50::DECIMAL(5, 2)}} AS metadata"
    (row,) = sources.read("-", query=query)
    assert row.draft is not None
    assert row.draft.metadata == {"visit": {"day": "2024-01-02", "sum": "1.50"}}


def test_query_over_a_csv_file_with_a_quote_in_its_name_reads_text(tmp_path: Path) -> None:
    (row,) = read_rows(tmp_path, "reference,name\n0007,Ada\n", "it's.csv", query="SELECT * FROM source")
    assert row.reference == "0007"


def test_query_over_a_spreadsheet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"c\.xlsx is a spreadsheet, which a query cannot read\. Save the"):
        read_rows(tmp_path, b"PK", "c.xlsx", query="SELECT * FROM source")
