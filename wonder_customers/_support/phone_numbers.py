"""International telephone numbers: where the calling code ends, and what of a number is its own.

A module of its own, so that who never sees a number does not load the telephone library.
"""

import re
from functools import cache
from typing import Final

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, SUPPORTED_REGIONS, PhoneMetadata

__all__ = ["REGIONS", "split"]

REGIONS: Final[frozenset[str]] = frozenset(SUPPORTED_REGIONS)

_NUMBER: Final = re.compile(r"\s*[+\uff0b][\d\s().\-/\u2010-\u2015]*")
_PLAIN: Final = re.compile(r"\+[1-9][0-9]{6,14}")


def split(text: str) -> tuple[str, str] | None:
    """The digits of the calling code, and those of the number behind it, without a trunk prefix that falls away there.

    None when `text` is no international number. A leading zero that belongs to the number (Italy) is kept.
    """
    return _plainly(text) or _thoroughly(text)


def _plainly(text: str) -> tuple[str, str] | None:
    """The same for digits and blanks with nothing to leave out, without the telephone library's long way there."""
    digits = text.replace(" ", "")
    if not _PLAIN.fullmatch(digits):
        return None
    for end in (2, 3, 4):
        code = digits[1:end]
        trunk = _trunk(code)
        if trunk is not None:
            number = digits[end:]
            return None if len(number) < _SHORTEST or trunk.match(number) else (code, number)
    return None


def _thoroughly(text: str) -> tuple[str, str] | None:
    # The telephone library passes over letters and extensions, which then would be lost.
    if not _NUMBER.fullmatch(text):
        return None
    try:
        parsed = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return None
    return str(parsed.country_code), phonenumbers.national_significant_number(parsed)


_SHORTEST: Final = 3
_NEVER: Final = re.compile(r"(?!)")


@cache
def _trunk(code: str) -> re.Pattern[str] | None:
    """What numbers of a calling code may begin with and lose; None where there is no such code."""
    regions = COUNTRY_CODE_TO_REGION_CODE.get(int(code))
    if not regions:
        return None
    known = PhoneMetadata.metadata_for_region_or_calling_code(int(code), regions[0])
    prefix = known.national_prefix_for_parsing if known is not None else None
    return re.compile(prefix) if prefix else _NEVER
