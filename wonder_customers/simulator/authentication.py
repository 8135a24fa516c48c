"""Reports on the check of a request's credentials, for the inspector."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from wonder_customers.simulator.cards import without_card_data

__all__ = ["AuthenticationReport", "described_mistake", "readable", "seconds_apart", "signing_mistakes"]

_UNITS: Final[Sequence[tuple[str, int]]] = (("days", 86_400), ("hours", 3600), ("minutes", 60))


@dataclass(frozen=True, slots=True)
class AuthenticationReport:
    """How a gateway checked the credentials of a request.

    Attributes:
        accepted: Whether the credentials are valid.
        reason: The result in words.
        steps: The values of the check by name, without keys and with masked card data.
    """

    accepted: bool
    reason: str
    steps: Mapping[str, str]


def signing_mistakes(method: str, target: bytes, body: bytes, origin: str) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield frequent mistakes in signed requests: a description, and the target and body that were signed."""
    path, _, query = target.partition(b"?")
    if query:
        yield "the path without its query", path, body
    yield "the whole URL instead of the path", origin.encode() + target, body
    if query:
        yield "the whole URL without its query", origin.encode() + path, body
    yield "the path with a trailing slash", path + b"/" + target[len(path) :], body
    for other in _other_bodies(body):
        yield "a body whose spaces or order of keys differ from the sent body", target, other
    if body:
        yield "no body, although a body was sent", target, b""
    if method == "GET":
        yield "a body of {}, although a GET request has none", target, b"{}"


def described_mistake(words: str, signed: bytes, sent: bytes) -> str:
    """Return a sentence about one of the `signing_mistakes`."""
    targets = "" if signed == sent else f": {readable(signed)} was signed, {readable(sent)} was sent"
    return f"The client signed {words}{targets}."


def _other_bodies(body: bytes) -> Iterator[bytes]:
    """Yield other serializations of the same JSON value."""
    try:
        value: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return
    written = {
        orjson.dumps(value),
        orjson.dumps(value, option=orjson.OPT_SORT_KEYS),
        *(
            json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
            for ascii_only in (True, False)
            for indent in (None, 2, 4)
        ),
        json.dumps(value, separators=(",", ":")).encode(),
        json.dumps(value, separators=(",", ":")).replace("/", "\\/").encode(),
    }
    yield from written - {body}


def readable(value: bytes) -> str:
    """Return the first 64 KiB of `value` as a str, with card data masked."""
    return without_card_data(value).decode("utf-8", "replace")


def seconds_apart(difference: float) -> str:
    """Describe the difference in seconds between a time and the simulator's clock."""
    if abs(difference) < 1:
        return "equal to the simulator's clock"
    amount, direction = abs(difference), "behind" if difference < 0 else "ahead of"
    unit, size = next(((unit, size) for unit, size in _UNITS if amount >= 2 * size), ("seconds", 1))
    return f"{amount / size:.0f} {unit} {direction} the simulator's clock"
