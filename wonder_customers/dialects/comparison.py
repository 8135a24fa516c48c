"""The comparison of sent values with stored values: equal, equal after normalisation, or different."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from attrs import frozen

from wonder_customers._support.countries import country_code
from wonder_customers._support.normal_forms import normal_form

__all__ = ["Comparison", "compare_values", "equal_after_normalisation", "is_changed_form"]


@frozen
class Comparison:
    """The result of a comparison. Fields are named as in the record, such as ``address.city``.

    Attributes:
        different: Fields whose values differ.
        normalized: Fields whose values are equal only after normalisation.
    """

    different: tuple[str, ...] = ()
    normalized: tuple[str, ...] = ()


def _text(value: str) -> str:
    """Normalize Unicode and white space."""
    return " ".join(normal_form("NFC", value).split())


def _email(value: str) -> str:
    return _text(value).casefold()


def _phone(value: str) -> str:
    return re.sub(r"\D", "", value).removeprefix("00") or _text(value)


def _word(value: str) -> str:
    """Return the letters and digits of `value`, case-folded."""
    return re.sub(r"[\W_]", "", normal_form("NFC", value)).casefold()


def _country(value: str) -> str:
    return country_code(value) or _word(value)


_NORMALIZERS: Final[Mapping[str, Callable[[str], str]]] = {
    "email": _email,
    "phone": _phone,
    "phone.dial_code": _phone,
    "phone.number": _phone,
    "address.country": _country,
    "address.postcode": _word,
    "default_payment_method": _word,
    "default_payment_token": _word,
}


_EMPTY: Final[tuple[object, ...]] = (None, "", {})
"""Gateways do not distinguish empty values from absent values."""


def _normalized(field: str, value: Any) -> Any:
    if value in _EMPTY:
        return None
    if isinstance(value, str):
        return _NORMALIZERS.get(field, _text)(value)
    if isinstance(value, Mapping):
        return {_text(str(key)): _normalized(field, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_normalized(field, item) for item in value]
    if isinstance(value, (int, float)):
        # As text, because gateways may store metadata as text. Python's True is equal to 1.
        whole = isinstance(value, float) and value.is_integer()
        return str(value).lower() if isinstance(value, bool) else str(int(value) if whole else value)
    return value


def equal_after_normalisation(field: str, sent: Any, held: Any) -> bool:
    """Return whether two JSON values of the record's `field` are equal after normalisation."""
    return bool(_normalized(field, sent) == _normalized(field, held))


def is_changed_form(sent: str, stored: str) -> bool:
    """Return whether a gateway may have changed the reference `sent` to `stored`."""
    plain, found = (_text(normal_form("NFKC", it)) for it in (sent, stored))
    number = plain.lstrip("0") or "0" if plain.isdecimal() else plain
    # References in mixed case that differ only in case, such as ids of Salesforce, are different references.
    return found in {plain, plain.lower(), plain.upper(), number}


def compare_values(fields: Iterable[tuple[str, str]], sent: Mapping[str, Any], held: Mapping[str, Any]) -> Comparison:
    """Compare `fields`, pairs of the record's and the gateway's name, in the bodies of a request and a response."""
    different: list[str] = []
    normalized: list[str] = []
    for field, wire in fields:
        if wire not in sent or wire not in held:
            continue
        own, found = sent[wire], held[wire]
        same = own == found or (own in _EMPTY and found in _EMPTY)
        if same and type(own) is not dict:
            continue
        if not equal_after_normalisation(field, own, found):
            different.append(field)
        elif not same:
            normalized.append(field)
    return Comparison(tuple(different), tuple(normalized))
