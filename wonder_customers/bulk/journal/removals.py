"""The removal of customers in a journal."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import NamedTuple

import orjson
from attrs import frozen

from wonder_customers.bulk.journal.database import check_types, connect, connect_to_read, parse_counts, reading
from wonder_customers.bulk.journal.entries import LATE_ATTEMPT, State
from wonder_customers.bulk.journal.sqlite import Journal

__all__ = ["Candidate", "Missing", "Removals"]

Missing = Callable[[str], list[str]]
"""Returns the references in a JSON array that are not in the source."""

_PAGE = 1000
_WRITTEN = "(id IS NOT NULL AND state <> 'removed' OR state IN ('sending', 'unknown', 'removing'))"
"""Rows whose customer the gateway has, or may have."""
_REFERENCES = """
SELECT json_group_array(reference), max(reference)
FROM (SELECT reference FROM rows WHERE {} AND reference > ? ORDER BY reference LIMIT ?)
"""
_SELECT = """
SELECT reference, state, id, code FROM rows WHERE reference IN (SELECT value FROM json_each(?)) ORDER BY reference
"""
_REMOVING = "UPDATE rows SET state = 'removing', run = ? WHERE reference IN (SELECT value FROM json_each(?))"
_REMOVED = """
UPDATE rows SET state = 'removed', result = NULL, raw = NULL, payload = NULL, fields = NULL, id = coalesce(?, id),
    code = ?, run = ?, at = ? WHERE reference = ?
"""
"""The digests of the customer's values are deleted, so that a row that returns is treated as new."""


class Candidate(NamedTuple):
    """A customer in the journal."""

    reference: str
    state: State
    id: str | None
    code: str | None


@frozen
class Removals:
    """Reads and records the removal of customers in a journal."""

    journal: Journal

    def written(self, missing: Missing) -> Generator[list[Candidate]]:
        """Yield pages of the missing customers that the gateway may have."""
        return self._pages(_WRITTEN, missing)

    def removed(self, missing: Missing) -> Generator[list[Candidate]]:
        """Yield pages of the missing customers that were removed."""
        return self._pages("state = 'removed'", missing)

    def _pages(self, condition: str, missing: Missing) -> Generator[list[Candidate]]:
        path, last = self.journal.path, ""
        with closing(connect_to_read(path)) as connection:
            while True:
                with reading(path):
                    # Most references are in the source, so a page is passed between the databases as one JSON string.
                    references, last = connection.execute(_REFERENCES.format(condition), [last, _PAGE]).fetchone()
                if last is None:
                    return
                if not (found := missing(references)):
                    continue
                with reading(path):
                    rows = connection.execute(_SELECT, [orjson.dumps(found).decode()]).fetchall()
                    check_types(rows, (str, str, str, str))
                yield [Candidate(*row) for row in rows]

    def rows_before(self) -> int | None:
        """Return the number of rows of the last finished run other than the current run; None without such a run."""
        select = "SELECT counts FROM runs WHERE ending = 'finished' AND run <> ? ORDER BY run DESC LIMIT 1"
        with reading(self.journal.path), closing(connect(self.journal.path)) as connection:
            for (counts,) in connection.execute(select, [self.journal.run]):
                return sum(parse_counts(counts).values())
        return None

    async def announce(self, references: Sequence[str]) -> None:
        """Record on disk that customers will be deleted."""
        await self.journal.writer.commit([(_REMOVING, (self.journal.run, orjson.dumps(references).decode()))])

    def done(self, reference: str, id: str | None, *, late: bool) -> None:
        """Record that the gateway no longer has the customer."""
        journal = self.journal
        values = [id, LATE_ATTEMPT if late else None, journal.run, journal.clock(), reference]
        journal.writer.post((_REMOVED, values))

    def revert(self, it: Candidate) -> None:
        """Restore the state that a customer had before `announce`."""
        restore = "UPDATE rows SET state = ?, code = ? WHERE reference = ?"
        self.journal.writer.post((restore, [it.state, it.code, it.reference]))
