"""Country codes for country names."""

from collections.abc import Iterable, Mapping
from functools import cache

from wonder_customers.bulk.sources.presets import country_aliases, name_key
from wonder_customers.errors import needed

__all__ = ["country_code"]

_COMMON = ("en", "de", "fr", "es", "it", "pt", "nl", "pl", "hr", "sl", "sr_Latn", "bs", "cs", "sk", "hu", "sv", "da")
"""The languages that are tried first; loading all languages takes a second."""


@cache
def country_code(text: str) -> str | None:
    """Return the ISO 3166-1 alpha-2 code of a country; None if it is not known."""
    key = name_key(text).removeprefix("the")
    code = key.upper().zfill(3) if key.isdecimal() else key.upper()
    with needed("countries", "babel", by="reading country names"):
        from babel.core import get_global  # noqa: PLC0415 - optional dependency
    if len(code) == 2 and code.isascii() and code.isalpha():
        replaced = get_global("territory_aliases").get(code, [code])
        return replaced[0] if len(replaced) == 1 and replaced[0] in _names(("en",)).values() else None
    if len(code) == 3 and code.isascii():
        codes = get_global("territory_aliases").get(code, ())
        return codes[0] if len(codes) == 1 else country_aliases().get(key)
    return country_aliases().get(key) or _names(_COMMON).get(key) or _names(None).get(key)


@cache
def _names(languages: tuple[str, ...] | None) -> Mapping[str, str]:
    """Return the codes of country names in `languages`; None for all languages."""
    from babel import localedata  # noqa: PLC0415 - optional dependency

    chosen: Iterable[str] = languages or (it for it in localedata.locale_identifiers() if "_" not in it)
    found: dict[str, str | None] = {}
    for language in chosen:
        for code, name in localedata.load(language).get("territories", {}).items():
            if len(code) == 2 and code.isalpha() and isinstance(name, str):
                key = name_key(name).removeprefix("the")
                found[key] = code if found.get(key, code) == code else None
    return {key: code for key, code in found.items() if code is not None}
