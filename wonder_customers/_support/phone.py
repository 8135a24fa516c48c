"""The record of a phone number."""

from collections.abc import Callable
from functools import cache, cached_property

from attrs import field, frozen

__all__ = ["Phone"]


@cache
def _split() -> Callable[[str], tuple[str, str] | None]:
    from wonder_customers._support.phone_numbers import split  # noqa: PLC0415 - the telephone library is large

    return split


@frozen
class Phone:
    """A phone number.

    Attributes:
        dial_code: Country calling code with its plus sign, such as ``+852``; None where it is not known.
        number: The rest, as the customer writes it; spaces are kept.
    """

    dial_code: str | None = field(default=None, repr=False)
    number: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> "Phone":
        """Split an international number at its calling code; any other text becomes the `number` alone.

        A leading zero that belongs to the number (Italy) is kept. A text that may contain more than one number, an
        extension or a decimal fraction (``+385 91 234 5678 / 679``, ``+385912345678.0``) is kept as it is, without a
        calling code, so that it never becomes the number of another customer.
        """
        parts = _split()(text)
        return cls(None, text) if parts is None else cls(f"+{parts[0]}", parts[1])

    def e164(self) -> str | None:
        """The number in E.164 (``+`` and at most 15 digits), or None when it cannot be written so, or not whole.

        A national trunk prefix is dropped where the country's plan drops it. An extension has no place in E.164.
        """
        return self._e164

    @cached_property
    def _e164(self) -> str | None:
        # Asked for when a draft is checked and when it is written.
        plus = "+" if self.dial_code and self.dial_code.isdecimal() else ""  # some gateways store the digits alone
        parts = _split()(f"{plus}{self.dial_code or ''}{self.number}")
        text = "" if parts is None else f"+{parts[0]}{parts[1]}"
        return text if 1 < len(text) <= 16 else None
