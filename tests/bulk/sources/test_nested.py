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
from bulk.sources.read_rows import QUERY, inspected, open_rows, read_draft, read_drafts, read_rows

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
    "by id beside a reference": {
        "1": {"Customer ID": "1", "name": "Ada"},
        "2": {"Customer ID": "2"},
        "3": {"Customer ID": "3"},
    },
    "by id at the top": {f"cust-{it['id']}": {key: it[key] for key in it if key != "id"} for it in ROWS},
}


def parquet(path: Path) -> Path:
    """Copy a JSON file to a Parquet file, and return its path."""
    duckdb = pytest.importorskip("duckdb", reason="needs the extra duckdb")
    with duckdb.connect() as connection:
        connection.execute(f"COPY (FROM '{path}') TO '{path.with_suffix('.parquet')}'")
    return path.with_suffix(".parquet")


@pytest.mark.parametrize(("rows", "mapping"), [(ROWS, None), (MAPPED, MAPPING)], ids=["named", "mapped"])
@pytest.mark.parametrize("kind", ["query", "parquet"])
def test_structures_are_read_like_objects(
    rows: list[dict[str, Any]], mapping: dict[str, str] | None, kind: str, tmp_path: Path
) -> None:
    expected = read_rows(tmp_path, json.dumps(rows), "c.json", mapping=mapping)
    assert [row.problem for row in expected] == [None] * len(rows)
    path = parquet(tmp_path / "c.json") if kind == "parquet" else tmp_path / "c.json"
    source = Source(str(path), mapping or {}, query=QUERY if kind == "query" else None)
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


OBJECT = r"'attributes.who' is an object: map its values with .*\.KEY'"
REFUSED = {
    "objects": (MAPPED, OBJECT),
    "one object": (MAPPED[:1], OBJECT),
    "name inside an object": (
        [{"id": "1", "fields": {"name": "Ada", "last_name": "Li"}}], "'fields.name' may be the full name or the first"
    ),
    "list of objects": (
        [{"reference": "1", "name": "Ada", "phones": [{"number": "1"}] * 2}],
        r"'phones' is a list.* such as the first: jq -c '\.\[\] \| \.phones \|= \.\[:1\]' FILE > customers\.jsonl$",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_message_about_nested_columns_says_how_they_are_read(case: str, tmp_path: Path) -> None:
    rows, words = REFUSED[case]
    with pytest.raises(ConfigurationError, match=words):
        read_rows(tmp_path, json.dumps(rows), "c.json")


@pytest.mark.parametrize("kind", ["json", "parquet"])
def test_inspection_lists_the_values_of_objects(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps([{**row, "metadata": {"visit": {"day": "1"}}} for row in MAPPED]))
    path = parquet(path) if kind == "parquet" else path
    with closing(sources.read(path, inspecting=True)) as reader:
        metadata = "metadata.visit" if kind == "json" else "metadata"
        assert list(reader.notes.columns) == ["attributes.mail", "attributes.who.first", "id", metadata]
        given: Any = reader.notes.mapping
    mapping = evolve(given, columns={**given.columns, "attributes.mail": "email"})
    drafts = [row.draft for row in sources.read(path, mapping=mapping)]
    assert [it and (it.reference, it.email, it.metadata) for it in drafts] == [
        (row["id"], row["attributes"]["mail"], {"visit": {"day": "1"}}) for row in MAPPED
    ]


NUMBER = {"type": "home", "number": "+385912345678"}
MARKED = {"type": "mobile", "number": "+385912345679", "primary": True}
ADA = {"id": "7", "email": "ada@x.test", "firstname": "Ada", "lastname": "Li"}
SHOPIFY = {
    "id": 7,
    "email": "ada@x.test",
    "first_name": "Ada",
    "last_name": "Li",
    "verified_email": True,
    "tax_exempt": 0,
}
CONSENT = {"email_marketing_consent": {"state": "subscribed"}, "state": "enabled", "tags": ""}
MAGENTO = {"street": ["Ilica 1"], "region": {"region": "Zagreb", "region_code": "21"}, "country_id": "HR"}
LISTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "one": ({"id": 7, "phones": [NUMBER], "addresses": []}, {"phone": "+385912345678"}),
    "marked": ({"id": 7, "Phones": [NUMBER, MARKED], "emails": None}, {"phone": "+385912345679"}),
    "values": ({"id": 7, "email": [{"value": "a@x.test", "primary": True}]}, {"email": "a@x.test"}),
    "beside an object": (
        {"id": 7, "address": {"city": "Zagreb"}, "addresses": [{"city": "Split"}]}, {"address": "Zagreb None None None"}
    ),
    "Shopify": (
        {**SHOPIFY, **CONSENT, "addresses": [{"city": "Split"}], "default_address": {"city": "Zagreb", "zip": "1"}},
        {"name": "Ada Li", "email": "ada@x.test", "address": "Zagreb None None None"},
    ),
    "Salesforce": (
        {"Id": "7", "FirstName": "A", "LastName": "B", "MailingCity": "Pula", "MailingAddress": {"street": "Ilica 1"}},
        {"name": "A B", "address": "Pula Ilica 1 None None"},
    ),
    "MongoDB": ({"_id": {"$numberLong": "7"}, "email": "a@x.test", "since": {"$date": ""}}, {"email": "a@x.test"}),
    "HubSpot": (
        {"id": "7", "properties": {**ADA, "phone": "+38514567890"}},
        {"name": "Ada Li", "phone": "+38514567890"},
    ),
    "Magento": (
        {**ADA, "group_id": 1, "addresses": [{**MAGENTO, "city": "Zagreb", "default": True}, {"city": "Split"}]},
        {"name": "Ada Li", "address": "Zagreb Ilica 1 Zagreb HR"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LISTS)
def test_objects_and_lists_of_the_interfaces_of_programs_are_read(case: str, tmp_path: Path) -> None:
    row, expected = LISTS[case]
    draft = read_draft(tmp_path, json.dumps([row]), "c.json", unknown="ignore")
    at = draft.address
    found = {
        "name": f"{draft.first_name} {draft.last_name}",
        "email": draft.email,
        "phone": draft.phone and draft.phone.e164(),
        "address": at and f"{at.city} {at.line1} {at.state} {at.country}",
    }
    assert (draft.reference, found) == ("7", found | expected)


STATE = {"reference": "1", "state": "disabled"}
ADDRESSES: dict[str, tuple[dict[str, Any], tuple[str, str | None]]] = {
    "state of the account": ({**STATE, "address": {"line1": "1", "city": "X"}}, ("X", None)),
    "state of the account and of the address": (
        {**STATE, "default_address": {"city": "Austin", "province": "Texas"}}, ("Austin", "Texas")
    ),
    "state beside other parts": (
        {"reference": "1", "address.city": "Perth", "postal_code": "6000", "state": "WA"}, ("Perth", "WA")
    ),
    "address inside billing": ({"reference": "1", "billing": {"address": {"city": "Zagreb"}}}, ("Zagreb", None)),
}  # fmt: skip


@pytest.mark.parametrize("case", ADDRESSES)
def test_city_and_state_of_an_address_are_read(case: str, tmp_path: Path) -> None:
    row, expected = ADDRESSES[case]
    address = read_draft(tmp_path, json.dumps(row), "c.jsonl", unknown="ignore").address
    assert (address.city, address.state) == expected


def test_row_whose_customer_is_an_object_says_how_its_values_are_mapped(tmp_path: Path) -> None:
    data = json.dumps([{"customer": {"id": "1", "name": "Ada"}}])
    hint = "'customer' is an object: map its values with names such as 'customer.KEY'"
    assert read_draft(tmp_path, data, "c.json") == f"line 1: the row has no reference. {hint}"
    mapping = {"customer.id": "reference", "customer.name": "name"}
    assert read_draft(tmp_path, data, "c.json", mapping=mapping).name == "Ada"


@pytest.mark.parametrize("emptied", [[], None])
def test_emptied_list_is_an_empty_column_of_its_field(emptied: Any, tmp_path: Path) -> None:
    row = {"reference": "1", "phones": emptied, "emails": emptied, "address": {}, "addresses": emptied}
    with closing(open_rows(tmp_path, json.dumps([row]), "c.json")) as reader:
        assert {paths for paths, _ in reader.notes.columns.values()} == {("reference",), ("phone",), ("email",)}


TWO_LISTS = {"phones": [NUMBER], "phone_numbers": [NUMBER]}


@pytest.mark.parametrize(
    ("lists", "how", "phone"),
    [
        ({"phones": [NUMBER]}, {"mapping": {"phones": ""}}, None),
        ({"phones": [NUMBER]}, {"mapping": {"Phones": "", "phones": ""}}, None),
        (TWO_LISTS, {"unknown": "ignore"}, None),
        (TWO_LISTS, {"mapping": {"phone_numbers": ""}}, "+385912345678"),
    ],
    ids=["left out", "left out twice", "two with the same meaning", "one of two left out"],
)
def test_list_that_is_left_out_or_ambiguous_is_not_read(
    lists: dict[str, Any], how: dict[str, Any], phone: str | None, tmp_path: Path
) -> None:
    draft = read_draft(tmp_path, json.dumps([{"reference": "1", "name": "Ada", **lists}]), "c.json", **how)
    assert (draft.phone and draft.phone.e164()) == phone


TABLE = {"reference": ["1", "2", "3"], "name": ["Ada", "Bo", "Cy"]}
NOT_ROWS: dict[str, Any] = {
    "columns": {name: {str(it): value for it, value in enumerate(values)} for name, values in TABLE.items()},
    "list": TABLE,
    "split": {"columns": [*TABLE], "index": [0, 1, 2], "data": [list(it) for it in zip(*TABLE.values(), strict=True)]},
    "values": [list(it) for it in zip(*TABLE.values(), strict=True)],
    "unknown names": {"x": {"0": 1}, "y": {"0": 2}},
}


@pytest.mark.parametrize("orient", NOT_ROWS)
@pytest.mark.parametrize(("indent", "inspecting"), [(None, False), (2, False), (None, True)])
def test_a_table_by_column_is_refused_with_the_orient_to_use(
    orient: str, indent: int | None, inspecting: bool, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=r"not contain one object for each customer.* orient='records'\)"):
        read_rows(tmp_path, json.dumps(NOT_ROWS[orient], indent=indent), "c.json", inspecting=inspecting)


def test_a_later_row_that_contains_only_lists_does_not_end_the_file(tmp_path: Path) -> None:
    rows = [{"reference": "1", "name": "Ada"}, {"tags": ["a", "b"], "groups": ["c", "d"]}, {"reference": "3"}]
    data = "".join(f"{json.dumps(row)}\n" for row in rows)
    first, second, third = read_rows(tmp_path, data, "c.jsonl", unknown="ignore")
    assert (first.problem, second.problem, third.problem) == (None, "line 2: the row has no reference", None)


def test_mapping_of_an_inspected_file_reads_keys_that_are_null_or_empty(tmp_path: Path) -> None:
    parts: list[dict[str, Any]] = [
        {"phones": [], "address": None, "tags": None}, {"phones": [NUMBER], "address": {"city": "Zagreb"}, "tags": "a"},
        {"phones": None, "address": {"city": "Split"}, "tags": None},
    ]  # fmt: skip
    rows = [{"reference": str(it), **part, "shop": None} for it, part in enumerate(parts)]
    expected = read_drafts(tmp_path, json.dumps(rows), "c.json", unknown="ignore")
    assert [it.phone and it.phone.e164() for it in expected] == [None, "+385912345678", None]
    mapping = inspected(tmp_path / "c.json")
    assert read_drafts(tmp_path, json.dumps(rows), "c.json", mapping=mapping) == expected


@pytest.mark.parametrize(
    ("page", "rows"),
    [
        ('{"results": [], "next": null}', 0),
        ('{\n  "meta": {},\n  "data": []\n}', 0),
        ('{"reference": "1", "tags": []}', 1),  # a customer with an empty list
    ],
)
def test_page_without_customers_has_no_rows(page: str, rows: int, tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text(json.dumps({"data": ROWS}))
    (tmp_path / "2.json").write_text(page)
    assert len(list(sources.read(tmp_path, unknown="ignore"))) == len(ROWS) + rows
