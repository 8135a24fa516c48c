"""Who works on which partition: leases that end with their holder, in a file that outlives everybody."""

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

__all__ = ["LASTS", "Lease", "Leases"]

LASTS = 15.0
"""Seconds after which a lease ends that nobody has renewed."""

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
    """The right to work on a partition.

    Attributes:
        partition: The partition.
        token: Grows with every lease of the partition: who holds an older one has lost it.
    """

    partition: Partition
    token: int

    @property
    def key(self) -> tuple[int, int]:
        """What tells this lease from all others."""
        return self.partition.place, self.token


@define(eq=False)
class Leases:
    """The partitions of one job, who holds them, and the results of those that are done.

    Attributes:
        path: The file.
        clock: Seconds that only grow.
        lasts: Seconds after which a lease ends that nobody has renewed.
        left: Partitions that are not done.
        done: Partitions that are.
    """

    path: Path
    clock: Callable[[], float] = monotonic
    lasts: float = LASTS
    _connection: sqlite3.Connection = field(init=False)
    _until: dict[int, float] = field(factory=dict, init=False)
    left: int = field(init=False)
    done: int = field(init=False)

    @classmethod
    def create(cls, path: Path, partitions: Iterable[Partition], facts: Mapping[str, Any]) -> int:
        """Write a new file; how many partitions it has."""
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
        # Leases of the life before go on: their holders may still be at work.
        held = self._connection.execute("SELECT place FROM partitions WHERE holder IS NOT NULL AND result IS NULL")
        self._until = {place: self.clock() + self.lasts for (place,) in held}
        count = "SELECT count(*) - count(result), count(result) FROM partitions"
        self.left, self.done = self._connection.execute(count).fetchone()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def fact(self, name: str) -> Any:
        """What `remember` wrote; None for nothing."""
        for (value,) in self._connection.execute("SELECT value FROM about WHERE name = ?", [name]):
            return orjson.loads(value)
        return None

    def remember(self, name: str, value: Any) -> None:
        """Write something down."""
        self._connection.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", [name, orjson.dumps(value).decode()])

    def take(self, holder: str) -> Lease | None:
        """The first partition that nobody holds, which `holder` holds from now on; None when there is none."""
        self._expire()
        sql = "SELECT place, partition, token FROM partitions WHERE holder IS NULL AND result IS NULL ORDER BY place"
        for place, partition, token in self._connection.execute(f"{sql} LIMIT 1").fetchall():
            update = "UPDATE partitions SET holder = ?, token = token + 1 WHERE place = ?"
            self._connection.execute(update, [holder, place])
            self._until[place] = self.clock() + self.lasts
            return Lease(Partition.from_json(partition), token + 1)
        return None

    def renew(self, key: tuple[int, int]) -> bool:
        """Hold a lease for longer; False when it is lost."""
        if not self.holds(key):
            return False
        self._until[key[0]] = self.clock() + self.lasts
        return True

    def holds(self, key: tuple[int, int]) -> bool:
        """Whether a lease is in force."""
        self._expire()
        sql = "SELECT 1 FROM partitions WHERE place = ? AND token = ? AND holder IS NOT NULL AND result IS NULL"
        return self._connection.execute(sql, key).fetchone() is not None

    def finish(self, key: tuple[int, int], result: Mapping[str, Any]) -> bool:
        """Write that a partition is done; False when the lease is lost."""
        if not self.holds(key):
            return False
        self.left, self.done = self.left - 1, self.done + 1
        values = [orjson.dumps(result, default=str).decode(), self.done, key[0]]
        self._connection.execute("UPDATE partitions SET holder = NULL, result = ?, done = ? WHERE place = ?", values)
        self._until.pop(key[0], None)
        return True

    def give_back(self, key: tuple[int, int]) -> None:
        """End a lease whose partition is not done."""
        if self.holds(key):
            self._free("place = ?", key[0])

    def release(self, holder: str) -> None:
        """End all leases of somebody who is gone."""
        self._free("holder = ?", holder)

    def results(self, after: int, most: int = -1) -> list[dict[str, Any]]:
        """The results of the partitions that are done, in the order in which they were.

        Args:
            after: How many of them to pass over.
            most: How many to give at most; -1 for all.
        """
        sql = "SELECT result FROM partitions WHERE done > ? ORDER BY done LIMIT ?"
        return [orjson.loads(result) for (result,) in self._connection.execute(sql, [after, most])]

    def partition(self, place: int) -> Partition:
        """One partition."""
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
