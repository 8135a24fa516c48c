"""The file of failed rows, as JSON lines."""

import base64
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

import orjson
from attrs import asdict

from wonder_customers._support.card_data import find_card_data, names_security_code
from wonder_customers.bulk.journal.entries import Entry
from wonder_customers.bulk.private_files import new_file_opener, private_opener, temporary_beside
from wonder_customers.bulk.rows import Outcome
from wonder_customers.bulk.sources.assignment import plain
from wonder_customers.bulk.sources.card_guard import may_have_cards
from wonder_customers.bulk.sources.json_files import DEAD_LETTER
from wonder_customers.errors import BulkError, ConfigurationError
from wonder_customers.records import CustomerDraft

__all__ = ["DeadLetters", "check_dead_letters"]

_BATCH: Final = 500
_COPIED: Final = ("reference", "status", "reason", "code", "applied", "attempts", "request_id")
_KEY: Final = re.compile(r"[\"']?([^\W\d][\w. -]{0,60}?)[\"']?\s*[:=]")

Find = Callable[[Sequence[str]], Mapping[str, Entry]]
"""Finds the journal's entries for references."""


class _RowNumbers(dict[str | None, int | set[int]]):
    """Row numbers by reference. Most references have one number, which needs less memory than a set."""

    def note(self, reference: str | None, number: int) -> None:
        known = self.setdefault(reference, number)
        if isinstance(known, set):
            known.add(number)
        elif known != number:
            self[reference] = {known, number}

    def has(self, reference: str | None, number: int) -> bool:
        known = self.get(reference)
        return number in known if isinstance(known, set) else number == known


class DeadLetters:
    """Writes failed rows to a file that only its owner can read.

    Attributes:
        count: The number of failed rows of this run.
        earlier: The number of entries that earlier runs wrote for this source and gateway and that `settle` has kept.
    """

    def __init__(
        self, path: Path, *, source: str = "", gateway: str = "", journal: str = "", values: bool = False
    ) -> None:
        self.path = path
        self.count: int = 0
        self.earlier: int = 0
        self._belongs, self._journal = {"source": source, "gateway": gateway}, journal
        self._values = values
        self._file: BinaryIO | None = None
        self._old_size = 0
        self._known = _RowNumbers()
        self._kept: set[tuple[str | None, int]] = set()
        self._failed = _RowNumbers()
        self._unnamed: set[tuple[int, str | None]] = set()
        self._arrived: set[str] = set()

    def __enter__(self) -> Self:
        self._old_size = self.path.stat().st_size if self.path.is_file() else 0
        for _, entry in self._old():
            if entry is not None:
                self._known.note(entry["reference"], entry["row"])
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def add(self, outcome: Outcome) -> None:
        """Record an outcome, or raise `BulkError` if the file cannot be written."""
        if outcome.ok:
            if outcome.reference in self._known and outcome.reference is not None:
                self._arrived.add(outcome.reference)
            return
        if outcome.replayed and self._known.has(outcome.reference, outcome.number):
            self._kept.add((outcome.reference, outcome.number))
        else:
            try:
                self._write(outcome)
            except OSError as error:
                with suppress(OSError):
                    self._close()
                raise BulkError(
                    f"the failed rows could not be written to {self.path}: {error.strerror}. Fix the cause, such as a"
                    " full disk, or choose another file with --failures. Then continue the run with `resume`, or a"
                    " migration with `migrate`."
                ) from None
        self.count += 1

    def _write(self, outcome: Outcome) -> None:
        file = self._file or self._open()
        entry: dict[str, Any] = {
            "row": outcome.number,
            **{name: getattr(outcome, name) for name in _COPIED},
            "at": _time(time.time()),
            **self._belongs,
            "journal": self._journal,
        }
        if self._values and outcome.draft is not None and not any(find_card_data(outcome.draft)):
            entry["values"] = _values(outcome.draft)
        elif self._values and outcome.draft is None and outcome.original is not None:
            entry |= _original(outcome.original)
        file.write(orjson.dumps(entry, default=str) + b"\n")
        # Flushed per line, so that a killed process leaves complete lines.
        file.flush()
        if outcome.reference is None:
            self._unnamed.add((outcome.number, outcome.reason))
        else:
            self._failed.note(outcome.reference, outcome.number)

    def _open(self) -> BinaryIO:
        unfinished = self.path.is_file() and _ends_incomplete(self.path)
        file = self._file = open(self.path, "ab", opener=private_opener)  # noqa: SIM115 - see _close
        if unfinished:
            # A killed process may have left an incomplete line, which must not corrupt the next line.
            self._old_size += file.write(b"\n")
            file.flush()
        return file

    def settle(self, *, complete: bool, whole: bool = False, find: Find | None = None) -> None:
        """Remove each entry of an earlier run if its row has arrived or failed again, or raise `BulkError`.

        Args:
            complete: Whether the run processed every row of the source.
            whole: Whether the source contains all customers that the gateway should have. If every row of a
                complete run has arrived, all entries of earlier runs with the journal are then removed.
            find: Finds the journal's entries; None without a journal.
        """
        if not self._old_size or not self.path.is_file():
            return
        none_left = complete and whole and not self.count
        target, removed, size = self.path.resolve(), False, self.path.stat().st_size
        rest = temporary_beside(target)
        try:
            with open(rest, "wb", opener=new_file_opener) as file:
                for line, entry in self._decided(complete=complete, none_left=none_left, find=find):
                    if line is None:
                        removed = True
                        continue
                    file.write(line)
                    self.earlier += entry is not None and (entry["reference"], entry["row"]) not in self._kept
                with target.open("rb") as source:
                    source.seek(self._old_size)
                    shutil.copyfileobj(source, file)
                empty = not file.tell()
            # Another job may have written to the file since this job ended.
            if removed and target.stat().st_size == size:
                rest.replace(target)
                if empty:
                    target.unlink()
        except OSError as error:
            raise BulkError(
                f"the list of failed rows {self.path} could not be updated: {error.strerror}. It may contain rows that"
                " the gateway has accepted since. `status` shows the results of this run. Fix the cause, such as a full"
                " disk. The next run with this list updates it."
            ) from None
        finally:
            with suppress(OSError):
                rest.unlink(missing_ok=True)

    def _decided(
        self, *, complete: bool, none_left: bool, find: Find | None
    ) -> Iterator[tuple[bytes | None, dict[str, Any] | None]]:
        """Yield each line of earlier runs, or None to remove it, and its entry."""
        old = self._old()
        while batch := list(islice(old, _BATCH)):
            failed = {it["reference"]: it for _, it in batch if it is not None and it["status"] == "failed"}
            for reference, recorded in (find(list(failed)) if find is not None and failed else {}).items():
                if recorded.state == "done" and _time(recorded.at) > str(failed[reference].get("at", "~")):
                    self._arrived.add(reference)
            for line, entry in batch:
                # Sources in different folders can have the same name.
                left = none_left and entry is not None and entry.get("journal", self._journal) == self._journal
                settled = left or (entry is not None and self._is_settled(entry, complete=complete))
                yield None if settled else line, entry

    def _is_settled(self, entry: Mapping[str, Any], *, complete: bool) -> bool:
        """Return whether `settle` removes an entry of an earlier run."""
        reference, number = entry["reference"], entry["row"]
        if reference is None:
            return (number, entry["reason"]) in self._unnamed
        if (reference, number) in self._kept:
            return False
        if complete or entry["status"] == "failed":
            return reference in self._failed or reference in self._arrived
        return self._failed.has(reference, number)

    def _old(self) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
        """Yield each line of earlier runs, and its entry."""
        left = self._old_size
        if not left:
            return
        with self.path.open("rb") as file:
            for line in file:
                if left <= 0:
                    return
                left -= len(line)
                entry = _parsed(line)
                mine = entry is not None and all(entry.get(it, own) == own for it, own in self._belongs.items())
                yield line, entry if mine else None


def check_dead_letters(path: Path) -> None:
    """Raise `ConfigurationError` if a file exists and is not a list of failed rows."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        first = file.readline(1 << 24)
    if first.strip() and _parsed(first) is None:
        raise ConfigurationError(
            f"{path} already exists and is not a list of failed rows. Give the path of a new file with --failures."
        )


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Return the entry in a line, if there is one."""
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(entry, dict) or not entry.keys() >= DEAD_LETTER or not isinstance(entry["row"], int):
        return None
    reference = entry.setdefault("reference", None)
    return entry if reference is None or isinstance(reference, str) else None


def _ends_incomplete(path: Path) -> bool:
    """Return whether the last line of the file has no line break."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1))
        return file.read(1) not in {b"", b"\n"}


def _original(row: bytes) -> dict[str, str]:
    """Return the members of an entry for an original row."""
    text = row.decode("utf-8", "replace")
    names = _KEY.findall(text)
    if any(find_card_data(text)) or any(names_security_code(it) or may_have_cards(plain(it), None) for it in names):
        return {}
    try:
        return {"original": row.decode()}
    except UnicodeDecodeError:
        return {"original_base64": base64.b64encode(row).decode()}


def _values(draft: CustomerDraft) -> Mapping[str, Any]:
    left_out = {"payment_source", "clear"}
    found = asdict(draft, filter=lambda attribute, value: value is not None and attribute.name not in left_out)
    return found | dict.fromkeys(sorted(draft.clear))
