"""Text folded for comparison."""

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote

from attrs import frozen

_ESCAPE: Final = re.compile(
    r"(?P<url>(?:%[0-9A-Fa-f]{2})+)|(?P<html>&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});)"
    r"|(?P<json>(?:\\u[0-9A-Fa-f]{4})+|\\[\"\\/bfnrt])"
)
_PLUS: Final = re.compile(r"(?<=[^\W_])\+(?=[^\W_]|%)")
"""A plus sign that may encode a space in a query."""
_JSON: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_UNSEEN: Final = frozenset({"Mn", "Cf"})
_PASSES: Final = 3
"""Maximum number of nested levels of escapes that are removed, such as JSON escapes in a URL."""

_Piece = tuple[str, int, int]
"""Folded characters, and the start and end of the characters of the original text that they replace."""


@frozen
class FoldedText:
    """A folded text, with the positions of its characters in the original text."""

    original: str
    text: str
    _starts: tuple[int, ...] | None
    _ends: tuple[int, ...] | None

    @classmethod
    def of(cls, original: str) -> "FoldedText":
        """Return the folded form of `original`."""
        if original.isascii() and not re.search(r"[%&\\+\x00-\x1f]|  ", original):
            return cls(original, original.lower(), None, None)
        pieces: list[_Piece] = [(character, at, at + 1) for at, character in enumerate(original)]
        for _ in range(_PASSES):
            unescaped = list(_unescaped(pieces))
            if len(unescaped) == len(pieces):
                break
            pieces = unescaped
        folded = list(_with_single_spaces(_folded(pieces)))
        text, starts, ends = zip(*folded, strict=True) if folded else ((), (), ())
        return cls(original, "".join(text), starts, ends)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Map a non-empty span of the folded text to its start and end in the original text."""
        if self._starts is None or self._ends is None:
            return start, end
        return self._starts[start], self._ends[end - 1]


def fold(text: str) -> str:
    """Return the folded text."""
    if text.isascii() and not _ESCAPE.search(text):  # much faster
        return re.sub(r"\s+", " ", _PLUS.sub(" ", text).lower())
    for _ in range(_PASSES):
        text = _ESCAPE.sub(_decoded, _PLUS.sub(" ", text))
    return re.sub(r"\s+", " ", text.translate({ord(it): _folded_character(it) for it in set(text)}))


def _unescaped(pieces: list[_Piece]) -> Iterator[_Piece]:
    """Yield the pieces with one level of escapes decoded."""
    text, at = "".join(piece[0] for piece in pieces), 0
    for index in (it.start() for it in _PLUS.finditer(text)):
        pieces[index] = (" ", *pieces[index][1:])
    for found in _ESCAPE.finditer(text):
        yield from pieces[at : found.start()]
        at = found.end()
        start, end = pieces[found.start()][1], pieces[at - 1][2]
        yield from ((character, start, end) for character in _decoded(found))
    yield from pieces[at:]


def _decoded(found: "re.Match[str]") -> str:
    if found["url"]:
        return unquote(found[0], errors="replace")
    if found["html"]:
        return html.unescape(found[0])
    if found[0][1] != "u":
        return _JSON.get(found[0][1], found[0][1])
    units = bytes.fromhex(found[0].replace("\\u", ""))
    return units.decode("utf-16-be", "replace")


def _folded(pieces: Iterable[_Piece]) -> Iterator[_Piece]:
    for character, start, end in pieces:
        yield from ((it, start, end) for it in _folded_character(character))


def _folded_character(character: str) -> str:
    plain = unicodedata.normalize("NFKD", character.casefold())
    found = plain if plain.isascii() else unicodedata.normalize("NFKD", plain.casefold())
    kinds = ((it, unicodedata.category(it)) for it in found)
    return "".join(str(unicodedata.decimal(it)) if kind == "Nd" else it for it, kind in kinds if kind not in _UNSEEN)


def _with_single_spaces(pieces: Iterable[_Piece]) -> Iterator[_Piece]:
    """Replace each run of white space with one space."""
    blank: _Piece | None = None
    for piece in pieces:
        if piece[0].isspace():
            blank = (" ", piece[1] if blank is None else blank[1], piece[2])
            continue
        if blank is not None:
            yield blank
        blank = None
        yield piece
    if blank is not None:
        yield blank
