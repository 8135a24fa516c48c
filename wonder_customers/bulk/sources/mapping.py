"""The mapping of a source: the field of each column, and how values are read."""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from attrs import asdict, field, fields, frozen

from wonder_customers._core.arguments import checked_path
from wonder_customers._support.countries import country_code
from wonder_customers.bulk.sources.packed import read_error
from wonder_customers.bulk.sources.text import TextOptions
from wonder_customers.errors import ConfigurationError

__all__ = ["NULLS", "TRANSFORMATIONS", "ColumnMapping", "FieldSource", "Several", "Unknown", "UnsupportedFields"]

Unknown = Literal["refuse", "ignore"]
"""What to do with a column that does not match a field of a customer."""

UnsupportedFields = Literal["refuse", "metadata", "ignore"]
"""What to do with fields that the gateway does not have."""

Several = Literal["refuse", "first"]
"""What to do with several values in a cell."""

TRANSFORMATIONS = (
    "readable", "encoded", "guards", "nfc", "placeholders", "invisible", "shortened", "email", "country", "phone",
)  # fmt: skip
"""The transformations and checks of values, in the order in which they are applied."""

NULLS = (
    "NULL", "null", "(null)", "<null>", "N/A", "n/a", "#N/A", "N.A.", "n.a.", "NA.", "NaN", "nan", "NAN", "None",
    "nil", "-", "--", "\u2013", "\u2014", "\\N", "undefined",
    # The errors of spreadsheets, by language.
    "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#ERROR!", "#SPILL!", "#CALC!", "#FIELD!", "#BLOCKED!",
    "#UNKNOWN!", "#CONNECT!", "#BUSY!", "#GETTING_DATA",
    "#NV", "#WERT!", "#BEZUG!", "#ZAHL!", "#ÜBERLAUF!",  # German
    "#VALEUR!", "#NOM?", "#NOMBRE!", "#NUL!", "#PROPAGATION!",  # French
    "#¡VALOR!", "#¡REF!", "#¿NOMBRE?", "#¡DIV/0!", "#¡NULO!", "#¡NUM!", "#N/D", "#¡DESBORDAMIENTO!",  # Spanish
    "#VALORE!", "#RIF!", "#NOME?", "#NULLO!", "#VALOR!", "#NULO!", "#NÚM!",  # Italian, Portuguese
    "#WAARDE!", "#VERW!", "#NAAM?", "#DEEL/0!", "#LEEG!", "#GETAL!", "#N/B",  # Dutch
    "#ARG!", "#ADR!", "#NAZWA?", "#DZIEL/0!", "#ZERO!", "#LICZBA!",  # Polish
    "#HODNOTA!", "#ODKAZ!", "#NÁZEV?", "#DĚLENÍ_NULOU!", "#ČÍSLO!", "#NENÍ_K_DISPOZICI",  # Czech
    "#NÁZOV?", "#DELENIENULOU!", "#NEDOSTUPNÝ",  # Slovak
    "#ÉRTÉK!", "#HIV!", "#NÉV?", "#ZÉRÓOSZTÓ!", "#NULLA!", "#SZÁM!", "#HIÁNYZIK",  # Hungarian
    "#VRIJ!", "#VRIJEDNOST!", "#REFERENCA!", "#NAZIV?", "#BROJ!",  # Croatian
    "#VREDN!", "#VREDNOST!", "#SKLIC!", "#IME?", "#DEL/0!", "#ŠTEV!", "#N/V",  # Slovenian, Serbian
    "#VALOARE!", "#NUME?",  # Romanian
    "#VÄRDEFEL!", "#REFERENS!", "#NAMN?", "#DIVISION/0!", "#SKÄRNING!", "#OGILTIGT!", "#SAKNAS!",  # Swedish
    "#VÆRDI!", "#REFERENCE!", "#NAVN?", "#VERDI!", "#I/T",  # Danish, Norwegian
    "#ARVO!", "#VIITTAUS!", "#NIMI?", "#JAKO/0!", "#TYHJÄ!", "#LUKU!", "#PUUTTUU!",  # Finnish
    "#DEĞER!", "#BAŞV!", "#AD?", "#SAYI/0!", "#BOŞ!", "#SAYI!", "#YOK",  # Turkish
    "#ЗНАЧ!", "#ССЫЛКА!", "#ИМЯ?", "#ДЕЛ/0!", "#ПУСТО!", "#ЧИСЛО!", "#Н/Д",  # Russian
)  # fmt: skip
"""The strings that mean an empty cell."""


def _texts(value: object) -> Any:
    """Convert a string or a list to a tuple of stripped strings."""
    given = ((value,) if value else ()) if isinstance(value, str) else value
    return tuple(it.strip() if isinstance(it, str) else it for it in given) if isinstance(given, Sequence) else value


def _check_texts(name: str, value: object) -> None:
    if not isinstance(value, tuple) or not all(isinstance(it, str) for it in value):
        raise ConfigurationError(f"{name} must be a string or a list of strings")


def _are_texts(_: object, attribute: Any, value: object) -> None:
    _check_texts(attribute.name, value)


def _columns(value: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, Mapping):
        raise ConfigurationError('[columns] must be a table with lines such as "COLUMN" = "FIELD"')
    found = {str(name): _texts(given) for name, given in value.items()}
    for name, given in found.items():
        _check_texts(f"[columns] {name!r}: the field", given)
    return found


def _rules(value: object) -> "dict[str, FieldSource]":
    if not isinstance(value, Mapping):
        raise ConfigurationError('[fields] must be a table with lines such as "FIELD" = { first = ["COLUMN"] }')
    return {str(path): given if isinstance(given, FieldSource) else _rule(path, given) for path, given in value.items()}


def _table(where: str, given: object, kind: type[Any]) -> Mapping[str, Any]:
    """Check the keys of a table."""
    names = [it.name for it in fields(kind)]
    unknown = next((it for it in given if it not in names), None) if isinstance(given, Mapping) else None
    if not isinstance(given, Mapping) or unknown is not None:
        problem = f"{where} must be a table" if unknown is None else f"{unknown!r} is not a key of {where}"
        raise ConfigurationError(f"{problem}; the valid keys are {', '.join(names)}")
    return given


def _rule(path: str, given: object) -> "FieldSource":
    given = _table(f"[fields] {path}", given, FieldSource)
    try:
        found = FieldSource(**given)
    except ConfigurationError as error:
        raise ConfigurationError(f"[fields] {path}: {error}") from None
    if sum([bool(found.first), bool(found.join), found.constant is not None]) != 1:
        raise ConfigurationError(f"[fields] {path} must have exactly one of the keys first, join and constant")
    return found


def _one_of(*choices: object) -> Any:
    def check(_: object, attribute: Any, value: object) -> None:
        if value not in choices:
            listed = ", ".join(str(choice).lower() for choice in choices if choice is not None)
            raise ConfigurationError(f"{attribute.name} must be one of {listed}, not {value!r}")

    return check


def _text(_: object, attribute: Any, value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{attribute.name} must be a string, not {value!r}")


@frozen
class FieldSource:
    """How a field is filled from several columns, or without a column. Set one of `first`, `join` and `constant`.

    Attributes:
        first: Columns; the first column with a value is used.
        join: Columns whose values are joined.
        separator: The string between joined values.
        constant: The value for every row.
        default: The value for rows in which all the columns are empty; None for no value.
    """

    first: tuple[str, ...] = field(default=(), converter=_texts, validator=_are_texts)
    join: tuple[str, ...] = field(default=(), converter=_texts, validator=_are_texts)
    separator: str = field(default=" ", validator=_text)
    constant: str | None = field(default=None, validator=_text)
    default: str | None = field(default=None, validator=_text)


def _known_transformations(_: object, __: object, value: Sequence[str]) -> None:
    for name in value:
        if name not in TRANSFORMATIONS:
            raise ConfigurationError(
                f"{name!r} is not a transformation; the transformations are {', '.join(TRANSFORMATIONS)}"
            )


def _country(_: object, __: object, value: Any) -> None:
    code = country_code(value) if isinstance(value, str) else None
    if value is not None and code != value:
        hint = f" (use {code})" if code else ""
        raise ConfigurationError(
            f"the default country must be a two-letter ISO 3166-1 code, such as HR, not {value!r}{hint}"
        )


@frozen(kw_only=True)
class ColumnMapping:
    """The mapping of columns to fields, and how values are read.

    Attributes:
        columns: The fields of each column; a column without fields is left out.
        fields: Fields that are filled from several columns, or with a constant.
        recognise: Whether presets and synonyms apply to the other columns.
        unknown: What to do with columns that do not match a field.
        unsupported: What to do with fields that the gateway does not have. None for ``refuse`` if the column is mapped
            or named like the field, and ``metadata`` otherwise. Gateways without metadata ignore the field instead.
        several: What to do with several e-mail addresses or phones in a cell: ``refuse``, or use the ``first``. None
            for the choice of the preset, or ``refuse``.
        company_as_name: Whether the company is the name of a row without a name; None for yes, unless the column of the
            company is mapped or named like the field.
        keep_together: Whether a row uses the columns of one address, such as the billing address, and of one name; None
            for yes, unless the columns are mapped or named like the field.
        default_country: The country of national phone numbers in rows without a country, as an ISO 3166-1 code; None if
            not known.
        nulls: The strings that the transformation ``placeholders`` treats as an empty cell.
        transformations: The names of the transformations that are applied.
        text: The settings for reading text files.
        sheet: The sheet of a spreadsheet; None for the only sheet with data.

    Raises:
        ConfigurationError: A value is invalid.
    """

    columns: Mapping[str, tuple[str, ...]] = field(factory=dict, converter=_columns)
    fields: Mapping[str, FieldSource] = field(factory=dict, converter=_rules)
    recognise: bool = field(default=True, validator=_one_of(True, False))
    unknown: Unknown = field(default="refuse", validator=_one_of(*get_args(Unknown)))
    unsupported: UnsupportedFields | None = field(default=None, validator=_one_of(None, *get_args(UnsupportedFields)))
    several: Several | None = field(default=None, validator=_one_of(None, *get_args(Several)))
    company_as_name: bool | None = field(default=None, validator=_one_of(None, True, False))
    keep_together: bool | None = field(default=None, validator=_one_of(None, True, False))
    default_country: str | None = field(default=None, validator=_country)
    nulls: tuple[str, ...] = field(default=NULLS, converter=_texts, validator=_are_texts)
    transformations: tuple[str, ...] = field(
        default=TRANSFORMATIONS, converter=_texts, validator=[_are_texts, _known_transformations]
    )
    text: TextOptions = TextOptions()
    sheet: str | None = field(default=None, validator=_text)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ColumnMapping":
        """Create a `ColumnMapping` from a dict with the structure of a mapping file.

        Raises:
            ConfigurationError: A key or a value is invalid.
        """
        given = dict(_table("a mapping", values, cls))
        return cls(**given | {"text": TextOptions(**_table("[text]", given.get("text", {}), TextOptions))})

    @classmethod
    def load(cls, path: str | Path) -> "ColumnMapping":
        """Read a mapping file.

        Raises:
            ConfigurationError: The file cannot be read or is invalid.
        """
        where = checked_path(path)
        try:
            values = tomllib.loads(where.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise read_error(where, error) from None
        except (ValueError, RecursionError) as error:
            known = {UnicodeDecodeError: "it is not UTF-8 text", RecursionError: "it has too many nested levels"}
            reason = known.get(type(error), error)
            raise ConfigurationError(f"{path} is not a TOML file: {reason}. Correct the mapping file.") from None
        try:
            return cls.from_dict(values)
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error}. Correct the mapping file.") from None

    def uses_company(self, *, automatic: bool) -> bool:
        """Return whether the company is the name of a row without a name. `automatic`: its column is not mapped."""
        return automatic if self.company_as_name is None else self.company_as_name

    def as_dict(self) -> dict[str, Any]:
        """Return the mapping as plain data, for `from_dict` and JSON."""
        return asdict(self)

    def to_toml(self, comments: Mapping[str, str] | None = None) -> str:
        """Return the mapping as the content of a mapping file.

        Args:
            comments: Comments by column; None for no comments.
        """
        return "\n".join(_toml(self, comments or {})) + "\n"


def _toml(mapping: ColumnMapping, comments: Mapping[str, str]) -> Iterator[str]:
    defaults = ColumnMapping()
    for name in (it.name for it in fields(ColumnMapping) if it.name not in {"columns", "fields", "text"}):
        value = getattr(mapping, name)
        if value is not None and (value != getattr(defaults, name) or name == "transformations"):
            yield f"{name} = {_quoted(value)}"
    given = {name: value for name, value in asdict(mapping.text).items() if value not in {None, 0}}
    if given:
        yield from ("", "[text]", *(f"{name} = {_quoted(value)}" for name, value in given.items()))
    yield from ("", "[columns]")
    for column, paths in mapping.columns.items():
        comment = f"  # {comments[column]}" if comments.get(column) else ""
        yield f"{_quoted(column)} = {_quoted(paths[0] if len(paths) == 1 else paths or '')}{comment}"
    if mapping.fields:
        yield from ("", "[fields]")
    for path, rule in mapping.fields.items():
        parts = {name: value for name, value in asdict(rule).items() if value not in {None, ()}}
        if "join" not in parts:
            parts.pop("separator")
        yield f"{_quoted(path)} = {{ {', '.join(f'{name} = {_quoted(value)}' for name, value in parts.items())} }}"


def _quoted(value: object) -> str:
    """Return a value as TOML."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
