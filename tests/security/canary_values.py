"""Canary values, and the search for them in output.

The search finds a canary in any letter case, percent-encoded, in base64 at each of the three alignments, escaped as in
JSON and as hexadecimal digits. Of a card number it finds any seven consecutive digits.
"""

import base64
import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import quote, quote_plus

from wonder_customers import (
    Address,
    CardSource,
    CustomerDraft,
    CustomerFilter,
    OneTimeToken,
    PaydockFilter,
    Phone,
    VaultToken,
    WonderCard,
    WonderFilter,
)

CARD = "4929735926140832"
CVV = "9173"
EMAIL = "canary.vogel@zqxwv-mail.example"
NAME = "Canaria Zqxwvina"
HOLDER = "Canaria Zqxwvholder"
PHONE = "7911987654"
LINE = "77 Zqxwvline Road"
CITY = "Zqxwvcity"
POSTCODE = "ZQ7 9XW"
COMPANY = "Zqxwvcompany & Söhne"
NOTE = "Zqxwvnote: erhält Blumen"
MEMBER = "zqxwv-member-88172635"
ONE_TIME = "5b1c7e7a-9d3f-4c1e-8a6b-7f0e2d4c6b8a"
VAULT = "6c2d8f8b-0e4a-4d2f-9b7c-8a1f3e5d7c9b"
PAYMENT_TOKEN = "7d3e909c-1f5b-4e30-ac8d-9b204f6e8dac"

PERSONAL: Mapping[str, str] = {
    "card number": CARD,
    "security code": CVV,
    "e-mail": EMAIL,
    "name": NAME,
    "card holder": HOLDER,
    "phone": PHONE,
    "street": LINE,
    "city": CITY,
    "post code": POSTCODE,
    "company": COMPANY,
    "description": NOTE,
    "metadata": MEMBER,
    "one-time token": ONE_TIME,
    "vault token": VAULT,
    "payment token": PAYMENT_TOKEN,
}
"""Personal data and card data. References and ids are not canaries: errors show them to identify the customer."""

ADDRESS = Address(LINE, city=CITY, postcode=POSTCODE, country="HR")
CARD_SOURCE = CardSource(
    CARD, "11", "2031", HOLDER, CVV, gateway_id="5f0c2f7a9b1e8d00deadbeef", address=Address(LINE, city=CITY)
)
WONDER_CARD_FIELDS: dict[str, Any] = {
    "expire_month": "11", "expire_year": "2031", "holder_name": HOLDER, "cvv": CVV, "transaction_type": "no_show",
    "nickname": NOTE, "success_return_url": f"https://shop.example/{MEMBER}",
    "fail_return_url": f"https://shop.example/{MEMBER}",
}  # fmt: skip
WONDER_CARD = WonderCard(CARD, **WONDER_CARD_FIELDS)
SOURCES = (CARD_SOURCE, OneTimeToken(ONE_TIME), VaultToken(VAULT, "5f0c2f7a9b1e8d00deadbeef"))


def canary_draft(
    gateway: str, reference: str, source: CardSource | OneTimeToken | VaultToken | None = None
) -> CustomerDraft:
    """Return a draft with a canary in every field that the gateway accepts."""
    phone = Phone("+44", PHONE)
    if gateway == "wonder":
        return CustomerDraft(reference, NAME, email=EMAIL, phone=phone, company_name=COMPANY)
    if gateway == "monri":
        more = {"member": MEMBER}
        return CustomerDraft(
            reference, NAME, email=EMAIL, phone=phone, description=NOTE, address=ADDRESS, metadata=more
        )
    return CustomerDraft(
        reference, NAME, email=EMAIL, phone=phone, company_name=COMPANY, description=NOTE, metadata={"member": MEMBER},
        payment_source=source,
    )  # fmt: skip


def canary_filter(gateway: str) -> CustomerFilter[Any] | None:
    """Return a filter with canaries, or None for a gateway without filters."""
    if gateway == "wonder":
        return WonderFilter(name=NAME, email__in=[EMAIL])
    return PaydockFilter(email=EMAIL) if gateway == "paydock" else None


class Canaries:
    """The canaries to search for.

    Args:
        more: Additional canaries by name, such as keys.
    """

    def __init__(self, more: Mapping[str, str] | None = None) -> None:
        self.known = {**PERSONAL, **(more or {})}
        self._needles = {name: _needles(name, value) for name, value in self.known.items()}

    def found(self, *written: str | bytes) -> set[str]:
        """Return the names of the canaries that the output contains."""
        text = b"\n".join(map(as_bytes, written))
        folded = text.lower()
        found = {name for name, needles in self._needles.items() if any(it in folded for it in needles)}
        if any(run[0] in CARD.encode() for run in _NUMBER.finditer(text)):
            found.add("card number")
        return found | ({"security code"} if _CODE.search(_UUID.sub(b"", text)) else set())


def as_bytes(text: str | bytes) -> bytes:
    """Encode text as it is written to a file."""
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text


@cache
def _needles(name: str, value: str) -> frozenset[bytes]:
    """Return all encodings of a canary in lower case."""
    if name == "security code":
        return frozenset()  # see `_CODE`
    forms = {value, value.upper(), value.lower()}
    if name == "card number":
        forms.add(" ".join(value[start : start + 4] for start in range(0, len(value), 4)))
    if name == "phone":
        forms |= {f"{value[:4]} {value[4:]}", f"{value[:4]}-{value[4:]}"}
    needles = {needle for form in forms for needle in _encoded(form)}
    for plain in (value.encode(), json.dumps(value)[1:-1].encode()):
        needles |= _base64_forms(plain) | {plain.hex().encode()}
    needles.add(value.encode("utf-16-le"))
    return frozenset(needle.lower() for needle in needles)


def _encoded(value: str) -> set[bytes]:
    """Return a value unchanged, percent-encoded and escaped."""
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in value)
    texts = {value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1], escaped, repr(value)[1:-1]}
    return {text.encode() for text in texts} | {repr(value.encode())[2:-1].encode()}


def _base64_forms(value: bytes) -> set[bytes]:
    """Return the base64 characters of a value at each alignment that do not depend on adjacent bytes."""
    found = set()
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + value)
        start, end = (0, 2, 3)[shift], len(whole) // 4 * 4 - (4 if (shift + len(value)) % 3 else 0)
        core = whole[start:end]
        if len(core) >= 4:
            found |= {core, core.replace(b"+", b"-").replace(b"/", b"_")}
    return found


_NUMBER = re.compile(rb"(?<![\w.])[0-9]{7,16}(?!\w)")
"""Seven or more isolated digits can be part of a card number. The last four digits alone are allowed."""
_CODE = re.compile(
    rb"(?<![\w.])" + CVV.encode() + rb"(?![\w.])|" + b"|".join(map(re.escape, _base64_forms(f'"{CVV}"'.encode())))
)
"""The security code as a separate number. Its four digits also occur by chance in digests and timestamps."""
_UUID = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""Request ids. Their groups of four characters are the security code by chance."""
