"""Canaries: values that nobody could mistake, and the search for them in whatever was written.

A canary is looked for as it stands and as people and programs write it: in any case, percent-encoded, in base64 at each
of its three alignments, escaped as in JSON, as hexadecimal digits, and of a card number any seven digits in a row.
"""

import base64
import json
import re
from collections.abc import Mapping
from functools import cache
from urllib.parse import quote, quote_plus

from wonder_customers import Address, CardSource, CustomerDraft, OneTimeToken, Phone, VaultToken

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
"""What customers and cards are made of. References and ids are in errors on purpose: they say whom it is about."""

ADDRESS = Address(LINE, city=CITY, postcode=POSTCODE, country="HR")
CARD_SOURCE = CardSource(
    CARD, "11", "2031", HOLDER, CVV, gateway_id="5f0c2f7a9b1e8d00deadbeef", address=Address(LINE, city=CITY)
)
WONDER_CARD = CardSource(
    CARD, "11", "2031", HOLDER, CVV, transaction_type="no_show", nickname=NOTE,
    success_return_url=f"https://shop.example/{MEMBER}", fail_return_url=f"https://shop.example/{MEMBER}",
)  # fmt: skip
SOURCES = (CARD_SOURCE, OneTimeToken(ONE_TIME), VaultToken(VAULT, "5f0c2f7a9b1e8d00deadbeef"))


def canary_draft(
    gateway: str, reference: str, source: CardSource | OneTimeToken | VaultToken | None = None
) -> CustomerDraft:
    """A draft with a canary in every field that the gateway takes."""
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


class Canaries:
    """The canaries to be looked for.

    Args:
        more: Canaries besides the personal ones, by name: keys.
    """

    def __init__(self, more: Mapping[str, str] | None = None) -> None:
        self.known = {**PERSONAL, **(more or {})}
        self._needles = {name: _needles(name, value) for name, value in self.known.items()}

    def found(self, *written: str | bytes) -> set[str]:
        """The names of the canaries that stand anywhere in what was written."""
        text = b"\n".join(map(as_bytes, written))
        folded = text.lower()
        found = {name for name, needles in self._needles.items() if any(it in folded for it in needles)}
        if any(run[0] in CARD.encode() for run in _NUMBER.finditer(text)):
            found.add("card number")
        return found | ({"security code"} if _CODE.search(text) else set())


def as_bytes(text: str | bytes) -> bytes:
    """What a piece is on a disk."""
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text


@cache
def _needles(name: str, value: str) -> frozenset[bytes]:
    """Everything that a canary may have become, in small letters."""
    if name == "security code":
        return frozenset()  # see `_CODE`
    forms = {value, value.upper(), value.lower()}
    if name == "card number":
        forms.add(" ".join(value[start : start + 4] for start in range(0, len(value), 4)))
    if name == "phone":
        forms |= {f"{value[:4]} {value[4:]}", f"{value[:4]}-{value[4:]}"}
    needles = {needle for form in forms for needle in _written(form)}
    for plain in (value.encode(), json.dumps(value)[1:-1].encode()):
        needles |= _based(plain) | {plain.hex().encode()}
    needles.add(value.encode("utf-16-le"))
    return frozenset(needle.lower() for needle in needles)


def _written(value: str) -> set[bytes]:
    """A value as it stands, percent-encoded and escaped."""
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in value)
    texts = {value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1], escaped, repr(value)[1:-1]}
    return {text.encode() for text in texts} | {repr(value.encode())[2:-1].encode()}


def _based(value: bytes) -> set[bytes]:
    """What base64 makes of a value wherever it begins: the letters that do not hang on its neighbours."""
    found = set()
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + value)
        start, end = (0, 2, 3)[shift], len(whole) // 4 * 4 - (4 if (shift + len(value)) % 3 else 0)
        core = whole[start:end]
        if len(core) >= 4:
            found |= {core, core.replace(b"+", b"-").replace(b"/", b"_")}
    return found


_NUMBER = re.compile(rb"(?<![\w.])[0-9]{7,16}(?!\w)")
"""Of a card number, the last four digits may be seen. Seven that stand by themselves are a part of it."""
_CODE = re.compile(
    rb"(?<![\w.])" + CVV.encode() + rb"(?![\w.])|" + b"|".join(map(re.escape, _based(f'"{CVV}"'.encode())))
)
"""So few digits are in every other digest and time; only by themselves do they say something."""
