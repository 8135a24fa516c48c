"""The escaping of unsafe characters."""

import re
from typing import Final

UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line separators, bidirectional controls and lone surrogates."""


def printable(value: object) -> str:
    """Return ``str(value)`` with the characters of `UNSAFE` escaped."""
    return UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), str(value))
