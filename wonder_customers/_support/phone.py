"""The record for phone numbers."""

from collections.abc import Callable
from functools import cache
from typing import Any

from attrs import field, frozen


@cache
def _split() -> Callable[..., tuple[str, str] | None]:
    from wonder_customers._support.phone_numbers import split  # noqa: PLC0415 - the telephone library is large

    return split


@frozen(slots=False)
class Phone:
    """A phone number.

    Attributes:
        dial_code: The country calling code with a plus sign, such as ``+852``; None if it is unknown. The digits alone,
            ``00852`` and separators, as in ``+1-684``, are also accepted.
        number: The rest of the number as the customer writes it, including spaces.
    """

    dial_code: str | None = field(default=None, repr=False)
    number: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> "Phone":
        """Split an international number into its calling code and the digits of its national number.

        A leading zero that belongs to the number (Italy) is kept, and ``tel:`` is removed. Any other text becomes the
        `number` unchanged, such as a text with two numbers, an extension or a decimal fraction (``+385912345678.0``).

        Raises:
            TypeError: `text` is not a str.
        """
        if not isinstance(text, str):
            raise TypeError(f"a phone number must be a str, not {type(text).__name__}")
        # Splitting a text with two numbers could result in the number of another person.
        parts = _split()(text)
        return cls(None, text) if parts is None else cls(f"+{parts[0]}", parts[1])

    def e164(self) -> str | None:
        """Return the number in E.164 format (``+`` and at most 15 digits); None if it has no such form.

        A trunk prefix is removed where the country's numbering plan requires it. A calling code that `number` repeats
        is used once.
        """
        code = (self.dial_code or "").replace("-", "").replace(" ", "")
        if code.isdecimal():  # some gateways store only the digits
            code = f"+{code.removeprefix('00')}"
        whole = f"{code}{self.number}"
        repeated = code != "" and _may_contain(whole[len(code) :], code[1:])
        parts = _split()(whole, code[1:]) if repeated else _split()(whole)
        return None if parts is None or len(parts[0]) + len(parts[1]) > 15 else f"+{parts[0]}{parts[1]}"

    def separated(self) -> "Phone":
        """Return the phone with the calling code only in `dial_code`, if `number` contains one."""
        code: Any = self.dial_code or ""
        number: Any = self.number
        if not (isinstance(code, str) and isinstance(number, str)):
            return self  # the limits report it
        if not _may_contain(number, code.lstrip("+0")):
            return self  # most numbers, without the telephone library
        whole = self.e164()
        digits = "".join(filter(str.isdecimal, self.number)).removeprefix("00")
        return Phone.parse(whole) if whole is not None and ("+" in self.number or whole == f"+{digits}") else self

    def contradicts_code(self) -> bool:
        """Return whether `number` contains another calling code than `dial_code`."""
        international = self.number.lstrip(" (").startswith("+") and any(map(str.isdecimal, self.number))
        return bool(self.dial_code) and international and self.e164() is None


def _may_contain(number: str, code: str) -> bool:
    """Return whether `number` may begin with a calling code with the digits `code`."""
    return "+" in number or (code != "" and number.lstrip(" 0(").startswith(code))
