"""Spreadsheets, read by python-calamine."""

from collections.abc import Callable, Generator, Iterator
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any

from wonder_customers.bulk.rows import Row
from wonder_customers.bulk.sources.columns import Columns, Reading, UnknownColumns
from wonder_customers.bulk.sources.csv_files import REMARK, is_blank, is_footer, is_remark, title_hint
from wonder_customers.bulk.sources.values import plain, shown_date
from wonder_customers.errors import ConfigurationError, needed

__all__ = ["sheet_rows"]

_DIGITS = 15
"""The number of significant digits that a spreadsheet stores."""


def sheet_rows(
    path: Path, number: int, reading: Reading, where: str, *, advance: Callable[[float], None]
) -> Generator[Row, None, int]:
    """Yield the rows of a spreadsheet, and return the number of the last row.

    `advance` is called with the fraction of the lines that was read.

    Raises:
        ConfigurationError: The spreadsheet or its columns cannot be read.
    """
    lines = enumerate(_lines(path, reading.mapping.sheet, advance), 1)
    skipped = reading.mapping.text.skip_lines
    header: list[Any] = next((line for place, line in lines if place > skipped and not is_blank(_texts(line))), [])
    if not header:
        return number
    try:
        columns = Columns.match(_texts(header), reading)
    except UnknownColumns as error:
        read = next(lines, (0, []))
        hint = title_hint(map(_texts, chain([read[1]], (line for _, line in lines))), read[0] - 1, _texts(header))
        raise ConfigurationError(f"{error}{hint}") from None
    for place, line in lines:
        texts = _texts(line)
        if is_blank(texts):
            continue
        if is_footer(texts):
            reading.notes.footers += 1
            continue
        values = [plain(_cell(value)) for value in line]
        number += 1
        position = f"{where}line {place}"
        if is_remark(values) and " " in str(values[0]):
            yield Row(number, problem=f"{position}: {REMARK}", place=position)
        else:
            yield Row(number, reference=columns.reference_of(values), place=position, table=columns, values=values)
    return number


def _lines(path: Path, sheet: str | None, advance: Callable[[float], None]) -> Iterator[list[Any]]:
    with needed("excel", "python_calamine", by="reading spreadsheets"):
        import python_calamine  # noqa: PLC0415 - optional dependency
    with path.open("rb") as file:
        start = file.read(8)
    if start and not start.startswith((b"PK", b"\xd0\xcf\x11\xe0", b"\t\x08")):
        raise ConfigurationError(
            f"{path.name} is not a spreadsheet: some programs export text or a web page under the name of a"
            " spreadsheet. Try --format csv, or open the file in a spreadsheet program and save it as .xlsx."
        )
    try:
        with python_calamine.CalamineWorkbook.from_path(path) as book:
            names = book.sheet_names
            shown = {it.name for it in book.sheets_metadata if it.visible == python_calamine.SheetVisibleEnum.Visible}
            filled = [name for name in names if name in shown and book.get_sheet_by_name(name).total_height]
            if sheet is not None and sheet not in names:
                raise ConfigurationError(
                    f"{path.name} does not have a sheet {sheet!r}. Choose one of its sheets with --sheet:"
                    f" {', '.join(names)}."
                )
            if sheet is None and len(filled) > 1:
                raise ConfigurationError(
                    f"{path.name} has more than one sheet with data: {', '.join(map(repr, filled))}. Choose a sheet"
                    " with --sheet."
                )
            if sheet or filled:
                chosen = book.get_sheet_by_name(sheet or filled[0])
                last = 1 + (chosen.end or (0, 0))[0]
                for place, line in enumerate(chosen.iter_rows(), 1):
                    advance(place / last)
                    yield line
    except (python_calamine.CalamineError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"{path.name} cannot be read as a spreadsheet: {reason}. Open the file in a spreadsheet program and save"
            " it as .xlsx."
        ) from None


def _texts(line: list[Any]) -> list[str]:
    return ["" if value is None else str(value) for value in line]


def _cell(value: Any) -> Any:
    """Convert a cell for `plain`."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        # A longer number has lost its last digits, so it is refused like a number that a spreadsheet shortened.
        return str(int(value)) if value.is_integer() and abs(value) < 10**_DIGITS else _number(value)
    if isinstance(value, int) and abs(value) >= 10**_DIGITS:
        return _number(float(value))
    return shown_date(value) or (str(value) if isinstance(value, (int, timedelta)) else value)


def _number(value: float) -> str:
    text = repr(value)
    return f"{value:.5E}" if abs(value) >= 10**_DIGITS else text
