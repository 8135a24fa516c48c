"""Card data in the simulated gateways: masked numbers and brands."""

import re
from typing import Final

from wonder_customers._support.card_data import (
    LONGEST_TELEPHONE_NUMBER,
    SHORTEST_CARD_NUMBER,
    contains_card_number,
)

_MAX_BODY: Final = 65_536
_CARD_NUMBER: Final = re.compile(
    rb"(?<![0-9A-Za-z])(?:[0-9A-Fa-f]{24}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})(?![0-9A-Za-z])"  # an id
    rb'|((?:"phone"\s*:\s*"\+?|\+)|"(?:card_)?number"\s*:\s*")?(?<!\d)(\d(?:[ -]?\d){11,18})(?!\d)'
)
_VERIFICATION_CODE: Final = re.compile(
    rb'("(?:cvv2?|cvc2?|card_ccv|ccv|verification_code)"\s*:\s*)("[^"]*"|\d+)', re.IGNORECASE
)
_BRANDS = (
    ("4", "Visa"),
    ("5", "Mastercard"),
    ("2", "Mastercard"),
    ("34", "Amex"),
    ("37", "Amex"),
    ("35", "JCB"),
    ("6", "UnionPay"),
)


def digits(number: object) -> str | None:
    """Return a card number without spaces and hyphens; None if it is not a card number."""
    if not isinstance(number, str):
        return None
    plain = re.sub(r"[ -]", "", number)
    return plain if re.fullmatch(r"\d{12,19}", plain) else None


def masked(number: str) -> str:
    """Return a card number with all but the first six and last four digits masked."""
    return f"{number[:6]}{'*' * (len(number) - 10)}{number[-4:]}"


def brand(number: str) -> str:
    """Return the brand of a card by its first digits."""
    matches = [(start, name) for start, name in _BRANDS if number.startswith(start)]
    return max(matches, default=("", "Unknown"), key=lambda match: len(match[0]))[1]


def without_card_data(body: bytes) -> bytes:
    """Return the first 64 KiB of a body, with card numbers and verification codes masked."""
    return _VERIFICATION_CODE.sub(rb'\1"***"', _CARD_NUMBER.sub(_masked_number, body[:_MAX_BODY]))


def _masked_number(found: re.Match[bytes]) -> bytes:
    before, number = found[1] or b"", found[2] or b""
    is_card = before.endswith(b'"') and b"number" in before
    shortest = LONGEST_TELEPHONE_NUMBER + 1 if before else SHORTEST_CARD_NUMBER
    if not is_card and not contains_card_number(number.decode("ascii"), shortest):
        return found[0]
    return before + b"*" * (len(number) - 4) + number[-4:]
