"""Rows of typed values, such as those of databases, and values at the start of a source."""

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from datetime import date, datetime, time
from decimal import Decimal
from functools import cache
from itertools import islice
from typing import Any

from attrs import define, evolve, field

from wonder_customers.bulk.rows import Row
from wonder_customers.bulk.sources.columns import Columns, Reading
from wonder_customers.bulk.sources.notes import SourceNotes
from wonder_customers.errors import ConfigurationError

__all__ = ["plain", "sampled", "shown_date", "typed_rows"]

_SAMPLE = 1000
"""The number of rows at the start of a source with which values are compared."""


def typed_rows(
    rows: Iterable[Sequence[Any]], columns: Columns, number: int, where: str, start: int
) -> Generator[Row, None, int]:
    """Yield the records of a table as rows, and return the number of the last row."""
    for record in rows:
        number += 1
        # Messages count the rows from the start of the file.
        place = f"{where}row {number - start}"
        values = [plain(value) for value in record]
        yield Row(number, reference=columns.reference_of(values), place=place, table=columns, values=values)
    return number


def plain(value: Any) -> Any:
    """Convert a typed value for a `Row`."""
    if isinstance(value, (str, int, type(None))):
        return value
    if isinstance(value, list):
        return list(map(plain, value))
    if isinstance(value, dict):
        # A structure has every key of the column. A JSON object without a key has a null there.
        return {key: plain(part) for key, part in value.items() if part is not None}
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 1e15 else value
    if isinstance(value, Decimal) and value.as_tuple().exponent == 0:
        return int(value)
    is_binary = isinstance(value, (bytes, bytearray, memoryview))
    text = bytes(value).decode("utf-8", "surrogateescape") if is_binary else shown_date(value)
    return str(value) if text is None else text


def shown_date(value: Any) -> str | None:
    """Return a date or a time in ISO 8601; None for other values."""
    if isinstance(value, datetime) and value.time() == time() and value.tzinfo is None:
        return value.date().isoformat()
    return value.isoformat() if isinstance(value, (date, datetime, time)) else None


def sampled(reading: Reading, rows: Callable[[Reading], Any]) -> Reading:
    """Return settings with which values can be compared with other values of their columns, which `rows` reads."""

    @cache
    def sample() -> Mapping[str, Collection[str]]:
        # The sample is the same for each partition of a source. Most sources do not need one.
        notes = _ColumnValues()
        with suppress(ConfigurationError), closing(rows(evolve(reading, inspecting=True, notes=notes))) as found:
            list(islice(found, _SAMPLE))
        return notes.values

    return evolve(reading, sample=sample)


@define(eq=False)
class _ColumnValues(SourceNotes):
    """The values of columns, instead of masked samples."""

    values: dict[str, set[str]] = field(factory=dict)

    def observe(self, names: Sequence[str], values: Sequence[Any]) -> None:
        """Add the values of a row."""
        for name, value in zip(names, values, strict=False):
            self.values.setdefault(name, set()).add("" if value is None else str(value))
