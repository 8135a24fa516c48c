"""The search for card data in text and JSON values (PCI DSS 3.3.1 and 3.4.1)."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, lru_cache
from itertools import accumulate
from operator import attrgetter
from typing import Any, Final
from unicodedata import category, combining, decimal

import orjson
from attrs import fields, has

from wonder_customers._support.normal_forms import normal_form

_CANDIDATE: Final = re.compile(r"[2-6](?<![0-9].)(?:[\W_]{0,12}+[0-9]){12,18}(?![0-9])")
"""13 to 19 digits with the first digit of a card scheme. Up to twelve other characters may separate two digits."""
may_contain_card_number: Final = _CANDIDATE.search
"""Return a match if a text of ASCII characters may contain a card number; None for most ids."""
_RUN: Final = re.compile(r"[2-6](?<![0-9].)(?:[\W_]{0,12}[0-9]){12,}")
"""13 or more digits that begin like a card number."""
_OTHER: Final = re.compile(
    r"(?<![0-9])\+(?=[0-9])|(?<![0-9.])(?:(?:19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]"
    r"(?:[T ][0-2][0-9]:[0-5][0-9](?::[0-6][0-9](?:[.,][0-9]{1,9})?)?(?: ?[+-][01][0-9](?::?[0-5][0-9])?)?)?"
    r"|[0-3]?[0-9]([./])[0-3]?[0-9]\1(?:19|20)[0-9]{2}|(?:[0-9]{1,3}\.){3}[0-9]{1,3}"
    r"|(?:[0-9]\.[0-9]\.)?[0-9]{6,10}\.1[5-9][0-9]{8}"  # a client of Google Analytics and the time of its first visit
    r"|[0-9]{1,3}\.[0-9]{3,9}|[0-9]{1,3}\.[0-9]{3,17}[,; ]{1,2}-?[0-9]{1,3}\.[0-9]{3,17}"
    r"|(?![Bb]?[0-9]{13,19}[Dd][0-9]{4})[0-9A-Fa-f]{24,128}+"  # not the data of a card's magnetic stripe
    r"|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})(?!\.?[0-9])"
)
"""The plus sign of a telephone number, a date, a time, an IPv4 address, coordinates, an id, or a decimal number."""
_IBAN: Final = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
_GROUP: Final = re.compile("[0-9]+")
_NUMBER: Final = re.compile(
    r"4[0-9]{12}(?:[0-9]{3}){0,2}"  # Visa
    r"|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}"  # Mastercard
    r"|220[0-4][0-9]{12,15}"  # Mir
    r"|3[47][0-9]{13}"  # American Express
    r"|3(?:0[0-5]|[689][0-9])[0-9]{11}(?:[0-9]{2})?"  # Diners Club
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12,15}"  # JCB; 15 digits that begin with 35 are an IMEI
    r"|(?:5[0678]|6[0-9])[0-9]{11,17}"  # Maestro, Discover, UnionPay
)
_CODE_NAME: Final = re.compile(
    r"cvn2|(card|credit)?securitycode|(card)?(csc|cvn|cav)2?(code|number|value)?$|pinblock|track[12]?data"
    r"|(^|card)ccv2?(code|number|value|[0-9]|$)|^(magnetic|mag|card)?track[12]$|^cardcode$|^verificationvalue$"
    r"|cardv(erification|alidation)(code|value|number|$)|^prue?fnummer$|kartenpru?e?f|sicherheits(code|nummer)"
    r"|sigurnosni(kod|broj)|криптограмм|кодбезопасности"
    r"|codigo(de)?seguridad|codice(di)?sicurezza|code(de)?securite|cryptogramme|beveiligingscode|kodbezpieczenstwa"
)
_CVV: Final = re.compile(r"cv[vc]|\bc v ?[vc]2?\b|\bcv ([vc]2?|code|number|value|nr|no)\b")
"""The names CVV and CVC, also with separators. The words of ``cv views`` are other words."""
_CODE_RESULT: Final = re.compile(r"(check|result|status|response|match|passed|required|present|provided)")
"""Names of fields that state whether a code was correct. They may be stored."""
_CODE_IN_TEXT: Final = re.compile(
    r"(?:\bcsc|cvn2?|cv[vc]2?|(?<![^\W_])(?:card)?ccv2?|security\W?code|prufnummer|pruefnummer|sicherheitscode"
    r"|sigurnosni kod)"
    r"(?:\W{0,3}(?:code|number|nummer|value|no|nr|is|ist|je)\b){0,2}[\W_]{0,12}[0-9]{3,4}(?![0-9])"
)
_ASCII: Final = frozenset(map(chr, range(128)))
_CODE: Final = re.compile(r"[0-9]{3}")
_BETWEEN: Final = '"x"'
"""Replaces ``","`` in the JSON text of the fast check, so that no match spans two strings of a list."""
SHORTEST_CARD_NUMBER: Final = 13
"""The number of digits of the shortest card number."""
LONGEST_TELEPHONE_NUMBER: Final = 15
"""The number of digits of the longest telephone number (E.164)."""


def plain_text(text: str) -> str:
    """Return a text in NFKC with ASCII digits and without format characters."""
    if text.isascii():
        return text
    found = normal_form("NFKC", text)
    table = {ord(it): _digit(it) for it in set(found) - _ASCII if it.isdecimal() or category(it) == "Cf"}
    return found.translate(table) if table else found


def _digit(character: str) -> str:
    return str(decimal(character)) if character.isdecimal() else ""


def contains_card_number(text: str, shortest: int = SHORTEST_CARD_NUMBER) -> bool:
    """Return whether a text contains a card number with at least `shortest` digits."""
    if len(text) < shortest:
        return False  # most references
    plain = text if text.isascii() else plain_text(text)
    if _CANDIDATE.search(plain) is None:
        return False
    runs = _RUN.finditer(_OTHER.sub("x", _IBAN.sub(_without_iban, plain)))
    return any(_groups_contain_number(_GROUP.findall(run[0]), shortest) for run in runs)


def _without_iban(found: re.Match[str]) -> str:
    """Return a letter for a bank account number (IBAN) with correct check digits, and other text unchanged."""
    iban = found[0].replace(" ", "")
    return "x" if int("".join(str(int(it, 36)) for it in iban[4:] + iban[:4])) % 97 == 1 else found[0]


@cache
def _lengths(start: str) -> list[int]:
    """Return the possible lengths of card numbers that begin with `start`, which has up to four digits."""
    return [length for length in range(SHORTEST_CARD_NUMBER, 20) if _NUMBER.fullmatch(start.ljust(length, "0"))]


_DOUBLED: Final = {digit: sum(map(int, str(2 * int(digit)))) for digit in "0123456789"}


def _groups_contain_number(groups: list[str], shortest: int) -> bool:
    """Return whether consecutive groups of digits form a card number."""
    digits = "".join(groups)
    bounds = list(accumulate(map(len, groups), initial=0))
    ends, latest = set(bounds), len(digits) - shortest
    starts = [it for it in bounds if it <= latest and _lengths(digits[it : it + 4])]
    if not starts:
        return False  # most times and dates
    # The check sums of the first 0, 1, 2, … digits, because a text of a megabyte can have a million possible numbers.
    sums = [_check_sums(digits, doubled) for doubled in (0, 1)]
    for start in starts:
        for length in _lengths(digits[start : start + 4]):
            end = start + length
            if length >= shortest and end in ends and (sums[end % 2][end] - sums[end % 2][start]) % 10 == 0:
                return True
    return False


def _check_sums(digits: str, doubled: int) -> list[int]:
    """Return the check sums of all beginnings of `digits`. Every other digit from `doubled` is doubled."""
    values = [_DOUBLED[it] if place % 2 == doubled else int(it) for place, it in enumerate(digits)]
    return list(accumulate(values, initial=0))


@lru_cache(1000)
def names_security_code(name: str) -> bool:
    """Return whether a name is that of a security code, a PIN block or track data."""
    words = re.sub(r"[\W_]+", " ", _without_marks(name))
    compact = words.replace(" ", "")
    return bool(_CVV.search(words) or _CODE_NAME.search(compact)) and not _CODE_RESULT.search(compact)


def _without_marks(text: str) -> str:
    if text.isascii():
        return text.casefold()
    folded = normal_form("NFKD", text.casefold())
    marks = dict.fromkeys(ord(it) for it in set(folded) - _ASCII if combining(it))
    return folded.translate(marks) if marks else folded


def find_card_data(value: Any) -> Iterator[tuple[str, str]]:
    """Yield the paths and problems of card data in a record or a JSON value."""
    return search_values(value) if _is_suspicious(value) else iter(())


def search_values(value: Any) -> Iterator[tuple[str, str]]:
    """Search like `find_card_data`, without the fast check."""
    queue: list[tuple[str, Any]] = [("", value)]
    seen: set[int] = set()
    for location, item in queue:
        if isinstance(item, str):
            yield from _search_text(location, item)
            queue += _parse_json(location, item)
        elif item is None or isinstance(item, bool):
            continue
        elif names := _field_names(type(item)):  # type: ignore[arg-type]  # classes are hashable
            queue += _fields_of(location, item, names)
        elif isinstance(item, (Mapping, list, tuple)):
            if id(item) in seen:  # a container that contains itself
                continue
            seen.add(id(item))
            if not isinstance(item, Mapping):
                queue += ((location, inner) for inner in item)
                continue
            for key, inner in item.items():
                yield from _search_text(location, str(key))
                child = f"{location}.{key}".lstrip(".")[:100]
                if names_security_code(str(key)[:100]) and _contains_code(inner):
                    yield (location if contains_card_number(child) else child), "contains a card's security code"
                else:
                    queue.append((location if contains_card_number(child) else child, inner))
        elif isinstance(item, int) or (isinstance(item, float) and item.is_integer()):
            yield from _search_text(location, str(item))


def _is_suspicious(value: Any) -> bool:
    """Return whether a value may contain card data."""
    try:
        written = orjson.dumps(value, default=_searched_values).decode()
    except orjson.JSONEncodeError:
        return True
    text = plain_text(written.replace('","', _BETWEEN))
    if "\\" in written or _has_hint(_without_marks(text)) or contains_card_number(text):
        return True  # a backslash may be an escape that hides a digit or JSON
    return '":' in written and any(names_security_code(it.rpartition('"')[2][:100]) for it in written.split('":')[:-1])


def _has_hint(text: str) -> bool:
    """Return whether `_CODE_IN_TEXT` may match: all its matches contain at least one of these strings."""
    return "csc" in text or "cv" in text or "code" in text or "nummer" in text or "kod" in text


def _searched_values(value: Any) -> Any:
    """Return the searched parts of a value that orjson cannot serialize."""
    return _reader(type(value))(value)  # type: ignore[arg-type]  # classes are hashable


@cache
def _reader(kind: type[Any]) -> Callable[[Any], Any]:
    if issubclass(kind, (tuple, Mapping)):
        return dict if issubclass(kind, Mapping) else list
    names = _field_names(kind)  # type: ignore[arg-type]  # classes are hashable
    return attrgetter(*names) if names else lambda _: None


@cache
def _field_names(kind: Any) -> tuple[str, ...]:
    """Return the names of the searched fields of a record class."""
    # The hexadecimal digits of `gateway_id` can look like a card number, and `clear` contains only names.
    return tuple(it.name for it in fields(kind) if it.name not in {"gateway_id", "clear"}) if has(kind) else ()


def _fields_of(location: str, record: Any, names: Iterable[str]) -> Iterable[tuple[str, Any]]:
    for field in names:
        value = getattr(record, field)
        if value is None:
            continue
        name = f"{location}.{field}" if location else field
        # In a phone field, at most 15 digits that look like a card number are a telephone number.
        phone = location == "phone" and isinstance(value, str)
        if not phone or contains_card_number(value, LONGEST_TELEPHONE_NUMBER + 1):
            yield name, value


def _search_text(location: str, text: str) -> Iterator[tuple[str, str]]:
    if contains_card_number(text):
        yield location, "contains a card number"
        return
    plain = _without_marks(plain_text(text))
    if _has_hint(plain) and _CODE.search(plain) and _CODE_IN_TEXT.search(plain):
        yield location, "contains a card's security code"


def _parse_json(location: str, text: str) -> list[tuple[str, Any]]:
    if not text.lstrip().startswith(("{", "[")):
        return []
    try:
        return [(location, orjson.loads(text))]
    except orjson.JSONDecodeError:
        return []


def _contains_code(value: Any) -> bool:
    """Return whether a value contains three consecutive digits."""
    return not isinstance(value, bool) and bool(_CODE.search(plain_text(str(value))))
