"""The parsing of telephone numbers."""

import re
from collections.abc import Callable
from functools import cache
from typing import Final

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, SUPPORTED_REGIONS, PhoneMetadata, ValidationResult

# A separate module, because the ``phonenumbers`` library is large and is loaded only if a number is used.

REGIONS: Final[frozenset[str]] = frozenset(SUPPORTED_REGIONS)

_NUMBER: Final = re.compile(r"\s*[+\uff0b][\d\s().\-/\u2010-\u2015]*")
_PLAIN: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_DECIMAL: Final = re.compile(r".*\d[.,]0{1,2}\s*|\s*[+\uff0b]?\d{7,}[.,]0+\s*")
_EXTENSION: Final = re.compile(r".*\d[\s,;(]*(x|ext(ension|n)?|app|kl|dw|#)[\s.:=]*\d+\W*", re.IGNORECASE)
_SEVERAL: Final = re.compile(r"\d\s*([;,|&\n]|\bor\b|\band\b|:::)[^;,|&]*\d{3}|\d\D*[+\uff0b]\s*\d", re.IGNORECASE)
_RANGE: Final = re.compile(r"\s*[/\\]\s*|\s+[\-\u2010-\u2015]\s+")
_DIGITS_ONLY: Final = re.compile(r"[^\-/.\u2010-\u2015]*")
_LONGEST: Final = 100
_FOREIGN: Final = 11
"""The minimum number of digits of a mobile number of another country. National numbers rarely have so many digits."""
_COMPLETE: Final = 6
"""Minimum number of digits before a separator, without the calling code. Fewer digits are an area code."""


def calling_region(code: str) -> str | None:
    """Return the main region of a calling code; None if the digits are not a calling code."""
    return COUNTRY_CODE_TO_REGION_CODE.get(int(code), (None,))[0]


def split(text: str, code: str = "") -> tuple[str, str] | None:
    """Return the digits of an international number's calling code and national number; None for other texts.

    The calling code `code`, with which the text begins, may be repeated.
    """
    text = text.removeprefix("tel:")  # RFC 3966, the form of pydantic's type for phone numbers
    parts = _split_digits(text) or (None if ambiguity(text) else _split_formatted(text))
    whole = split(f"+{text[1 + len(code) :].strip().removeprefix('+').removeprefix('00')}") if code else None
    if whole is None or whole[0] != code:
        return parts
    digits = "".join(whole)
    return whole if parts is None or readings(digits, calling_region(code) or "") == [f"+{digits}"] else parts


def ambiguity(text: str) -> str | None:
    """Return why a text is not exactly one number; None if no reason was found."""
    if _PLAIN.fullmatch(text) or text.isdecimal():
        return None
    if len(text) > _LONGEST:
        return "has too many characters"
    return next((reason for applies, reason in _AMBIGUITIES if applies(text)), None)


def readings(text: str, region: str) -> list[str]:
    """Return the valid E.164 forms of a number without ``+`` that was written in `region`.

    There are two if the number may be a national number, or an international number that lost its ``+``.
    """
    dialled = _valid(text, region)
    digits = "".join(filter(str.isdecimal, text))
    code = str(phonenumbers.country_code_for_region(region))
    own = digits.startswith(code)
    lost = _valid(f"+{digits}", None) if own or (dialled is not None and len(digits) >= _FOREIGN) else None
    if dialled is not None and lost is not None and dialled != lost:
        mobile = _is_mobile(lost) and not _is_mobile(dialled)
        # Spreadsheets remove `+` from numbers. Landline numbers of this length are much rarer than mobile numbers.
        # With the calling code of another country, only mobile numbers count: its landline numbers have any length.
        if mobile == own:
            return [lost] if own else [dialled]
    return list(dict.fromkeys(it for it in (dialled, lost) if it is not None))


def _valid(text: str, region: str | None) -> str | None:
    """Return the E.164 form of a number; None if it is not valid."""
    try:
        parsed = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def _is_mobile(number: str) -> bool:
    return phonenumbers.number_type(phonenumbers.parse(number)) == phonenumbers.PhoneNumberType.MOBILE


def _has_several(text: str) -> bool:
    """Return whether a text contains several numbers."""
    # A separator after an area code does not count.
    ends = [separator.start() for separator in _RANGE.finditer(text)]
    return _SEVERAL.search(text) is not None or any(_national_digits(text[:end]) >= _COMPLETE for end in ends)


def _national_digits(text: str) -> int:
    """Return the number of digits of a number without its calling code."""
    parts = _split_formatted(text)
    return sum(map(str.isdecimal, text)) if parts is None else len(parts[1])


def _is_too_long(text: str) -> bool:
    """Return whether a text has more digits than a number, or than its country's numbering plan if it is separated."""
    if _DIGITS_ONLY.fullmatch(text):
        digits = "".join(filter(str.isdecimal, text))
        # A number has at most 15 digits. An international prefix, such as 00 or 011, has up to four.
        return len(digits) > (19 if digits.startswith(("00", "01")) else 15)
    parsed = _parsed(text)
    return parsed is not None and phonenumbers.is_possible_number_with_reason(parsed) == ValidationResult.TOO_LONG


def _split_digits(text: str) -> tuple[str, str] | None:
    """Split a plain number without the slow parser, if possible."""
    digits = text.replace(" ", "")
    if not _PLAIN.fullmatch(digits):
        return None
    code, trunk = _calling_code(digits[1:4])
    number = digits[1 + len(code) :]
    return None if not code or len(number) < _SHORTEST or trunk.match(number) else (code, number)


def _split_formatted(text: str) -> tuple[str, str] | None:
    parsed = _parsed(text)
    return None if parsed is None else (str(parsed.country_code), phonenumbers.national_significant_number(parsed))


def _parsed(text: str) -> phonenumbers.PhoneNumber | None:
    # Texts with letters or extensions are rejected here, because ``phonenumbers`` would ignore these parts.
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return None


_AMBIGUITIES: Final[tuple[tuple[Callable[[str], object], str], ...]] = (
    (_DECIMAL.fullmatch, "has a decimal fraction, which a spreadsheet added"),
    (_EXTENSION.fullmatch, "has an extension"),
    (_has_several, "contains more than one number"),
    (_is_too_long, "has too many digits"),
)
_SHORTEST: Final = 3
_NEVER: Final = re.compile(r"(?!)")


@cache
def _calling_code(start: str) -> tuple[str, re.Pattern[str]]:
    """Return the calling code at `start`, and a pattern for trunk prefixes."""
    for code in (start[:1], start[:2], start):
        regions = COUNTRY_CODE_TO_REGION_CODE.get(int(code))
        if regions:
            known = PhoneMetadata.metadata_for_region_or_calling_code(int(code), regions[0])
            prefix = known.national_prefix_for_parsing if known is not None else None
            return code, re.compile(prefix) if prefix else _NEVER
    return "", _NEVER
