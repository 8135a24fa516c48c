"""Leases of partitions, in a file that survives the processes. A lease ends when its holder dies."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Any

import orjson
from attrs import define, field, frozen

from wonder_customers.bulk.distributed.partition import Partition
from wonder_customers.bulk.journal import connect

__all__ = ["LEASE_SECONDS", "Lease", "Leases"]

LEASE_SECONDS = 15.0
"""Seconds after which a lease ends if it is not renewed."""

_SCHEMA = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE partitions (
    place INTEGER PRIMARY KEY, partition TEXT NOT NULL, holder TEXT, token INTEGER NOT NULL DEFAULT 0,
    result TEXT, done INTEGER
);
CREATE INDEX free ON partitions (place) WHERE holder IS NULL AND result IS NULL;
CREATE INDEX ended ON partitions (done) WHERE done IS NOT NULL;
"""


@frozen
class Lease:
    """The exclusive right to work on a partition.

    Attributes:
        partition: The partition.
        token: Increases with every lease of the partition; the holder of a smaller token has lost the lease.
    """

    partition: Partition
    token: int

    @property
    def key(self) -> tuple[int, int]:
        """Identifies the lease."""
        return self.partition.place, self.token


@define(eq=False)
class Leases:
    """The partitions of one job, their holders, and the results of completed partitions.

    Attributes:
        path: The file.
        clock: A monotonic clock in seconds.
        duration: Seconds after which a lease ends if it is not renewed.
        left: The number of partitions that are not completed.
        done: The number of completed partitions.
    """

    path: Path
    clock: Callable[[], float] = monotonic
    duration: float = LEASE_SECONDS
    _connection: sqlite3.Connection = field(init=False)
    _until: dict[int, float] = field(factory=dict, init=False)
    left: int = field(init=False)
    done: int = field(init=False)

    @classmethod
    def create(cls, path: Path, partitions: Iterable[Partition], facts: Mapping[str, Any]) -> int:
        """Create a file; return the number of its partitions."""
        with closing(connect(path)) as connection:
            connection.executescript(_SCHEMA)
            connection.execute("BEGIN")
            connection.executemany(
                "INSERT INTO about VALUES (?, ?)", [(name, orjson.dumps(fact).decode()) for name, fact in facts.items()]
            )
            rows = ((partition.place, partition.to_json().decode()) for partition in partitions)
            connection.executemany("INSERT INTO partitions (place, partition) VALUES (?, ?)", rows)
            connection.execute("COMMIT")
            (count,) = connection.execute("SELECT count(*) FROM partitions").fetchone()
            return int(count)

    def __attrs_post_init__(self) -> None:
        self._connection = connect(self.path)
        # Leases from before a restart are continued, because their holders may still be working.
        held = self._connection.execute("SELECT place FROM partitions WHERE holder IS NOT NULL AND result IS NULL")
        self._until = {place: self.clock() + self.duration for (place,) in held}
        count = "SELECT count(*) - count(result), count(result) FROM partitions"
        self.left, self.done = self._connection.execute(count).fetchone()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def fact(self, name: str) -> Any:
        """Return a value stored by `remember`; None if there is none."""
        for (value,) in self._connection.execute("SELECT value FROM about WHERE name = ?", [name]):
            return orjson.loads(value)
        return None

    def remember(self, name: str, value: Any) -> None:
        """Store a value."""
        self._connection.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", [name, orjson.dumps(value).decode()])

    def take(self, holder: str) -> Lease | None:
        """Lease the first free partition to `holder`; None if no partition is free."""
        self._expire()
        sql = "SELECT place, partition, token FROM partitions WHERE holder IS NULL AND result IS NULL ORDER BY place"
        for place, partition, token in self._connection.execute(f"{sql} LIMIT 1").fetchall():
            update = "UPDATE partitions SET holder = ?, token = token + 1 WHERE place = ?"
            self._connection.execute(update, [holder, place])
            self._until[place] = self.clock() + self.duration
            return Lease(Partition.from_json(partition), token + 1)
        return None

    def renew(self, key: tuple[int, int]) -> bool:
        """Renew a lease; return False if it was lost."""
        if not self.holds(key):
            return False
        self._until[key[0]] = self.clock() + self.duration
        return True

    def holds(self, key: tuple[int, int]) -> bool:
        """Return whether a lease is valid."""
        self._expire()
        sql = "SELECT 1 FROM partitions WHERE place = ? AND token = ? AND holder IS NOT NULL AND result IS NULL"
        return self._connection.execute(sql, key).fetchone() is not None

    def finish(self, key: tuple[int, int], result: Mapping[str, Any]) -> bool:
        """Store the result of a partition; return False if the lease was lost."""
        if not self.holds(key):
            return False
        self.left, self.done = self.left - 1, self.done + 1
        values = [orjson.dumps(result, default=str).decode(), self.done, key[0]]
        self._connection.execute("UPDATE partitions SET holder = NULL, result = ?, done = ? WHERE place = ?", values)
        self._until.pop(key[0], None)
        return True

    def return_partition(self, key: tuple[int, int]) -> None:
        """End a lease whose partition is not completed."""
        if self.holds(key):
            self._free("place = ?", key[0])

    def release(self, holder: str) -> None:
        """End all leases of a holder."""
        self._free("holder = ?", holder)

    def results(self, after: int, most: int = -1) -> list[dict[str, Any]]:
        """Return the results of completed partitions, in the order of completion.

        Args:
            after: The number of results to skip.
            most: The maximum number of results; -1 for all.
        """
        sql = "SELECT result FROM partitions WHERE done > ? ORDER BY done LIMIT ?"
        return [orjson.loads(result) for (result,) in self._connection.execute(sql, [after, most])]

    def partition(self, place: int) -> Partition:
        """Return a partition."""
        (text,) = self._connection.execute("SELECT partition FROM partitions WHERE place = ?", [place]).fetchone()
        return Partition.from_json(text)

    def _expire(self) -> None:
        now = self.clock()
        for place in [place for place, until in self._until.items() if now > until]:
            self._free("place = ?", place)

    def _free(self, which: str, value: object) -> None:
        sql = f"UPDATE partitions SET holder = NULL WHERE result IS NULL AND {which} RETURNING place"  # noqa: S608 - ours
        for (place,) in self._connection.execute(sql, [value]).fetchall():
            self._until.pop(place, None)
