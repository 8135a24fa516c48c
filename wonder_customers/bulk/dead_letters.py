"""The dead-letter file: the rows that failed, as JSON lines with the reason of each."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import orjson
from attrs import asdict, fields

from wonder_customers._support.card_data import find_card_data
from wonder_customers.bulk.private_files import private_opener
from wonder_customers.bulk.rows import Outcome
from wonder_customers.errors import BulkError
from wonder_customers.records import CustomerDraft

__all__ = ["DeadLetters"]


class DeadLetters:
    """Writes failed rows to a file, which is created with the first of them and readable by its owner only.

    An entry names the row and the reason and contains no value of the row, unless values are requested; then the file
    can be used as a source. Card fields, and rows with card data in other fields, are never written.

    Args:
        path: The file.
        values: Write the customers' fields too, so that the file contains personal data.
        append: Keep the existing entries, because the run is resumed.
    """

    def __init__(self, path: Path, *, values: bool = False, append: bool = False) -> None:
        self.path = path
        self.count = 0
        self._existing = _numbers(path) if append else frozenset[int]()
        self._values, self._append = values, append
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        # A device or a pipe with that name must not be removed.
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
        """Write the row of a failed outcome; rows that the file already contains are skipped.

        Raises:
            BulkError: The file cannot be written.
        """
        if outcome.ok:
            return
        try:
            if outcome.number not in self._existing:
                self._write(outcome)
            self.count += 1
        except OSError as error:
            with suppress(OSError):
                self._close()
            raise BulkError(
                f"the failed rows could not be written to {self.path}: {error.strerror}. Free some disk space or choose"
                " another file with --failures, then resume."
            ) from None

    def _write(self, outcome: Outcome) -> None:
        if self._file is None:
            unfinished = self.path.is_file() and _breaks_off(self.path)
            self._file = open(self.path, "a", encoding="utf-8", opener=private_opener)  # noqa: SIM115 - see _close
            if unfinished:
                # A killed process may have left an incomplete line, which must not corrupt the next one.
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
        if self._values and outcome.draft is not None and not any(find_card_data(outcome.draft)):
            letter["values"] = _values(outcome.draft)
        self._file.write(orjson.dumps(letter, default=str).decode() + "\n")
        # Flushed per line, so that a killed process leaves complete lines.
        self._file.flush()


def _breaks_off(path: Path) -> bool:
    """Return whether the last line of the file is incomplete."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1))
        return file.read(1) not in {b"", b"\n"}


def _numbers(path: Path) -> frozenset[int]:
    """Return the row numbers in the file; a line that a killed process left incomplete is ignored."""
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
    """Return the draft's fields that are set, except its payment source."""
    names = [attribute.name for attribute in fields(CustomerDraft) if attribute.name not in {"payment_source", "clear"}]
    found = {name: getattr(draft, name) for name in names if getattr(draft, name) is not None}
    found |= dict.fromkeys(sorted(draft.clear))
    for part in ("phone", "address"):
        if found.get(part) is not None:
            found[part] = {name: value for name, value in asdict(found[part]).items() if value is not None}
    return found
