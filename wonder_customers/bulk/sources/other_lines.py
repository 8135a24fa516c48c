"""Lines of a table that are not rows: column names, descriptions of columns, totals and remarks."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from typing import Any

from attrs import define, field

from wonder_customers.bulk.sources.assignment import known_fields, plain
from wonder_customers.bulk.sources.notes import SourceNotes
from wonder_customers.bulk.sources.presets import synonym
from wonder_customers.errors import ConfigurationError

__all__ = ["REMARK", "OtherLines", "field_of", "is_blank", "is_remark", "title_hint"]

_TITLE_LINES = 30
"""The lines above the column names that may be titles."""
_NOT_NAMES = re.compile(r"[0-9]{2}|@")
"""What rows contain and column names do not. It excludes most rows quickly."""
_TYPES = (
    "string", "str", "text", "char", "varchar", "varchar2", "nvarchar", "character varying", "integer", "int", "bigint",
    "smallint", "number", "numeric", "num", "decimal", "float", "double", "boolean", "bool", "date", "datetime", "time",
    "timestamp", "uuid", "guid", "json", "alphanumeric", "email", "e-mail", "phone", "required", "optional",
    "mandatory", "pflichtfeld", "obligatoire", "facultatif", "obligatorio", "opcional", "obbligatorio", "facoltativo",
    "verplicht", "obavezno", "wymagane",
)  # fmt: skip
_EXAMPLE = re.compile(r"(e\. ?g\.|z\. ?b\.|p\. ?ex\.|npr?\.|(example|beispiel|exemple|ejemplo|esempio|primjer):) .+")
_DESCRIBED = re.compile(rf"[<(\[]?({'|'.join(_TYPES)})( ?\(\d+(, ?\d+)?\))?[>)\]]?\*?|max\.? ?\d+.*|{_EXAMPLE.pattern}")
"""What the second line of a template contains: types, lengths or examples."""
_DESCRIBED_LETTERS = frozenset(
    f"{mark}{word}"[:2]
    for word in (*_TYPES, "max", "e.", "z.", "p.", "np", "ex", "bei", "ej", "es", "pr")
    for mark in ("", "<", "(", "[")
)
"""The first two letters of such a value. They exclude most rows faster than the pattern."""
_TOTALS = (
    "total", "totals", "subtotal", "sub-total", "grand total", "grand totals", "sum", "summe", "gesamt", "gesamtsumme",
    "insgesamt", "zwischensumme", "endsumme", "totale", "totali", "subtotale", "totaux", "somme", "suma", "sumas",
    "totais", "totaal", "subtotaal", "eindtotaal", "totalt", "summa", "delsumma", "delsum", "i alt", "yhteensä",
    "samtals", "ukupno", "sveukupno", "skupno", "skupaj", "vsota", "celkem", "součet", "mezisoučet", "spolu", "súčet",
    "razem", "ogółem", "łącznie", "összesen", "mindösszesen", "végösszeg", "toplam", "genel toplam", "ara toplam",
    "kokku", "kopā", "viso", "iš viso", "итого", "всего", "разом", "усього", "всього", "общо", "укупно", "вкупно",
    "сума", "сумма", "σύνολο", "合计", "总计", "小计", "合計", "總計", "小計", "総計", "합계", "총계", "소계", "jumlah",
    "tổng", "tổng cộng", "รวม", "المجموع", "الإجمالي", "סה״כ", 'סה"כ', "कुल", "average", "durchschnitt", "mittelwert",
    "moyenne", "promedio", "prosjek",
)  # fmt: skip
_AMOUNT = r"[-\u2212]?([^\W\d_]{2,3} |[€$£¥₽])?(?!0\d)\d[\d.,'\u2019\s]*([^\W\d_]{2,3}\.?|[€$£¥₽%])?"
"""A number such as ``1.250,00 €``; neither a phone number nor an id with letters."""
_NUMBER = re.compile(rf"{_AMOUNT}( [^\W\d_]+)?|[-\u2013\u2014]+")
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
_FOOTER_START = re.compile(r"$|[(*=-]|\d+ |" + "|".join(_FOOTER_WORDS))
"""The start of a footer in lower case. It excludes most rows quickly."""
_FOOTER_LETTERS = frozenset(word[:2] for word in _FOOTER_WORDS)
"""The first two letters of a footer. They exclude most rows faster than the pattern."""
REMARK = (
    "only the first column has a value, so the line may be a heading or a remark, and is not sent; if it is a customer,"
    " add a value, such as the name, otherwise delete the line"
)


@define
class OtherLines:
    """Finds the lines of a table that are not rows.

    Attributes:
        names: The names of the columns.
        identifying: The indexes of columns of references, phones, e-mail addresses and postal addresses.
        where: Prefix for the locations of lines in messages.
        notes: Counts the lines.
    """

    names: Sequence[str]
    identifying: Collection[int]
    where: str
    notes: SourceNotes
    _first_words: frozenset[str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._first_words = frozenset(name.strip().lower() for name in self.names)

    def skips(self, values: list[str], line: int, reference_of: Callable[[list[str]], str | None]) -> bool:
        """Count a line that repeats the column names or seems to be a total; return whether it is such a line.

        Raise `ConfigurationError` if the names have another order, because the columns of later rows would be confused.
        """
        if values[0].strip().lower() in self._first_words and self._is_header(values, line):
            self.notes.repeated_headers += 1
            return True
        if _starts_like_footer(values[0]) and self.is_footer(values):
            self.notes.add_footer(reference_of(values))
            return True
        return False

    def _is_header(self, values: Sequence[str], line: int) -> bool:
        """Return whether a row repeats the column names, as in concatenated files."""
        found, names = (list(map(plain, row)) for row in (values, self.names))
        if found != names and len(found) > 1 and sorted(found) == sorted(names):
            raise ConfigurationError(
                f"{self.where}line {line}: the column names are repeated in another order. The rows after this line"
                " were not read. Save them to another file."
            )
        return found == names

    def is_footer(self, values: Sequence[str]) -> bool:
        """Return whether a row seems to be a line after the table, such as ``Total``.

        A row with a reference beside the text is a customer, and so is a row with other texts or with a value in an
        identifying column.
        """
        filled = [place for place, value in enumerate(values) if value.strip()]
        texts = [values[place].strip() for place in filled]
        if not texts or _DAY.fullmatch(", ".join(texts)):
            return bool(texts)
        return (
            _FOOTER.fullmatch(texts[0]) is not None
            and all(map(_NUMBER.fullmatch, texts[1:]))
            and not any(place in self.identifying for place in filled[1:])
        )

    def problem(self, values: Sequence[str], line: int) -> str | None:
        """Return the problem of a row that describes the columns or names them, as the second line of a template.

        Raise `ConfigurationError` if the row contains the column names of another table, because later rows would be
        read with the names of this table.
        """
        first = values[0].strip().lower()
        if first[:2] in _DESCRIBED_LETTERS and _DESCRIBED.fullmatch(first) and _is_description(values):
            return "the line describes the columns, as in a template, and is not a customer; delete the line"
        if _NOT_NAMES.search(values[0]) or _NOT_NAMES.search(",".join(values)):
            return None
        # An error of a spreadsheet, such as #NAME?, is not a name.
        pairs = zip(values, self.names, strict=False)
        filled = [(value, name) for value, name in pairs if value.strip() and value[0] != "#"]
        same = [name for value, name in filled if plain(value) == plain(name)]
        known = [(field, field_of(name)) for value, name in filled if name not in same and (field := field_of(value))]
        count = len(same) + len(known)
        fits = count == len(filled) and all(own in {None, field} for field, own in known)
        # One name, and two in other columns or beside other values, may be values of a customer.
        if count < (2 if fits else 3):
            return None
        if fits:
            return "the line contains other names of the columns, not a customer; delete the line"
        place = f"{self.where}line {line}"
        if line <= _TITLE_LINES and not any(map(field_of, self.names)):  # a title was read as the names
            raise ConfigurationError(f"{place} seems to contain the column names: add skip_lines={line - 1}.")
        raise ConfigurationError(
            f"{place}: the line seems to contain the column names of another table. This line and the rows after it"
            " were not read. Save them to another file; delete the line if it only repeats the names of the columns."
        )


def _starts_like_footer(value: str) -> bool:
    start = value.strip().lower()
    may_be_footer = start[:2] in _FOOTER_LETTERS or not start[:1].isalpha()
    return may_be_footer and _FOOTER_START.match(start) is not None


def is_blank(values: list[str]) -> bool:
    """Return whether a row contains neither a letter nor a digit."""
    return not any(map(str.isalnum, "".join(values)))


def is_remark(values: Sequence[Any]) -> bool:
    """Return whether a row of several columns may be a remark or the heading of a group in the first column."""
    text = str(values[0] or "").strip()
    may_be_text = " " in text or text.isalpha()
    return len(values) > 2 and may_be_text and not any(it is not None and str(it).strip() for it in values[1:])


def _is_description(values: Sequence[str]) -> bool:
    """Return whether a row contains types or examples, as the second line of a template."""
    given = [text for value in values if (text := value.strip().lower())]
    return len(given) > 1 and (bool(_EXAMPLE.fullmatch(given[0])) or all(map(_DESCRIBED.fullmatch, given)))


def field_of(name: str) -> str | None:
    """Return the field that a column has by its name."""
    return plain(name) if plain(name) in known_fields() else synonym(name) or synonym(name, further=True)


def _known(names: Sequence[str]) -> int:
    """Return the number of names that match a field or a synonym."""
    return sum(field_of(name) is not None for name in names)


def title_hint(lines: Iterator[list[str]], before: int, header: Sequence[str]) -> str:
    """Return a hint if a later line seems to contain the column names."""
    least = _known(header)
    for number, cells in enumerate(islice(lines, _TITLE_LINES), before):
        known = _known(cells)
        if known > max(least, 1) or (known > least and len(cells) == 1):
            return f" Line {number + 1} seems to contain the column names: add skip_lines={number}."
    return ""
