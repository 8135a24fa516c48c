"""The rule for empty cells."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any, Final, Literal, NamedTuple

import orjson
from attrs import evolve, fields

from wonder_customers.records import Address, CustomerDraft, Phone
from wonder_customers.session import CustomerSession

__all__ = ["EmptyCells", "EmptyRule", "apply_rule", "flat_values"]

EmptyRule = Literal["own", "clear", "keep"]
"""What an empty cell does: ``own`` clears a field that this source filled before, ``clear`` clears every field that has
a column, ``keep`` leaves the field as it is."""

_NAMES: Final = tuple(
    it.name for it in fields(CustomerDraft) if it.name not in {"reference", "payment_source", "clear"}
)
_ADDRESS_NAMES: Final = tuple(it.name for it in fields(Address))
_ADDRESS_FIELDS: Final = tuple(f"address.{it}" for it in _ADDRESS_NAMES)
_values_of: Final = attrgetter(*_NAMES)
_parts_of: Final = attrgetter(*_ADDRESS_NAMES)
_SHAPES: Final = dict[tuple[object, ...], str]()
_MOST_SHAPES: Final = 1024
_FILLED: Final = "+"
"""The record of a filled field. The record of a cleared field is an empty string. Earlier versions recorded other
strings."""


class EmptyCells(NamedTuple):  # a tuple is created faster than other objects, for every row
    """The result of the rule for one row.

    Attributes:
        draft: The draft with the fields to clear.
        announced: What the journal records about the row's fields before the row is sent, as JSON.
        confirmed: What the journal records about these fields after the gateway has confirmed the row, as JSON.
        cleared: The fields that the row clears now and did not clear before.
        uncleared: The fields that should be cleared, but cannot be cleared at the gateway.
        open: Whether the next run has to compare the row again.
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
    journaled: bool,
) -> EmptyCells:
    """Apply the rule for empty cells to one row."""
    owned = {} if recorded is None else _recorded(recorded)
    if not owned and rule != "clear" and not draft.clear:  # most rows
        names = _filled_json(draft) if journaled else ""
        return EmptyCells(draft, names, names)
    values = flat_values(draft)
    filled = dict.fromkeys(values, _FILLED)
    emptied = set(owned if rule == "own" else columns or () if rule == "clear" else ()) - {"reference"}
    emptied = {name for name in emptied if name not in values and _has_column(name, columns)}
    emptied = {name for name in emptied if not name.startswith("payment_source") and not _inside(name, values)}
    possible = session.account.dialect().clearable(draft, emptied) if emptied else frozenset[str]()
    cleared = possible | draft.clear
    kept = {name: record for name, record in owned.items() if name not in values and name not in cleared}
    confirmed = filled | kept | dict.fromkeys(sorted(cleared), "")
    return EmptyCells(
        evolve(draft, clear=cleared) if possible else draft,
        _to_json(owned | filled),
        _to_json(confirmed),
        tuple(sorted(name for name in cleared if owned.get(name) or name not in owned)),
        tuple(sorted(name for name in emptied - possible if owned.get(name) or rule == "clear")),
        rule == "keep" and any(record and _has_column(name, columns) for name, record in kept.items()),
    )


def _filled_json(draft: CustomerDraft) -> str:
    """Return the filled fields of a draft as JSON."""
    # Most rows of a source fill the same fields, and comparing these takes less time than naming them.
    address, metadata = draft.address, draft.metadata
    shape = (
        *map(type, _values_of(draft)),
        *map(bool, () if address is None else _parts_of(address)),
        *([key for key, item in metadata.items() if item is not None] if metadata else ()),
    )
    known = _SHAPES.get(shape)
    if known is None:
        if len(_SHAPES) >= _MOST_SHAPES:
            _SHAPES.clear()
        known = _SHAPES[shape] = _to_json(dict.fromkeys(flat_values(draft), _FILLED))
    return known


def _recorded(text: str) -> dict[str, str]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) and all(isinstance(it, str) for it in found.values()) else {}


def _to_json(found: Mapping[str, str]) -> str:
    return orjson.dumps(found).decode()


def flat_values(draft: CustomerDraft) -> dict[str, Any]:
    """Return the values of a draft by field."""
    found: dict[str, Any] = {}
    for name, value in zip(_NAMES, _values_of(draft), strict=True):
        if value is None:
            continue
        kind = type(value)
        if kind is str:
            found[name] = value  # most values, before the slower checks of types
        elif kind is Address:
            found |= {key: part for key, part in zip(_ADDRESS_FIELDS, _parts_of(value), strict=True) if part}
        elif kind is Phone:
            found[name] = f"{value.dial_code} {value.number}" if value.dial_code else value.number
        elif kind is dict or isinstance(value, Mapping):
            found |= {f"{name}.{key}": item for key, item in value.items() if item is not None}
        else:
            found[name] = value
    return found


def _has_column(name: str, columns: frozenset[str] | None) -> bool:
    return columns is None or name in columns or name.partition(".")[0] in columns


def _inside(name: str, values: Mapping[str, Any]) -> bool:
    """Return whether the row fills a part of a field."""
    return any(it.startswith(f"{name}.") for it in values)
