"""Leases of partitions, in a file."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
from attrs import define, field

from wonder_customers._support import clock
from wonder_customers.bulk.distributed.partition import Partition
from wonder_customers.bulk.journal import connect

__all__ = ["LEASE_SECONDS", "RESULTS", "Key", "Leases"]

Key = tuple[int, int]
"""Identifies a lease: the index of the partition, and a token that increases with each lease of the partition."""

LEASE_SECONDS = 15.0
"""Seconds after which a lease ends if it is not renewed."""
RESULTS = 500
"""The maximum number of results per message."""

_SCHEMA = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE partitions (
    place INTEGER PRIMARY KEY, partition TEXT NOT NULL, token INTEGER NOT NULL DEFAULT 0, complete INTEGER
);
CREATE TABLE results (number INTEGER PRIMARY KEY, result TEXT NOT NULL);
CREATE INDEX open ON partitions (place) WHERE complete IS NULL;
"""


@define(eq=False)
class Leases:
    """The partitions of one job, their leases, and the results of their workers.

    Attributes:
        clock: A monotonic clock in seconds.
        duration: Seconds after which a lease ends if it is not renewed.
        left: The number of partitions that are not completed.
        done: The number of results.
    """

    path: Path
    clock: Callable[[], float] = lambda: clock.monotonic()  # noqa: PLW0108 - the variable changes with the clock
    duration: float = LEASE_SECONDS
    _connection: sqlite3.Connection = field(init=False)
    _held: dict[int, tuple[int, float]] = field(init=False)
    left: int = field(init=False)
    done: int = field(init=False)

    @classmethod
    def create(cls, path: Path, partitions: Iterable[Partition], facts: Mapping[str, Any]) -> None:
        """Create the file with the partitions and the facts of a job."""
        with closing(connect(path)) as connection:
            connection.executescript(_SCHEMA)
            connection.execute("BEGIN")
            known = [(name, orjson.dumps(fact).decode()) for name, fact in facts.items()]
            connection.executemany("INSERT INTO about VALUES (?, ?)", known)
            rows = ((partition.place, partition.to_json().decode()) for partition in partitions)
            connection.executemany("INSERT INTO partitions (place, partition) VALUES (?, ?)", rows)
            connection.execute("COMMIT")

    def __attrs_post_init__(self) -> None:
        self._connection = connect(self.path)
        # Leases from before a restart are continued, because their holders may still be working.
        until = self.clock() + self.duration
        leased = self._connection.execute("SELECT place, token FROM partitions WHERE token > 0 AND complete IS NULL")
        self._held = {place: (token, until) for place, token in leased}
        count = "SELECT count(*) - count(complete), (SELECT count(*) FROM results) FROM partitions"
        self.left, self.done = self._connection.execute(count).fetchone()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def fact(self, name: str) -> Any:
        """Return a stored value; None if there is none."""
        for (value,) in self._connection.execute("SELECT value FROM about WHERE name = ?", [name]):
            return orjson.loads(value)
        return None

    def remember(self, name: str, value: Any) -> None:
        """Store a value under a name."""
        self._connection.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", [name, orjson.dumps(value).decode()])

    @property
    def any_held(self) -> bool:
        """Whether a worker may still hold a lease."""
        now = self.clock()
        self._held = {place: lease for place, lease in self._held.items() if lease[1] >= now}
        return bool(self._held)

    def take(self) -> tuple[bytes, int] | None:
        """Lease a free partition and return it with the lease's token; None without a free partition."""
        held = self._held if self.any_held else {}
        sql = "SELECT place, partition, token + 1 FROM partitions WHERE complete IS NULL ORDER BY place LIMIT ?"
        for place, partition, token in self._connection.execute(sql, [len(held) + 1]).fetchall():
            if place not in held:
                self._connection.execute("UPDATE partitions SET token = ? WHERE place = ?", [token, place])
                self._held[place] = (token, self.clock() + self.duration)
                return partition.encode(), token
        return None

    def renew(self, key: Key) -> bool:
        """Renew a lease; return False if it was lost."""
        if not self.holds(key):
            return False
        self._held[key[0]] = (key[1], self.clock() + self.duration)
        return True

    def holds(self, key: Key) -> bool:
        """Return whether a lease is valid."""
        # A lease cannot be revoked, because a worker that cannot be reached may still send requests.
        token, until = self._held.get(key[0], (0, 0.0))
        return token == key[1] and self.clock() <= until

    def finish(self, key: Key, result: Mapping[str, Any], *, complete: bool) -> bool:
        """End a lease and store its result; return False if the lease was lost."""
        if not self.holds(key):
            return False
        del self._held[key[0]]
        self.left, self.done = self.left - complete, self.done + 1
        self._connection.execute("BEGIN")
        values = [self.done, orjson.dumps(result, default=str).decode()]
        self._connection.execute("INSERT INTO results VALUES (?, ?)", values)
        if complete:
            self._connection.execute("UPDATE partitions SET complete = 1 WHERE place = ?", [key[0]])
        self._connection.execute("COMMIT")
        return True

    def results(self, after: int) -> list[Any]:
        """Return results in the order in which they were stored, without the first `after`."""
        sql = "SELECT result FROM results WHERE number > ? ORDER BY number LIMIT ?"
        return [orjson.loads(result) for (result,) in self._connection.execute(sql, [after, RESULTS])]

    def partition(self, place: int) -> Partition:
        """Return the partition at an index."""
        (text,) = self._connection.execute("SELECT partition FROM partitions WHERE place = ?", [place]).fetchone()
        return Partition.from_json(text)
