"""An index of the references of a source."""

import sqlite3
from collections.abc import Sequence

import orjson

from wonder_customers.bulk.sources.transformations import folded

__all__ = ["ReferenceIndex"]

_NEAR_DUPLICATES = """
SELECT first, number FROM (SELECT min(number) OVER (PARTITION BY fold) AS first, number FROM (
    SELECT fold, number FROM folds UNION
    SELECT reference, number FROM seen WHERE reference IN (SELECT fold FROM folds)
)) WHERE first < number ORDER BY number
"""


class ReferenceIndex:
    """The references read so far, in a temporary database."""

    def __init__(self) -> None:
        # On disk, so that memory use does not grow with the source.
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for setting in ("journal_mode = OFF", "synchronous = OFF"):
            self._connection.execute(f"PRAGMA {setting}").close()
        for table in (
            "seen (reference TEXT PRIMARY KEY, number INTEGER NOT NULL)",
            "invalid (reference TEXT PRIMARY KEY)",
            "folds (fold TEXT, reference TEXT, number INTEGER NOT NULL, PRIMARY KEY (fold, reference))",
        ):
            self._connection.execute(f"CREATE TABLE {table} WITHOUT ROWID")

    def close(self) -> None:
        """Delete the temporary database."""
        self._connection.close()

    def find_repeats(self, named: Sequence[tuple[str, int]]) -> dict[int, int]:
        """Add references with row numbers, and return the first row of each repeated reference, by repeating row."""
        # One statement for all rows takes half the time of one statement for each row.
        insert = "INSERT OR IGNORE INTO seen SELECT key, value FROM json_each(?)"
        rows = orjson.dumps(dict(reversed(named))).decode()
        self._connection.execute("BEGIN")
        added = self._connection.execute(insert, [rows]).rowcount
        references = "\n".join([reference for reference, _ in named])
        if not references.isascii() or references != references.lower():  # few sources
            changed = [(fold, it, number) for it, number in named if (fold := folded(it)) != it]
            self._connection.executemany("INSERT OR IGNORE INTO folds VALUES (?, ?, ?)", changed)
        self._connection.execute("COMMIT")
        if added == len(named):
            return {}
        firsts = {reference: self.first(reference) or 0 for reference, _ in named}
        return {number: firsts[reference] for reference, number in named if firsts[reference] != number}

    def near_duplicates(self) -> list[tuple[int, int]]:
        """Return the numbers of rows as `SourceNotes.near_duplicate_rows` describes them."""
        return self._connection.execute(_NEAR_DUPLICATES).fetchall()

    def first(self, reference: str) -> int | None:
        """Return the number of the first row with a reference; None if there is none, or it was removed."""
        found = self._connection.execute("SELECT number FROM seen WHERE reference = ?", [reference]).fetchone()
        return None if found is None else int(found[0])

    def remove(self, reference: str) -> None:
        """Remove the row of a reference, because it is invalid. The reference does not count as missing."""
        self._connection.execute("DELETE FROM seen WHERE reference = ?", [reference])
        self._connection.execute("INSERT OR IGNORE INTO invalid VALUES (?)", [reference])

    def missing(self, references: str) -> list[str]:
        """Return the references in a JSON array that no row has."""
        select = (
            "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT reference FROM seen)"
            " AND value NOT IN (SELECT reference FROM invalid)"
        )
        return [it for (it,) in self._connection.execute(select, [references])]
