"""Remove request data and credentials from error messages of a gateway."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import parse_qsl

from wonder_customers.dialects.responses import error_object
from wonder_customers.errors import CallError, GatewayError, InvalidRequestError
from wonder_customers.secret import Secret, without_frames
from wonder_customers.wire import HttpRequest

_MARK: Final = "…"
_SEARCHED: Final = 4000
"""Number of characters of a text that are searched."""
_KEPT: Final = 1000
_LONG: Final = 6
"""A value of at least this many characters is removed anywhere in the text, a shorter one only as a whole word."""
_PERSONAL: Final = re.compile(r"[^\s@<>\"']{1,64}@[^\s@<>\"']{1,255}|\+?\d(?:[ -]?\d){6,}")

_CODE: Final = re.compile(r"\d{1,11}")
"""Numeric error codes. Card numbers have at least 12 digits."""


class Redactor:
    """Removes the values of one request, its body, query and credentials, from texts and errors.

    Args:
        request: The request.
        secrets: The credentials.
    """

    def __init__(self, request: HttpRequest, secrets: Iterable[Secret] = ()) -> None:
        found = {*_texts(error_object(request.body)), *_query_values(request.target), *(it.reveal() for it in secrets)}
        self._values = sorted(filter(_is_identifying, found), key=len, reverse=True)

    def __repr__(self) -> str:
        return f"<{len(self._values)} values>"

    def redact_error(self, error: CallError) -> None:
        """Remove the values from the texts of an error and from the frames of its traceback."""
        without_frames(error)
        if not isinstance(error, GatewayError):
            return
        code = error.code if error.code and _CODE.fullmatch(error.code) else None
        error.reason = self.redact(error.reason, code)
        error.args = (error.reason,)
        error.message = self.redact(error.message, code) if error.message else error.message
        error.code = self.redact(error.code, code) if error.code else error.code
        if isinstance(error, InvalidRequestError):
            error.fields = {
                self.redact(name[:200]): tuple(map(self.redact, messages[:20]))
                for name, messages in list(error.fields.items())[:100]
            }

    def redact(self, text: str, code: str | None = None) -> str:
        """Return `text` without the values, e-mail addresses and long numbers, cut to 1,000 characters.

        The gateway's error code `code`, which may be a long number, is kept unless it is one of the values.
        """
        kept = self._without_values(self._searched_part(text))
        # Apart, because a status and a code such as "400 10001" would count as one long number.
        parts = re.split(rf"(?<!\d)({code})(?!\d)", kept) if code else [kept]
        return "".join(part if part == code else _PERSONAL.sub(_MARK, part) for part in parts)[:_KEPT]

    def redact_id(self, text: str) -> str:
        """Return the request id `text` without the values. A request id may be a long number itself."""
        return self._without_values(text)

    def _without_values(self, text: str) -> str:
        # Most texts contain none of the values, and compiling a pattern of all values is slow.
        folded = text.casefold()
        there = [value for value in self._values if value.casefold() in folded]
        return re.sub("|".join(map(_pattern, there)), _MARK, text, flags=re.IGNORECASE) if there else text

    def _searched_part(self, text: str) -> str:
        """Return the part of `text` that is searched, without a partial value at its end."""
        if len(text) <= _SEARCHED:
            return text
        cut = text[:_SEARCHED]
        folded = cut.casefold()
        begun = (value[:size] for value in self._values for size in range(3, len(value) + 1))
        longest = max((len(it) for it in begun if folded.endswith(it.casefold())), default=0)
        return cut[: _SEARCHED - longest]


def _is_identifying(value: str) -> bool:
    """Return whether a value is worth removing, and not a short common word or number."""
    return len(value) >= 3 or not value.isascii() or (len(value) == 2 and value.istitle())


def _pattern(value: str) -> str:
    escaped = re.escape(value)
    if len(value) >= _LONG or not value.isascii():  # other scripts do not separate words by blanks
        return escaped
    return rf"(?<!\w){escaped if len(value) > 2 else f'(?-i:{escaped})'}(?!\w)"


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts and numbers of a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield str(value)


def _query_values(target: str) -> Iterator[str]:
    """Yield the values of a query that are not plain numbers such as limits and offsets."""
    for _, value in parse_qsl(target.partition("?")[2]):
        if not value.isdecimal():
            yield value
