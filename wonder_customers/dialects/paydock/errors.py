"""Paydock's error bodies, which contain ``error_summary`` and the older, irregular ``error``.

Sources: Paydock's table of error codes, and responses recorded in public test suites (charges, tokens, vault and
checkout). The customer endpoints are assumed to respond in the same format.
"""

import re
from collections.abc import Iterator
from typing import Any

from wonder_customers.dialects.explanations import explained, short_text
from wonder_customers.dialects.responses import Subject, gateway_error
from wonder_customers.errors import CallError

Fields = dict[str, tuple[str, ...]]


class _AcquirerReason(str):
    """The code and description of an acquirer's refusal of a card."""

    __slots__ = ()


def is_refusal(body: dict[str, Any]) -> bool:
    """Return whether the body of a response with HTTP 2xx contains an error or the status of an error."""
    return _error_status(body) is not None or any(_has_content(body.get(name)) for name in ("error", "error_summary"))


def _error_status(body: dict[str, Any]) -> int | None:
    found = re.fullmatch("[45][0-9]{2}", str(body.get("status")))
    return int(found[0]) if found else None


def refusal(status: int, body: dict[str, Any], about: Subject = "customer") -> CallError:
    """Return the error for a refusal, with the gateway's code and messages."""
    received = status
    if status < 400:
        status = _error_status(body) or 400
    summary, legacy = (it if isinstance(it, dict) else {} for it in (body.get("error_summary"), body.get("error")))
    fields, other = _fields(summary, legacy), explained(body)
    message = _message(summary, legacy, fields) or short_text(body.get("error_summary")) or other.message
    return gateway_error(
        status,
        code=short_text(summary.get("code")) or short_text(legacy.get("code")) or other.code,
        message=message,
        fields=fields or other.fields,
        about=about if about == "token" or _about_customer(body, message) else None,
        received=received,
    )


def _about_customer(body: dict[str, Any], message: str | None) -> bool:
    resource = body.get("resource")
    kind = resource.get("type") if isinstance(resource, dict) else None
    return (kind is None or kind == "customer") and "token" not in (message or "").casefold()


def _message(summary: dict[str, Any], legacy: dict[str, Any], fields: Fields) -> str | None:
    """Return the gateway's message, with the acquirer's reasons."""
    message = summary.get("message") or legacy.get("message")
    if isinstance(message, dict):
        inner = message.get("errors")
        texts = map(short_text, inner if isinstance(inner, list) else ())
        message = message.get("message") or "; ".join(filter(None, texts))
    text = short_text(message)
    # The name of the field is added to the acquirer's reasons.
    by_field = [
        f"{name}: {it}" for name, texts in fields.items() for it in texts if name and isinstance(it, _AcquirerReason)
    ]
    reasons = "; ".join(it for it in (*fields.get("", ()), *by_field) if it not in (text or ""))
    return f"{text} ({reasons})"[:500] if text and reasons else text or short_text(reasons)


def _fields(summary: dict[str, Any], legacy: dict[str, Any]) -> Fields:
    """Return the messages by field. Messages without a field have the key ``""``."""
    found: Fields = {}
    details = next(filter(_has_content, (summary.get("details"), legacy.get("details"))), None)
    inner = legacy.get("message")
    nested = inner.get("errors") if isinstance(inner, dict) else None
    for name, text in (*_described(details), *_described(nested)):
        if text not in found.get(name, ()):
            found[name] = (*found.get(name, ()), text)
    return found


def _described(details: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the field, which may be empty, and the message of each detail."""
    if isinstance(details, list):
        for item in details:
            yield from _described(item, name)
        return
    if not isinstance(details, dict):
        if text := short_text(details):
            yield name, text
        return
    name = short_text(details.get("param_name")) or short_text(details.get("path")) or name
    yield from _described(details.get("messages"), name)
    code = short_text(details.get("gateway_specific_code"))
    keys = ("gateway_specific_description", "description", "message", "status_code")
    texts = list(dict.fromkeys(text for key in keys if (text := short_text(details.get(key)))))
    if code or "gateway_specific_description" in details:
        yield name, _AcquirerReason(": ".join(filter(None, (code, "; ".join(texts[:2])))))
    elif texts:
        yield name, texts[0]


def _has_content(details: Any) -> bool:
    return any(details.values()) if isinstance(details, dict) else bool(details)
