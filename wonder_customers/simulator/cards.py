"""What may be kept of a card: never its number, never its verification code."""

import re

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
    """The card number without blanks and dashes; None when it is no card number."""
    if not isinstance(number, str):
        return None
    plain = re.sub(r"[ -]", "", number)
    return plain if re.fullmatch(r"\d{12,19}", plain) else None


def masked(number: str) -> str:
    """The number as it may be shown: `411111******1111`."""
    return f"{number[:6]}{'*' * (len(number) - 10)}{number[-4:]}"


def brand(number: str) -> str:
    """The card's brand by its first digits, `Unknown` when they tell none."""
    matches = [(start, name) for start, name in _BRANDS if number.startswith(start)]
    return max(matches, default=("", "Unknown"), key=lambda match: len(match[0]))[1]
