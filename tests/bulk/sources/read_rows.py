"""Read the rows of a file that a test writes."""

from pathlib import Path
from typing import Any

from wonder_customers.bulk import sources

__all__ = ["drafts"]


def drafts(folder: Path, data: str | bytes, name: str = "c.csv", **how: Any) -> list[Any]:
    """Write a file and return the draft of each row, or its problem."""
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return [row.draft or row.problem for row in sources.read(path, **how)]
