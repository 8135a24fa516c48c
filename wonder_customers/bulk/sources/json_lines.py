"""JSON lines: one object per line, nested or with dotted names; also the dead-letter files of earlier runs."""

from collections.abc import Generator
from functools import partial
from typing import Any, BinaryIO

import orjson

from wonder_customers.bulk.rows import Row
from wonder_customers.bulk.sources.byte_range import ByteRange
from wonder_customers.bulk.sources.columns import INVALID_BYTES, Columns, Reading, flat, names_reference
from wonder_customers.bulk.sources.text import decoded, has_invalid_bytes, text_lines
from wonder_customers.dialects.json import UnreadableJsonError, parse_source_json

__all__ = ["DEAD_LETTER", "Forms", "json_rows", "object_row"]

DEAD_LETTER = frozenset({"row", "reason", "status"})
"""The keys that identify an entry of a dead-letter file."""

_FORMS = 256
"""The number of different sets of keys that are cached."""


class Forms:
    """Caches the columns of objects by their set of keys."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._found: dict[tuple[str, ...], Columns | None] = {}

    def columns(self, names: tuple[str, ...]) -> Columns | None:
        """Return the columns of an object with these keys; None if none of them is the reference.

        Raises:
            ConfigurationError: The keys cannot be used.
        """
        if names not in self._found:
            # Optional keys produce many sets of keys; clearing the cache bounds the memory.
            if len(self._found) >= _FORMS:
                self._found.clear()
            usable = names_reference(names, self._reading)
            self._found[names] = Columns.match(names, self._reading) if usable else None
        return self._found[names]


def json_rows(
    file: BinaryIO, number: int, reading: Reading, where: str = "", byte_range: ByteRange | None = None
) -> Generator[Row, None, int]:
    """Read the rows of a file of JSON lines; the arguments are those of `csv_rows`.

    Raises:
        ConfigurationError: The keys of an object cannot be used.
    """
    forms, byte_range = Forms(reading), byte_range or ByteRange()
    if byte_range.offset:
        file.seek(byte_range.offset)
        lines = decoded(file, byte_range)
    else:
        lines = text_lines(file, byte_range)
    for text in lines:
        byte_range.line += 1
        bare = text.strip()
        if bare:
            number += 1
            yield _row(bare, number, f"{where}line {byte_range.line}", forms)
    return number


def _row(text: str, number: int, place: str, forms: Forms) -> Row:
    try:
        record = parse_source_json(text)
    except orjson.JSONDecodeError as error:
        if has_invalid_bytes(text):
            return Row(number, problem=f"{place}: contains {INVALID_BYTES}", place=place)
        return Row(number, problem=f"{place}: is not valid JSON (at character {error.pos})", place=place)
    except UnreadableJsonError as error:
        return Row(number, problem=f"{place}: contains {error}", place=place)
    if isinstance(record, dict) and record.keys() >= DEAD_LETTER:
        reference, record = record.get("reference"), record.get("values")
        if record is None:
            problem = (
                f"{place}: this entry of a dead-letter file does not contain the row's values: run `retry-failed` on"
                " the journal, or run the job with --dead-letter-values"
            )
            known = reference if isinstance(reference, str) else None
            return Row(number, problem=problem, reference=known, place=place)
    if not isinstance(record, dict):
        return Row(number, problem=f"{place}: must be a JSON object", place=place)
    return object_row(flat(record), number, place, forms)


def object_row(record: dict[str, Any], number: int, place: str, forms: Forms) -> Row:
    """Convert an object with dotted names into a row.

    Raises:
        ConfigurationError: Its keys cannot be used.
    """
    columns = forms.columns(tuple(record))
    if columns is None:
        return Row(number, problem=f"{place}: has no reference", place=place)
    values = list(record.values())
    key = values[columns.reference]
    return Row(
        number,
        reference=None
        if columns.is_card(columns.reference, key) or not isinstance(key, (str, int))
        else str(key).strip() or None,
        place=place,
        raw_values=columns.digestible(values, orjson.dumps),
        build=partial(columns.draft, values, place),
        columns=columns.fields,
    )
