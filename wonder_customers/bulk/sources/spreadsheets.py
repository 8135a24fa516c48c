"""Spreadsheets, read by python-calamine."""

import re
import zlib
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from datetime import date, timedelta
from itertools import chain
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

from wonder_customers.bulk.rows import Row
from wonder_customers.bulk.sources.columns import Columns, Reading, UnknownColumns
from wonder_customers.bulk.sources.number_formats import check_formats, column_number, padded, padded_cells, sheet_part
from wonder_customers.bulk.sources.other_lines import REMARK, OtherLines, is_blank, is_remark, title_hint
from wonder_customers.bulk.sources.packed import largest, too_large
from wonder_customers.bulk.sources.values import shown_date
from wonder_customers.errors import ConfigurationError, needed

__all__ = ["sheet_rows"]

_DIGITS = 15
"""The number of significant digits that a spreadsheet stores."""
_PLACE = re.compile(rb"""\sr\s*=\s*["']([A-Za-z]*)([0-9]+)""")
"""The column and row of a cell or the number of a row, which is the attribute ``r`` of its element."""
_LONGEST = 12
"""The maximum number of characters of a column or row that are read."""
_TABLE = re.compile(r"(?i)(xl/.*|content)\.xml$")
"""The parts of a spreadsheet that contain its cells. Other parts, such as queries, may be in UTF-16."""
_PIECE = 1 << 20
_TAG = 10_000
"""The bytes at the end of a piece that may contain the beginning of a cell, with its formula."""
_ATTRIBUTES = rb"""(?:\s+[\w:.-]+=(?:"[^"<]*"|'[^'<]*'))*?"""
_LOST = {
    re.compile(
        rb"""<(?:\w+:)?c(?=[\s>])(?![^<>]*\st=["']str)[^<>]*>\s*<(?:\w+:)?f\b(?:[^<>]*/>|[^<]*</(?:\w+:)?f>)"""
        rb"""\s*(?:<(?:\w+:)?v\s*/>\s*|<(?:\w+:)?v>\s*</(?:\w+:)?v>\s*)?</"""
        rb"""|</(?:\w+:)?f>\s*</(?:\w+:)?c>"""
        rb"""|<table:table-cell(?="""
        + _ATTRIBUTES
        + rb"""\s+table:formula=)(?!"""
        + _ATTRIBUTES
        + rb"""\s+office:value-type=)"""
    ): "formulas without results, so their cells would be read as empty",
    re.compile(rb"<text:(?:tab|line-break)\b"): "tabs or line breaks in cells, which would be lost",
    re.compile(rb"""\stable:number-rows-spanned=["'](?!1["'])"""): "cells merged with cells below them, which would be"
    " read as empty",
}
"""The patterns and descriptions of what cannot be read. The result of a formula may be an empty string."""
_MANY = 50_000_000
"""The number of cells up to which a sheet is read, which take about 1.5 GB."""
_SPARSE = 20
"""A larger sheet is read if one of so many cells is not empty."""


def sheet_rows(
    path: Path, number: int, reading: Reading, where: str, *, advance: Callable[[float], None]
) -> Generator[Row, None, int]:
    """Yield the rows of a spreadsheet, and return the number of the last row.

    `advance` is called with the fraction of the lines that was read. Raise `ConfigurationError` if the spreadsheet or
    its columns cannot be read.
    """
    lines = enumerate(_lines(path, reading.mapping.sheet, advance), 1)
    skipped = reading.mapping.text.skip_lines
    header: list[Any] = next((it for place, (it, _) in lines if place > skipped and not is_blank(_texts(it))), [])
    if not header:
        return number
    names = _texts(map(_cell, header))
    try:
        columns = Columns.match(names, reading)
    except UnknownColumns as error:
        place, (first, _) = next(lines, (0, ([], ())))
        hint = title_hint(map(_texts, chain([first], (line for _, (line, _) in lines))), place - 1, names)
        raise ConfigurationError(f"{error}{hint}") from None
    other = OtherLines(names, columns.identifying, where, reading.notes)
    used = {place for feed in columns.feeds for place in feed.places}
    gap = False
    for place, (cells, merged) in lines:
        line = list(map(_cell, cells))
        texts = _texts(line)
        if is_blank(texts):
            gap = True
            continue
        if other.skips(texts, place, columns.reference_of):
            continue
        number += 1
        reading.notes.gaps += gap
        gap = False
        position = f"{where}line {place}"
        problem = other.problem(texts, place) or (REMARK if is_remark(line) else None)
        reference = None if problem else columns.reference_of(line)
        if merged and not used.isdisjoint(merged):
            problem = "the row has cells merged with cells above them; split these cells, and fill in the values"
        elif columns.reference < len(cells) and isinstance(cells[columns.reference], date):
            problem = (
                "the reference is a date, to which the spreadsheet may have converted it; format the column as text"
            )
        if problem is not None:
            yield Row(number, problem=f"{position}: {problem}", reference=reference, place=position)
        else:
            yield Row(number, reference=reference, place=position, table=columns, values=line)
    return number


def _lines(
    path: Path, sheet: str | None, advance: Callable[[float], None]
) -> Iterator[tuple[list[Any], Collection[int]]]:
    """Yield the cells of each line, and the indexes of those that are merged with cells above them."""
    with needed("excel", "python_calamine", by="reading spreadsheets"):
        import python_calamine  # noqa: PLC0415 - optional dependency
    with path.open("rb") as file:
        start = file.read(100)
    if start.lstrip().startswith(b"<"):
        raise ConfigurationError(
            f"{path.name} is a web page or XML under the name of a spreadsheet. Open the file in a spreadsheet program"
            " and save it as .xlsx."
        )
    if start and not start.startswith((b"PK", b"\xd0\xcf\x11\xe0", b"\t\x08")):
        raise ConfigurationError(
            f"{path.name} is not a spreadsheet: some programs export text under the name of a spreadsheet. Try"
            " form='csv', or open the file in a spreadsheet program and save it as .xlsx."
        )
    lost: dict[str, str] = {}
    try:
        if start.startswith(b"PK"):
            lost = _check_parts(path)
        check_formats(path)
        with python_calamine.CalamineWorkbook.from_path(path) as book:
            name = _chosen(book, sheet, path.name, python_calamine.SheetVisibleEnum.Visible)
            if name is not None:
                _check_results(path, lost, book.sheet_names.index(name))
                chosen = book.get_sheet_by_name(name)
                last = 1 + (chosen.end or (0, 0))[0]
                first = 1 + (chosen.start or (0, 0))[1]
                formats = padded_cells(path, book.sheet_names.index(name)) if start.startswith(b"PK") else iter(())
                row, templates = next(formats, (0, {}))
                merged = _merged(chosen)
                for place, line in enumerate(chosen.iter_rows(), 1):
                    advance(place / last)
                    while 0 < row < place:
                        row, templates = next(formats, (0, {}))
                    yield padded(line, templates, first) if row == place else line, merged(place)
    except (python_calamine.CalamineError, OSError, BadZipFile, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"{path.name} cannot be read as a spreadsheet: {reason}. Open the file in a spreadsheet program and save"
            " it as .xlsx."
        ) from None


def _merged(sheet: Any) -> Callable[[int], Collection[int]]:
    """Return a function that returns the columns of a line that are merged with cells above; lines are in order."""
    left = (sheet.start or (0, 0))[1]
    ranges = sheet.merged_cell_ranges or ()
    coming = sorted(((top + 2, bottom + 1, first - left) for (top, first), (bottom, _) in ranges), reverse=True)
    current: list[tuple[int, int]] = []

    def columns(line: int) -> Collection[int]:
        while coming and coming[-1][0] <= line:
            current.append(coming.pop()[1:])
        current[:] = [it for it in current if it[0] >= line]
        return [column for _, column in current]

    return columns


def _chosen(book: Any, sheet: str | None, file: str, visible: object) -> str | None:
    """Return the name of the sheet to read; None if all sheets are empty."""
    names: list[str] = book.sheet_names
    if sheet is not None:
        if sheet not in names:
            raise ConfigurationError(
                f"{file} does not have a sheet {sheet!r}. Choose one of its sheets with `sheet`: {', '.join(names)}."
            )
        return sheet
    shown: list[str] = [it.name for it in book.sheets_metadata if it.visible == visible]
    ends = {name: end for name in shown if (end := book.get_sheet_by_name(name).end) is not None}
    # A sheet with a single line is a note beside a table, or a table without rows.
    filled = [name for name, (last, _) in ends.items() if last] or list(ends)
    if len(filled) == 1:
        return filled[0]
    problem = "more than one sheet with data"
    if not filled:
        filled = [name for name in names if book.get_sheet_by_name(name).end is not None]
        problem = "data only in hidden sheets"
    if not filled:
        return None
    raise ConfigurationError(f"{file} has {problem}: {', '.join(map(repr, filled))}. Choose a sheet with `sheet`.")


def _check_results(path: Path, lost: Mapping[str, str], index: int) -> None:
    """Raise `ConfigurationError` if values of the sheet to read would be lost."""
    if lost:
        with ZipFile(path) as archive:
            part = sheet_part(archive, index)
        what = lost.get(part) if part else next(iter(lost.values()))
        if what is not None:
            raise ConfigurationError(
                f"{path.name} has {what}. Open the file in a spreadsheet program and save it as .xlsx."
            )


def _check_parts(path: Path) -> dict[str, str]:
    """Return which values of each part would be lost.

    Raise `ConfigurationError` if a part of a spreadsheet is not in UTF-8 or too large, or has distant cells.

    The library that reads spreadsheets finds no cells in other encodings. It reads whole parts, and allocates memory
    for each cell between the first and the last, empty or not.
    """
    limit = left = largest(path)
    lost: dict[str, str] = {}
    with ZipFile(path) as archive:
        for part in archive.infolist():
            # The part is read to its end, even if the directory states a smaller size.
            part.file_size = limit + 2 * _PIECE
            with archive.open(part) as file:
                if _TABLE.match(part.filename) and b"\0" in file.read(4):
                    raise ConfigurationError(
                        f"{path.name} contains XML that is not UTF-8, so its cells cannot be read. Open the file in a"
                        " spreadsheet program and save it as .xlsx."
                    )
                rows, columns, cells, what = _extent(file, left)
                left -= file.tell()
            if what is not None:
                lost[part.filename] = what
            if left < 0:
                raise too_large(path, limit, "Save the data as CSV.")
            if rows * columns > max(_MANY, _SPARSE * cells):
                raise ConfigurationError(
                    f"{path.name} has a sheet of {rows:,} rows and {columns:,} columns, and almost all of its cells are"
                    " empty. Delete the cells that are far from the data, or save the sheet as CSV."
                )
    return lost


def _extent(file: IO[bytes], most: int) -> tuple[int, int, int, str | None]:
    """Return the number of rows, of columns and of cells in the first bytes of a part, and which values would be lost.

    About `most` bytes are read.
    """
    rows, columns, cells, lost, rest = 0, 1, 0, None, b""
    while file.tell() <= most and (piece := file.read(_PIECE)):
        lost = lost or next((what for pattern, what in _LOST.items() if pattern.search(rest + piece)), None)
        found = _PLACE.findall(rest + piece)
        cells += len(found)
        rows = max(rows, *(int(it[:_LONGEST]) for it in {row for _, row in found}), 0)
        columns = max(columns, *(column_number(it[:_LONGEST]) for it in {column for column, _ in found}), 0)
        rest = piece[-_TAG:]
    return rows, columns, cells, lost


def _texts(line: Iterable[Any]) -> list[str]:
    return ["" if value is None else str(value) for value in line]


def _cell(value: Any) -> Any:
    """Convert a cell to the text of a value."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        # A longer number has lost its last digits, so it is refused like a number that a spreadsheet shortened.
        return str(int(value)) if value.is_integer() and abs(value) < 10**_DIGITS else _number(value)
    if isinstance(value, int) and abs(value) >= 10**_DIGITS:
        return _number(float(value))
    return shown_date(value) or (str(value) if isinstance(value, (int, timedelta)) else value)


def _number(value: float) -> str:
    return f"{value:.5E}" if abs(value) >= 10**_DIGITS else repr(value)
