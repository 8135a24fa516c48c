"""The removal of request data and credentials from error messages."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from attrs import has

from wonder_customers._support.card_data import contains_card_number
from wonder_customers._support.folded_text import FoldedText, fold
from wonder_customers.dialects.responses import error_object
from wonder_customers.errors import CallError, GatewayError, InvalidRequestError
from wonder_customers.secret import Secret, fields_of, without_frames
from wonder_customers.wire import Header, HttpRequest

_MARK: Final = "…"
_SEARCHED: Final = 4000
"""Maximum number of characters of a message that are searched."""
_KEPT: Final = 1000
_LONG: Final = 6
"""Values of at least this length are also removed inside words."""
_EMAIL: Final = re.compile(r"[^\s@<>\"']{1,64}@[^\s@<>\"']{1,255}")
_DIGITS: Final = re.compile(r"\+?\d(?:[\W_]{0,12}\d){6,}")
"""Seven or more digits, which may be separated."""

_SECRET: Final = re.compile(r"(?![A-Z]?[a-z]{1,15}$)\S{8,}")
"""Words of headers that may be secrets. Short words and plain words, such as ``customer``, are kept."""
_VALUE: Final = re.compile(r"[^/=:;,\"']+")
_PUBLIC: Final = frozenset({b"host", b"accept", b"accept-encoding", b"content-type", b"content-length", b"user-agent"})
_IN_WORD: Final = re.compile(r"\w")
_POSITIONS: Final = frozenset({"limit", "offset", "skip", "page", "per_page", "page_size"})
"""The query parameters of pages. Their numbers are kept."""
_CARD_DIGITS: Final = 12
_CODE: Final = re.compile(r"\d{1,11}")
"""Numeric error codes. Card numbers have at least 12 digits."""


def secret_words(headers: Iterable[Header]) -> Iterator[Secret]:
    """Yield the words of headers that may be secrets, and the values in them, as in ``token="…"`` and ``user:…``."""
    values = (value.decode(errors="replace") for name, value in headers if name.lower() not in _PUBLIC)
    found = {part for value in values for word in value.split() for part in (word, *_VALUE.findall(word))}
    return map(Secret, filter(_SECRET.fullmatch, found))


class Redactor:
    """Removes credentials and the values of a call from messages of the gateway.

    Args:
        request: The request.
        secrets: The credentials.
        record: The record of the call, whose values the gateway may repeat before they are sent; None without a record.
        earlier: The earlier requests of the call.
    """

    def __init__(
        self,
        request: HttpRequest,
        secrets: Iterable[Secret] = (),
        record: object = None,
        earlier: Iterable[HttpRequest] = (),
    ) -> None:
        found = {*_texts(record), *(it.reveal() for it in secrets)}
        for body, target in {(it.body, it.target) for it in (request, *earlier)}:
            found.update(_texts(_json_value(body)), _query_values(target))
        plain = ((value, fold(value).strip()) for value in found if _is_identifying(value))
        self._values = [(value, folded) for value, folded in plain if folded]

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._values)} values>"

    def redact_error(self, error: CallError) -> None:
        """Redact the gateway's messages in an error, and remove its traceback."""
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
        """Return `text` with identifying values replaced by a mark."""
        folded = FoldedText.of(text[:_SEARCHED])
        found = [*self._found(folded), *(it.span() for it in _EMAIL.finditer(folded.text))]
        if len(text) > _SEARCHED:
            # The end may contain the start of a value, which is not found.
            longest = max((len(plain) for _, plain in self._values), default=0)
            found.append((max(0, len(folded.text) - longest), len(folded.text)))
        codes = [] if code is None else [it.span() for it in re.finditer(rf"(?<!\d){code}(?!\d)", folded.text)]
        # Long numbers are searched between the codes, because a status and a code ("400 10001") look like one number.
        for start, end in zip([0, *(end for _, end in codes)], [*(it[0] for it in codes), None], strict=True):
            found += _long_numbers(folded.text, start, len(folded.text) if end is None else end)
        return _marked(folded, found)[:_KEPT]

    def redact_id(self, text: str) -> str:
        """Return a request id or a header with identifying values replaced by a mark."""
        if contains_card_number(text):
            return _MARK
        folded = FoldedText.of(text)
        # Long numbers are kept, because a request id may be one. Random ids contain short numbers by chance.
        found = self._found(folded, whole_numbers=True)
        return _marked(folded, [*found, *(it.span() for it in _EMAIL.finditer(folded.text))])

    def _found(self, folded: FoldedText, *, whole_numbers: bool = False) -> list[tuple[int, int]]:
        """Return the spans of the values in a folded text."""
        # Not with regular expressions, because the module `re` would keep the values in its cache.
        text, found = folded.text, []
        for value, plain in self._values:
            continues = _continues(value, plain, whole_numbers=whole_numbers)
            start = text.find(plain)
            while start >= 0:
                end = start + len(plain)
                if continues(text[start - 1 : start]) or continues(text[end : end + 1]):
                    end = start + 1
                elif len(plain) > 2 or value == folded.original[slice(*folded.span(start, end))]:
                    found.append((start, end))
                start = text.find(plain, end)
        return found


def _is_identifying(value: str) -> bool:
    """Return whether a value is removed."""
    return len(value) >= 3 or not value.isascii() or (len(value) == 2 and value.istitle())


def _continues(value: str, plain: str, *, whole_numbers: bool) -> Callable[[str], object]:
    """Return a function that returns whether a character beside a value belongs to the same word."""
    if len(plain) >= _LONG or (not value.isascii() and len(plain) > 2) or not plain.isascii():
        return lambda _: False  # some scripts do not separate words with spaces
    return str.isdecimal if plain.isdecimal() and not whole_numbers else _IN_WORD.match


def _long_numbers(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the spans of long numbers between two positions of a text."""
    for it in _DIGITS.finditer(text, start, end):
        groups = re.findall(r"\d+", it[0])
        digits = sum(map(len, groups))
        # Short lists of small numbers are kept.
        if digits >= 2 * len(groups) or digits >= _CARD_DIGITS:
            yield it.span()


def _marked(folded: FoldedText, found: list[tuple[int, int]]) -> str:
    """Return the original text with a mark instead of each span."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(folded.span(*it) for it in found):
        overlaps = merged and start < merged[-1][1]
        first, last = merged.pop() if overlaps else (start, end)
        merged.append((first, max(last, end)))
    kept, at = "", 0
    for start, end in merged:
        kept, at = kept + folded.original[at:start] + _MARK, end
    return kept + folded.original[at:]


def _texts(value: Any) -> Iterator[str]:
    """Yield the strings and numbers of a JSON value or a record as strings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, Secret):
        yield value.reveal()
    elif has(type(value)):
        for name, item in fields_of(value):
            if name != "clear":  # contains names of fields
                yield from _texts(item)


def _json_value(body: bytes) -> Any:
    """Return the JSON value of a request, without the limits that apply to responses."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:  # the request of an installed dialect
        return error_object(body)


def _query_values(target: str) -> Iterator[str]:
    """Yield the values of a query and their items, except pagination numbers."""
    for name, value in parse_qsl(target.partition("?")[2]):
        if name not in _POSITIONS or not value.isdecimal():
            yield value
            yield from map(str.strip, value.split(","))
