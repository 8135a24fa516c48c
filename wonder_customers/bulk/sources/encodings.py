"""The encoding of a text file."""

import codecs
import re
from collections.abc import Iterator
from functools import cache, partial
from itertools import chain
from typing import BinaryIO
from unicodedata import normalize

from attrs import define, field

from wonder_customers.errors import ConfigurationError, needed

__all__ = ["DETECT", "encoding_of", "is_line_based", "is_misread", "likely_encodings"]

DETECT = "detect"
"""The name that accepts the most likely encoding of a file that is neither UTF-8 nor UTF-16."""

_CANDIDATES = (
    "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874", "gb18030",
    "big5", "cp932", "cp949", "euc_jp", "koi8_r", "cp852", "cp850", "cp437", "cp866", "mac_roman", "mac_latin2",
)  # fmt: skip
"""The encodings of spreadsheets and consoles, in order of preference."""
_RARE = frozenset({"cp850", "cp437", "cp852", "cp866", "mac_roman", "mac_latin2"})
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
"""Control characters that occur in UTF-16, UTF-32 and binary files, and not in other text."""
_WORD = re.compile(r"\S*[^\W\d_]\S*")
_MISREAD = ("cp1252", "cp1250", "cp1251", "cp1254", "iso8859_2", "cp850", "cp852", "cp437", "mac_roman")
"""The encodings in which other programs read UTF-8 by mistake, the most frequent first."""
_ALONE = re.compile(r"(?<![^\x00-\x7f])[^\x00-\x7f](?![^\x00-\x7f])")
_UNLIKELY = re.compile(
    r"[\x80-\x9f\u0180-\u019f\u01a2-\u01ae\u01b1-\u0217\u021c-\u0385\u0460-\u058f\u1e00-\u1e9f]"
    r"|(?<![\u0370-\u1dff])[\u0370-\u1dff](?![\u0370-\u1dff])"
    r"|[A-Za-z][\u0370-\u1dff\u2e80-\ud7ff]|[\u0370-\u1dff\u2e80-\ud7ff][A-Za-z]"
)
"""Rare letters, single letters of another script, and words in two scripts."""
_LOWER = re.compile(f"[{''.join(it for it in map(chr, range(0x180)) if it.islower())}]")
_FROM_GBK = re.compile(
    r"[^\u0180-\u07ff]*([\u3040-\u9fff\uac00-\ud7a3]|[A-Za-z][\xc0-\u017f]|[\xc0-\u017f][A-Za-z])[^\u0180-\u07ff]*"
)
"""Chinese characters, or European letters beside ASCII letters."""
_HAN = re.compile("[\u4e00-\u9fff]")
"""The first byte of a character in UTF-8 begins such a character in GBK. The pattern excludes other texts quickly."""
_HEAD = 4096
_PIECE = 1 << 20
_SAMPLE_LINES = 200
_SHOWN_LINES = 3
_SHOWN_WORDS = 4


def encoding_of(file: BinaryIO, given: str | None, name: str) -> str:
    """Return the encoding of a text file. Raise `ConfigurationError` if it cannot be determined or used."""
    head = file.read(_HEAD)
    if head[:100].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ConfigurationError(
            f"{name} is a web page or XML, not a table. Download the file again, or export the data as CSV."
        )
    mark = next((encoding for mark, encoding in _MARKS.items() if head.startswith(mark)), None)
    if given is not None and given.lower() != DETECT:
        named = _named(given, mark, name)
        if named != "utf-8" and is_line_based(named) and _is_utf_8(file, head):
            raise ConfigurationError(
                f"{name} is UTF-8, so its encoding is not {given}. Remove `encoding`, or the encoding in the mapping"
                " file. For a folder of files in several encodings, use encoding='detect'."
            )
        return _checked(named, file, head, name)
    wide = mark if mark in {"utf-16", "utf-32"} else _wide(head)
    if wide is not None:
        if wide != "utf-16" and given is None:
            raise ConfigurationError(_choose(name, "is not UTF-8", [wide], ""))
        return _checked(wide, file, head, name)
    if _CONTROL.search(head.partition(b"\n")[0]):
        raise ConfigurationError(_not_text(name, head))
    survey = _Survey.of(file, head)
    # A file that is UTF-8 except for a few lines is UTF-8: those lines are reported when they are read.
    if survey.invalid <= survey.valid:
        return "utf-8"
    if _CONTROL.search(head):
        raise ConfigurationError(_not_text(name, head))
    return _likely(survey, name, detect=given is not None)


def is_line_based(encoding: str) -> bool:
    """Return whether each line can be decoded independently of other lines."""
    if re.match(r"utf_?(7|16|32)|iso2022|hz", codecs.lookup(encoding).name.replace("-", "_")):
        return False
    ascii_bytes = bytes(range(128))
    return ascii_bytes.decode(encoding, "replace") == ascii_bytes.decode("ascii")


def is_misread(text: str) -> bool:
    """Return whether a string is UTF-8 that was decoded with another encoding."""
    # In UTF-8, a character has two bytes or more, which become as many characters, except in GBK.
    for encoding in () if _ALONE.search(text) else _MISREAD:
        try:
            decoded = normalize("NFC", bytes(map(_bytes_of(encoding).__getitem__, text)).decode())
        except (KeyError, UnicodeDecodeError):
            continue
        # Two letters of a word, such as in WĘŻYK, may be valid UTF-8 by chance.
        by_chance = _UNLIKELY.search(decoded) or (text.isupper() and _LOWER.search(decoded))
        if not by_chance and not (encoding == "cp1251" and text.isalpha() and not decoded.isalpha()):
            return True
    if not _HAN.search(text):
        return False
    try:
        return _FROM_GBK.fullmatch(text.encode("gbk").decode()) is not None
    except UnicodeError:
        return False


@cache
def _bytes_of(encoding: str) -> dict[str, int]:
    """Return the byte of each character, and of the control character with its number for an undefined byte."""
    return {bytes([byte]).decode(encoding, "ignore") or chr(byte): byte for byte in range(256)} | (
        {chr(byte): byte for byte in range(128, 256)} if encoding == "cp1252" else {}
    )


def likely_encodings(sample: bytes) -> list[str]:
    """Return the possible encodings of `sample`, the most likely first."""
    with needed("encodings", "charset_normalizer", by="detecting an encoding"):
        from charset_normalizer import from_bytes  # noqa: PLC0415 - optional dependency
    matches = from_bytes(sample, cp_isolation=list(_CANDIDATES), preemptive_behaviour=False)
    ranked: dict[str, tuple[float, float, int]] = {}
    for match in matches:
        for encoding in (match.encoding, *match.could_be_from_charset):
            if encoding in _CANDIDATES:
                place = _CANDIDATES.index(encoding)
                penalty = _penalty(sample.decode(encoding, "replace"), encoding)
                ranked[encoding] = (round(match.chaos + penalty, 1), -round(match.coherence, 1), place)
    return sorted(ranked, key=lambda encoding: ranked[encoding])


def _penalty(text: str, encoding: str) -> float:
    """Return a penalty for unlikely text."""
    foreign = [character for character in text if not character.isascii()]
    symbols = sum(not character.isalpha() for character in foreign) / len(foreign) if foreign else 0.0
    # Croatian names in Windows-1250 have "æ" in Windows-1252, but languages with "æ" also use other special letters.
    misread = encoding == "cp1252" and not set("æÆÐ").isdisjoint(foreign) and set("øØåÅðþ").isdisjoint(foreign)
    return symbols + 0.1 * misread + 0.1 * (encoding in _RARE)


@define
class _Survey:
    """Counts the lines of a file that are not ASCII, and are valid or invalid UTF-8."""

    valid: int = 0
    invalid: int = 0
    sample: list[tuple[int, bytes]] = field(factory=list)

    @classmethod
    def of(cls, file: BinaryIO, head: bytes) -> "_Survey":
        """Survey a file whose first bytes were read."""
        found, number = cls(), 0
        for piece in _pieces(file, head):
            ending = b"\n" if b"\n" in piece else b"\r"
            lines = () if piece.isascii() else piece.split(ending)
            for place, line in enumerate(lines, number + 1):
                if not line.isascii():
                    found._add(place, line)
            number += piece.count(ending)
        return found

    def _add(self, place: int, line: bytes) -> None:
        try:
            line.decode()
            self.valid += 1
        except UnicodeDecodeError:
            self.invalid += 1
            if len(self.sample) < _SAMPLE_LINES:
                self.sample.append((place, line))


def _is_utf_8(file: BinaryIO, head: bytes) -> bool:
    """Return whether a file is UTF-8 and not ASCII."""
    ascii_only = True
    try:
        for piece in _pieces(file, head):
            ascii_only = piece.decode().isascii() and ascii_only
    except UnicodeDecodeError:
        return False
    return not ascii_only


def _pieces(file: BinaryIO, head: bytes) -> Iterator[bytes]:
    """Yield the bytes of a file in pieces of whole lines."""
    rest = head
    while piece := file.read(_PIECE):
        rest += piece
        end = (rest.rfind(b"\n") + 1) or (rest.rfind(b"\r") + 1)
        if end:
            yield rest[:end]
            rest = rest[end:]
    if rest:
        yield rest


def _named(given: str, mark: str | None, name: str) -> str:
    try:
        info = codecs.lookup(given)
        # Only text encodings can be decoded this way.
        b"a".decode(given, "replace")
        usable = info.incrementaldecoder is not None
    except (LookupError, ValueError):
        usable = False
    if not usable:
        raise ConfigurationError(
            f"{given!r} is not the name of a text encoding. Examples of names are utf-8, cp1250, cp1252, gb18030 and"
            " shift_jis."
        )
    own = info.name.removesuffix("-sig")
    if mark is not None and not own.startswith(mark):
        raise ConfigurationError(
            f"{name} starts with the byte order mark of {mark}, so its encoding is not {given}. Remove"
            " `encoding`, or the encoding in the mapping file."
        )
    return mark or own


def _checked(encoding: str, file: BinaryIO, head: bytes, name: str) -> str:
    """Check an encoding against the file, and return the encoding."""
    if is_line_based(encoding):
        return encoding
    decoder, line = codecs.getincrementaldecoder(encoding)(), 0
    try:
        for piece in chain([head], iter(partial(file.read, _PIECE), b"")):
            for number in range(0, len(piece), _HEAD):
                line += decoder.decode(piece[number : number + _HEAD]).count("\n")
        decoder.decode(b"", final=True)
    except UnicodeError:
        place = f" after line {line}" if line else ""
        raise ConfigurationError(
            f"{name} is not valid {encoding}{place}. Correct the encoding if you named it; otherwise,"
            " export the data again as UTF-8."
        ) from None
    return encoding


def _wide(head: bytes) -> str | None:
    """Recognise UTF-16 and UTF-32 by their zero bytes."""
    zeros = [head[place::4].count(0) * 4 > len(head) // 2 for place in range(4)]
    patterns: dict[tuple[bool, ...], str] = {
        (False, True, False, True): "utf-16-le",
        (True, False, True, False): "utf-16-be",
        (False, True, True, True): "utf-32-le",
        (True, True, True, False): "utf-32-be",
    }
    return patterns.get(tuple(zeros))


def _likely(survey: _Survey, name: str, *, detect: bool) -> str:
    """Detect or suggest an encoding."""
    sample = b"\n".join(line[:2000] for _, line in survey.sample)
    try:
        likely = likely_encodings(sample)
    except ModuleNotFoundError:
        if detect:
            raise
        likely = []
    if detect and likely:
        return likely[0]
    count = f"{survey.invalid} lines; the first is " if survey.invalid > 1 else ""
    why = f"is not UTF-8 ({count}line {survey.sample[0][0]})"
    raise ConfigurationError(_choose(name, why, likely[:3], _shown(survey, likely[:3])))


def _choose(name: str, why: str, likely: list[str], shown: str) -> str:
    """Return the message for a file whose encoding has to be named."""
    if not likely:
        return (
            f"{name} {why}. Set the encoding, such as encoding='cp1252' or encoding='cp1250', or export the data"
            " as UTF-8."
        )
    advice = "Set the encoding that shows the words correctly, such as" if shown else "Set the encoding with"
    return (
        f"{name} {why}. The encoding is probably {' or '.join(likely)}.{shown} {advice} encoding='{likely[0]}', or"
        " export the data as UTF-8."
    )


def _shown(survey: _Survey, likely: list[str]) -> str:
    """Return sample words, decoded with each encoding."""
    found = ""
    sample = b"\n".join(line for _, line in survey.sample)
    by_text: dict[str, str] = {}
    for encoding in likely:
        by_text.setdefault(sample.decode(encoding, "replace"), encoding)
    for encoding in by_text.values():
        lines = []
        for number, line in survey.sample[:_SHOWN_LINES]:
            # The words are found in the decoded text, because its bytes may contain delimiters.
            words = re.split(r"[,;\t|\"\s]+", line[:2000].decode(encoding, "replace"))
            chosen = [word[:30] for word in words if not word.isascii() and _WORD.fullmatch(word)]
            lines.append(f"line {number}: {' '.join(chosen[:_SHOWN_WORDS])}")
        found += f" Read as {encoding}: {'; '.join(lines)}."
    return found


def _not_text(name: str, head: bytes) -> str:
    if head.startswith(b"PK"):
        return (
            f"{name} is not a text file, but a ZIP archive or a spreadsheet. Unpack the archive, or rename the"
            " spreadsheet so that its name ends with .xlsx."
        )
    return f"{name} is not a text file. Export the data as CSV (UTF-8)."
