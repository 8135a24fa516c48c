"""Countries by their ISO 3166-1 codes and names, from ``countries.txt``.

Names are in English and in the official languages of the country (Unicode CLDR).
"""

import re
from functools import cache
from importlib.resources import files

from wonder_customers._support.normal_forms import normal_form


def country_code(text: str) -> str | None:
    """Return the alpha-2 code of a country given by code or name; None if the country is unknown."""
    return _countries().get(_key(text))


def _key(text: str) -> str:
    return re.sub(r"[\W_]", "", normal_form("NFC", text)).casefold()


@cache
def _countries() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in (files(__package__) / "countries.txt").read_text(encoding="utf-8").splitlines():
        *codes, names = line.split(" ", 3)
        found |= dict.fromkeys(map(_key, (*codes, *names.split("|"))), codes[0])
    return found
