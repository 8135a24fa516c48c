"""Card data in the simulated gateways: masked numbers and brands."""

import re
from typing import Final

_MAX_BODY: Final = 65_536
_CARD_NUMBER: Final = re.compile(rb"(?<!\d)\d(?:[ -]?\d){11,18}(?!\d)")
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
    masked = _CARD_NUMBER.sub(lambda found: _masked(found[0]), body[:_MAX_BODY])
    return _VERIFICATION_CODE.sub(rb'\1"***"', masked)


def _masked(text: bytes) -> bytes:
    digits = [it for it in text if 48 <= it <= 57]
    doubled = [2 * (it - 48) for it in digits[-2::-2]]
    total = sum(it - 48 for it in digits[::-2]) + sum(it - 9 if it > 9 else it for it in doubled)
    return b"*" * (len(text) - 4) + text[-4:] if total % 10 == 0 else text
