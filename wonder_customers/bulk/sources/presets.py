"""Synonyms of column names, presets for exports, and names of countries in all languages."""

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

from attrs import frozen

from wonder_customers._support.countries import country_code, country_key
from wonder_customers._support.normal_forms import name_key
from wonder_customers.bulk.sources.mapping import Several
from wonder_customers.errors import needed

__all__ = [
    "Preset", "country_of", "first_word", "is_number_of", "other_export", "part_of_synonym", "recognised", "similar",
    "synonym",
]  # fmt: skip

_FIRST_WORD = re.compile(
    "^(properties|attributes|fields)?(default)?(billing|billto|mailing|physical|primary|main|(customer|contact|client|guest|member|shopper)s?)?"
)
_ADDITION = re.compile(
    r"(?<!\s)\s*+[(\[（]\s*+(iso\b[\w\s\-]*+|full|work|business|mobile|billing|primary|main"
    r"|required|optional|mandatory|obavezno|必填|選填|选填|手機|手机|mobitel|international"
    r"|(with|incl\.|including) country code|(2|two)[ -]letters?( code)?|\d digits)\s*[)\]）]\s*$",
    re.IGNORECASE,
)
"""An addition to the name of a column that does not change its field, such as ``(work)``."""
_COMMON = ("en", "de", "fr", "es", "it", "pt", "nl", "pl", "hr", "sl", "sr_Latn", "bs", "cs", "sk", "hu", "sv", "da")
"""The languages that are tried first; loading all languages takes a second."""
_SHORT = 4
"""Names of at most this number of letters are similar to many other names by chance."""


@frozen
class Preset:
    """The columns of another program's export.

    Attributes:
        title: The program, for messages.
        fields: The columns of each field, as name keys.
        several: What to do with several values in a cell; None for the default.
        join: The fields whose columns are joined.
        without: The columns that such an export does not have, as name keys.
    """

    title: str
    fields: Mapping[str, tuple[str, ...]]
    several: Several | None = None
    join: Collection[str] = ()
    without: frozenset[str] = frozenset()


def other_export(names: Sequence[str]) -> str | None:
    """Return what a known export contains instead of customers; None for other tables."""
    keys = {name_key(name) for name in names}
    given = _data()["others"].items()
    return next((what for what, sets in given for names in sets if keys >= set(map(name_key, names))), None)


def synonym(name: str, *, further: bool = False) -> str | None:
    """Return the field for which a column name is commonly used; if `further`, only if no other column has it."""
    found, key = _synonyms("further_synonyms" if further else "synonyms"), name_key(name)
    # `Customer #` is a number, but `Address #1` is an address.
    return (found.get(f"{key}no") if name.rstrip(" :").endswith("#") else None) or found.get(key)


def part_of_synonym(name: str) -> str | None:
    """Return the field for which a part of a column name is commonly used."""
    key = _FIRST_WORD.sub("", name_key(_ADDITION.sub("", name)))
    parts = (key, key.removesuffix("1"), re.sub("^address1?", "", key))
    found = next((field for it in parts if (field := _synonyms().get(it)) is not None), None)
    # A reference is not guessed from a part of a name.
    return None if found == "reference" else found


def first_word(name: str) -> str:
    """Return the word at the start of a column name that tells addresses apart, such as ``billing``."""
    found = _FIRST_WORD.match(name_key(name))
    return found[0] if found else ""


def is_number_of(name: str, street: str) -> bool:
    """Return whether a column has the house number of the address with the column `street`."""
    known, key = _data()["house_numbers"], name_key(street)
    kind = first_word(street)
    if key.removeprefix(kind).startswith(tuple(known["addresses"])):
        return False
    return name_key(name).removeprefix(kind) in known["names"]


def similar(name: str, fields: Collection[str]) -> str | None:
    """Return the field whose name or synonym is most similar to a column name."""
    # The word "address" occurs in many names and does not distinguish them.
    key = name_key(name).removeprefix("address")
    synonyms = {known: field for known, field in _synonyms().items() if field in fields and len(known) > _SHORT}
    for known, cutoff in (({name_key(it).removeprefix("address"): it for it in fields}, 0.74), (synonyms, 0.85)):
        if found := get_close_matches(key, known, n=1, cutoff=cutoff):
            return known[found[0]]
    return None


def recognised(names: Sequence[str]) -> Preset | None:
    """Return the preset of a table with these columns."""
    keys = {name_key(name) for name in names}
    matching = [
        (len(columns), preset) for columns, preset in _presets() if columns <= keys and not preset.without & keys
    ]
    return max(matching, key=lambda found: found[0])[1] if matching else None


@cache
def _data() -> Mapping[str, Any]:
    return tomllib.loads(files(__package__).joinpath("presets.toml").read_text(encoding="utf-8"))


@cache
def _synonyms(kind: str = "synonyms") -> Mapping[str, str]:
    found = {name_key(name): field for field, names in _data()[kind].items() for name in names}
    return found | {name_key(field): field for field in _data()[kind] if "." not in field}


@cache
def _presets() -> Sequence[tuple[frozenset[str], Preset]]:
    found = []
    for given in _data()["presets"].values():
        fields = {field: tuple(map(name_key, names)) for field, names in given["fields"].items()}
        without = frozenset(map(name_key, given.get("without", ())))
        preset = Preset(given["title"], fields, given.get("several"), given.get("join", ()), without)
        found += [(frozenset(map(name_key, columns)), preset) for columns in given["recognise"]]
    return found


@cache
def country_of(text: str) -> str | None:
    """Return the alpha-2 code of a country by its code, or its name in any language; None if it is not known."""
    key = country_key(text)
    found = country_code(text)
    if found is not None or (len(key) < _SHORT and key.isascii()):
        # Codes of former countries have other meanings, such as RH for Republika Hrvatska.
        return found
    with needed("countries", "babel", by="reading country names"):
        return _country_names(_COMMON).get(key) or _country_names(None).get(key)


@cache
def _country_names(languages: tuple[str, ...] | None) -> Mapping[str, str]:
    """Return the codes of country names in `languages`; None for all languages."""
    from babel import localedata  # noqa: PLC0415 - optional dependency

    chosen: Iterable[str] = languages or (it for it in localedata.locale_identifiers() if "_" not in it)
    found: dict[str, str | None] = {}
    for language in chosen:
        for code, name in localedata.load(language).get("territories", {}).items():
            if len(code) == 2 and code.isalpha() and isinstance(name, str):
                key = country_key(name)
                found[key] = code if found.get(key, code) == code else None
    return {key: code for key, code in found.items() if code is not None}
