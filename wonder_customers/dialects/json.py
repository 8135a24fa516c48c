"""A strict JSON parser for responses and customer files."""

import json
import re
from contextlib import suppress
from functools import partial
from typing import Any, Final

import orjson
from attrs import evolve

from wonder_customers.dialects import drift
from wonder_customers.wire import HttpResponse

__all__ = [
    "DEPTH",
    "MOST_VALUES",
    "UnreadableJsonError",
    "deeper_than",
    "parse_json",
    "parse_source_json",
    "with_utf8_body",
]

DEPTH: Final = 64
"""Maximum number of nested levels in a document."""

MOST_VALUES: Final = 250_000
"""Maximum number of commas and opening brackets in a response. This limits the memory for the values."""

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_DIGITS: Final = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
_LONG_NUMBER: Final = b"0" * 19
_ESCAPES: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_OTHER_CHARSET: Final = re.compile(
    r"""charset\s*=\s*["']?((?:iso-8859-\d+|windows-125\d|utf-16(?:le|be)?)(?![\w-]))""", re.IGNORECASE
)
_REPRESENTABLE: Final = range(-(2**63), 2**64)


class UnreadableJsonError(ValueError):
    """A JSON document was refused. The message contains no values."""


def with_utf8_body(response: HttpResponse) -> HttpResponse:
    """Return a response whose body is in UTF-8, if it is in the charset of its Content-Type."""
    found = _OTHER_CHARSET.search(response.headers.get("content-type", ""))
    if found is None:
        return response
    body, charset = response.body, found[1].lower()
    with suppress(UnicodeDecodeError):
        if b"\0" not in body:  # JSON in UTF-16 contains null bytes
            body.decode()
            return response  # some servers send UTF-8 with another charset
    if charset == "utf-16" and body.startswith(b"\0"):
        charset = "utf-16be"
    with suppress(UnicodeDecodeError, LookupError):  # not every number of ISO 8859 is a character set
        text = body.decode(charset).removeprefix("\ufeff")
        drift.report("(body)", "UTF-8", charset)
        return evolve(response, body=text.encode())
    return response


def parse_json(body: bytes, *, repair: bool = False) -> Any:
    """Return the value of a JSON document in UTF-8.

    With `repair`, single values that no str or JSON number can represent are reported as drift and replaced: half of a
    surrogate pair by U+FFFD, and an integer of more than 64 bits by its digits as text.

    Raises:
        UnreadableJsonError: The document is invalid, ambiguous or too large.
    """
    if len(body) > MOST_VALUES and body.count(b",") + body.count(b"[") + body.count(b"{") > MOST_VALUES:
        raise UnreadableJsonError(f"JSON with more than {MOST_VALUES:,} commas and opening brackets")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        if body.startswith(_BYTE_ORDER_MARK) and not body.startswith(2 * _BYTE_ORDER_MARK):
            drift.report("(body)", "JSON", "byte order mark")
            return parse_json(body.removeprefix(_BYTE_ORDER_MARK), repair=repair)
        if repair and (repaired := _ESCAPES.sub(_replace_half, body)) != body:
            drift.report("(body)", "Unicode text", "half of a surrogate pair")
            return parse_json(repaired, repair=True)
        raise UnreadableJsonError("a body that is not JSON" if body.strip() else "an empty body") from None
    return _lossless(body, value, repair=repair)


def parse_source_json(text: str) -> Any:
    """Return the value of a JSON document in a customer file."""
    value = orjson.loads(text)  # refuses lone surrogates, which cannot be encoded
    return _lossless(text.encode(), value)


def _lossless(body: bytes, value: Any, *, repair: bool = False) -> Any:
    """Return the value of `body`, or raise an error if it is too deep or lacks content. `value` is orjson's result."""
    if body.count(b"{") + body.count(b"[") > DEPTH and deeper_than(DEPTH, value):
        raise UnreadableJsonError(f"JSON with more than {DEPTH} nested levels")
    again = orjson.dumps(value)
    if again == body:  # the usual case: nothing was lost
        return value
    # orjson drops the first value of a repeated key, so the value written again has fewer quotes. Only quotes that are
    # written as Unicode escapes could hide this.
    same_quotes = body.count(b'"') == again.count(b'"')
    if not same_quotes or b"u0022" in body or _LONG_NUMBER in body.translate(_DIGITS):
        # The standard parser is slower, and shows every key and integer.
        parse_int = partial(_integer, repair=repair)
        return json.loads(body.decode(), object_pairs_hook=_unique_keys, parse_int=parse_int)
    return value


def deeper_than(levels: int, value: Any) -> bool:
    """Return whether a parsed object or list has more than `levels` nested levels."""
    inside = [value]
    for _ in range(levels):
        inside = [
            item
            for outer in inside
            for item in (outer.values() if type(outer) is dict else outer)
            if type(item) is dict or type(item) is list
        ]
        if not inside:
            return False
    return True


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise UnreadableJsonError("JSON with a repeated key")
    return found


def _integer(digits: str, *, repair: bool) -> int | str:
    if len(digits) <= 20 and int(digits) in _REPRESENTABLE:
        return int(digits)
    if not repair:
        raise UnreadableJsonError("an integer of more than 64 bits")
    drift.report("(body)", "64-bit integer", "longer integer")
    return digits


def _replace_half(escape: re.Match[bytes]) -> bytes:
    return escape[0] if escape["half"] is None else b"\\ufffd"
