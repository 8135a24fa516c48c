"""Dead letters: the rows that did not arrive, as JSON lines with the reason, to be looked at and fed back in."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import orjson
from attrs import asdict, fields

from wonder_customers.bulk.rows import Outcome
from wonder_customers.errors import BulkError
from wonder_customers.records import CustomerDraft

__all__ = ["DeadLetters"]


class DeadLetters:
    """Writes dead letters to a file, which is made with the first of them.

    A letter names the row and the reason and holds no value of the row, unless values were asked for; then the file is
    a source itself. Card fields are never in it.

    Args:
        path: The file.
        values: Write the customers' fields too: personal data then lies in the file.
        append: Keep the letters that are there, because the run is resumed.
    """

    def __init__(self, path: Path, *, values: bool = False, append: bool = False) -> None:
        self.path = path
        self.count = 0
        self._there = _numbers(path) if append else frozenset[int]()
        self._values, self._append = values, append
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        # A device or a pipe of that name is not ours to remove.
        if not self._append and self.path.is_file():
            self.path.unlink()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def add(self, outcome: Outcome) -> None:
        """Write a row that failed; those that are in the file already are passed over.

        Raises:
            BulkError: The file cannot be written.
        """
        if outcome.ok:
            return
        try:
            if outcome.number not in self._there:
                self._write(outcome)
            self.count += 1
        except OSError as error:
            with suppress(OSError):
                self._close()
            raise BulkError(
                f"rows that did not arrive could not be written to {self.path}: {error.strerror}. Make room there, or"
                " name another file with --failures, and go on."
            ) from None

    def _write(self, outcome: Outcome) -> None:
        if self._file is None:
            unfinished = self.path.is_file() and _breaks_off(self.path)
            self._file = self.path.open("a", encoding="utf-8")
            if unfinished:
                # A process that died may have left half a line, which must not spoil the next one.
                self._file.write("\n")
        letter: dict[str, Any] = {
            "row": outcome.number,
            "reference": outcome.reference,
            "status": outcome.status,
            "reason": outcome.reason,
            "code": outcome.code,
            "applied": outcome.applied,
            "attempts": outcome.attempts,
            "request_id": outcome.request_id,
        }
        if self._values and outcome.draft is not None:
            letter["values"] = _values(outcome.draft)
        self._file.write(orjson.dumps(letter, default=str).decode() + "\n")
        # One line at a time, so that a process that dies leaves whole lines.
        self._file.flush()


def _breaks_off(path: Path) -> bool:
    """Whether the file's last line has no end."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1))
        return file.read(1) not in {b"", b"\n"}


def _numbers(path: Path) -> frozenset[int]:
    """The rows whose letters are in the file; a line that a dying process left unfinished is none."""
    if not path.exists():
        return frozenset()
    found = set()
    with path.open("rb") as file:
        for line in file:
            try:
                found.add(orjson.loads(line)["row"])
            except (orjson.JSONDecodeError, KeyError, TypeError):
                continue
    return frozenset(found)


def _values(draft: CustomerDraft) -> Mapping[str, Any]:
    """The draft's fields that are set, without its payment source."""
    names = [attribute.name for attribute in fields(CustomerDraft) if attribute.name != "payment_source"]
    found = {name: getattr(draft, name) for name in names if getattr(draft, name) is not None}
    for part in ("phone", "address"):
        if part in found:
            found[part] = {name: value for name, value in asdict(found[part]).items() if value is not None}
    return found
