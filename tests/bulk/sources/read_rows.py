"""Read the rows of a file that a test writes."""

from pathlib import Path
from typing import Any

from wonder_customers.bulk import Row, sources


def read_rows(folder: Path, data: str | bytes, name: str = "c.csv", **how: Any) -> list[Row]:
    """Write a file and return its rows."""
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return list(sources.read(path, **how))


def read_drafts(folder: Path, data: str | bytes, name: str = "c.csv", **how: Any) -> list[Any]:
    """Write a file and return the draft of each row, or its problem."""
    return [row.draft or row.problem for row in read_rows(folder, data, name, **how)]
