"""The columns of a source and the values of its rows."""

from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import sha256
from typing import Any

import orjson
from attrs import asdict, define, evolve, field, frozen

from wonder_customers._support.card_data import contains_card_number
from wonder_customers.bulk.rows import RowProblem
from wonder_customers.bulk.sources.assignment import Assignment, Feed, plain, unique_names
from wonder_customers.bulk.sources.card_guard import check_card_columns, is_ambiguous, may_have_cards
from wonder_customers.bulk.sources.column_checks import (
    UnknownColumns,
    check_export,
    check_fields,
    may_be_data,
    targets,
    unknown_columns,
)
from wonder_customers.bulk.sources.drafts import assembled, metadata
from wonder_customers.bulk.sources.groups import Choice, choices, label
from wonder_customers.bulk.sources.mapping import ColumnMapping
from wonder_customers.bulk.sources.notes import SourceNotes
from wonder_customers.bulk.sources.transformations import CALLING_CODE, INVALID_BYTES, Cleaner, is_nothing
from wonder_customers.records import CustomerDraft

__all__ = ["IDENTIFYING", "INVALID_BYTES", "Columns", "Reading", "UnknownColumns"]

_MOST_COLUMNS = 1000
IDENTIFYING = ("reference", "email", "phone", "address.")
_UNKNOWN_COUNTRY = "ZZ"
_POSTCODE_DIGITS = {
    **dict.fromkeys(("DE", "DZ", "ES", "FI", "FR", "IT", "KR", "MX", "MY", "PR", "SK", "TR", "UA", "US"), 5),
    "AU": 4, "BR": 8, "CN": 6, "CO": 6, "JP": 7, "NO": 4, "NZ": 4, "RO": 6, "SG": 6,
}  # fmt: skip
"""The number of digits of the postcodes of countries in which they may begin with 0."""
_KINDS = {
    bool: "a Boolean",
    float: "a decimal number",
    list: "a list",
    dict: "an object; map its values with names such as COLUMN.KEY, or export them as text",
}


@frozen
class Reading:
    """The settings for reading a source.

    Attributes:
        mapping: The mapping of columns to fields, and how values are read.
        one_table: Whether the source is one table, in which every column in `mapping` must exist.
        unsupported: The fields that the gateway does not have; empty if the gateway is not known.
        notes: Collects the decisions and changes.
        inspecting: Whether to leave out unusable columns where possible, and to keep masked samples of all columns.
        sample: Returns values of each column at the start of the source; None if they are not available.
    """

    mapping: ColumnMapping = ColumnMapping()
    one_table: bool = False
    unsupported: Collection[str] = frozenset()
    notes: SourceNotes = field(factory=SourceNotes)
    inspecting: bool = False
    sample: Callable[[], Mapping[str, Collection[str]]] | None = None


@define
class Columns:
    """The columns of one table, or of JSON objects with the same keys.

    Attributes:
        names: The names, as returned by `unique_names`.
        feeds: How each field is filled.
        cleaner: Reads the cells.
        unnamed: The indexes of columns that have no name and must be empty.
        reference: The index of the first column with the reference.
        identifying: The indexes of columns whose values belong to a customer, and not to a total.
        with_cards: Whether a column may contain card data.
        fields: The fields of the drafts.
    """

    names: tuple[str, ...]
    feeds: tuple[Feed, ...]
    cleaner: Cleaner
    unnamed: frozenset[int] = frozenset()
    reference: int = field(init=False)
    identifying: frozenset[int] = field(init=False)
    with_cards: bool = field(init=False)
    fields: frozenset[str] = field(init=False)
    # Identifies the columns and the mapping in digests.
    _mark: bytes = field(init=False)
    _key: Feed = field(init=False)
    _emails: frozenset[int] = field(init=False)
    _cards: frozenset[int] = field(init=False)
    _choices: tuple[Choice, ...] = field(init=False)
    _suspects: frozenset[int] = field(init=False)
    _undigested: frozenset[int] = field(init=False)
    _labels: dict[str, str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._key = next(feed for feed in self.feeds if feed.path == "reference")
        self.reference = self._key.places[0]
        # A column of references that is also the column of e-mail addresses is read like them.
        self._emails, self._cards = self._places("email"), self._places("payment_source.")
        self.identifying, read = self._places(*IDENTIFYING), self._places("")
        self.with_cards = bool(self._cards) or any(may_have_cards(plain(name), None) for name in self.names)
        # A column that is left out may contain card numbers.
        self._undigested = self._cards | (set(range(len(self.names))) - self.unnamed - read)
        self._suspects = frozenset(it for it in read - self._cards if is_ambiguous(plain(self.names[it])))
        self._labels = {feed.path: ", ".join(self.names[place] for place in feed.places) for feed in self.feeds}
        mapping = self.cleaner.mapping
        how: list[Any] = [mapping.default_country, mapping.nulls, mapping.transformations, self.cleaner.several]
        how += [] if mapping.company_as_name is None else [mapping.company_as_name]
        how += [] if mapping.keep_together is None else [{"keep_together": mapping.keep_together}]
        self._mark = sha256(orjson.dumps([self.names, [asdict(feed) for feed in self.feeds], how])).digest()
        self._choices = choices(self.feeds, self.names, together=mapping.keep_together)
        self.fields = frozenset(feed.target for feed in self.feeds if feed.target is not None)

    def _places(self, *starts: str) -> frozenset[int]:
        """Return the indexes of the columns of fields that begin with one of `starts`."""
        return frozenset(place for feed in self.feeds if feed.path.startswith(starts) for place in feed.places)

    @classmethod
    def match(cls, names: Sequence[str], reading: Reading) -> "Columns":
        """Find the field of every column. Raise `ConfigurationError` if the columns cannot be used.

        The error is `UnknownColumns` if a column is unknown, or the reference has no column.
        """
        found = cls.optional(names, reading)
        if found is None:
            emails = [name for name, (paths, _) in reading.notes.columns.items() if paths == ("email",)]
            example = f" For example: mapping={ {emails[0]: ['reference', 'email']} }." if emails else ""
            raise UnknownColumns(
                "the source does not have a column for the reference, which identifies a customer. Name a column"
                f" `reference`, or map a column with mapping={{'COLUMN': 'reference'}}.{example}"
            )
        return found

    @classmethod
    def optional(cls, names: Sequence[str], reading: Reading) -> "Columns | None":
        """Find the field of every column; return None if the reference has no column."""
        if not (reading.inspecting or reading.mapping.columns):
            check_export(names)
        unique = unique_names(names)
        found = Assignment(unique, [name.removeprefix("\ufeff") for name in names], reading.mapping, reading.one_table)
        if reading.inspecting:
            reading.notes.without_names |= may_be_data(found)
            found.make_usable()
            together = reading.mapping.keep_together
            if together is None and choices(found.feeds, unique, together=None):
                together = True
            reading.notes.add_mapping(evolve(found.to_mapping(), keep_together=together))
        check_card_columns(list(zip(unique, map(plain, names), strict=True)), found.explicit_fields())
        found.check_fields()
        reading.notes.program = found.preset.title if found.preset is not None else reading.notes.program
        if len(reading.notes.columns) < _MOST_COLUMNS:
            reading.notes.columns.update((name, (paths, why)) for name, paths, why in found.uses())
        if found.unknown:
            raise unknown_columns(found)
        check_fields(unique, found.feeds)
        if not reading.inspecting:
            found.check_names()
        if not any(feed.path == "reference" and feed.places for feed in found.feeds):
            if not reading.inspecting or not names:
                return None
            # Samples are shown even if the reference has no column.
            found.feeds.append(Feed("reference", (0,), "mapped"))
        feeds = tuple(targets(found, reading.unsupported, reading.notes))
        if not reading.inspecting:
            check_fields(unique, feeds)
        kind = _Inspected if reading.inspecting else cls
        several = reading.mapping.several or (found.preset and found.preset.several) or "refuse"
        unnamed = frozenset(found.unnamed if reading.mapping.unknown == "refuse" else ())
        return kind(unique, feeds, Cleaner(reading.mapping, reading.notes, several, reading.sample), unnamed)

    def fields_of(self, values: Sequence[Any]) -> frozenset[str]:
        """Return the fields of a row without those of which a spreadsheet lost the value, such as ``#REF!``."""
        lost = {place for place, it in enumerate(values) if type(it) is str and it[:1] == "#" and len(it) > 1}
        return self.fields - {it.target for it in self.feeds if not lost.isdisjoint(it.places)} if lost else self.fields

    def reference_of(self, values: Sequence[Any]) -> str | None:
        """Return the reference of a row; None without a usable reference."""
        if self._key.separator is not None:
            return self._joined_reference(values)
        for place in self._key.places:
            value = values[place] if place < len(values) else None
            found = None if value is None else self.cleaner.reference(value)
            if found is not None:
                if place in self._suspects and contains_card_number(str(value)):
                    return None
                return self.cleaner.address(found) if place in self._emails else found
        return None

    def _joined_reference(self, values: Sequence[Any]) -> str | None:
        given = [values[place] for place in self._key.places if place < len(values)]
        if any(contains_card_number(str(value)) for value in given):
            return None
        texts = [text for text in map(self.cleaner.reference, given) if text]
        # Without one of its parts, the reference could be that of another customer.
        return (self._key.separator or "").join(texts) if len(texts) == len(self._key.places) else None

    def digestible(self, values: Sequence[Any]) -> bytes | None:
        """Return the values as bytes for change detection; None for a row with a card."""
        if self._undigested:
            # The value of a cell may be a list.
            if any(values[place] is not None and values[place] != "" for place in self._cards):
                return None
            values = [None if place in self._undigested else it for place, it in enumerate(values)]
        try:
            return orjson.dumps(values, default=str) + self._mark
        except TypeError:  # an integer of more than 64 bits, or text that is not valid Unicode
            return repr(values).encode("utf-8", "backslashreplace") + self._mark

    def draft(self, values: Sequence[Any], place: str) -> CustomerDraft:
        """Build the draft of one row. Raise `RowProblem` if a value cannot be used, or values contradict each other."""
        for index in self._suspects:
            if contains_card_number(str(values[index])):
                raise RowProblem(
                    f"{place}, column {self.names[index]}: the value contains a card number; leave the column out, or"
                    " map it to payment_source.number",
                    "card number",
                )
        for index in self.unnamed:
            if _is_filled(index, values):
                raise RowProblem(
                    f"{place}, {self.names[index]}: the column has a value, but no name; name the column in the source,"
                    f" or map it or leave it out as {self.names[index]!r}",
                    "column without a name",
                )
        found: dict[str, Any] = {}
        country = company = None
        used = self._used(values) if self._choices else {}
        for feed in self.feeds:
            places = used.get(feed.path, feed.places) if used else feed.places
            read = self._value if feed.required else self._unused_value
            value = read(feed, values, place, places)
            if value is None:
                continue
            if feed.path == "address.country":
                country = value
            elif feed.path == "company_name" and self.cleaner.mapping.uses_company(automatic=feed.automatic):
                company = value
            if feed.target is not None:
                found[feed.target] = value
        self._check_postcode(found, country, place)
        if used:
            country = self._phone_country(values, place, country, used.get("address.country"))
        self._read_phone(found, country, place)
        if company is not None and found.keys().isdisjoint({"name", "first_name", "last_name"}):
            found["name"] = company
        return assembled(found, place)

    def _check_postcode(self, found: Mapping[str, Any], country: str | None, place: str) -> None:
        """Refuse a postcode that lost its leading zeros."""
        digits = _POSTCODE_DIGITS.get(country or "")
        on = self.cleaner.mapping.transformations
        if digits is None or "shortened" not in on or "address.postcode" not in self._labels:
            return
        postcode = str(found.get("address.postcode", found.get("metadata.address_postcode")))
        size = len(postcode) if postcode.isdecimal() else 0
        # Only postcodes of five digits may begin with two zeros, such as 00100.
        if size == digits - 1 or (size == 3 and digits == 5):
            raise RowProblem(
                f"{place}, column {self._labels['address.postcode']}: the postcode has fewer digits than others of the"
                " country, because a spreadsheet removed zeros; format the column as text and export the data again",
                "invalid address.postcode",
            )

    def _used(self, values: Sequence[Any]) -> dict[str, tuple[int, ...]]:
        """Return the columns that a row uses for the fields that have a choice."""
        found: dict[str, tuple[int, ...]] = {}
        for choice in self._choices:
            group = choice.chosen(lambda place: not self.cleaner.is_empty(values[place]))
            found |= {path: group.get(path, ()) for path in choice.paths}
        return found

    def _read_phone(self, found: dict[str, Any], country: str | None, place: str) -> None:
        """Convert the phone of a row to the international form, if possible."""
        code = None if "phone" in found else found.get("phone.dial_code")
        path = "phone" if "phone" in found else "phone.number"
        if code is None:
            if path in found:
                found["phone"] = self.cleaner.international(found.pop(path), country, self._labels[path])
            return
        column = self._labels[path if path in found else "phone.dial_code"]
        whole = self.cleaner.with_code(code, found.get(path), column, f"{place}, column {column}")
        if whole is not None:
            del found["phone.dial_code"]
            found.pop(path, None)
        if whole:
            found["phone"] = whole

    def _phone_country(
        self, values: Sequence[Any], place: str, country: str | None, used: tuple[int, ...] | None
    ) -> str | None:
        """Return the country of the address of a row's phone. `country` was read from the columns `used`."""
        is_empty = self.cleaner.is_empty
        addresses = next((choice.groups for choice in self._choices if choice.kind == "address"), {})
        phones = (index for feed in self.feeds if feed.path == "phone" for index in feed.places)
        filled = next((index for index in phones if not is_empty(values[index])), None)
        group = {} if filled is None else addresses.get(label(self.names[filled]) or "-", {})
        own = group.get("address.country", ())
        if own == used or all(is_empty(values[it]) for places in group.values() for it in places):
            return country
        feed = next((feed for feed in self.feeds if feed.path == "address.country"), None)
        return None if feed is None else self._unused_value(feed, values, place, own)

    def _unused_value(self, feed: Feed, values: Sequence[Any], place: str, places: Sequence[int]) -> Any:
        """Return the value of a field that is not sent. An unusable value does not make the row invalid."""
        try:
            return self._value(feed, values, place, places)
        except RowProblem as problem:
            if problem.code == CALLING_CODE:
                raise  # the number without it would be incomplete
            # In an unknown country, no national number is valid.
            return _UNKNOWN_COUNTRY if feed.path == "address.country" else None

    def _value(self, feed: Feed, values: Sequence[Any], place: str, places: Sequence[int]) -> Any:
        """Return the value of a field in a row."""
        texts: list[Any] = []
        for index in places:
            given = values[index]
            if given is None or given == "":
                continue
            read = self._cell(feed.path, given, self.names[index], place)
            if read is None:
                continue
            if feed.separator is None:
                return self.cleaner.address(read) if feed is self._key and index in self._emails else read
            texts.append(read)
        if feed is self._key and len(texts) < len(feed.places):
            return None
        if texts:
            return (feed.separator or "").join(map(str, texts))
        return feed.default

    def _cell(self, path: str, value: Any, column: str, place: str) -> Any:
        if type(value) is str and path != "metadata":
            return self.cleaner.text(path, value, column, place)
        where = f"{place}, column {column}"
        # An empty object clears metadata.
        if is_nothing(value) and (not path.startswith("metadata") or (path == "metadata" and isinstance(value, list))):
            return None
        if path.startswith("metadata"):
            return metadata(value, where) if path == "metadata" else value
        if isinstance(value, list) and not path.startswith("payment_source."):
            value = self._only(path, value, where)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            kind = _KINDS.get(type(value), type(value).__name__)
            raise RowProblem(f"{where}: the value must be a string or an integer, not {kind}", f"invalid {path}")
        return self.cleaner.text(path, value, column, place)

    def _only(self, path: str, values: list[Any], where: str) -> Any:
        """Return the value of a list with one value, or the first value if the mapping allows it."""
        found = [it for it in values if it is not None and it != ""]
        may_have_several = path in {"email", "phone"}
        if len(found) > 1 and not (may_have_several and self.cleaner.several == "first"):
            advice = ", or set `several` to `first` in a mapping file" if may_have_several else ""
            raise RowProblem(f"{where}: the value is a list; keep one value{advice}", f"invalid {path}")
        return found[0]


class _Inspected(Columns):
    """Columns that keep masked samples of their values."""

    def reference_of(self, values: Sequence[Any]) -> str | None:
        self.cleaner.notes.observe(self.names, values)
        for place in self.unnamed:
            if _is_filled(place, values):
                self.cleaner.notes.add_unnamed(self.names[place])
        return super().reference_of(values)


def _is_filled(place: int, values: Sequence[Any]) -> bool:
    """Return whether a row has a value in a column, other than the number of the row in the first column."""
    text = str(values[place]).strip() if place < len(values) and values[place] is not None else ""
    return bool(text) and not (place == 0 and text.isdecimal())  # pandas writes such a first column without a name
