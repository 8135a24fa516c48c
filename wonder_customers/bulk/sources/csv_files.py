"""Reads CSV files."""

import csv
import re
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from itertools import chain, islice
from typing import Any, BinaryIO

from attrs import define

from wonder_customers._support.counted import counted
from wonder_customers.bulk.rows import Row
from wonder_customers.bulk.sources.columns import IDENTIFYING, INVALID_BYTES, Columns, Reading, UnknownColumns
from wonder_customers.bulk.sources.csv_parser import LONGEST_FIELD, CsvRecords
from wonder_customers.bulk.sources.header_lines import TITLE_LINES, field_of, is_header, names_problem, title_words
from wonder_customers.bulk.sources.notes import SourceNotes
from wonder_customers.bulk.sources.text import ByteRange, TextOptions, decoded, has_invalid_bytes, text_lines
from wonder_customers.errors import ConfigurationError

__all__ = ["csv_records", "csv_rows", "is_blank", "is_footer", "is_remark", "title_hint"]

_EXCEL_SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_TOTALS = (
    "total", "totals", "subtotal", "sub-total", "grand total", "grand totals", "sum", "summe", "gesamt", "gesamtsumme",
    "insgesamt", "zwischensumme", "endsumme", "totale", "totali", "subtotale", "totaux", "somme", "suma", "sumas",
    "totais", "totaal", "subtotaal", "eindtotaal", "totalt", "summa", "delsumma", "delsum", "i alt", "yhteensä",
    "samtals", "ukupno", "sveukupno", "skupno", "skupaj", "vsota", "celkem", "součet", "mezisoučet", "spolu", "súčet",
    "razem", "ogółem", "łącznie", "összesen", "mindösszesen", "végösszeg", "toplam", "genel toplam", "ara toplam",
    "kokku", "kopā", "viso", "iš viso", "итого", "всего", "разом", "усього", "всього", "общо", "укупно", "вкупно",
    "сума", "сумма", "σύνολο", "合计", "总计", "小计", "合計", "總計", "小計", "総計", "합계", "총계", "소계", "jumlah",
    "tổng", "tổng cộng", "รวม", "المجموع", "الإجمالي", "סה״כ", 'סה"כ', "कुल",
)  # fmt: skip
_AMOUNT = r"[-\u2212]?([^\W\d_]{2,3} |[€$£¥₽])?(?!0\d)\d[\d.,'\u2019\s]*([^\W\d_]{2,3}\.?|[€$£¥₽%])?"
"""A number such as ``1.250,00 €``; neither a phone number nor an id with letters."""
_NUMBER = re.compile(rf"{_AMOUNT}|[-\u2013\u2014]+")
_FOOTER = re.compile(
    rf"({'|'.join(_TOTALS)})( (general|général|generale|geral|count|amount|customers?|records?|rows?|entries"
    r"|kunden|clients?|clienti|clientes|klanten|kupaca|stranak|klientów))?"
    rf"((\s*[:：=]\s*|\s+)({_AMOUNT}( \w+)?|\(\d[^()]*\))|\s*[:：=])?"
    r"|(page|seite|stranica|strana|pagina|página|pag\.?) \d+( (of|von|od|sur|de|di|van|/) \d+)?"
    r"|(number|anzahl|nombre|broj|liczba) (of |der |de )?\w+\s*:?\s*\d+"
    r"|(stand|datum|date|as of)\b\s*:?\s*[\d./:\- ]{8,}"
    r"|\(?\d+ (rows?|records?|customers?|entries|zeilen|lignes)( (selected|affected))?\)?\.?"
    r"|[-*=]+ ?end( of \w+)?[ *=-]*"
    r"|(generated|exported|printed)( (on|by|at|from|with)\b|\s*:| \d).*"
    r"|end of (the )?(report|file|list|data|table|export)\b.*|copyright (\(c\)|©|\d).*|confidential information\b.*",
    re.IGNORECASE,
)
_DAY = re.compile(r"(mon|tues|wednes|thurs|fri|satur|sun)day, \w+ \d+, \d{4}\b.*", re.IGNORECASE)
"""The date of a report. Its commas may separate cells."""
_FOOTER_WORDS = (
    *_TOTALS, "pag", "pág", "seite", "strana", "stranica", "number", "anzahl", "nombre", "broj", "liczba", "stand",
    "dat", "as of", "generated", "exported", "printed", "end of", "copyright", "confidential", "mon", "tue", "wed",
    "thu", "fri", "sat", "sun",
)  # fmt: skip
_FOOTER_START = re.compile(r"[(*=-]|\d+ |" + "|".join(_FOOTER_WORDS))
"""The start of a footer in lower case. The pattern excludes most rows quickly."""
_FOOTER_LETTERS = frozenset(word[:2] for word in _FOOTER_WORDS)
"""The first two letters of a footer. They exclude most rows faster than the pattern."""
_LONGEST_HEADER = 10_000
REMARK = (
    "only the first column has a value, so the line may be a heading or a remark, and is not sent; if it is a customer,"
    " add a value, such as the name, otherwise delete the line"
)


@define
class _Opened:
    """A CSV file whose column names were read."""

    header: list[str]
    # The lines after the column names, the number of the lines before them, and the options of the parser.
    lines: Iterator[str]
    before: int
    dialect: dict[str, Any]


def _opened(file: BinaryIO, head: ByteRange, options: TextOptions, where: str) -> _Opened | None:
    """Read a file up to its column names; return None if it has none."""
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_FIELD))
    lines = text_lines(file, head)
    skipped = sum(1 for _ in islice(lines, options.skip_lines))
    first = next(lines, "")
    separator = _EXCEL_SEPARATOR.fullmatch(first)
    skipped += separator is not None
    # The delimiter is not determined from blank lines.
    start = [] if separator else [first]
    while start and is_blank(start[-1:]) and (line := next(lines, None)) is not None:
        start.append(line)
    delimiter = options.delimiter or (separator[1] if separator else _delimiter(start[-1], options))
    lines = chain(start, lines)
    # Blanks around values are not part of the values; after a delimiter, they would hide a quote.
    dialect = {"delimiter": delimiter, "quotechar": options.quote or '"', "strict": True, "skipinitialspace": True}
    reader = csv.reader(lines, **dialect)  # type: ignore[arg-type]  # values of several types
    try:
        header = next((names for names in reader if not is_blank(names)), None)
    except csv.Error as error:
        raise ConfigurationError(
            f"{where}line {skipped + reader.line_num}: the column names cannot be read ({error}). Check the quotes and"
            " `delimiter`."
        ) from None
    if header is None:
        return None
    before = skipped + reader.line_num
    return _Opened(_valid(header, f"{where}line {before}: "), lines, before, dialect)


def csv_rows(
    file: BinaryIO, number: int, reading: Reading, where: str, byte_range: ByteRange
) -> Generator[Row, None, int]:
    """Yield the rows of a CSV file, and return the number of the last row.

    Raise `ConfigurationError` if the file or its columns cannot be read.
    """
    head = ByteRange(encoding=byte_range.encoding)
    options = reading.mapping.text
    opened = _opened(file, head, options, where)
    if opened is None:
        return number
    header = opened.header
    try:
        columns = Columns.match(header, reading)
    except UnknownColumns as error:
        hint = title_hint(_cells(opened.lines, options), opened.before, header)
        if not hint and len(header) == 1:
            hint = " If the columns are separated by another character, set this character with `delimiter`."
        raise ConfigurationError(f"{error}{hint}") from None
    head.take_recent()
    if byte_range.offset:
        file.seek(byte_range.offset)
    else:
        byte_range.whole, byte_range.offset, byte_range.line = head.whole, head.offset, opened.before
    if byte_range.whole:
        records = CsvRecords(opened.lines, opened.dialect, byte_range, head)
    else:
        records = CsvRecords(decoded(file, byte_range), opened.dialect, byte_range, byte_range)
    return (yield from _rows(records, header, columns, number, where))


def csv_records(
    file: BinaryIO, encoding: str, options: TextOptions, where: str, notes: SourceNotes
) -> Iterator[list[str]]:
    """Yield the column names of a CSV file, and its records with the same number of values.

    Raise `ConfigurationError` if a record cannot be read.
    """
    head = ByteRange(encoding=encoding)
    opened = _opened(file, head, options, where)
    if opened is None:
        return
    yield opened.header
    head.take_recent()
    at = ByteRange(line=opened.before, encoding=encoding, whole=head.whole)
    records = CsvRecords(opened.lines, opened.dialect, at, head)
    header = opened.header
    identifying = [place for place, name in enumerate(header) if (field_of(name) or "").startswith(IDENTIFYING)]
    by_reference = field_of(header[0]) == "reference"
    found = _classified(records, header, identifying, where, notes=notes, reference_of=_first)
    for place, values, _, problem in found:
        if problem is not None and (by_reference or problem is not REMARK):
            raise ConfigurationError(f"{place}: {problem}. Correct the line; a query needs all lines.")
        yield values + [""] * (len(header) - len(values))


def _first(values: Sequence[str]) -> str | None:
    return values[0] or None if values else None


def is_blank(values: list[str]) -> bool:
    """Return whether a row contains neither a letter nor a digit."""
    return not any(map(str.isalnum, "".join(values)))


def is_footer(values: list[str], identifying: Collection[int]) -> bool:
    """Return whether a row seems to be a line after the table, such as ``Total``.

    A row with a reference beside the text is a customer, and so is a row with other texts or with a value in a column
    of references, phones, e-mail addresses or postal addresses, which are `identifying`.
    """
    filled = [place for place, value in enumerate(values) if value.strip()]
    texts = [values[place].strip() for place in filled]
    return bool(texts) and (bool(_DAY.fullmatch(", ".join(texts))) or _is_total(texts, filled[1:], identifying))


def _is_total(texts: list[str], others: list[int], identifying: Collection[int]) -> bool:
    return (
        _FOOTER.fullmatch(texts[0]) is not None
        and all(map(_NUMBER.fullmatch, texts[1:]))
        and not any(place in identifying for place in others)
    )


def _starts_like_footer(value: str) -> bool:
    may_be_footer = not value[0].isalpha() or value[:2].lower() in _FOOTER_LETTERS
    return may_be_footer and _FOOTER_START.match(value.lower()) is not None


def is_remark(values: Sequence[Any]) -> bool:
    """Return whether a row of several columns may be a remark or the heading of a group in the first column."""
    text = str(values[0] or "").strip()
    may_be_text = " " in text or text.isalpha()
    return len(values) > 2 and may_be_text and not any(it is not None and str(it).strip() for it in values[1:])


def _valid(header: list[str], where: str) -> list[str]:
    """Check the column names and return them."""
    if any(map(has_invalid_bytes, header)):
        raise ConfigurationError(
            f"{where}the column names contain {INVALID_BYTES}. Correct the encoding if you named it; otherwise, export"
            " the data again as UTF-8."
        )
    if all(len(name) > 2 and name[0] == name[-1] == "'" for name in map(str.strip, header)):
        raise ConfigurationError(f"{where}the quote character of the column names is '. Add quote=\"'\".")
    return header


def _known(names: Sequence[str]) -> int:
    """Return the number of names that match a field or a synonym."""
    return sum(field_of(name) is not None for name in names)


def _cells(lines: Iterator[str], options: TextOptions) -> Iterator[list[str]]:
    """Yield the cells of lines."""
    for line in lines:
        start = line[:_LONGEST_HEADER].splitlines()[:1]
        # The delimiter of a title line may differ from that of the column names.
        yield next(csv.reader(start, delimiter=options.delimiter or _delimiter(line, options)), [])


def title_hint(lines: Iterator[list[str]], before: int, header: Sequence[str]) -> str:
    """Return a hint if a later line seems to contain the column names."""
    least = _known(header)
    for number, cells in enumerate(islice(lines, TITLE_LINES), before):
        known = _known(cells)
        if known > max(least, 1) or (known > least and len(cells) == 1):
            return f" Line {number + 1} seems to contain the column names: add skip_lines={number}."
    return ""


def _rows(
    records: CsvRecords, header: list[str], columns: Columns, number: int, where: str
) -> Generator[Row, None, int]:
    notes, reference_of, with_cards = columns.cleaner.notes, columns.reference_of, columns.with_cards
    found = _classified(records, header, columns.identifying, where, notes=notes, reference_of=reference_of)
    for place, values, reference, problem in found:
        number += 1
        original = None if with_cards else records.original
        if problem is not None:
            yield Row(number, problem=f"{place}: {problem}", place=place, original=original)
            continue
        # Keywords are slower, and this is called for every row.
        yield Row(number, None, None, reference, place, original, columns, values)
    return number


def _classified(
    records: CsvRecords,
    header: list[str],
    identifying: Collection[int],
    where: str,
    *,
    notes: SourceNotes,
    reference_of: Callable[[list[str]], str | None],
) -> Iterator[tuple[str, list[str], str | None, str | None]]:
    """Yield the location, the values, the reference and the problem of each record that is a row."""
    width, take, titles = len(header), records.take, title_words(header)
    while (values := take()) is not None:
        line = records.line
        place = f"{where}line {line}"
        if isinstance(values, csv.Error):
            yield place, [], None, records.reason(values)
            continue
        problem, reference = None, reference_of(values)
        # A reference without letters and digits, or without other cells, may be a line that is not a row.
        if (reference is None or not reference[0].isalnum()) and is_blank(values):
            if "\0" not in "".join(values):
                continue
            problem = "the row contains NUL characters, so the file is damaged"
        elif values[0] in titles and is_header(values, header, place):
            notes.repeated_headers += 1
            continue
        elif (not values[0] or _starts_like_footer(values[0])) and is_footer(values, identifying):
            notes.add_footer(reference)
            continue
        elif (problem := names_problem(values, header, where, line)) is not None:
            pass
        elif len(values) != width:
            problem = _width_problem(values, width, records)
            notes.short_rows += problem is None and len(values) < width
        elif not values[-1].strip():
            problem = REMARK if reference is not None and is_remark(values) else None
        elif width > 1:
            problem = _continued(records, identifying)
        yield place, values, reference, problem
    notes.unended_files += records.original != b"" and not records.original.endswith((b"\n", b"\r"))


def _width_problem(values: list[str], width: int, records: CsvRecords) -> str | None:
    """Return the problem of a row with a wrong number of values."""
    if len(values) > width:
        if any(map(str.strip, values[width:])):
            return f"the row has {len(values)} values, but the table has {counted(width, 'column', 'columns')}"
        del values[width:]
        return None
    # Spreadsheets omit empty values at the end of a row.
    continues = records.broken == records.line
    if continues or len(values) == 1:
        part = "the line is probably the rest of the previous row"
        return part if continues else f"the row has 1 value, but the table has {width} columns"
    following = records.peek()
    if following is None and not records.original.endswith(b"\n"):
        return "the last line is incomplete; another program may still be writing to the file"
    if isinstance(following, list) and not is_blank(following) and len(values) + len(following) - 1 == width:
        records.mark_broken()
        return (
            f"the row has {len(values)} values, but the table has {width} columns, and the next line seems to be the"
            " rest of the row; put a value with a line break into quotes, or add the delimiters of empty values"
        )
    return None


def _continued(records: CsvRecords, identifying: Collection[int]) -> str | None:
    """Return the problem of a complete row whose last value seems to continue in the next line."""
    following = records.peek()
    if (
        not isinstance(following, list)
        or len(following) > 1
        or is_blank(following)
        or is_footer(following, identifying)
    ):
        return None
    records.mark_broken()
    return (
        "the next line has 1 value, which seems to be the rest of the last value; put a value with a line break into"
        " quotes, or delete the next line if it is not a part of the table"
    )


def _delimiter(line: str, options: TextOptions) -> str:
    """Return the most frequent delimiter outside quotes; a comma by default."""
    quote = re.escape(options.quote or '"')
    bare = re.sub(f"{quote}[^{quote}]*{quote}", "", line)
    return max(",;\t|", key=bare.count)
