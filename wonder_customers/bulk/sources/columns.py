"""From a source's columns to a customer's fields: which column is which, and what may not be in a file at all."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal

import orjson
from attrs import define, field, fields, frozen

from wonder_customers.bulk.rows import RowProblem
from wonder_customers.errors import ConfigurationError
from wonder_customers.records import Address, CardSource, CustomerDraft, Phone, VaultToken

__all__ = ["Columns", "Reading", "Unknown", "flat", "names_reference", "without"]

Unknown = Literal["refuse", "ignore"]
"""What to do with columns that are no field of a customer."""

_SECURITY_CODE = re.compile(r"(card_?)?(cvv|cvc|csc|cvn|cav|cid)_?2?(_?(code|number|value))?|(card_?)?security_?code")
_CARD = re.compile(
    r"pan|(credit_?|debit_?)?card(_?(no|nr|num|number|pan))?|cc(_?(no|nr|num|number))?|(primary_?)?account_?number"
    r"|card_?(expiry|expiration|exp)(_?(date|month|year))?|exp(iry|iration|ire)?_?(date|month|year)|track_?[12]?(_?data)?"
)
_SHORTENED = re.compile(r"[0-9]+([.,][0-9]+)?[eE]\+?[0-9]+")
_CARD_PARTS = ("number", "expire_month", "expire_year", "holder_name", "gateway_id")


@cache
def _known() -> frozenset[str]:
    """Every field a column may be, nested ones with a dot; ``metadata.…`` comes on top."""
    nested: dict[str, type[Any]] = {"phone": Phone, "address": Address}
    own = {attribute.name for attribute in fields(CustomerDraft)} - {"address", "payment_source"}
    parts = {f"{name}.{attribute.name}" for name, kind in nested.items() for attribute in fields(kind)}
    paid = {f"payment_source.{name}" for name in (*_CARD_PARTS, "vault_token")}
    return frozenset(own | parts | paid)


def _plain(name: str) -> str:
    """A column's name as people vary it: case, blanks, hyphens."""
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


def _is_field(path: str) -> bool:
    return path in _known() or (path.startswith("metadata.") and len(path) > 9)


@frozen
class Reading:
    """How columns are read.

    Attributes:
        mapping: Their column name with our field; an empty field leaves the column out.
        unknown: What to do with columns that are no field and not in `mapping`.
        one_table: The source is one table, so a column in `mapping` that it has not is a slip. Of several files, or of
            objects with optional keys, each may lack some.
    """

    mapping: Mapping[str, str] = field(factory=dict)
    unknown: Unknown = "refuse"
    one_table: bool = False


@define
class Columns:
    """The columns of one source.

    Attributes:
        names: As the source has them.
        paths: The customer's field of each, such as ``address.city``; None for a column that is left out.
        reference: The position of the reference's column.
        cards: The positions of card fields, which no digest may cover.
        mark: Tells apart two ways of reading the same values.
    """

    names: tuple[str, ...]
    paths: tuple[str | None, ...]
    reference: int
    cards: frozenset[int]
    mark: bytes = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.mark = orjson.dumps([self.names, self.paths])

    @classmethod
    def match(cls, names: Sequence[str], reading: Reading) -> "Columns":
        """Find the field of every column.

        Args:
            names: The columns, as the source has them.
            reading: How they are read.

        Raises:
            ConfigurationError: A column holds security codes, or card data that was not asked for by name; a column is
                unknown, mapped to no field, mapped and not there, or there twice; there is no column for the reference.
        """
        wanted = {_plain(name): path.strip() for name, path in reading.mapping.items()}
        for name in names:
            _refuse_card_data(name, wanted.get(_plain(name)))
        unmapped = [path for path in wanted.values() if path and not _is_field(path)]
        if unmapped:
            raise ConfigurationError(
                f"no field of a customer is called {unmapped[0]!r}; the fields are {', '.join(sorted(_known()))} and"
                " metadata.KEY"
            )
        paths = tuple(_path(name, wanted, reading.unknown) for name in names)
        absent = wanted.keys() - map(_plain, names) if reading.one_table else set()
        if absent and any(paths):
            missing = next(name for name in reading.mapping if _plain(name) in absent)
            raise ConfigurationError(
                f"no column is called {missing!r}, which is mapped to {reading.mapping[missing]!r}: correct the name,"
                " or leave it out of the mapping. Nothing was sent."
            )
        strange = [name for name, path in zip(names, paths, strict=True) if path == ""]
        if strange:
            raise ConfigurationError(_strange(strange, told=any(paths)))
        used = [path for path in paths if path]
        twice = sorted({path for path in used if used.count(path) > 1})
        if twice:
            raise ConfigurationError(f"more than one column holds {', '.join(twice)}: map one of them to nothing")
        if "reference" not in used:
            raise ConfigurationError(
                "no column holds the reference, without which a row cannot be found again: name one `reference`, or map"
                " yours with --map 'COLUMN=reference'"
            )
        cards = frozenset(place for place, path in enumerate(paths) if path and path.startswith("payment_source."))
        return cls(tuple(names), paths, paths.index("reference"), cards)

    def draft(self, values: Sequence[Any], place: str) -> CustomerDraft:
        """The draft that one row's values make.

        Raises:
            RowProblem: A value is of the wrong kind; the message names place and column.
        """
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


def _refuse_card_data(name: str, mapped: str | None) -> None:
    last = _plain(name).rpartition(".")[2]
    if _SECURITY_CODE.fullmatch(last) or (mapped or "").rpartition(".")[2] == "cvv":
        raise ConfigurationError(
            f"column {name!r} holds card security codes. These may not be kept in any file (PCI DSS 3.3.1): delete the"
            " column from the source. Nothing was read or sent."
        )
    asked = mapped is not None and (mapped == "" or mapped.startswith("payment_source."))
    if not asked and (_CARD.fullmatch(last) or (mapped or _plain(name)).startswith("payment_source.")):
        raise ConfigurationError(
            f"column {name!r} looks like card data, which is not read unless you ask for it by name: map it to a field"
            f" with --map '{name}=payment_source.number', or leave it out with --map '{name}='. Nothing was sent."
        )


def _path(name: str, wanted: Mapping[str, str], unknown: Unknown) -> str | None:
    """The column's field; None when it is left out, "" when nobody knows it."""
    plain = _plain(name)
    if plain in wanted:
        return wanted[plain] or None
    if plain.startswith("metadata."):
        return "metadata." + name.strip().partition(".")[2]
    if plain in _known():
        return plain
    return None if unknown == "ignore" or not plain else ""


_LOOKS_LIKE_DATA = re.compile(r"@|[0-9]{5}")


def _strange(names: Sequence[str], *, told: bool) -> str:
    """What to say of columns that nobody knows.

    Where none is known, the first line may be no line of names but the first customer, whom a message must not quote.
    """
    if not told:
        return (
            f"none of the first line's {len(names)} columns is a field of a customer. If it names columns, say which"
            " field each is with --map 'COLUMN=FIELD'; if it holds the first customer, put a line of names before it"
        )
    shown = ", ".join("one that looks like data" if _LOOKS_LIKE_DATA.search(it) else repr(it[:40]) for it in names[:8])
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return (
        f"no field of a customer is called {shown}{more}: say which field it is with --map 'COLUMN=FIELD', keep it with"
        " --map 'COLUMN=metadata.KEY', leave it out with --map 'COLUMN=', or leave all such columns out with"
        " --ignore-unknown"
    )


def _value(path: str, value: Any, where: str) -> Any:
    """A cell's value as its field takes it, None when it is blank."""
    if path.startswith("metadata"):
        return _metadata(path, value, where)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise RowProblem(f"{where}: must be text, not {type(value).__name__}")
    text = value.strip()
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise RowProblem(f"{where}: is neither UTF-8 nor Windows-1252 text")
    if path in {"reference", "phone", "phone.number"} and _SHORTENED.fullmatch(text):
        raise RowProblem(
            f"{where}: a spreadsheet has shortened this number; format the column as text and export again"
        )
    return text or None


def _metadata(path: str, value: Any, where: str) -> Any:
    if path != "metadata":
        return value.strip() or None if isinstance(value, str) else value
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            raise RowProblem(f"{where}: must be a JSON object") from None
    if not isinstance(value, Mapping):
        raise RowProblem(f"{where}: must be a JSON object")
    return value


def _assembled(whole: dict[str, Any], parts: dict[str, dict[str, Any]], place: str) -> CustomerDraft:
    if "phone" in whole:
        if "phone" in parts:
            raise RowProblem(f"{place}: the phone is given whole and in parts")
        whole["phone"] = Phone.parse(whole["phone"])
    elif "phone" in parts:
        whole["phone"] = Phone(**parts["phone"])
    if "address" in parts:
        whole["address"] = Address(**parts["address"])
    if "metadata" in parts:
        whole["metadata"] = {**whole.get("metadata", {}), **parts["metadata"]}
    if "payment_source" in parts:
        whole["payment_source"] = _source(parts["payment_source"], place)
    return CustomerDraft(**whole)


def _source(given: dict[str, str], place: str) -> CardSource | VaultToken:
    if "vault_token" in given:
        if given.keys() - {"vault_token", "gateway_id"}:
            raise RowProblem(f"{place}: the payment source is a vault token and a card at once")
        return VaultToken(given["vault_token"], given.get("gateway_id"))
    if not given.keys() >= {"number", "expire_month", "expire_year"}:
        raise RowProblem(f"{place}: a card needs payment_source.number, .expire_month and .expire_year")
    return CardSource(**given)  # type: ignore[arg-type]  # number's converter wraps text


def names_reference(names: Iterable[str], reading: Reading) -> bool:
    """Whether one of the columns is the reference."""
    own = {_plain(name) for name, path in reading.mapping.items() if path.strip() == "reference"}
    return any(_plain(name) in own | {"reference"} for name in names)


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """A nested object as one level with dotted names; metadata's own values stay whole."""
    found: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping) and name in {"phone", "address", "payment_source", "metadata"}:
            found.update((f"{name}.{part}", inner) for part, inner in value.items())
        else:
            found[name] = value
    return found


def without(values: Sequence[Any], places: Iterable[int]) -> list[Any]:
    """`values` with None at `places`."""
    hidden = frozenset(places)
    return [None if place in hidden else value for place, value in enumerate(values)]
