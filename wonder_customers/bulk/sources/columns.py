"""Maps the columns of a source to the fields of a customer, and refuses columns that must not be in a file."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal

import orjson
from attrs import define, field, fields, frozen

from wonder_customers._support.card_data import contains_card_number
from wonder_customers.bulk.rows import RowProblem
from wonder_customers.bulk.sources.card_guard import check_card_columns, is_ambiguous
from wonder_customers.bulk.sources.text import TextOptions, has_invalid_bytes
from wonder_customers.dialects.json import UnreadableJsonError, parse_source_json
from wonder_customers.errors import ConfigurationError
from wonder_customers.records import Address, CardSource, CustomerDraft, Phone, VaultToken

__all__ = ["INVALID_BYTES", "Columns", "Reading", "Unknown", "flat", "names_reference"]

Unknown = Literal["refuse", "ignore"]
"""What to do with columns that are not a field of a customer."""

_SHORTENED = re.compile(r"[0-9]+([.,][0-9]+)?[eE]\+?[0-9]+")
_NUMBERS = {
    # Hexadecimal ids such as 12E45678 are ids; a spreadsheet writes one digit, a fraction and a signed exponent.
    "reference": re.compile(r"[0-9]([.,][0-9]+)?[eE]\+[0-9]{2,3}"),
    "phone": _SHORTENED,
    "phone.number": _SHORTENED,
}
INVALID_BYTES = "bytes that are not valid in the encoding of the file"
_CARD_PARTS = ("number", "expire_month", "expire_year", "holder_name", "gateway_id")


@cache
def _known() -> frozenset[str]:
    """Return every field that a column may have, nested ones with a dot; ``metadata.…`` is allowed in addition."""
    nested: dict[str, type[Any]] = {"phone": Phone, "address": Address}
    own = {attribute.name for attribute in fields(CustomerDraft)} - {"address", "payment_source", "clear"}
    parts = {f"{name}.{attribute.name}" for name, kind in nested.items() for attribute in fields(kind)}
    paid = {f"payment_source.{name}" for name in (*_CARD_PARTS, "vault_token")}
    return frozenset(own | parts | paid)


def _plain(name: str) -> str:
    """Normalize the name of a column: case, spaces, hyphens."""
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


def _is_field(path: str) -> bool:
    return path in _known() or (path.startswith("metadata.") and len(path) > 9)


@frozen
class Reading:
    """How columns are read.

    Attributes:
        mapping: Maps column names of the source to fields; an empty field leaves the column out.
        unknown: What to do with columns that are not a field and not in `mapping`.
        one_table: Whether the source is one table, so that a column in `mapping` that it does not have is an error.
            With several files, or objects with optional keys, some may be missing.
        text: How text files are read.
    """

    mapping: Mapping[str, str] = field(factory=dict)
    unknown: Unknown = "refuse"
    one_table: bool = False
    text: TextOptions = TextOptions()


@define
class Columns:
    """The columns of one source.

    Attributes:
        names: The names in the source.
        paths: The field of each column, such as ``address.city``; None for a column that is left out.
        reference: The index of the column with the reference.
        cards: The indexes of columns with card fields, which must not be included in a digest.
        fields: The fields that have a column.
        mark: Identifies the mapping, so that the same values under another mapping have another digest.
    """

    names: tuple[str, ...]
    paths: tuple[str | None, ...]
    reference: int
    cards: frozenset[int]
    fields: frozenset[str] = field(init=False)
    mark: bytes = field(init=False)
    _suspects: frozenset[int] = field(init=False)
    _undigested: frozenset[int] = field(init=False)

    def __attrs_post_init__(self) -> None:
        read = {place for place, path in enumerate(self.paths) if path and place not in self.cards}
        self._suspects = frozenset(place for place in read if is_ambiguous(_plain(self.names[place])))
        # A column that is left out may contain card numbers.
        self._undigested = self.cards | {place for place, path in enumerate(self.paths) if path is None}
        self.fields = frozenset(filter(None, self.paths))
        self.mark = orjson.dumps([self.names, self.paths])

    @classmethod
    def match(cls, names: Sequence[str], reading: Reading) -> "Columns":
        """Find the field of every column.

        Args:
            names: The names of the columns in the source.
            reading: How columns are read.

        Raises:
            ConfigurationError: A column contains security codes, or card data that was not mapped explicitly; a column
                is unknown, mapped to an unknown field, mapped but missing, or a field has two columns; the reference
                has no column.
        """
        mapping = {_plain(name): path.strip() for name, path in reading.mapping.items()}
        check_card_columns([(name, _plain(name)) for name in names], mapping)
        _check_mapped_fields(mapping)
        paths = tuple(_path(name, mapping, reading.unknown) for name in names)
        if reading.one_table and any(paths):
            _check_mapped_columns(names, mapping, reading.mapping)
        unknown = [name for name, path in zip(names, paths, strict=True) if path == ""]
        if unknown:
            raise ConfigurationError(_unknown_message(unknown, others_known=any(paths)))
        _check_fields([path for path in paths if path])
        cards = frozenset(place for place, path in enumerate(paths) if path and path.startswith("payment_source."))
        return cls(tuple(names), paths, paths.index("reference"), cards)

    def digestible(self, values: Sequence[Any], serialize: Callable[[Any], bytes]) -> bytes | None:
        """Return the values as bytes for change detection; None for a row with a card, which no digest may cover."""
        if not self._undigested:
            return serialize(values) + self.mark
        if any(values[place] not in {None, ""} for place in self.cards if place < len(values)):
            return None
        return serialize([None if place in self._undigested else it for place, it in enumerate(values)]) + self.mark

    def is_card(self, place: int, value: object) -> bool:
        """Return whether a value is a card number in a column whose name may mean card numbers."""
        return place in self._suspects and contains_card_number(str(value))

    def draft(self, values: Sequence[Any], place: str) -> CustomerDraft:
        """Build the draft of one row from its values.

        Raises:
            RowProblem: A value has the wrong type; the message names place and column.
        """
        for index in self._suspects:
            if index < len(values) and self.is_card(index, values[index]):
                raise RowProblem(
                    f"{place}, column {self.names[index]}: contains a card number; leave the column out, or map it to"
                    " payment_source.number"
                )
        whole: dict[str, Any] = {}
        parts: dict[str, dict[str, Any]] = {}
        for name, path, value in zip(self.names, self.paths, values, strict=False):
            if path is None or value is None or value == "":
                continue
            head, _, tail = path.partition(".")
            read = _value(path, value, f"{place}, column {name}")
            if read is None:
                continue
            if tail:
                parts.setdefault(head, {})[tail] = read
            else:
                whole[head] = read
        return _assembled(whole, parts, place)


def _check_mapped_fields(mapping: Mapping[str, str]) -> None:
    """Check that every column is mapped to a field of a customer."""
    wrong = [path for path in mapping.values() if path and not _is_field(path)]
    if wrong:
        raise ConfigurationError(
            f"a customer does not have a field {wrong[0]!r}; the fields are {', '.join(sorted(_known()))} and"
            " metadata.KEY"
        )


def _check_mapped_columns(names: Sequence[str], mapping: Mapping[str, str], given: Mapping[str, str]) -> None:
    """Check that every mapped column exists."""
    missing = mapping.keys() - map(_plain, names)
    if missing:
        name = next(name for name in given if _plain(name) in missing)
        raise ConfigurationError(
            f"the source does not have a column {name!r}, which is mapped to {given[name]!r}: correct the name, or"
            " remove it from the mapping. Nothing was sent."
        )


def _check_fields(paths: Sequence[str]) -> None:
    """Check that every field has one column, and that the reference has one."""
    repeated = sorted({path for path in paths if paths.count(path) > 1})
    if repeated:
        raise ConfigurationError(
            f"more than one column is mapped to {', '.join(repeated)}: leave one of them out with --map 'COLUMN='"
        )
    if "reference" not in paths:
        raise ConfigurationError(
            "the source does not have a column for the reference, which identifies a customer: name a column"
            " `reference`, or map one with --map 'COLUMN=reference'"
        )


def _path(name: str, mapping: Mapping[str, str], unknown: Unknown) -> str | None:
    """Return the field of a column; None if it is left out, "" if it is unknown."""
    plain = _plain(name)
    if plain in mapping:
        return mapping[plain] or None
    if plain.startswith("metadata."):
        return "metadata." + name.strip().partition(".")[2]
    if plain in _known():
        return plain
    return None if unknown == "ignore" or not plain else ""


_LOOKS_LIKE_DATA = re.compile(r"@|[0-9]{5}")


def _unknown_message(names: Sequence[str], *, others_known: bool) -> str:
    """Return the message for unknown columns.

    If no column is known, the first line may be the first customer instead of column names, so it is not quoted.
    """
    if not others_known:
        return (
            f"none of the {len(names)} columns of the first line is a field of a customer. If the line contains column"
            " names, map each with --map 'COLUMN=FIELD'; if it contains the first customer, insert a line of column"
            " names before it"
        )
    shown = ", ".join("one that looks like data" if _LOOKS_LIKE_DATA.search(it) else repr(it[:40]) for it in names[:8])
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return (
        f"unknown columns: {shown}{more}. Map each to a field with --map 'COLUMN=FIELD', keep it with"
        " --map 'COLUMN=metadata.KEY', leave it out with --map 'COLUMN=', or leave all unknown columns out with"
        " --ignore-unknown"
    )


def _value(path: str, value: Any, where: str) -> Any:
    """Convert a cell into the value of its field; None if it is blank."""
    if path.startswith("metadata"):
        return _metadata(path, value, where)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise RowProblem(f"{where}: must be text, not {type(value).__name__}")
    text = value.strip()
    if has_invalid_bytes(text):
        raise RowProblem(f"{where}: contains {INVALID_BYTES}")
    if path in _NUMBERS and _NUMBERS[path].fullmatch(text):
        raise RowProblem(f"{where}: a spreadsheet shortened this number; format the column as text and export it again")
    return text or None


def _metadata(path: str, value: Any, where: str) -> Any:
    if path != "metadata":
        return value.strip() or None if isinstance(value, str) else value
    if isinstance(value, str):
        try:
            value = parse_source_json(value)
        except orjson.JSONDecodeError:
            raise RowProblem(f"{where}: must be a JSON object") from None
        except UnreadableJsonError as error:
            raise RowProblem(f"{where}: contains {error}") from None
    if not isinstance(value, Mapping):
        raise RowProblem(f"{where}: must be a JSON object")
    return value


def _assembled(whole: dict[str, Any], parts: dict[str, dict[str, Any]], place: str) -> CustomerDraft:
    if "phone" in whole:
        if "phone" in parts:
            raise RowProblem(f"{place}: has both a phone and parts of a phone")
        _refuse_ambiguous_phone(whole["phone"], place)
        whole["phone"] = Phone.parse(whole["phone"])
    elif "phone" in parts:
        _refuse_ambiguous_phone(parts["phone"].get("number", ""), place)
        whole["phone"] = Phone(**parts["phone"])
    if "address" in parts:
        whole["address"] = Address(**parts["address"])
    if "metadata" in parts:
        whole["metadata"] = {**whole.get("metadata", {}), **parts["metadata"]}
    if "payment_source" in parts:
        whole["payment_source"] = _source(parts["payment_source"], place)
    return CustomerDraft(**whole)


def _refuse_ambiguous_phone(text: str, place: str) -> None:
    from wonder_customers._support.phone_numbers import ambiguity  # noqa: PLC0415 - the telephone library is large

    reason = ambiguity(text)
    if reason is not None:
        raise RowProblem(f"{place}: the phone {reason}; leave one number in the cell")


def _source(given: dict[str, str], place: str) -> CardSource | VaultToken:
    if "vault_token" in given:
        if given.keys() - {"vault_token", "gateway_id"}:
            raise RowProblem(f"{place}: has both a vault token and a card")
        return VaultToken(given["vault_token"], given.get("gateway_id"))
    if not given.keys() >= {"number", "expire_month", "expire_year"}:
        raise RowProblem(f"{place}: a card needs payment_source.number, .expire_month and .expire_year")
    return CardSource(**given)  # type: ignore[arg-type]  # number's converter wraps text


def names_reference(names: Iterable[str], reading: Reading) -> bool:
    """Return whether one of the columns is the reference."""
    own = {_plain(name) for name, path in reading.mapping.items() if path.strip() == "reference"}
    return any(_plain(name) in own | {"reference"} for name in names)


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten a nested object into one level with dotted names; values inside metadata are kept as they are."""
    found: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping) and name in {"phone", "address", "payment_source", "metadata"}:
            found.update((f"{name}.{part}", inner) for part, inner in value.items())
        else:
            found[name] = value
    return found
