"""The export and import of the simulated gateways' data as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from wonder_customers.simulator.store import Store

__all__ = ["clear_state", "export_state", "import_state"]

_VERSION: Final = 1
_TEXT, _OPTIONAL, _NUMBER, _FLAG, _JSON = "string", "string or null", "number", "boolean", "object"
_KINDS: Final = {
    **dict.fromkeys(("credentials", "body"), _JSON),
    **dict.fromkeys(("reference", "owner"), _OPTIONAL),
    **dict.fromkeys(("created", "at"), _NUMBER),
    "deleted": _FLAG,
}
"""The JSON types of columns. All other columns contain strings."""
_COLUMNS: Final = {
    "merchants": "gateway id credentials",
    "customers": "gateway merchant id reference deleted created body",
    "records": "gateway merchant kind id owner created body",
    "history": "gateway merchant reference action id at body",
}
_TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    table: {name: _KINDS.get(name, _TEXT) for name in columns.split()} for table, columns in _COLUMNS.items()
}
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    _TEXT: (str,),
    _OPTIONAL: (str, type(None)),
    _NUMBER: (int, float),
    _FLAG: (bool,),
    _JSON: (dict,),
}


def export_state(store: Store) -> dict[str, Any]:
    """Return all data as a JSON object, with the simulated credentials."""
    state: dict[str, Any] = {"version": _VERSION}
    for table, columns in _TABLES.items():
        rows = store.newest(table, tuple(columns), -1)[::-1]
        state[table] = [_exported(columns, row) for row in rows]
    return state


def import_state(store: Store, state: Any) -> None:
    """Replace all data with an exported state. If it is invalid, raise `ValueError` and change nothing."""
    if not isinstance(state, dict) or state.get("version") != _VERSION:
        raise ValueError(f"a state must be a JSON object with version {_VERSION}. Nothing was imported.")
    if unknown := sorted(state.keys() - _TABLES.keys() - {"version"}):
        raise ValueError(
            f"unknown keys in the state: {', '.join(unknown):.200}. Nothing was imported. The keys are version,"
            f" {', '.join(_TABLES)}."
        )
    rows = {table: _imported(table, columns, state.get(table, [])) for table, columns in _TABLES.items()}
    store.replace_rows({table: (tuple(_TABLES[table]), values) for table, values in rows.items()})


def clear_state(store: Store) -> None:
    """Delete all customers, other records and the history. Merchants are kept."""
    empty: list[tuple[Any, ...]] = []
    store.replace_rows({table: (tuple(_TABLES[table]), empty) for table in _TABLES if table != "merchants"})


def _exported(columns: Mapping[str, str], row: Sequence[Any]) -> dict[str, Any]:
    decode = {_JSON: orjson.loads, _FLAG: bool}
    pairs = zip(columns.items(), row, strict=True)
    return {name: decode[kind](value) if kind in decode else value for (name, kind), value in pairs}


def _imported(table: str, columns: Mapping[str, str], rows: Any) -> list[tuple[Any, ...]]:
    if not isinstance(rows, list):
        raise ValueError(f"{table} must be a list. Nothing was imported.")  # noqa: TRY004 - documented as ValueError
    return [_row(f"{table}[{number}]", columns, row) for number, row in enumerate(rows)]


def _row(where: str, columns: Mapping[str, str], row: Any) -> tuple[Any, ...]:
    if not isinstance(row, dict) or row.keys() != columns.keys():
        raise ValueError(
            f"{where} must be an object with exactly these keys: {', '.join(columns)}. Nothing was imported."
        )
    values = []
    for name, kind in columns.items():
        value = row[name]
        if not isinstance(value, _TYPES[kind]) or (kind == _NUMBER and isinstance(value, bool)):
            raise ValueError(f"{where}.{name} must be a JSON value of type {kind}. Nothing was imported.")
        values.append(orjson.dumps(value).decode() if kind == _JSON else value)
    return tuple(values)
