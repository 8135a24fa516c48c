"""Reads the messages of a refusal, in any of the forms that are common in JSON bodies."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, Final

from attrs import field, frozen

__all__ = ["Explanation", "explained", "short_text"]

# Keys are written as `_plain_key` returns them.
_TEXTS: Final = (
    *("message", "errormessage", "errordescription", "detail", "description", "title", "msg"),
    *("errormsg", "errmsg", "faultstring", "reason"),
)
"""The keys of a message, the most specific first. Problem details (RFC 9457) have ``detail`` and ``title``."""
_UNNAMED: Final = tuple(key for key in _TEXTS if key not in {"description", "title", "reason"})
"""The keys of a message in an object of messages by field, which may have a field ``description`` or ``title``."""
_PARTS: Final = ("errors", "error", "details", "violations", "fault")
_NAMES: Final = ("field", "paramname", "param", "path", "name", "source")
_CODES: Final = ("errorcode", "code", "errcode")
_MOST: Final = 100


@frozen
class Explanation:
    """What a refusal states: a code, a message, and messages by field."""

    code: str | None = None
    message: str | None = None
    fields: dict[str, tuple[str, ...]] = field(factory=dict)


def explained(body: Mapping[str, Any]) -> Explanation:
    """Return the code and the messages in the body of a refusal."""
    body = _plain(body)
    texts: list[str] = []
    fields: dict[str, tuple[str, ...]] = {}
    parts = (_messages(body.get(key), keys=_TEXTS if key == "error" else _UNNAMED) for key in _PARTS)
    for name, text in islice(chain(_texts(body, "", _TEXTS), *parts), _MOST):
        if name and text not in fields.get(name, ()):
            fields[name] = (*fields.get(name, ()), text)
        elif not name and text not in texts:
            texts.append(text)
    listed = "; ".join(f"{name} {', '.join(found)}" for name, found in fields.items())
    inner = body.get("error")
    places = [body, _plain(inner)] if isinstance(inner, dict) else [body]
    code = next((it for place in places for key in _CODES if (it := short_text(place.get(key)))), None)
    if code is None and len(texts) > 1 and isinstance(inner, str) and texts[-1] == inner:
        code = short_text(texts.pop())  # OAuth: the code is in `error`, the message in `error_description`
    return Explanation(code, short_text("; ".join(texts)) or short_text(listed), fields)


def _plain_key(key: str) -> str:
    """Return a key without its case and underscores, such as ``errormessage`` for ``errorMessage``."""
    return key.replace("_", "").lower()


def _plain(body: Mapping[str, Any]) -> dict[str, Any]:
    # A key that is written as in `_TEXTS` takes precedence over its other forms.
    return {_plain_key(key): value for key, value in body.items()} | dict(body)


def _texts(body: Mapping[str, Any], name: str, keys: Iterable[str]) -> list[tuple[str, str]]:
    """Return the field and the text of each message under the first of `keys` that has a message."""
    found = (list(islice(_messages(body.get(key), name), _MOST)) for key in keys)
    return next(filter(None, found), [])


def _messages(value: Any, name: str = "", keys: Collection[str] = _TEXTS) -> Iterator[tuple[str, str]]:
    """Yield the field, which may be empty, and the text of each message in a part of the body."""
    if isinstance(value, list):
        for item in value:
            yield from _messages(item, name)
    elif not isinstance(value, dict):
        text = short_text(value)
        if text:
            yield name, text
    elif texts := _texts(
        plain := _plain(value), next(filter(None, map(short_text, map(plain.get, _NAMES))), name), keys
    ):
        yield from texts
    else:
        # `keys` have no message. Reading them again would double the time with each level.
        for key, item in value.items():
            if (kind := _plain_key(key)) not in keys and kind not in _CODES:
                path = name if kind in _PARTS else f"{name}.{key}" if name else key
                yield from _messages(item, path[:500], keys)


def short_text(value: object) -> str | None:
    """Return the first 500 characters of a message or code; None for objects, lists, null and empty strings."""
    if value is None or value == "" or isinstance(value, (dict, list)):
        return None
    return str(value)[:500]
