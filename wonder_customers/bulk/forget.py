"""Erases customers from a journal and from the files that its jobs wrote."""

import csv
import io
import json
import mmap
import re
import sqlite3
from base64 import b64decode
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import orjson
from attrs import define, field

from wonder_customers.bulk.journal import Journal
from wonder_customers.bulk.journal.database import connect, reading, writing
from wonder_customers.bulk.journal.digest import key_mark
from wonder_customers.bulk.journal.entries import UNCONFIRMED
from wonder_customers.bulk.private_files import replace_private
from wonder_customers.bulk.sources.json_files import DEAD_LETTER
from wonder_customers.bulk.sources.transformations import spreadsheet_text

__all__ = ["Forgotten", "files_near", "forget"]

_IDS: Final = b"reference,id,state,time"
_PLAN: Final = b'{"wonder-customers plan"'
_HEAD: Final = 1 << 16
_BESIDE: Final = ("-wal", "-shm", "-journal", ".key", ".lock")
_DATABASE: Final = b"SQLite format 3\0"
_COMPRESSED: Final = (b"\x28\xb5\x2f\xfd", b"BZh")
"""The beginnings of compressed files that may have no null byte."""
_UTF_16: Final = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


@define
class Forgotten:
    """What was erased, and the files that still contain a reference.

    Attributes:
        rows: Number of rows removed from the journal.
        unconfirmed: Number of removed rows with a write or deletion that may have been applied, or may still be.
        entries: Number of entries removed from each file. A deleted saved plan counts as one entry.
        left: Files that still contain one of the references, such as the source.
        unsearched: Files that cannot be searched, such as compressed files and spreadsheets.
    """

    rows: int = 0
    unconfirmed: int = 0
    entries: dict[Path, int] = field(factory=dict)
    left: list[Path] = field(factory=list)
    unsearched: list[Path] = field(factory=list)


def files_near(journal: Journal) -> list[Path]:
    """Return the files to search for customers in the folder of a journal."""
    # The folder of the source is not searched, because a journal from another person could name any folder.
    path = journal.path.resolve()
    found = [it for it in sorted(path.parent.iterdir()) if it.is_file() and not it.is_symlink()]
    # Another journal is read together with the files beside it.
    beside = {it.name + suffix for it in found if it.name.endswith(".journal") for suffix in _BESIDE}
    beside.update(path.name + suffix for suffix in ("", *_BESIDE))
    return [it for it in found if it.name not in beside]


def forget(journal: Journal, references: Collection[str], files: Iterable[Path]) -> Forgotten:
    """Remove customers from a journal and from the files that its jobs wrote."""
    wanted, found = set(references), Forgotten()
    journal.hold()
    try:
        ids = _from_journal(journal, wanted, found)
    finally:
        journal.release()
    pattern = _pattern(wanted)
    mark = key_mark(journal.digests).hex() if found.rows else ""
    for path in files:
        erased = _from_file(path, wanted, ids, pattern, mark)
        if erased:
            found.entries[path] = erased
        contains = _contains(path, wanted, pattern) if path.exists() else False
        if contains is not False:
            (found.unsearched if contains is None else found.left).append(path)
    return found


def _pattern(wanted: set[str]) -> re.Pattern[bytes]:
    """Return a pattern for references as they are in text files, in CSV and in JSON."""
    as_json = (json.dumps(it, ensure_ascii=escaped)[1:-1] for it in wanted for escaped in (True, False))
    forms = {*wanted, *(it.replace('"', '""') for it in wanted), *as_json}
    found = {it.encode(name, "xmlcharrefreplace") for it in forms for name in ("utf-8", "cp1250", "cp1252")}
    return re.compile(b"|".join(rb"(?<![\w-])" + re.escape(it) + rb"(?![\w-])" for it in sorted(found)))


def _from_journal(journal: Journal, wanted: set[str], found: Forgotten) -> set[str]:
    """Delete rows from the journal, and return the ids of their customers."""
    ids: set[str] = set()
    with (
        writing(journal.path, "Some rows may have been erased. Run the command again."),
        closing(connect(journal.path)) as connection,
    ):
        connection.execute("PRAGMA secure_delete = ON").close()
        connection.execute("PRAGMA temp_store = MEMORY").close()
        for reference in wanted:
            with reading(journal.path):
                rows = connection.execute("SELECT id, state FROM rows WHERE reference = ?", [reference]).fetchall()
            ids.update(it for it, _ in rows if isinstance(it, str))
            found.rows += len(rows)
            found.unconfirmed += sum(state in UNCONFIRMED for _, state in rows)
            connection.execute("DELETE FROM rows WHERE reference = ?", [reference])
        for statement in ("PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
            connection.execute(statement).close()
    return ids


def _from_file(path: Path, wanted: set[str], ids: set[str], pattern: re.Pattern[bytes], mark: str) -> int:
    """Remove customers from one file; return the number of removed entries."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    line = head.partition(b"\n")[0]
    first = _parsed(line)
    if head.startswith(_PLAN):
        if not isinstance(first, dict) or first.get("key") != mark:
            return 0
        # A plan contains digests of all rows, and is invalid after rows were removed from its journal.
        path.unlink()
        return 1
    if line.strip() == _IDS:
        return _rewritten(path, lambda content: _without_ids(content, wanted, ids))
    if isinstance(first, dict) and first.keys() >= DEAD_LETTER:
        return _rewritten(path, lambda content: _without_failed_rows(content, wanted, pattern))
    if head.startswith(b"{") and b'"versions"' in path.read_bytes():
        return _rewritten(path, lambda content: _report_without(content, ids))
    return 0


Edited = tuple[bytes, int]


def _without_ids(content: bytes, wanted: set[str], ids: set[str]) -> Edited:
    rows = list(csv.reader(io.StringIO(content.decode(errors="surrogateescape"), newline="")))
    wanted, ids = wanted.union(map(spreadsheet_text, wanted)), ids.union(map(spreadsheet_text, ids))
    kept = [row for row in rows if not (wanted.intersection(row[:1]) or ids.intersection(row[1:2]))]
    text = io.StringIO(newline="")
    csv.writer(text).writerows(kept)
    return text.getvalue().encode(errors="surrogateescape"), len(rows) - len(kept)


def _without_failed_rows(content: bytes, wanted: set[str], pattern: re.Pattern[bytes]) -> Edited:
    lines = content.splitlines(keepends=True)
    kept = [line for line in lines if not _is_about(line, wanted, pattern)]
    return b"".join(kept), len(lines) - len(kept)


def _is_about(line: bytes, wanted: set[str], pattern: re.Pattern[bytes]) -> bool:
    """Return whether an entry is about one of the customers."""
    entry = _parsed(line)
    reference = entry.get("reference") if isinstance(entry, dict) else None
    if reference is not None:
        return reference in wanted
    row = b""
    with suppress(KeyError, TypeError, ValueError):
        row = b64decode(entry["original_base64"])
    return any(pattern.search(it) for it in (line, row, *(text.encode() for text in _texts(entry))))


def _texts(value: Any) -> Iterator[str]:
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(item, str):
            yield item
        yield from _texts(item)


def _report_without(content: bytes, ids: set[str]) -> Edited:
    report = _parsed(content)
    missing: Any = report.get("missing_from_source") if isinstance(report, dict) else None
    held = missing.get("ids") if isinstance(missing, dict) else None
    if not isinstance(held, list) or ids.isdisjoint(held):
        return content, 0
    missing["ids"] = kept = [it for it in held if it not in ids]
    return orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE), len(held) - len(kept)


def _parsed(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None


def _rewritten(path: Path, edit: Callable[[bytes], Edited]) -> int:
    """Edit a file; return the number of removed entries."""
    content, removed = edit(path.read_bytes())
    if removed and content:
        replace_private(path, content)
    elif removed:
        path.unlink()
    return removed


def _contains(path: Path, wanted: set[str], pattern: re.Pattern[bytes]) -> bool | None:
    """Return whether a file contains one of the references; None if it cannot be searched."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if not head:
            return False
        if head.startswith(_DATABASE):
            return _journal_contains(path, wanted)
        if head[:2] in _UTF_16:
            text = path.read_bytes().decode(_UTF_16[head[:2]], "replace")
            return pattern.search(text.encode()) is not None
        if b"\0" in head or head.startswith(_COMPRESSED):
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return pattern.search(content) is not None


def _journal_contains(path: Path, wanted: set[str]) -> bool | None:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as connection:
            # The schema of an untrusted file must not call functions.
            connection.execute("PRAGMA trusted_schema = OFF").close()
            find = "SELECT 1 FROM rows WHERE reference = ?"
            return any(connection.execute(find, [it]).fetchone() is not None for it in wanted)
    except sqlite3.Error:  # another database
        return None
