"""Reads the messages of a refusal, in any of the forms that are common in JSON bodies."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import field, frozen

__all__ = ["Explanation", "explained", "short_text"]

_TEXTS: Final = ("message", "error_message", "error_description", "detail", "description", "title", "msg")
"""The keys of a message, the most specific first. Problem details (RFC 9457) have ``detail`` and ``title``."""
_PARTS: Final = ("errors", "error", "details", "violations")
_NAMES: Final = ("field", "param_name", "param", "path", "name", "source")
_CODES: Final = ("error_code", "code")
_MOST: Final = 20


@frozen
class Explanation:
    """What a refusal states: a code, a message, and messages by field."""

    code: str | None = None
    message: str | None = None
    fields: dict[str, tuple[str, ...]] = field(factory=dict)


def explained(body: Mapping[str, Any]) -> Explanation:
    """Return the code and the messages in the body of a refusal."""
    texts = list(dict.fromkeys(_texts(body)))
    fields: dict[str, tuple[str, ...]] = {}
    for key in (*_PARTS, *(it for it in _TEXTS if isinstance(body.get(it), dict))):
        for name, text in _by_field(body.get(key)):
            if name and text not in fields.get(name, ()):
                fields[name] = (*fields.get(name, ()), text)
            elif not name and text not in texts:
                texts.append(text)
    listed = "; ".join(f"{name} {', '.join(found)}" for name, found in fields.items())
    inner = body.get("error")
    places = [body, inner] if isinstance(inner, dict) else [body]
    code = next((it for place in places for key in _CODES if (it := short_text(place.get(key)))), None)
    if code is None and len(texts) > 1 and isinstance(inner, str) and texts[-1] == inner:
        code = short_text(texts.pop())  # OAuth: the code is in `error`, the message in `error_description`
    return Explanation(code, short_text("; ".join(texts)) or short_text(listed), fields)


def _texts(value: Any) -> Iterator[str]:
    """Yield the message of an object, whose value may be a list or another object."""
    for key in _TEXTS:
        found = value.get(key)
        if isinstance(found, dict):
            found = explained(found).message
        texts = list(filter(None, map(short_text, found if isinstance(found, list) else [found])))
        if texts:
            yield from texts[:_MOST]
            return


def _by_field(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the field and the text of each message in a part of the body. The field may be empty."""
    if isinstance(value, list):
        for item in value[:_MOST]:
            yield from _by_field(item, name)
    elif not isinstance(value, dict):
        text = short_text(value)
        if text:
            yield name, text
    elif texts := list(_texts(value)):
        named = next((it for key in _NAMES if (it := short_text(value.get(key)))), name)
        yield from ((named, text) for text in texts)
    else:
        for key, item in list(value.items())[:_MOST]:
            if key not in _CODES:
                yield from _by_field(item, f"{name}.{key}" if name else str(key))


def short_text(value: object) -> str | None:
    """Return the first 500 characters of a message or code; None for objects, lists, null and empty strings."""
    if value is None or value == "" or isinstance(value, (dict, list)):
        return None
    return str(value)[:500]
