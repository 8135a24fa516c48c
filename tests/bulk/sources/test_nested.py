"""Objects in JSON and structures in Parquet files and queries; objects that contain the rows."""

import json
import shlex
import subprocess
from contextlib import closing
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from attrs import evolve
from bulk.sources.read_rows import read_drafts, read_rows

from wonder_customers import ConfigurationError
from wonder_customers.bulk import sources
from wonder_customers.bulk.distributed.partition import Index
from wonder_customers.bulk.sources.reader import Source

ROWS: list[dict[str, Any]] = [
    {"billing": {"address1": "Ilica 1", "city": "Zagreb"}, "id": "1", "phone": {"dial_code": "+385"}, "name": "Ada"},
    {"billing": None, "id": "2", "name": "Bo"},
    {"billing": {"city": "Split"}, "id": "3", "phone": {"number": "912345678", "dial_code": "+385"}, "name": "Cy"},
]
MAPPED: list[dict[str, Any]] = [
    {"attributes": {"mail": "ada@x.test", "who": {"first": "Ada"}}, "id": "1"},
    {"attributes": {"mail": "bo@x.test", "who": {"first": "Bo"}}, "id": "2"},
]
MAPPING = {"attributes.mail": "email", "attributes.who.first": "name"}
ENVELOPES: dict[str, Any] = {
    "nested": {"data": {"customers": ROWS}},
    "HAL": {"_links": {"self": {"href": "/"}}, "_embedded": {"customers": ROWS}},
    "GraphQL": {"data": {"customers": {"edges": [{"node": it} for it in ROWS]}}},
    "by id": {"customers": {it["id"]: {key: it[key] for key in it if key != "id"} for it in ROWS}},
    "pages": [{"data": [it], "next": None} for it in ROWS],
    "by id at the top": {f"cust-{it['id']}": {key: it[key] for key in it if key != "id"} for it in ROWS},
}


@pytest.mark.parametrize(("rows", "mapping"), [(ROWS, None), (MAPPED, MAPPING)], ids=["named", "mapped"])
@pytest.mark.parametrize("kind", ["query", "parquet"])
def test_structures_are_read_like_objects(
    rows: list[dict[str, Any]], mapping: dict[str, str] | None, kind: str, tmp_path: Path
) -> None:
    duckdb = pytest.importorskip("duckdb", reason="needs the extra duckdb")
    expected = read_rows(tmp_path, json.dumps(rows), "c.json", mapping=mapping)
    assert [row.problem for row in expected] == [None] * len(rows)
    path, query = tmp_path / "c.json", "SELECT * FROM source"
    if kind == "parquet":
        with duckdb.connect() as connection:
            connection.execute(f"COPY (FROM '{path}') TO '{tmp_path / 'c.parquet'}'")
        path = tmp_path / "c.parquet"
    source = Source(str(path), mapping or {}, query=query if kind == "query" else None)
    assert [row.draft for row in source.read()] == [row.draft for row in expected]
    assert [row.draft for part in Index(source, 1) for row in part.read()] == [row.draft for row in expected]


@pytest.mark.parametrize("envelope", ENVELOPES.values(), ids=ENVELOPES)
@pytest.mark.parametrize("indent", [None, 2])
def test_message_about_nested_rows_has_a_command_that_extracts_them(
    envelope: Any, indent: int | None, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="The rows seem to be inside an object") as caught:
        read_rows(tmp_path, json.dumps(envelope, indent=indent), "c.json")
    command = shlex.split(str(caught.value).partition("Save them to a file: ")[2])
    assert (command[:2], command[3:]) == (["jq", "-c"], ["FILE", ">", "customers.jsonl"])
    if (program := which("jq")) is not None:
        found = subprocess.run([program, *command[1:3], tmp_path / "c.json"], capture_output=True, check=True).stdout
        references = [row.reference for row in read_rows(tmp_path, found, "c.jsonl")]
        assert [it.removeprefix("cust-") for it in references if it] == ["1", "2", "3"]


@pytest.mark.parametrize("rows", [MAPPED, MAPPED[:1]])
def test_message_about_an_object_says_how_its_values_are_mapped(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"'attributes' is an object: map its values with .*\.KEY'"):
        read_rows(tmp_path, json.dumps(rows), "c.json")


@pytest.mark.parametrize("kind", ["json", "parquet"])
def test_inspection_lists_the_values_of_objects(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps([{**row, "metadata": {"visit": {"day": "1"}}} for row in MAPPED]))
    if kind == "parquet":
        duckdb = pytest.importorskip("duckdb", reason="needs the extra duckdb")
        with duckdb.connect() as connection:
            connection.execute(f"COPY (FROM '{path}') TO '{tmp_path / 'c.parquet'}'")
        path = tmp_path / "c.parquet"
    with closing(sources.read(path, inspecting=True)) as reader:
        inspected = reader.notes
    metadata = "metadata.visit" if kind == "json" else "metadata"
    assert list(inspected.columns) == ["attributes.mail", "attributes.who.first", "id", metadata]
    assert inspected.mapping is not None
    mapping = evolve(inspected.mapping, columns={**inspected.mapping.columns, "attributes.mail": "email"})
    drafts = [row.draft for row in sources.read(path, mapping=mapping)]
    assert [it and (it.reference, it.email, it.metadata) for it in drafts] == [
        (row["id"], row["attributes"]["mail"], {"visit": {"day": "1"}}) for row in MAPPED
    ]


@pytest.mark.parametrize("page", ['{"results": [], "next": null}', '{\n  "meta": {},\n  "data": []\n}'])
def test_a_page_without_customers_has_no_rows(page: str, tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text(json.dumps({"data": ROWS}))
    (tmp_path / "2.json").write_text(page)
    assert len(list(sources.read(tmp_path))) == len(ROWS)


def test_an_empty_list_of_a_customer_is_not_a_page(tmp_path: Path) -> None:
    (draft,) = read_drafts(tmp_path, '{"reference": "1", "tags": []}', "c.json", unknown="ignore")
    assert draft.reference == "1"


def test_state_of_an_account_is_not_the_state_of_its_address(tmp_path: Path) -> None:
    row = {"reference": "1", "state": "disabled", "default_address": {"city": "Austin", "province": "Texas"}}
    (draft,) = read_drafts(tmp_path, json.dumps(row), "c.jsonl", unknown="ignore")
    assert (draft.address.city, draft.address.state) == ("Austin", "Texas")


def test_address_inside_billing_is_the_address(tmp_path: Path) -> None:
    data = json.dumps([{"reference": "c-1", "billing": {"address": {"city": "Zagreb"}}}])
    (draft,) = read_drafts(tmp_path, data, "c.json", unknown="ignore")
    assert draft.address.city == "Zagreb"
