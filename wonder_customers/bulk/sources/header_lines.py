"""Lines of a table that contain column names."""

import re
from collections.abc import Sequence

from wonder_customers.bulk.sources.assignment import known_fields, plain
from wonder_customers.bulk.sources.presets import synonym
from wonder_customers.errors import ConfigurationError

__all__ = ["TITLE_LINES", "field_of", "is_header", "names_problem", "title_words"]

TITLE_LINES = 30
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
"""The first two letters of such a value. They exclude most rows quickly."""


def title_words(header: Sequence[str]) -> frozenset[str]:
    """Return the first values of rows that may repeat the column names."""
    ways = (str, str.lower, str.upper, str.title)
    # A byte order mark hides the quotes of a name.
    return frozenset(
        f"{mark}{way(name)}{quote}"
        for mark, quote in (("", ""), ("\ufeff", ""), ('\ufeff"', '"'))
        for name in header
        for way in ways
    )


def is_header(values: Sequence[str], header: Sequence[str], place: str) -> bool:
    """Return whether a row repeats the column names, as in concatenated files.

    Raise `ConfigurationError` if the names have another order, because the columns of later rows would be confused.
    """
    found, names = ([plain(name.lstrip("\ufeff").strip('"')) for name in row] for row in (values, header))
    if found != names and len(found) > 1 and sorted(found) == sorted(names):
        raise ConfigurationError(
            f"{place}: the column names are repeated in another order. The rows after this line were not read."
            " Save them to another file."
        )
    return found == names


def names_problem(values: Sequence[str], header: Sequence[str], where: str, line: int) -> str | None:
    """Return the problem of a row that contains other names of the columns, as a second line of names does.

    Raise `ConfigurationError` if the row contains the column names of another table, because later rows would be read
    with the names of this table.
    """
    if values[0][:2].lower() in _DESCRIBED_LETTERS and _is_description(values):
        return "the line describes the columns, as in a template, and is not a customer; delete the line"
    if _NOT_NAMES.search(values[0]) or _NOT_NAMES.search(",".join(values)):
        return None
    filled = [(value, name) for value, name in zip(values, header, strict=False) if value.strip()]
    same = [name for value, name in filled if plain(value) == plain(name)]
    known = [(field, field_of(name)) for value, name in filled if name not in same and (field := field_of(value))]
    count = len(same) + len(known)
    fits = count == len(filled) and all(own in {None, field} for field, own in known)
    # One name, and two in other columns or beside other values, may be values of a customer.
    if count < (2 if fits else 3):
        return None
    if fits:
        return "the line contains other names of the columns, not a customer; delete the line"
    if line <= TITLE_LINES and not any(map(field_of, header)):  # a title was read as the names
        raise ConfigurationError(f"{where}line {line} seems to contain the column names: add skip_lines={line - 1}.")
    raise ConfigurationError(
        f"{where}line {line}: the line seems to contain the column names of another table. This line and the rows after"
        " it were not read. Save them to another file; delete the line if it only repeats the names of the columns."
    )


def _is_description(values: Sequence[str]) -> bool:
    """Return whether a row contains types or examples, as the second line of a template."""
    given = [text for value in values if (text := value.strip().lower())]
    return len(given) > 1 and (bool(_EXAMPLE.fullmatch(given[0])) or all(map(_DESCRIBED.fullmatch, given)))


def field_of(name: str) -> str | None:
    """Return the field that a column has by its name."""
    return plain(name) if plain(name) in known_fields() else synonym(name) or synonym(name, further=True)
