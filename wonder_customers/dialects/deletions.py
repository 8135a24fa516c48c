"""The check of responses to deletions."""

import re
from collections.abc import Mapping
from typing import Any, Final

from wonder_customers.dialects.responses import denied, invalid_response, not_deleted

__all__ = ["check_deletion"]

_DONE: Final = frozenset(
    {"approved", "archived", "deleted", "done", "ok", "removed", "success", "successful", "successfully"}
)
_WITH_DONE: Final = _DONE | {*("been", "customer", "deletion", "has", "is", "payment", "the", "token", "was")}


def check_deletion(what: str, status: int, body: Mapping[str, Any], *stated: str) -> None:
    """Raise an error if the body of an accepted response denies a deletion, or is not empty and does not state it.

    A value of the keys `stated` states it, and so do words such as ``Customer deleted``.
    """
    parts = [it for it in (body, body.get("data")) if isinstance(it, dict)]
    flags = [(name, part) for part in parts for name in ("success", "deleted", "ok")]
    if any(denied(*it) for it in flags):
        raise not_deleted(what, status)
    texts = [part.get(name) for part in parts for name in ("status", "message", "result", "data")]
    words = [set(re.findall(r"\w+", it.lower())) for it in texts if isinstance(it, str)]
    done = any(it & _DONE and it <= _WITH_DONE for it in words) or any(part.get(name) for name, part in flags)
    if body and not (done or any(map(body.get, stated)) or body.get("code") in (200, "200")):
        raise invalid_response(f"the response does not show that the {what} was deleted", status)
