"""Reading JSON that nobody vouches for: what says two things at once, or more than can be held, is no JSON here.

orjson refuses NaN, infinities, lone surrogates, byte order marks and whatever follows the document. It takes the last
of two equal keys, makes a float of a whole number beyond 64 bits, and nests a thousand levels deep, which then breaks
whoever writes or compares the value. These three are refused here, at a price that every answer can pay.
"""

import json
from typing import Any, Final

import orjson

__all__ = ["DEPTH", "UnreadableJson", "deeper_than", "parsed"]

DEPTH: Final = 64
"""Levels that a body may be nested. The gateways' own bodies have six."""

_DIGITS: Final = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
_LONG_NUMBER: Final = b"0" * 19
_HELD: Final = range(-(2**63), 2**64)


class UnreadableJson(ValueError):
    """A body that is no JSON, or that cannot be trusted. The message names what is wrong and never a value."""


def parsed(body: bytes) -> Any:
    """The value of a JSON document.

    Raises:
        UnreadableJson: It is no JSON in UTF-8, nested deeper than `DEPTH`, names a key twice in one object, or holds a
            whole number of more than 64 bits.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UnreadableJson("a body that is no JSON" if body.strip() else "an empty body") from None
    if body.count(b"{") + body.count(b"[") > DEPTH and deeper_than(DEPTH, value):
        raise UnreadableJson(f"JSON nested deeper than {DEPTH} levels")
    # A key that comes twice loses its first mention, and two quotes with it: written again, the value has fewer of
    # them. Only a quote that was written by its number would make up for that.
    same_quotes = body.count(b'"') == orjson.dumps(value).count(b'"')
    if not same_quotes or b"u0022" in body or _LONG_NUMBER in body.translate(_DIGITS):
        _read_slowly(body)
    return value


def deeper_than(levels: int, value: Any) -> bool:
    """Whether a value that was parsed is nested deeper than so many levels."""
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


def _read_slowly(body: bytes) -> None:
    """Look at every key and every number by itself.

    Raises:
        UnreadableJson: See `parsed`.
    """
    json.loads(body.decode(), object_pairs_hook=_all_different, parse_int=_small_enough)


def _all_different(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise UnreadableJson("JSON that names a key twice")
    return found


def _small_enough(digits: str) -> int:
    if len(digits) > 20 or int(digits) not in _HELD:
        raise UnreadableJson("a whole number of more than 64 bits")
    return int(digits)
