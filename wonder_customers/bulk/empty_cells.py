"""The rule for empty cells: a source owns the values that it wrote, and clears them when they are empty.

The journal records a keyed digest of each field that a row filled, and an empty text for each field that it cleared. A
field whose column is missing from the source keeps its value.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import orjson
from attrs import evolve, fields, frozen

from wonder_customers.bulk.journal.digest import Digests
from wonder_customers.records import Address, CustomerDraft, Phone
from wonder_customers.session import CustomerSession

__all__ = ["EmptyCells", "EmptyRule", "apply_rule", "flat_values"]

EmptyRule = Literal["own", "clear", "keep"]
"""What an empty cell does: ``own`` clears a field that this source filled before, ``clear`` clears every field that has
a column, ``keep`` leaves the field as it is."""

_NAMES: Final = tuple(
    it.name for it in fields(CustomerDraft) if it.name not in {"reference", "payment_source", "clear"}
)


@frozen
class EmptyCells:
    """The result of the rule for one row.

    Attributes:
        draft: The draft with the fields to clear.
        announced: What the journal records before the row is sent: fields that the gateway may hold from this source.
        confirmed: What the journal records when the gateway has confirmed the row.
        cleared: The fields that the row clears now and did not clear before.
        uncleared: The fields that it would clear, and the gateway cannot.
        open: Whether empty cells were kept that another rule clears, so that the next run has to compare the row again.
    """

    draft: CustomerDraft
    announced: str
    confirmed: str
    cleared: tuple[str, ...] = ()
    uncleared: tuple[str, ...] = ()
    open: bool = False


def apply_rule(
    session: CustomerSession[Any],
    draft: CustomerDraft,
    columns: frozenset[str] | None,
    recorded: str | None,
    *,
    rule: EmptyRule,
    digests: Digests | None,
) -> EmptyCells:
    """Apply the rule to one row.

    Args:
        session: Provides what the gateway can clear.
        draft: The row's draft.
        columns: The fields that have a column; None if all have.
        recorded: What the journal records about the fields of the row; None for nothing.
        rule: The rule.
        digests: Computes the digests of the fields; None without a journal.
    """
    owned = _recorded(recorded)
    if digests is None and not owned and rule != "clear" and not draft.clear:
        return EmptyCells(draft, "", "")
    values = flat_values(draft)
    filled = {} if digests is None else {name: digests.field(name, value) for name, value in values.items()}
    wanted = set(owned if rule == "own" else columns or () if rule == "clear" else ()) - {"reference"}
    wanted = {name for name in wanted if name not in values and _has_column(name, columns)}
    wanted = {name for name in wanted if not name.startswith("payment_source") and not _inside(name, values)}
    possible = session.account.dialect().clearable(draft, wanted) if wanted else frozenset[str]()
    cleared = possible | draft.clear
    kept = {name: mark for name, mark in owned.items() if name not in values and name not in cleared}
    confirmed = filled | kept | dict.fromkeys(sorted(cleared), "")
    return EmptyCells(
        evolve(draft, clear=cleared) if possible else draft,
        _text(owned | filled),
        _text(confirmed),
        tuple(sorted(name for name in cleared if owned.get(name) or name not in owned)),
        tuple(sorted(name for name in wanted - possible if owned.get(name) or rule == "clear")),
        rule == "keep" and any(mark and _has_column(name, columns) for name, mark in kept.items()),
    )


def _recorded(text: str | None) -> dict[str, str]:
    try:
        found = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) and all(isinstance(it, str) for it in found.values()) else {}


def _text(found: Mapping[str, str]) -> str:
    return orjson.dumps(found).decode()


def flat_values(draft: CustomerDraft) -> dict[str, Any]:
    """Return the values of a draft by field; those of addresses and metadata one by one."""
    found: dict[str, Any] = {}
    for name in _NAMES:
        value = getattr(draft, name)
        if isinstance(value, Address):
            found |= {f"{name}.{it.name}": part for it in fields(Address) if (part := getattr(value, it.name))}
        elif isinstance(value, Mapping):
            found |= {f"{name}.{key}": item for key, item in value.items() if item is not None}
        elif value is not None:
            found[name] = f"{value.dial_code or ''} {value.number}" if isinstance(value, Phone) else value
    return found


def _has_column(name: str, columns: frozenset[str] | None) -> bool:
    return columns is None or name in columns or name.partition(".")[0] in columns


def _inside(name: str, values: Mapping[str, Any]) -> bool:
    """Return whether `name` stands for a whole, such as ``metadata``, of which the row has a part."""
    return any(it.startswith(f"{name}.") for it in values)
