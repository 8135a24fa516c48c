"""The parts of card data that may be stored: never the number, never the verification code."""

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
    """Return the card number without spaces and dashes; None if it is not a card number."""
    if not isinstance(number, str):
        return None
    plain = re.sub(r"[ -]", "", number)
    return plain if re.fullmatch(r"\d{12,19}", plain) else None


def masked(number: str) -> str:
    """Return the masked number, such as `411111******1111`."""
    return f"{number[:6]}{'*' * (len(number) - 10)}{number[-4:]}"


def brand(number: str) -> str:
    """Return the card's brand by its first digits; `Unknown` for other prefixes."""
    matches = [(start, name) for start, name in _BRANDS if number.startswith(start)]
    return max(matches, default=("", "Unknown"), key=lambda match: len(match[0]))[1]
