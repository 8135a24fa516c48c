"""The files of a source, their formats and their fingerprint."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import orjson

from wonder_customers._core.arguments import checked_path
from wonder_customers.errors import ConfigurationError

__all__ = ["Format", "check_version", "existing", "files", "fingerprint", "is_read", "version"]

Format = Literal["csv", "jsonl", "parquet", "excel"]

_FORMATS: Mapping[str, Format] = {
    **dict.fromkeys((".csv", ".tsv", ".txt"), "csv"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "jsonl"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"), "excel"),
}
_PACKED = frozenset({".gz", ".zst", ".zstd"})
_ARCHIVES = frozenset({".zip", ".7z", ".rar", ".tar", ".tgz", ".bz2", ".xz"})
_OTHERS = dict.fromkeys((".db", ".sqlite", ".sqlite3", ".duckdb"), "a database. Select the rows with `query`")
_OTHERS[".sql"] = "a dump with SQL statements. Export the table as CSV, or restore the dump and use `database`"
_OUTPUTS = (".failed.jsonl", ".journal", ".journal.key", ".journal-wal", ".journal-shm", ".journal-journal")
"""The endings of the names of journals, their keys and files of failed rows."""
_EDGE = 1 << 16


def files(path: str | Path, form: Format | None = None) -> list[tuple[Path, Format]]:
    """Return the files of a source, in reading order, and their formats, which depend on the names without `form`.

    Raise `ConfigurationError` if they cannot be determined.
    """
    try:
        return [(file, form or _format(file)) for file in _files(path, form)]
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}. Check the path and its permissions."
        ) from None


def fingerprint(path: str | Path, query: str | None = None) -> str:
    """Return a digest that identifies the files and the query of a source. Raise `OSError` if a file cannot be read."""
    found = hashlib.sha256((query or "").encode())
    if str(path) != "-":
        for file in _files(path, None):
            facts = file.stat()
            found.update(orjson.dumps([file.name, facts.st_size, facts.st_mtime_ns]))
            # Hashing a whole file of many gigabytes would take too long.
            with file.open("rb") as contents:
                found.update(contents.read(_EDGE))
                contents.seek(max(0, facts.st_size - _EDGE))
                found.update(contents.read(_EDGE))
    return found.hexdigest()[:32]


def is_read(file: Path, folder: Path, form: Format | None) -> bool:
    """Return whether a file belongs to the source if the source is `folder`."""
    entries = [it for it in (file, file.resolve()) if it.parent.resolve() == folder.resolve()]
    return any(not _is_ignored(it.name) and (form is not None or _suffix(it) in _FORMATS) for it in entries)


def check_version(path: Path, before: tuple[int, ...]) -> None:
    """Raise `ConfigurationError` if a file has changed."""
    if version(path) != before:
        raise ConfigurationError(
            f"{path.name} changed while it was read, so some rows may be from the old version and some from the new"
            " version. When the file is complete, run the command again, or continue the run with `resume"
            " --allow-changed`."
        )


def version(path: Path) -> tuple[int, ...]:
    """Return a value that identifies the version of a file."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def existing(path: str | Path) -> Path:
    """Return `path` as a `Path`. Raise `ConfigurationError` if it does not exist."""
    path = checked_path(path)
    if not path.exists():
        raise ConfigurationError(f"{path} does not exist. Check the path.")
    return path


def _files(given: str | Path, form: Format | None) -> list[Path]:
    """Return the files of a source, in reading order."""
    path = existing(given)
    if not path.is_dir():
        if not path.is_file():
            raise ConfigurationError(
                f"{path} is a pipe or a device, which can be read only once, but a job may read its source again. Save"
                " the rows to a file, and use this file as the source."
            )
        return [_named(path)]
    entries = sorted(entry for entry in path.iterdir() if not _is_ignored(entry.name))
    for entry in entries:
        # Folders without a file's name are ignored; anything else that is not a file would mean missing rows.
        if not entry.is_file() and (_suffix(entry) in _FORMATS or (form and not entry.is_dir())):
            raise ConfigurationError(_no_file(entry))
        if not form and entry.is_file() and _is_archive(entry):
            raise ConfigurationError(
                f"{entry} is an archive, which may contain customers. Unpack the archive, or move it to another folder."
            )
    files = [entry for entry in entries if entry.is_file() and (form or _suffix(entry) in _FORMATS)]
    if not files:
        what = "" if form else f" of a supported type: {', '.join(sorted(_FORMATS))}"
        raise ConfigurationError(f"the folder {path} does not contain a file{what}. Check the path.")
    return [_named(file) for file in files]


def _named(file: Path) -> Path:
    """Return a file whose path can be stored in journals and reports."""
    where = str(file.resolve())
    try:
        f"{file}{where}".encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"the path {where!a} is not UTF-8. Rename the file or its folder.") from None
    return file


def _is_ignored(name: str) -> bool:
    # "~$" starts the name of a spreadsheet program's lock file.
    return name.startswith((".", "~$")) or name.endswith(_OUTPUTS)


def _no_file(entry: Path) -> str:
    """Return the message for an entry that is not a file."""
    if not entry.exists():
        return f"{entry} is a link to a missing file. Restore the file, or remove the link."
    what = "a folder" if entry.is_dir() else "a pipe or a device"
    return f"{entry} is {what}, although its name is that of a file. Rename the entry, or move it to another folder."


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _is_archive(path: Path) -> bool:
    return not _ARCHIVES.isdisjoint({path.suffix.lower(), _suffix(path)})


def _format(path: Path) -> Format:
    if (found := _FORMATS.get(_suffix(path))) is not None:
        return found
    if _is_archive(path):
        raise ConfigurationError(
            f"{path.name} is an archive. Unpack the archive, and give the path of the unpacked file or folder."
        )
    if (what := _OTHERS.get(path.suffix.lower())) is not None:
        raise ConfigurationError(f"{path.name} is {what}.")
    raise ConfigurationError(
        f"the format of {path.name} cannot be determined from its name. Set the format with `form`: csv, jsonl, parquet"
        " or excel."
    )
