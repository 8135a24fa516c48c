"""The export and import of the simulated gateways' data as JSON."""

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, Final

import orjson

from wonder_customers.simulator.store import Store

__all__ = ["clear_state", "export_state", "import_state"]

_VERSION: Final = 1
_TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "merchants": ("gateway", "id", "credentials"),
    "customers": ("gateway", "merchant", "id", "reference", "deleted", "created", "body"),
    "records": ("gateway", "merchant", "kind", "id", "owner", "created", "body"),
    "history": ("gateway", "merchant", "reference", "action", "id", "at", "body"),
}
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    **dict.fromkeys(("credentials", "body"), (dict,)),
    **dict.fromkeys(("reference", "owner"), (str, NoneType)),
    **dict.fromkeys(("created", "at"), (int, float)),
    "deleted": (bool,),
}
"""The types of columns. All other columns contain strings."""
_JSON_NAMES: Final = {dict: "object", str: "string", NoneType: "null", int: "number", float: "number", bool: "boolean"}


def export_state(store: Store) -> dict[str, Any]:
    """Return all data as a JSON object, with the simulated credentials."""
    state: dict[str, Any] = {"version": _VERSION}
    for table, columns in _TABLES.items():
        rows = store.newest(table, columns, -1)[::-1]
        state[table] = [dict(zip(columns, map(_exported, columns, row), strict=True)) for row in rows]
    return state


def _exported(name: str, value: Any) -> Any:
    types = _TYPES.get(name, (str,))
    return orjson.loads(value) if dict in types else bool(value) if bool in types else value


def import_state(store: Store, state: Any) -> None:
    """Replace all data with an exported state. If it is invalid, raise `ValueError` and change nothing."""
    if not isinstance(state, dict) or state.get("version") != _VERSION:
        raise ValueError(f"a state must be a JSON object with version {_VERSION}. Nothing was imported.")
    if unknown := sorted(state.keys() - _TABLES.keys() - {"version"}):
        raise ValueError(
            f"unknown keys in the state: {', '.join(unknown):.200}. Nothing was imported. The keys are version,"
            f" {', '.join(_TABLES)}."
        )
    rows = {table: (columns, _imported(table, columns, state.get(table, []))) for table, columns in _TABLES.items()}
    store.replace_rows(rows)


def clear_state(store: Store) -> None:
    """Delete all customers, other records and the history. Merchants are kept."""
    store.replace_rows({table: (columns, []) for table, columns in _TABLES.items() if table != "merchants"})


def _imported(table: str, columns: Sequence[str], rows: Any) -> list[tuple[Any, ...]]:
    if not isinstance(rows, list):
        raise ValueError(f"{table} must be a list. Nothing was imported.")  # noqa: TRY004 - documented as ValueError
    return [_row(f"{table}[{number}]", columns, row) for number, row in enumerate(rows)]


def _row(where: str, columns: Sequence[str], row: Any) -> tuple[Any, ...]:
    if not isinstance(row, dict) or row.keys() != set(columns):
        raise ValueError(
            f"{where} must be an object with exactly these keys: {', '.join(columns)}. Nothing was imported."
        )
    values = []
    for name in columns:
        value, types = row[name], _TYPES.get(name, (str,))
        if type(value) not in types:
            kind = " or ".join(dict.fromkeys(_JSON_NAMES[it] for it in types))
            raise ValueError(f"{where}.{name} must be a JSON value of type {kind}. Nothing was imported.")
        values.append(orjson.dumps(value).decode() if dict in types else value)
    return tuple(values)
