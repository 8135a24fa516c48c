"""Objects in JSON, and structures of DuckDB, as columns such as ``address.city``."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

from attrs import frozen

from wonder_customers.bulk.sources.column_checks import MAY_BE_DATA
from wonder_customers.bulk.sources.columns import Reading
from wonder_customers.bulk.sources.other_lines import field_of
from wonder_customers.errors import ConfigurationError

__all__ = ["NOT_ROWS", "Structures", "check_rows", "nested_names", "parts", "rows_hint"]

_NESTED = frozenset({
    "phone", "address", "payment_source", "billing", "billing.address", "billing_address", "default_address", "email",
    "address.region", "MailingAddress", "BillingAddress", "properties", "attributes", "fields",
})  # fmt: skip
_LISTS = {
    "addresses": "address", "phones": "phone", "phone_numbers": "phone", "emails": "email", "email_addresses": "email",
}  # fmt: skip
"""Lists of objects in the interfaces of many programs, and the object to which one of them is equivalent."""
_CHOSEN = frozenset({"default", "primary", "is_default", "is_primary", "default_billing"})
"""The keys that mark one object of a list."""
_ABOUT = _CHOSEN | {"type", "label", "id", "customer_id", "default_shipping"}
"""The keys of such an object that are not values of the customer."""
_TYPES = ("$oid", "$uuid", "$date", "$number")
NOT_ROWS = (
    "the file does not contain one object for each customer. Export the customers as a list of objects. In pandas, this"
    " is df.to_json('customers.json', orient='records')."
)
_DEEPEST = 4
"""The number of levels in which the rows of a document are searched."""


def nested_names(reading: Reading, *own: str) -> Callable[..., bool]:
    """Return a function that returns whether the parts of an object are columns.

    Examples are `own`, addresses, and ``attributes`` if ``attributes.email`` is mapped. If the source is inspected, all
    other objects are included, so that their parts can be mapped, but not keys whose value is `null`.
    """
    mapping = reading.mapping
    mapped = [*mapping.columns, *(name for rule in mapping.fields.values() for name in (*rule.first, *rule.join))]
    found = {name[:end].strip() for name in mapped for end, character in enumerate(name) if character == "."}
    # The key of a mapped column such as `metadata.tier` may also be flat.
    own_columns = {form for name in mapping.columns for form in (name, name.lower())}
    names = (_NESTED.union(_LISTS) - own_columns).union(found - {"metadata"}, own)

    def is_unused(name: str) -> bool:
        return name not in mapping.columns and not name.startswith("metadata") and field_of(name) is None

    return lambda name, null=False: name in names or (reading.inspecting and not null and is_unused(name))


def parts(record: Mapping[str, Any], nested: Callable[..., bool], prefix: str = "") -> list[tuple[str, Any]]:
    """Return the names and values of a record, with those of nested objects in their place."""
    found: list[tuple[str, Any]] = []
    for key, given in record.items():
        name = prefix + key
        if type(given) is str:  # most values
            found.append((name, given))
            continue
        value = _untyped(given) if type(given) is dict and len(given) == 1 else given
        if (type(value) is list or (value is None and key in _LISTS)) and not prefix and nested(key.lower()):
            name, value = _single(key, value, record.keys() - {key}, nested)
        if type(value) is dict and nested(name):
            found += parts(value, nested, f"{name}.")
        elif value is not None or not nested(name, null=True) or field_of(name) is not None:
            found.append((name, value))
    return found


def _untyped(value: Any) -> Any:
    """Return a typed value of MongoDB, such as ``{"$oid": "…"}``, without its type."""
    while isinstance(value, dict) and len(value) == 1 and (kind := next(iter(value))).startswith(_TYPES):
        value = value[kind]
    return value


def _single(
    key: str, values: list[Any] | None, others: Collection[str], nested: Callable[..., bool]
) -> tuple[str, Any]:
    """Return the only object of a list, or the one that is marked, under the name of a single object."""
    single = _LISTS.get(key.lower(), key)
    if single not in _LISTS.values() or (not values and single == key):
        return key, values
    if single in others or any(_LISTS.get(it.lower()) == single and nested(it.lower()) for it in others):
        return key, values or None
    if not values:  # an emptied list clears a field that has one value
        return single, {} if single == "address" else None
    objects = [it for it in values if isinstance(it, dict)]
    found = values if len(values) == 1 else [it for it in objects if any(it.get(key) is True for key in _CHOSEN)]
    if len(found) != 1 or not objects:
        return key, values
    return single, {part: value for part, value in found[0].items() if part not in _ABOUT}


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
    name: str, kind: Any, place: tuple[int, tuple[str, ...]], nested: Callable[..., bool]
) -> Iterator[tuple[str, tuple[int, tuple[str, ...]]]]:
    if kind.id == "struct" and nested(name):
        for key, inner in kind.children:
            yield from _of_type(f"{name}.{key}", inner, (place[0], (*place[1], key)), nested)
    else:
        yield name, place


def check_rows(record: Mapping[str, Any]) -> None:
    """Raise `ConfigurationError` if a JSON object contains the values of each column instead of those of a customer."""
    first = next(iter(record.values()), None)
    if not isinstance(first, (dict, list)):  # as in most rows
        return
    split = {"columns", "data"} <= record.keys() and isinstance(record["data"], list)
    same = len(record) > 1 and all(type(it) is type(first) and len(it) == len(first) for it in record.values())
    if isinstance(first, dict):
        same = same and all(it.keys() == first.keys() for it in record.values()) and not any(map(field_of, first))
    if split or (same and len(first) > (1 if isinstance(first, list) else 0)):
        raise ConfigurationError(NOT_ROWS)


def rows_hint(record: Mapping[str, Any], nested: Callable[..., bool], *, in_array: bool) -> str:
    """Return a hint if a JSON object seems to contain the rows, or objects whose parts can be mapped."""
    path = _path_of_rows(record, _DEEPEST) if sum(map(bool, map(field_of, record))) < 2 else None
    if path is not None:
        path = f"{'.[] | ' if in_array else ''}{'' if path.startswith('.') else '.'}{path}"
        return f" The rows seem to be inside an object. Save them to a file: jq -c '{path}' FILE > customers.jsonl"
    for name, value in parts(record, nested):
        if isinstance(value, dict) and value and not MAY_BE_DATA.search(name):
            return f" {name!r} is an object: map its values with names such as '{name}.KEY'."
        if name.lower() in _LISTS and isinstance(value, list) and len(value) > 1:
            first = f"{'.[] | ' if in_array else ''}.{name} |= .[:1]"
            return f" {name!r} is a list. Keep one value, such as the first: jq -c '{first}' FILE > customers.jsonl"
    return ""


def _path_of_rows(value: Any, depth: int) -> str | None:
    """Return the path of a list of objects as an expression for jq."""
    if isinstance(value, list):
        if not value or not isinstance(value[0], dict):
            return None
        return "[].node" if value[0].keys() <= {"node", "cursor"} else "[]"
    if not isinstance(value, dict) or not depth:
        return None
    several = [set(it) for it in value.values() if isinstance(it, dict)]
    if len(several) == len(value) > 1 and (common := set.intersection(*several)):
        known = any(field_of(name) == "reference" for name in common)
        return "[]" if known else " | to_entries[] | {reference: .key} + .value"
    for name, inner in value.items():
        rest = _path_of_rows(inner, depth - 1)
        if rest is not None and not MAY_BE_DATA.search(name) and "'" not in name:
            return f".{json.dumps(name)}{rest}"
    return None
