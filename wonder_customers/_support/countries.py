"""Countries by their ISO 3166-1 codes and names, from ``countries.txt``.

Names are in English and in the official languages of the country (Unicode CLDR). Further names are common, or codes of
the International Olympic Committee and of vehicle registration in Europe, unless they have two letters or are codes of
another country in ISO 3166-1.
"""

from functools import cache
from importlib.resources import files

from wonder_customers._support.normal_forms import name_key


def country_code(text: str) -> str | None:
    """Return the alpha-2 code of a country given by code or name; None if the country is unknown."""
    key = country_key(text)
    return _countries().get(key.zfill(3) if key.isdecimal() else key)


def country_key(name: str) -> str:
    """Return the name of a country in a form for comparisons."""
    return name_key(name).removeprefix("the")


@cache
def _countries() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in (files(__package__) / "countries.txt").read_text(encoding="utf-8").splitlines():
        *codes, names = line.split(" ", 3)
        found |= dict.fromkeys(map(country_key, (*codes, *names.split("|"))), codes[0])
    return found
