"""Read files that a test writes."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from attrs import asdict
from bulk.sources.spreadsheet import write_xlsx

from wonder_customers.bulk import sources

QUERY = "SELECT * FROM source"


def open_rows(folder: Path, data: str | bytes, name: str = "c.csv", **how: Any) -> Any:
    """Write a file and return its reader."""
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return sources.read(path, **how)


def read_rows(folder: Path, data: str | bytes, name: str = "c.csv", **how: Any) -> list[Any]:
    """Write a file and return its rows."""
    return list(open_rows(folder, data, name, **how))


def read_drafts(folder: Path, data: str | bytes, name: str = "c.csv", **how: Any) -> list[Any]:
    """Write a file and return the draft of each row, or its problem."""
    return [row.draft or row.problem for row in read_rows(folder, data, name, **how)]


def read_draft(folder: Path, data: str | bytes, name: str = "c.csv", **how: Any) -> Any:
    """Write a file of one row and return its draft, or its problem."""
    (draft,) = read_drafts(folder, data, name, **how)
    return draft


def open_table(folder: Path, table: Sequence[Sequence[object]], kind: str = "csv", **how: Any) -> Any:
    """Write a table and return its reader; `kind` is csv, query (over CSV) or xlsx."""
    if kind == "xlsx":
        pytest.importorskip("python_calamine", reason="needs the extra excel")
        return sources.read(write_xlsx(folder / "c.xlsx", {"A": table}), **how)
    if kind == "query":
        pytest.importorskip("duckdb", reason="needs the extra duckdb")
        how["query"] = QUERY
    return open_rows(folder, "".join(";".join(map(str, cells)) + "\n" for cells in table), **how)


def inspected(path: Path, **how: Any) -> Any:
    """Return the mapping that the command `columns` writes, as it is read from its file."""
    reader = sources.read(path, inspecting=True, **how)
    list(reader)
    assert reader.notes.mapping is not None
    with TemporaryDirectory() as folder:
        file = Path(folder, "mapping.toml")
        file.write_text(reader.notes.mapping.to_toml(), encoding="utf-8")
        return sources.ColumnMapping.load(file)


def shown(draft: Any) -> dict[str, Any]:
    """Return the fields of a draft, nested ones with a dot, and its phone as one text."""
    found: dict[str, Any] = {}
    for field, value in asdict(draft).items():
        if field == "phone":
            found[field] = None if value is None else f"{value['dial_code'] or ''}{value['number']}"
        elif field == "address":
            found |= {f"address.{part}": inner for part, inner in (value or {}).items()}
        else:
            found[field] = value
    return found


def shown_as(draft: Any, expected: Iterable[str]) -> dict[str, Any]:
    """Return the fields of a draft that `expected` has."""
    found = shown(draft)
    return {name: found.get(name) for name in expected}
