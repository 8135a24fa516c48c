"""The tables of a journal, and the statements that read and change its rows."""

from typing import Final

from wonder_customers.bulk.journal.entries import LATE_ATTEMPT

__all__ = ["ACCOUNT", "CHANGES", "CONFIRMED", "ENTRY_TYPES", "FIND", "SCHEMA"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    run INTEGER PRIMARY KEY, started REAL NOT NULL, ended REAL, ending TEXT, facts TEXT NOT NULL, counts TEXT
);
CREATE TABLE IF NOT EXISTS rows (
    reference TEXT PRIMARY KEY, number INTEGER NOT NULL, run INTEGER NOT NULL, state TEXT NOT NULL, result TEXT,
    raw BLOB, payload BLOB, id TEXT, attempts INTEGER NOT NULL, code TEXT, at REAL NOT NULL
, fields TEXT) WITHOUT ROWID;
"""
_SENDING = """
INSERT INTO rows (run, at, reference, number, raw, payload, fields, state, attempts)
VALUES (?, ?, ?, ?, ?, ?, ?, 'sending', 0)
ON CONFLICT (reference) DO UPDATE SET number = excluded.number, run = excluded.run, state = 'sending', result = NULL,
    id = CASE rows.state WHEN 'removed' THEN NULL ELSE rows.id END, raw = excluded.raw, payload = excluded.payload,
    fields = excluded.fields, attempts = 0, code = NULL, at = excluded.at
"""
_DONE = """
INSERT OR REPLACE INTO rows (run, at, reference, number, raw, payload, fields, result, id, attempts, code, state)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, {}, 'done')
"""
CHANGES: Final = {
    "sending": _SENDING,
    "done": _DONE.format("NULL"),
    "late": _DONE.format(f"'{LATE_ATTEMPT}'"),
    # `COALESCE` leaves the columns unchanged, which are never null. Python 3.12 warns about numbered parameters.
    "ended": "UPDATE rows SET run = COALESCE(run, ?), at = ?, state = ?, attempts = ?, code = ? WHERE reference = ?",
    "same": "UPDATE rows SET run = COALESCE(run, ?), at = COALESCE(at, ?), raw = ? WHERE reference = ?",
}
"""The SQL of each kind of `Change`. Its parameters are the run, the Unix time, and the values of the change."""
ACCOUNT = """
SELECT value FROM about
WHERE name = 'account' AND EXISTS (SELECT 1 FROM rows WHERE id IS NOT NULL OR state NOT IN ('failed', 'held'))
"""
"""The digest of the merchant, unless the gateway has no row: the first run may have had wrong credentials."""
CONFIRMED = """
SELECT reference, raw, rows.id, CASE run WHEN ? THEN result END FROM json_each(?) CROSS JOIN rows ON reference = value
WHERE state = 'done' AND raw IS NOT NULL
"""
FIND = """
SELECT reference, number, run, state, result, raw, payload, id, attempts, code, at, fields FROM rows
WHERE reference IN (SELECT value FROM json_each(?))
"""
ENTRY_TYPES = (str, int, int, str, str, bytes, bytes, str, int, str, float, str)
"""The types of the columns of `FIND`."""
