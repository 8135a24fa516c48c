"""JSON lines: one object per line, nested or with dotted names; also the dead letters of an earlier run."""

from collections.abc import Generator
from functools import partial
from typing import Any, BinaryIO

import orjson

from wonder_customers.bulk.rows import Row
from wonder_customers.bulk.sources.byte_range import ByteRange
from wonder_customers.bulk.sources.columns import Columns, Reading, flat, names_reference, without

__all__ = ["DEAD_LETTER", "Forms", "json_rows", "object_row"]

DEAD_LETTER = frozenset({"row", "reason", "status"})
"""The keys by which a dead letter is known."""

_FORMS = 256
"""Different sets of keys that are remembered."""


class Forms:
    """The columns of objects, found once per set of keys."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._found: dict[tuple[str, ...], Columns | None] = {}

    def columns(self, names: tuple[str, ...]) -> Columns | None:
        """The columns of an object with these keys, None when none of them is the reference.

        Raises:
            ConfigurationError: They cannot be used.
        """
        if names not in self._found:
            # Optional keys make many forms; forgetting them all now and then keeps memory flat.
            if len(self._found) >= _FORMS:
                self._found.clear()
            usable = names_reference(names, self._reading)
            self._found[names] = Columns.match(names, self._reading) if usable else None
        return self._found[names]


def json_rows(
    file: BinaryIO, number: int, reading: Reading, where: str = "", stretch: ByteRange | None = None
) -> Generator[Row, None, int]:
    """The rows of a file of JSON lines; the arguments are those of `csv_rows`.

    Raises:
        ConfigurationError: The keys of an object cannot be used.
    """
    forms, stretch = Forms(reading), stretch or ByteRange()
    if stretch.offset:
        file.seek(stretch.offset)
    for text in file:
        stretch.offset += len(text)
        stretch.line += 1
        bare = text.removeprefix(b"\xef\xbb\xbf").strip() if stretch.line == 1 else text.strip()
        if bare:
            number += 1
            yield _row(bare, number, f"{where}line {stretch.line}", forms)
        if stretch.offset >= stretch.end:
            break
    return number


def _row(text: bytes, number: int, place: str, forms: Forms) -> Row:
    try:
        record = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return Row(number, problem=f"{place}: is not JSON (at character {error.pos})", place=place)
    if isinstance(record, dict) and record.keys() >= DEAD_LETTER:
        reference, record = record.get("reference"), record.get("values")
        if record is None:
            problem = (
                f"{place}: this dead letter holds no values: run `retry-failed` on the journal, or make dead letters"
                " with --dead-letter-values"
            )
            known = reference if isinstance(reference, str) else None
            return Row(number, problem=problem, reference=known, place=place)
    if not isinstance(record, dict):
        return Row(number, problem=f"{place}: must be a JSON object", place=place)
    return object_row(flat(record), number, place, forms)


def object_row(record: dict[str, Any], number: int, place: str, forms: Forms) -> Row:
    """The row that an object with dotted names makes.

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
        reference=str(key).strip() or None if isinstance(key, (str, int)) else None,
        place=place,
        material=orjson.dumps(without(values, columns.cards)) + columns.mark,
        build=partial(columns.draft, values, place),
    )
