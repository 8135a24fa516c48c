"""The simulated gateways' data: merchants, customers, other records, and the history of writes."""

import os
import sqlite3
import threading
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from wonder_customers.errors import ConfigurationError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS merchants (
    gateway TEXT NOT NULL, id TEXT NOT NULL, credentials TEXT NOT NULL, PRIMARY KEY (gateway, id)
);
CREATE TABLE IF NOT EXISTS customers (
    sequence INTEGER PRIMARY KEY, gateway TEXT NOT NULL, merchant TEXT NOT NULL, id TEXT NOT NULL,
    reference TEXT, deleted INTEGER NOT NULL, created REAL NOT NULL, body TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS customers_by_id ON customers (gateway, merchant, id);
CREATE INDEX IF NOT EXISTS customers_by_reference ON customers (gateway, merchant, reference);
CREATE INDEX IF NOT EXISTS customers_by_age ON customers (gateway, merchant, created);
CREATE TABLE IF NOT EXISTS records (
    sequence INTEGER PRIMARY KEY, gateway TEXT NOT NULL, merchant TEXT NOT NULL, kind TEXT NOT NULL,
    id TEXT NOT NULL, owner TEXT, created REAL NOT NULL, body TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS records_by_id ON records (gateway, merchant, kind, id);
CREATE INDEX IF NOT EXISTS records_by_owner ON records (gateway, merchant, kind, owner);
CREATE TABLE IF NOT EXISTS history (
    sequence INTEGER PRIMARY KEY, gateway TEXT NOT NULL, merchant TEXT NOT NULL, reference TEXT,
    action TEXT NOT NULL, id TEXT NOT NULL, at REAL NOT NULL, body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS history_by_reference ON history (gateway, reference);
"""

_TABLES = frozenset({"merchants", "customers", "records", "history"})
_APPLICATION_ID = 0x57435349
"""The application id of the simulator's database files: "WCSI" in ASCII."""

_ADVICE = "Give the path of a new file, or of a file that the simulator has created."

_COLUMNS = frozenset({"id", "reference", "deleted", "created"})

_COMPARISONS = {
    "eq": "{field} = ?",
    "neq": "{field} IS NOT ?",
    "gt": "{field} > ?",
    "gte": "{field} >= ?",
    "lt": "{field} < ?",
    "lte": "{field} <= ?",
    "in": "{field} IN (SELECT value FROM json_each(?))",
    "contains": "instr(lower({field}), lower(?)) > 0",
    "not_contains": "instr(lower(coalesce({field}, '')), lower(?)) = 0",
}


@dataclass(frozen=True, slots=True)
class StoredCustomer:
    """A customer as stored by a gateway. The keys of `body` are the gateway's names of the fields."""

    id: str
    reference: str | None
    deleted: bool
    created: float
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A stored object other than a customer, such as a payment token or an access token."""

    id: str
    owner: str | None
    created: float
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Condition:
    """A filter of a list: at least one of `fields` must satisfy the comparison.

    A field is a column (`id`, `reference`, `deleted`, `created`), a key of the body, or `list.key`. The last form
    is a key of any item of a list in the body, and supports only the comparison `eq`. The value of
    `in` is a JSON array.
    """

    fields: tuple[str, ...]
    comparison: str
    value: str | float

    @property
    def exact(self) -> bool:
        """Whether the filter selects a single id or reference."""
        return self.comparison == "eq" and self.fields in {("id",), ("reference",)}

    def sql(self) -> tuple[str, list[str | float]]:
        """Return the condition as an SQL expression with its parameters."""
        parts: list[str] = []
        parameters: list[str | float] = []
        for field in self.fields:
            if "." in field:
                array, _, key = field.partition(".")
                parts.append(
                    "EXISTS (SELECT 1 FROM json_each(customers.body, ?) AS item WHERE json_extract(item.value, ?) = ?)"
                )
                parameters += [f"$.{array}", f"$.{key}", self.value]
            elif field in _COLUMNS:
                parts.append(_COMPARISONS[self.comparison].format(field=field))
                parameters.append(self.value)
            else:
                parts.append(_COMPARISONS[self.comparison].format(field="json_extract(customers.body, ?)"))
                parameters += [f"$.{field}", self.value]
        return f"({' OR '.join(parts)})", parameters


class Store:
    """The simulated gateways' data in SQLite, in memory or in a file.

    The store can be used from any thread. Writes to a file survive the end of the process, but not a power failure.
    On POSIX systems, only the owner can read the file.

    Args:
        path: The path of the database file; None to keep the data in memory.

    Raises:
        ConfigurationError: The file cannot be used as the simulator's database.
    """

    def __init__(self, path: str | None = None) -> None:
        self._lock = threading.RLock()
        if path:
            _create(path)
        self._connection = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        self._closing = weakref.finalize(self, self._connection.close)
        try:
            self._check_owner(path)
            if path:
                _make_private(path)
            for setting in ("trusted_schema = OFF", "journal_mode = WAL", "synchronous = OFF"):
                self._connection.execute(f"PRAGMA {setting}").close()
            self._connection.executescript(_SCHEMA).close()
            self._connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}").close()
        except sqlite3.Error as error:
            self.close()
            raise ConfigurationError(
                f"{path} cannot be used as the simulator's database: {error}. {_ADVICE}"
            ) from error
        self.requests: Counter[tuple[str, str, str]] = Counter()
        """Number of requests that reached the gateways, by gateway, method and route."""

    def _check_owner(self, path: str | None) -> None:
        """Refuse the database of another program."""
        found = self._connection.execute("PRAGMA application_id").fetchone()[0]
        tables = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        # Databases of earlier versions have no application id, but exactly these tables.
        known = found == _APPLICATION_ID or (found == 0 and {name for (name,) in tables} == _TABLES)
        if tables and not known:
            self.close()
            raise ConfigurationError(f"{path} is not a database of the simulator. {_ADVICE}")

    def close(self) -> None:
        """Close the database, and discard data in memory."""
        self._closing()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Apply either all writes of the block or none of them."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _rows(self, sql: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(sql, parameters).fetchall()

    # Merchants

    def merchants(self, gateway: str) -> dict[str, dict[str, str]]:
        """Return the credentials of the gateway's merchants by merchant id, in order of creation."""
        rows = self._rows("SELECT id, credentials FROM merchants WHERE gateway = ? ORDER BY rowid", [gateway])
        return {row[0]: orjson.loads(row[1]) for row in rows}

    def save_merchant(self, gateway: str, merchant: str, credentials: Mapping[str, str]) -> None:
        """Save a merchant and its credentials."""
        sql = "INSERT OR REPLACE INTO merchants VALUES (?, ?, ?)"
        self._rows(sql, [gateway, merchant, _text(dict(credentials))])

    # Customers

    def customer(self, gateway: str, merchant: str, customer_id: str) -> StoredCustomer | None:
        """Return the merchant's customer with this id, even if it is deleted; None if there is none."""
        found, _ = self.select(gateway, merchant, [Condition(("id",), "eq", customer_id)], limit=1, count=False)
        return found[0] if found else None

    def customer_by_reference(self, gateway: str, merchant: str, reference: str) -> StoredCustomer | None:
        """Return the merchant's oldest customer with this reference, even if it is deleted; None if there is none."""
        conditions = [Condition(("reference",), "eq", reference)]
        found, _ = self.select(gateway, merchant, conditions, limit=1, count=False)
        return found[0] if found else None

    def select(
        self,
        gateway: str,
        merchant: str,
        conditions: Sequence[Condition] = (),
        *,
        order: str = "created",
        descending: bool = False,
        limit: int = -1,
        offset: int = 0,
        count: bool = True,
    ) -> tuple[list[StoredCustomer], int]:
        """Return the merchant's customers that satisfy all conditions, and their total number.

        Args:
            gateway: The gateway's name.
            merchant: The merchant's id.
            conditions: The filters.
            order: The column or key of the body to sort by. Customers with equal values are sorted by age.
            descending: Whether to sort in descending order.
            limit: The maximum number of customers; -1 for no maximum.
            offset: The number of customers to skip.
            count: Whether to count all matches. Otherwise, only the returned customers are counted.
        """
        where = ["gateway = ? AND merchant = ?"]
        parameters: list[str | float] = [gateway, merchant]
        for condition in conditions:
            expression, values = condition.sql()
            where.append(expression)
            parameters += values
        clause = " AND ".join(where)
        # The plus prevents SQLite from scanning all customers in sort order although an index selects few of them.
        looked_up = any(condition.exact for condition in conditions)
        column = f"{'+' if looked_up else ''}{order}" if order in _COLUMNS else "json_extract(body, ?)"
        sorted_by = [f"$.{order}"] if column.startswith("json") else []
        direction = "DESC" if descending else "ASC"
        rows = self._rows(
            f"SELECT id, reference, deleted, created, body FROM customers WHERE {clause}"  # noqa: S608 - the fragments are constants of this module, every value is a parameter
            f" ORDER BY {column} {direction}, sequence {direction} LIMIT ? OFFSET ?",
            [*parameters, *sorted_by, limit, offset],
        )
        found = [StoredCustomer(row[0], row[1], bool(row[2]), row[3], orjson.loads(row[4])) for row in rows]
        if not count:
            return found, len(found)
        total = self._rows(f"SELECT count(*) FROM customers WHERE {clause}", parameters)  # noqa: S608 - as above
        return found, int(total[0][0])

    def save_customer(self, gateway: str, merchant: str, customer: StoredCustomer, action: str, at: float) -> None:
        """Save the new state of a customer, and record the write in the history.

        `action` is `created`, `updated` or `deleted`, and `at` is the Unix time of the write in seconds.
        """
        body = _text(customer.body)
        with self.transaction():
            self._rows(
                "INSERT INTO customers (gateway, merchant, id, reference, deleted, created, body)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (gateway, merchant, id) DO UPDATE"
                " SET reference = excluded.reference, deleted = excluded.deleted, body = excluded.body",
                [gateway, merchant, customer.id, customer.reference, customer.deleted, customer.created, body],
            )
            self._rows(
                "INSERT INTO history (gateway, merchant, reference, action, id, at, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [gateway, merchant, customer.reference, action, customer.id, at, body],
            )

    # Records

    def record(self, gateway: str, merchant: str, kind: str, record_id: str) -> StoredRecord | None:
        """Return the merchant's record of this kind with this id; None if there is none."""
        return next(iter(self._records(gateway, merchant, kind, "id", record_id)), None)

    def records(self, gateway: str, merchant: str, kind: str, owner: str | None = None) -> list[StoredRecord]:
        """Return the merchant's records of a kind, optionally of one owner, oldest first."""
        return self._records(gateway, merchant, kind, "owner", owner)

    def _records(self, gateway: str, merchant: str, kind: str, column: str, value: str | None) -> list[StoredRecord]:
        rows = self._rows(
            "SELECT id, owner, created, body FROM records WHERE gateway = ? AND merchant = ? AND kind = ?"  # noqa: S608 - the column is a constant
            f" AND {'? IS NULL' if value is None else f'{column} = ?'} ORDER BY sequence",
            [gateway, merchant, kind, value],
        )
        return [StoredRecord(row[0], row[1], row[2], orjson.loads(row[3])) for row in rows]

    def save_record(self, gateway: str, merchant: str, kind: str, record: StoredRecord) -> None:
        """Save a record."""
        self._rows(
            "INSERT INTO records (gateway, merchant, kind, id, owner, created, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (gateway, merchant, kind, id) DO UPDATE"
            " SET owner = excluded.owner, body = excluded.body",
            [gateway, merchant, kind, record.id, record.owner, record.created, _text(record.body)],
        )

    def delete_record(self, gateway: str, merchant: str, kind: str, record_id: str) -> None:
        """Delete a record."""
        sql = "DELETE FROM records WHERE gateway = ? AND merchant = ? AND kind = ? AND id = ?"
        self._rows(sql, [gateway, merchant, kind, record_id])

    # Whole tables

    def newest(self, table: str, columns: Sequence[str], limit: int) -> list[tuple[Any, ...]]:
        """Return `columns` of the last `limit` rows of a table, newest first. A `limit` of -1 returns all rows."""
        sql = f"SELECT {', '.join(columns)} FROM {table} ORDER BY rowid DESC LIMIT ?"  # noqa: S608 - constants
        return self._rows(sql, [limit])

    def replace_rows(self, tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[Any]]]]) -> None:
        """Replace all rows of several tables in one transaction. `tables` contains columns and rows by table name.

        Raises:
            ValueError: Two rows have the same key. Nothing was changed.
        """
        try:
            with self.transaction():
                for table, (columns, rows) in tables.items():
                    marks = ", ".join("?" * len(columns))
                    self._connection.execute(f"DELETE FROM {table}")  # noqa: S608 - constants
                    insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - constants
                    self._connection.executemany(insert, rows)
        except sqlite3.IntegrityError as error:
            raise ValueError(f"two rows have the same key ({error}). Nothing was changed.") from None

    # Queries for tests

    def ledger(self, gateway: str, merchant: str | None = None) -> dict[str, int]:
        """Return the number of customers ever created for each reference.

        Customers without a reference are omitted. If `merchant` is None, the customers of all merchants are counted.
        """
        rows = self._rows(
            "SELECT reference, count(*) FROM history WHERE gateway = ? AND action = 'created'"
            " AND reference IS NOT NULL AND merchant = coalesce(?, merchant)"
            " GROUP BY reference ORDER BY min(sequence)",
            [gateway, merchant],
        )
        return {row[0]: row[1] for row in rows}

    def created(self, gateway: str) -> list[str]:
        """Return the ids of all customers ever created, in order of creation."""
        sql = "SELECT id FROM history WHERE gateway = ? AND action = 'created' ORDER BY sequence"
        return [row[0] for row in self._rows(sql, [gateway])]

    def history(self, gateway: str, reference: str) -> list[dict[str, Any]]:
        """Return the applied writes of customers that had this reference, in order.

        Each write is a dictionary with the keys `action` (`created`, `updated` or `deleted`), `id`, `at` (the Unix
        time) and `body` (the customer after the write).
        """
        rows = self._rows(
            "SELECT action, id, at, body FROM history WHERE gateway = ? AND reference = ? ORDER BY sequence",
            [gateway, reference],
        )
        return [{"action": row[0], "id": row[1], "at": row[2], "body": orjson.loads(row[3])} for row in rows]

    def customers(self, gateway: str) -> list[dict[str, Any]]:
        """Return the bodies of the customers of all merchants, including deleted customers, oldest first."""
        rows = self._rows("SELECT body FROM customers WHERE gateway = ? ORDER BY sequence", [gateway])
        return [orjson.loads(row[0]) for row in rows]


def _create(path: str) -> None:
    """Create a private file if it does not exist."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be opened as a database: {error.strerror}. {_ADVICE}") from None


def _make_private(path: str) -> None:
    """Make the simulator's file private to its owner."""
    try:
        Path(path).chmod(0o600)
    except PermissionError:
        raise ConfigurationError(f"{path} belongs to another user. {_ADVICE}") from None


def _text(body: dict[str, Any]) -> str:
    return orjson.dumps(body).decode()
