"""What a source's path stands for: its files, their formats, and whether they are still the same."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import orjson

from wonder_customers.errors import ConfigurationError

__all__ = ["Format", "existing", "files", "fingerprint"]

Format = Literal["csv", "jsonl", "parquet"]

_FORMATS: Mapping[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_PACKED = frozenset({".gz", ".zst", ".zstd"})
_EDGE = 1 << 16


def files(path: Path, form: Format | None = None) -> list[tuple[Path, Format]]:
    """The files of a source and their formats, in the order in which they are read.

    Raises:
        ConfigurationError: There are none, or a name does not tell the format.
    """
    return [(file, form or _format(file)) for file in _files(path, form)]


def fingerprint(path: str | Path, query: str | None = None) -> str:
    """A short text that changes when the source does: sizes, times, and the files' first and last 64 kB.

    Raises:
        ConfigurationError: There is no such source.
    """
    found = hashlib.sha256((query or "").encode())
    if str(path) != "-":
        where = existing(Path(path))
        for file in _files(where, None):
            facts = file.stat()
            found.update(orjson.dumps([file.name, facts.st_size, facts.st_mtime_ns]))
            found.update(_edges(file, facts.st_size))
    return found.hexdigest()[:32]


def existing(path: Path) -> Path:
    """`path`, which is there.

    Raises:
        ConfigurationError: It is not.
    """
    if not path.exists():
        raise ConfigurationError(f"there is no file or folder {path}")
    return path


def _files(path: Path, form: Format | None) -> list[Path]:
    """The files of a source, in the order in which they are read."""
    if not existing(path).is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.is_file() and (form or _suffix(file) in _FORMATS))
    # What earlier runs left beside a source is no part of it.
    files = [file for file in files if not file.name.endswith(".failed.jsonl")]
    if not files:
        raise ConfigurationError(f"the folder {path} holds no {', '.join(sorted(_FORMATS))} file")
    return files


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _format(path: Path) -> Format:
    try:
        return _FORMATS[_suffix(path)]
    except KeyError:
        raise ConfigurationError(
            f"{path.name}: the name does not tell the format; say it with --format csv, jsonl or parquet"
        ) from None


def _edges(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        first = file.read(_EDGE)
        file.seek(max(0, size - _EDGE))
        return first + file.read(_EDGE)
