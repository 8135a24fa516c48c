"""How Paydock says no: two error objects live side by side, and the older one is irregular.

Sources: Paydock's table of error codes, and recorded answers in public test suites (charges, tokens and checkout; that
customers answer the same way is inferred).
"""

from typing import Any

from wonder_customers.dialects.responses import refusal, text_of
from wonder_customers.errors import CallError


def refused(status: int, body: dict[str, Any]) -> CallError:
    """``error_summary`` first, then the older ``error``, whose message may be an object and whose details a list."""
    claimed = body.get("status")
    if status < 400:
        status = claimed if type(claimed) is int and 400 <= claimed <= 599 else 400
    summary, legacy = _as_object(body.get("error_summary")), _as_object(body.get("error"))
    words = summary.get("message") or legacy.get("message")
    if isinstance(words, dict):
        words = words.get("message") or "; ".join(map(str, _as_list(words.get("errors"))))
    code = text_of(summary.get("code")) or text_of(legacy.get("code"))
    details = next(filter(_says_something, (summary.get("details"), legacy.get("details"))), None)
    fields: dict[str, tuple[str, ...]] = {}
    if isinstance(details, dict):
        messages = tuple(map(str, _as_list(details.get("messages"))))
        if messages or details.get("path"):
            fields[str(details.get("path") or "")] = messages
        elif details.get("gateway_specific_description"):
            fields[""] = (str(details["gateway_specific_description"]),)
    for item in _as_list(details):
        name = item.get("param_name") if isinstance(item, dict) else None
        words_of_item = (
            item.get("description") or item.get("gateway_specific_description") if isinstance(item, dict) else item
        )
        fields[str(name or "")] = (*fields.get(str(name or ""), ()), str(words_of_item))
    return refusal(status, code=code, message=text_of(words), fields=fields)


def _says_something(details: Any) -> bool:
    return any(details.values()) if isinstance(details, dict) else bool(details)


def _as_object(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    return {"message": value} if isinstance(value, str) else {}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
