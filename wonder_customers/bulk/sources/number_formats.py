"""Number formats of spreadsheets that show leading zeros or letters, which are not part of the values."""

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial, reduce
from html import unescape
from itertools import chain
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile

from wonder_customers.errors import ConfigurationError

__all__ = ["check_formats", "column_number", "padded", "padded_cells", "sheet_part"]

Parts = tuple[str | None, ...]
"""The parts of a number: None for a digit, and strings between the digits."""
Template = tuple[tuple[Callable[[Any], Any] | None, Parts | None], ...]
"""The sections of a format: the condition for the number, and its parts; None for a number without leading zeros."""

_TOKEN = re.compile(r'"([^"]*)"|\\(.)|([_*].|\[[^\]]*\])|(.)', re.DOTALL)
_CONDITION = re.compile(r"\[(<=|>=|<>|<|>|=)\s*([0-9]{1,15}(?:\.[0-9]{0,15})?)\]")
_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "<=": operator.ge, ">=": operator.le, "<>": operator.ne, "<": operator.gt, ">": operator.lt, "=": operator.eq,
}  # fmt: skip
"""The comparisons of a limit with a number."""
_LITERALS = frozenset("-+() ")
_PREFIX = re.compile(r"[^\W_][-/.#+]?$")
"""The end of a text before a number that belongs to an id, such as ``K-``; not a currency or a word."""
# A damaged or crafted file may have many beginnings without an end, so no pattern reads beyond the next beginning.
_TAGS = re.compile(rb"<(?:\w{1,99}+:)?(row|c)(\s[^<>]*|/?)>")
_ATTRIBUTE = re.compile(rb"""(?<![\w:])([\w:]++)\s*+=\s*(?:"([^"]*)"|'([^']*)')""")
_PIECE = 1 << 20
_LARGEST = 64 << 20
"""The number of bytes up to which the formats and the list of sheets are read. Usual files have less than one MB."""
_MOST = 10**15
"""The first number that is not padded. Numbers from this size on have lost digits and are refused."""
_OLD_FORMAT = re.compile(rb"\x1e\x04..(?:..)(..)\x00", re.DOTALL)
"""The record of a number format in an .xls file, with the number of characters."""
_BINARY_FORMAT = re.compile(rb"\x2c(?:[\x08-\x7f]|[\x80-\xff].)..(.)\0\0\0", re.DOTALL)
"""The start of a number format in an .xlsb file, with the number of characters."""
_ODS_STYLES = re.compile(rb"<number:number-style\b(?:(?!<number:number-style\b).)*?</number:number-style>", re.DOTALL)
_ODS_ZEROS = re.compile(
    rb'number:min-integer-digits="(?:[2-9]|\d\d+)"|[A-Za-z0-9][-/.#]?</number:text>\s*<number:number\b'
)
"""Leading zeros, or a prefix that belongs to an id."""


def padded(line: Sequence[Any], templates: Mapping[int, Template], first: int) -> list[Any]:
    """Return the cells of a row, of which the first is in column `first`, with numbers as a spreadsheet shows them."""
    return [_padded(it, templates[place]) if place in templates else it for place, it in enumerate(line, first)]


def _padded(value: Any, template: Template) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < _MOST or value % 1:
        return value
    parts = next((parts for holds, parts in template if holds is None or holds(value)), None)
    if parts is None:
        return value
    zeros = parts.count(None)
    digits = str(int(value)).zfill(zeros)
    # A longer number is shown completely: its first digits are at the first place.
    places = iter([digits[: len(digits) - zeros + 1], *digits[len(digits) - zeros + 1 :]])
    return "".join(next(places) if part is None else part for part in parts)


def _template(code: str) -> Template | None:
    """Return the sections of a number format with leading zeros or a prefix; None for other formats."""
    sections: list[list[tuple[str, str, str, str]]] = [[]]
    for token in _TOKEN.findall(code):
        if token[3] == ";":
            sections.append([])
        else:
            sections[-1].append(token)
    found = [(_condition(tokens), _parts(tokens, signed=len(sections) > 1)) for tokens in sections]
    if not any(holds for holds, _ in found):
        del found[1:]  # the formats of negative numbers, zero and texts
    return tuple(found) if any(parts for _, parts in found) else None


def _condition(tokens: Iterable[tuple[str, str, str, str]]) -> Callable[[Any], Any] | None:
    given = next(filter(None, (_CONDITION.fullmatch(ignored) for _, _, ignored, _ in tokens)), None)
    return partial(_COMPARISONS[given[1]], float(given[2])) if given else None


def _parts(tokens: Iterable[tuple[str, str, str, str]], *, signed: bool) -> Parts | None:
    parts: list[str | None] = []
    optional = None
    for quoted, escaped, ignored, other in tokens:
        # After the first 0, a place without a digit is shown as 0.
        if other == "0" or (other in {"#", "?"} and None in parts):
            if None not in parts and optional not in {None, len(parts)}:
                return None  # a text between optional digits
            parts.append(None)
        elif other in {"#", "?"}:
            optional = len(parts) if optional is None else optional
        elif other and other not in _LITERALS:
            return None
        elif not ignored:
            parts.append(quoted or escaped or other)
    if None not in parts:
        if optional != len(parts):
            return None
        parts.append(None)
    prefix = "".join(part for part in parts[: parts.index(None)] if part)
    zeros = parts.count(None) > 1
    return tuple(parts) if zeros or _PREFIX.search(prefix) or (prefix.endswith("+") and not signed) else None


def sheet_part(archive: ZipFile, index: int) -> str | None:
    """Return the name of the part of an .xlsx file that contains a sheet; None if it cannot be determined."""
    names = {name.lower(): name for name in archive.namelist()}
    if not {"xl/workbook.xml", "xl/_rels/workbook.xml.rels"} <= names.keys():
        return None
    sheets = [it for it in _elements(_contents(archive, names["xl/workbook.xml"]), b"sheet") if it.get("name")]
    links_of_sheet = (value for it in sheets[index : index + 1] for key, value in it.items() if key.endswith(":id"))
    link = next(links_of_sheet, None)
    links = _elements(_contents(archive, names["xl/_rels/workbook.xml.rels"]), b"Relationship")
    target = next((it["Target"] for it in links if it.get("Id") == link and "Target" in it), "")
    part = target.removeprefix("/") if target.startswith("/") else f"xl/{target}"
    return names.get(part.lower())


def padded_cells(path: Path, index: int) -> Iterator[tuple[int, Mapping[int, Template]]]:
    """Yield the number of each row of an .xlsx file's sheet that has such cells, and their formats by column."""
    with ZipFile(path) as archive:
        styles = next((name for name in archive.namelist() if name.lower() == "xl/styles.xml"), None)
        formats = _formats(_contents(archive, styles)) if styles else {}
        part = sheet_part(archive, index) if formats else None
        if part is not None:
            with archive.open(part) as file:
                yield from _rows(file, formats)


def _start(archive: ZipFile, name: str) -> bytes:
    """Return the styles at the start of a part."""
    with archive.open(name) as file:
        return file.read(_PIECE).partition(b"<office:body")[0]


def _contents(archive: ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        found = file.read(_LARGEST + 1)
    if len(found) > _LARGEST:
        raise ConfigurationError(
            f"{name} in the spreadsheet is larger than {_LARGEST >> 20} MB. Copy the data to a new spreadsheet, or save"
            " the sheet as CSV."
        )
    return found


def _formats(styles: bytes) -> dict[bytes, Template]:
    """Return the formats with leading zeros by the style of a cell."""
    listed = _elements(_section(styles, b"numFmts"), b"numFmt")
    codes = {it.get("numFmtId", ""): it.get("formatCode", "") for it in listed}
    styled = [it.get("numFmtId", "") for it in _elements(_section(styles, b"cellXfs"), b"xf")]
    found = ((b"%d" % place, _template(codes.get(number, ""))) for place, number in enumerate(styled))
    return {style: template for style, template in found if template is not None}


def _section(xml: bytes, name: bytes) -> bytes:
    start = re.search(rb"<(?:\w{1,99}+:)?" + name + rb"\b", xml)
    end = start and re.compile(rb"</(?:\w{1,99}+:)?" + name + rb"\s*+>").search(xml, start.end())
    return xml[start.start() : end.end()] if start and end else b""


def _elements(xml: bytes, name: bytes) -> Iterator[dict[str, str]]:
    """Yield the attributes of elements."""
    for tag in re.finditer(rb"<(?:\w{1,99}+:)?" + name + rb"""\s((?:[^<>"']|"[^"<]*"|'[^'<]*')*+)>""", xml):
        given = _ATTRIBUTE.findall(tag[1])
        yield {key.decode(): unescape((one or other).decode("utf-8", "replace")) for key, one, other in given}


def _rows(file: IO[bytes], formats: Mapping[bytes, Template]) -> Iterator[tuple[int, dict[int, Template]]]:
    row = column = 0
    found: dict[int, Template] = {}
    for name, given in _tags(file):
        attributes = {key: one or other for key, one, other in _ATTRIBUTE.findall(given)}
        if name == b"row":
            if found:
                yield row, found
            number = attributes.get(b"r", b"%d" % (row + 1))
            if not re.fullmatch(b"[0-9]{1,9}", number):
                raise ConfigurationError(
                    "a row of the spreadsheet has an invalid number. Open the file in a spreadsheet program and save it"
                    " as .xlsx."
                )
            row, column, found = int(number), 0, {}
            continue
        place = re.match(rb"[A-Za-z]+", attributes.get(b"r", b""))
        column = column_number(place[0]) if place else column + 1
        if (template := formats.get(attributes.get(b"s", b""))) is not None:
            found[column] = template
    if found:
        yield row, found


def _tags(file: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    rest = b""
    while piece := file.read(_PIECE):
        text = rest + piece
        start = text.rfind(b"<")
        # Rows and cells have shorter tags.
        rest = text[start:] if start >= 0 and len(text) - start < _PIECE else b""
        yield from _TAGS.findall(text, 0, len(text) - len(rest))
    yield from _TAGS.findall(rest)


def column_number(letters: bytes) -> int:
    """Return the number of a column, from 1, by its letters."""
    return reduce(lambda number, letter: 26 * number + (letter & 31), letters, 0)


def check_formats(path: Path) -> None:
    """Raise `ConfigurationError` if a file that is not .xlsx has a format with leading zeros or letters."""
    with path.open("rb") as file:
        is_zip = file.read(2) == b"PK"
    if is_zip:
        with ZipFile(path) as archive:
            named = {"content.xml", "styles.xml", "xl/styles.bin"}.intersection(archive.namelist())
            parts = {name: _start(archive, name) for name in named}
        data = parts.pop("xl/styles.bin", b"")
        codes = (data[it.end() : it.end() + 2 * it[1][0]] for it in _BINARY_FORMAT.finditer(data))
        styles = chain.from_iterable(map(_ODS_STYLES.findall, parts.values()))
        found = any(map(_ODS_ZEROS.search, styles)) or any(_template(it.decode("utf-16-le", "replace")) for it in codes)
    else:
        data = path.read_bytes()
        records = ((it.end(), int.from_bytes(it[1], "little")) for it in _OLD_FORMAT.finditer(data))
        found = any(_template(data[start : start + size].decode("latin-1")) for start, size in records)
    if found:
        raise ConfigurationError(
            f"{path.name} has a number format that shows leading zeros or letters, such as 00000, which can only be"
            " read from .xlsx files. Open the file in a spreadsheet program and save it as .xlsx."
        )
