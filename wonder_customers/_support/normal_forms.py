"""The normal forms of Unicode, in linear time."""

import re
from typing import Final, Literal
from unicodedata import combining, normalize

_PIECE: Final = re.compile(r".{1,200}[^\x00-\x7f]{0,200}", re.DOTALL)
"""A piece of a text that ends before an ASCII character, which is never combined with the characters before it."""


def normal_form(form: Literal["NFC", "NFKC", "NFKD"], text: str) -> str:
    """Return a text in a normal form.

    The time of `unicodedata.normalize` is quadratic in the number of successive combining marks, so that a megabyte of
    them takes minutes. Long texts are therefore normalized in pieces.
    """
    if len(text) <= 400:
        return normalize(form, text)
    if form != "NFC":
        # The only characters whose compatibility forms have more than seven characters. The replacement has four.
        text = text.replace("\ufdfa", "\ufdf2").replace("\ufdfb", "\ufdf2")
    return "".join([normalize(form, piece) for piece in _PIECE.findall(text)])


def name_key(name: str) -> str:
    """Return a name without case, accents, blanks and punctuation."""
    if name.isascii():
        return re.sub(r"[\W_]", "", name).lower()
    bare = "".join(character for character in normal_form("NFKD", name) if not combining(character))
    return re.sub(r"[\W_]", "", bare.casefold())
