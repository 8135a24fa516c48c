"""Takes out of a gateway's words what the request had carried into them."""

import re
from collections.abc import Iterator
from typing import Any, Final

from wonder_customers.dialects.base import loose_object

_MARK: Final = "…"
_LONGEST: Final = 1000
_PERSONAL: Final = re.compile(r"[^\s@<>\"']{1,64}@[^\s@<>\"']{1,255}|\+?\d(?:[ -]?\d){6,}")


def scrub(text: str, body: bytes) -> str:
    """`text` without any value that stood in the request's `body`, without e-mail addresses and long numbers.

    Gateways quote what they refuse; their words end up in logs. Of very long ones the beginning is kept.
    """
    text = text[:_LONGEST]
    for value in sorted(set(_texts(loose_object(body))), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", _MARK, text, flags=re.IGNORECASE)
    return _PERSONAL.sub(_MARK, text)


def _texts(value: Any) -> Iterator[str]:
    """Every text of a JSON value that is long enough to be told from a common word."""
    if isinstance(value, str) and len(value) >= 3:
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
