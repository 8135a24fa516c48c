"""Takes out of a gateway's words what the request had carried into them."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import parse_qsl

from wonder_customers.dialects.responses import error_object
from wonder_customers.errors import CallError, GatewayError, InvalidRequestError
from wonder_customers.secret import Secret, without_frames
from wonder_customers.wire import HttpRequest

_MARK: Final = "…"
_READ: Final = 4000
"""Characters of a gateway's words that are looked through."""
_KEPT: Final = 1000
_LONG: Final = 6
"""From so many characters on, a value is one wherever it stands; a shorter one must stand by itself."""
_PERSONAL: Final = re.compile(r"[^\s@<>\"']{1,64}@[^\s@<>\"']{1,255}|\+?\d(?:[ -]?\d){6,}")


class Redactor:
    """What one request carried: the values of its body and its query, and the credentials that went with it.

    Args:
        request: The request.
        secrets: The credentials.
    """

    def __init__(self, request: HttpRequest, secrets: Iterable[Secret] = ()) -> None:
        found = {*_texts(error_object(request.body)), *_queried(request.target), *(it.reveal() for it in secrets)}
        self._values = sorted(filter(_telling, found), key=len, reverse=True)

    def __repr__(self) -> str:
        return f"<{len(self._values)} values>"

    def out_of_error(self, error: CallError) -> None:
        """Take the values out of everything that an error tells, and out of the frames that hang on to it."""
        without_frames(error)
        if not isinstance(error, GatewayError):
            return
        error.reason = self.out_of(error.reason)
        error.args = (error.reason,)
        error.message = self.out_of(error.message) if error.message else error.message
        error.code = self.out_of(error.code) if error.code else error.code
        if isinstance(error, InvalidRequestError):
            error.fields = {
                self.out_of(name[:200]): tuple(map(self.out_of, messages[:20]))
                for name, messages in list(error.fields.items())[:100]
            }

    def out_of(self, text: str) -> str:
        """`text` without the values, without e-mail addresses and long numbers. Of very long ones the beginning."""
        return _PERSONAL.sub(_MARK, self._without_values(self._whole(text)))[:_KEPT]

    def out_of_id(self, text: str) -> str:
        """`text` without the values: a gateway's id for a request, which may be a long number itself."""
        return self._without_values(text)

    def _without_values(self, text: str) -> str:
        # Most words hold none of the values, and a pattern of them takes long to make.
        folded = text.casefold()
        there = [value for value in self._values if value.casefold() in folded]
        return re.sub("|".join(map(_pattern, there)), _MARK, text, flags=re.IGNORECASE) if there else text

    def _whole(self, text: str) -> str:
        """The beginning of `text`, without the beginning of a value where it was cut."""
        if len(text) <= _READ:
            return text
        cut = text[:_READ]
        folded = cut.casefold()
        begun = (value[:size] for value in self._values for size in range(3, len(value) + 1))
        longest = max((len(it) for it in begun if folded.endswith(it.casefold())), default=0)
        return cut[: _READ - longest]


def _telling(value: str) -> bool:
    """Whether a value says something of somebody, and is not just a short word or number."""
    return len(value) >= 3 or not value.isascii() or (len(value) == 2 and value.istitle())


def _pattern(value: str) -> str:
    escaped = re.escape(value)
    if len(value) >= _LONG or not value.isascii():  # other scripts have no blanks between words
        return escaped
    return rf"(?<!\w){escaped if len(value) > 2 else f'(?-i:{escaped})'}(?!\w)"


def _texts(value: Any) -> Iterator[str]:
    """Every text and every number of a JSON value."""
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


def _queried(target: str) -> Iterator[str]:
    """The values of a query that are no plain numbers, such as limits and offsets."""
    for _, value in parse_qsl(target.partition("?")[2]):
        if not value.isdecimal():
            yield value
