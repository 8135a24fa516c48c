"""Objects in JSON, and structures of DuckDB, as columns such as ``address.city``."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

from attrs import frozen

from wonder_customers.bulk.sources.column_checks import MAY_BE_DATA
from wonder_customers.bulk.sources.columns import Reading
from wonder_customers.bulk.sources.header_lines import field_of

__all__ = ["Structures", "nested_names", "parts", "rows_hint"]

_NESTED = frozenset({
    "phone", "address", "payment_source", "billing", "billing.address", "billing_address", "default_address",
})  # fmt: skip
_DEEPEST = 4
"""The number of levels in which the rows of a document are searched."""


def nested_names(reading: Reading, *own: str) -> Callable[[str], bool]:
    """Return a function that returns whether the parts of an object are columns.

    Examples are `own`, addresses, and ``attributes`` if ``attributes.email`` is mapped. If the source is inspected, all
    other objects are included, so that their parts can be mapped.
    """
    mapping = reading.mapping
    mapped = [*mapping.columns, *(name for rule in mapping.fields.values() for name in (*rule.first, *rule.join))]
    found = {name[:end].strip() for name in mapped for end, character in enumerate(name) if character == "."}
    # The key of a mapped column such as `metadata.tier` may also be flat.
    names = _NESTED.union(found - {"metadata"}, own)

    def is_unused(name: str) -> bool:
        return name not in mapping.columns and not name.startswith("metadata") and field_of(name) is None

    return lambda name: name in names or (reading.inspecting and is_unused(name))


def parts(record: Mapping[str, Any], nested: Callable[[str], bool], prefix: str = "") -> list[tuple[str, Any]]:
    """Return the names and values of a record, with those of nested objects in their place."""
    found: list[tuple[str, Any]] = []
    for key, value in record.items():
        name = prefix + key
        if isinstance(value, dict) and nested(name):
            found += parts(value, nested, f"{name}.")
        elif value is not None or not nested(name) or field_of(name) is not None:
            found.append((name, value))
    return found


@frozen
class Structures:
    """The columns of a result of DuckDB, with the parts of structures.

    Attributes:
        names: The names of the columns.
        places: The index of each column in a record, and the keys of its value in the structure.
        flat: Whether no column is a part of a structure.
    """

    names: Sequence[str]
    places: Sequence[tuple[int, tuple[str, ...]]]
    flat: bool

    @classmethod
    def of(cls, connection: Any, sql: str, parameters: Sequence[object], reading: Reading) -> "Structures":
        """Return the columns of a query."""
        nested = nested_names(reading)
        result = connection.sql(sql, params=list(parameters))
        found = [
            it
            for place, (name, kind) in enumerate(zip(result.columns, result.types, strict=True))
            for it in _of_type(name, kind, (place, ()), nested)
        ]
        names, places = [name for name, _ in found], [place for _, place in found]
        return cls(names, places, not any(keys for _, keys in places))

    def values(self, record: Sequence[Any]) -> Sequence[Any]:
        """Return the values of a record."""
        if self.flat:
            return record
        return [reduce(_part, keys, record[place]) if keys else record[place] for place, keys in self.places]


def _part(value: Any, key: str) -> Any:
    return None if value is None else value[key]


def _of_type(
    name: str, kind: Any, place: tuple[int, tuple[str, ...]], nested: Callable[[str], bool]
) -> Iterator[tuple[str, tuple[int, tuple[str, ...]]]]:
    if kind.id == "struct" and nested(name):
        for key, inner in kind.children:
            yield from _of_type(f"{name}.{key}", inner, (place[0], (*place[1], key)), nested)
    else:
        yield name, place


def rows_hint(record: Mapping[str, Any], nested: Callable[[str], bool], *, in_array: bool) -> str:
    """Return a hint if a JSON object seems to contain the rows, or objects whose parts can be mapped."""
    path = _path_of_rows(record, _DEEPEST) if sum(map(bool, map(field_of, record))) < 2 else None
    if path is not None:
        path = f"{'.[] | ' if in_array else ''}{'' if path.startswith('.') else '.'}{path}"
        return f" The rows seem to be inside an object. Save them to a file: jq -c '{path}' FILE > customers.jsonl"
    objects = [name for name, value in record.items() if isinstance(value, dict) and value and not nested(name)]
    if not objects or MAY_BE_DATA.search(objects[0]):
        return ""
    return f" {objects[0]!r} is an object: map its values with names such as '{objects[0]}.KEY'."


def _path_of_rows(value: Any, depth: int) -> str | None:
    """Return the path of a list of objects as an expression for jq."""
    if isinstance(value, list):
        if not value or not isinstance(value[0], dict):
            return None
        return "[].node" if value[0].keys() <= {"node", "cursor"} else "[]"
    if not isinstance(value, dict) or not depth:
        return None
    several = [set(it) for it in value.values() if isinstance(it, dict)]
    if len(several) == len(value) > 1 and set.intersection(*several):
        return " | to_entries[] | {reference: .key} + .value"
    for name, inner in value.items():
        rest = _path_of_rows(inner, depth - 1)
        if rest is not None and not MAY_BE_DATA.search(name) and "'" not in name:
            return f".{json.dumps(name)}{rest}"
    return None
