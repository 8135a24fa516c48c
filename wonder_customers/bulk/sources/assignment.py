"""Assigns the columns of a source to fields of a customer."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from attrs import define, evolve, field, fields

from wonder_customers._support.normal_forms import name_key
from wonder_customers.bulk.sources.card_guard import CARD_DATA, may_have_cards
from wonder_customers.bulk.sources.mapping import ColumnMapping, FieldSource
from wonder_customers.bulk.sources.presets import Preset, first_word, is_number_of, part_of_synonym, recognised, synonym
from wonder_customers.errors import ConfigurationError
from wonder_customers.records import Address, CustomerDraft, Phone

__all__ = ["Assignment", "Feed", "known_fields", "plain", "unique_names"]

_IDENTIFIERS = frozenset({"id", "uuid", "guid", "identifier"})
_SEVERAL = frozenset({"phone", "address.country"})
"""Fields with several columns in many exports: a telephone and a mobile phone; the name and the code of a country."""
_FULL_NAMES = frozenset({"nombre", "nome", "ime", "име", "jmeno", "meno", "имя", "імя", "ονομα", "emri", "adı"})
_LAST_NAMES = frozenset({"name", "nom", "naam", "namn", "navn", "nimi", "nume"})
"""Columns that contain the last name beside a column with the first name, in many languages."""
_NAMES_IN_OBJECTS = frozenset({"propertiesname", "attributesname", "fieldsname"})
_POLISH = ("imie", "nazw", "miasto", "miejscow", "kodpocztowy", "wojew")
"""The start of columns beside which `Kraj` is the country. It is the town in Slovenian and the region in Czech."""
_ENGLISH = ("first", "given", "fore", "fname")
_CARD_PARTS = ("number", "expire_month", "expire_year", "holder_name", "gateway_id")


@define(eq=False)
class Feed:
    """How a field of a row is filled.

    Attributes:
        path: The field, such as ``address.city``.
        places: The indexes of the field's columns.
        why: Why these columns are used.
        separator: The string between joined values; None to use the first value that is not empty.
        default: The value if no column has a value.
        target: The field of the draft; None if the field is not sent.
    """

    path: str
    places: tuple[int, ...]
    why: str
    separator: str | None = None
    default: str | None = None
    target: str | None = None

    @property
    def automatic(self) -> bool:
        """Whether the field's columns are neither mapped nor named like the field."""
        return self.why not in {"mapped", "name of the field"}

    @property
    def required(self) -> bool:
        """Whether a row with an unusable value is invalid."""
        # A company name that is not sent can be the name of a customer without one.
        return self.target is not None or self.path == "company_name"


@cache
def known_fields() -> frozenset[str]:
    """Return the fields that a column can have, without ``metadata.KEY``."""
    nested: dict[str, type[Any]] = {"phone": Phone, "address": Address}
    own = {attribute.name for attribute in fields(CustomerDraft)} - {"address", "payment_source", "clear"}
    parts = {f"{name}.{attribute.name}" for name, kind in nested.items() for attribute in fields(kind)}
    paid = {f"payment_source.{name}" for name in (*_CARD_PARTS, "vault_token")}
    return frozenset(own | parts | paid)


def plain(name: str) -> str:
    """Return the normalised name of a column."""
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the stripped names of columns, with numbers such as ``Phone[2]`` to distinguish them.

    A column without a name is named after its place, such as ``column 4``.
    """
    seen: dict[str, int] = {}
    found = []
    for place, name in enumerate(names, 1):
        bare = name.strip().removeprefix("\ufeff") or f"column {place}"
        number = seen[plain(bare)] = seen.get(plain(bare), 0) + 1
        found.append(f"{bare}[{number}]" if number > 1 else bare)
    return tuple(found)


@define
class Assignment:
    """The assignment of a source's columns to fields.

    Attributes:
        names: The names of the columns, as returned by `unique_names`.
        base: The names as they are in the source.
        mapping: The mapping.
        one_table: Whether a mapped column must exist.
        feeds: How each field is filled.
        left_out: Why columns are not read, by index.
        unknown: The indexes of columns that do not match a field.
        unnamed: The indexes of columns without a name, whose values are not used.
        preset: The preset of a known export; None for other sources.
    """

    names: tuple[str, ...]
    base: Sequence[str]
    mapping: ColumnMapping
    one_table: bool
    feeds: list[Feed] = field(factory=list, init=False)
    left_out: dict[int, str] = field(factory=dict, init=False)
    unknown: list[int] = field(factory=list, init=False)
    unnamed: list[int] = field(factory=list, init=False)
    preset: Preset | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._explicit()
        free = [it for it in range(len(self.names)) if it not in self.left_out and not self._is_used(it)]
        rest = [it for it in free if not self._by_name(it)]
        if self.mapping.recognise and "reference" not in {feed.path for feed in self.feeds if feed.why != "mapped"}:
            self.preset = recognised(self.base)
        if self.preset is not None:
            self._by_preset(self.preset)
            rest = [it for it in rest if not self._is_used(it)]
        if self.mapping.recognise:
            rest = [it for it in rest if not self._by_synonym(it, synonym(self.base[it]))]
            rest = [it for it in rest if not self._by_synonym(it, part_of_synonym(self.base[it]), part=True)]
            self._by_identifier(rest)
            rest = [it for it in rest if not self._is_used(it)]
            rest = [it for it in rest if not self._by_synonym(it, synonym(self.base[it], further=True), part=True)]
            self._by_house_number(rest)
            rest = [it for it in rest if not self._is_used(it)]
        for place in rest:
            if not self.base[place].strip():
                self.unnamed.append(place)
            elif self.preset is not None or self.mapping.unknown == "ignore":
                self.left_out[place] = f"not used by the preset {self.preset.title}" if self.preset else "unknown"
            else:
                self.unknown.append(place)
        if self.mapping.recognise:
            self._settle_names()

    def uses(self) -> Iterator[tuple[str, tuple[str, ...], str]]:
        """Yield the name of each column, its fields, and the reason."""
        unnamed = set(self.unnamed)
        for place, name in enumerate(self.names):
            found = [feed for feed in self.feeds if place in feed.places]
            if found:
                yield name, tuple(feed.path for feed in found), found[0].why
            elif place not in unnamed:
                yield name, (), self.left_out.get(place, "unknown")

    def feed(self, path: str) -> Feed | None:
        """Return how a field is filled; None if it is not."""
        return next((feed for feed in self.feeds if feed.path == path), None)

    def check_fields(self) -> None:
        """Raise `ConfigurationError` if a mapped field is not a field of a customer."""
        for feed in self.feeds:
            if feed.path not in known_fields() and not re.match(r"metadata\..", feed.path):
                raise ConfigurationError(
                    f"{feed.path!r} is not a field of a customer. The fields are {', '.join(sorted(known_fields()))}"
                    " and metadata.KEY."
                )

    def check_names(self) -> None:
        """Raise `ConfigurationError` if a column with the name of a field, `name`, may be a part of the name."""
        found = {feed.path: feed for feed in self.feeds if feed.path in {"name", "first_name", "last_name"}}
        if len(found) != 2 or "name" not in found or any(feed.why == "mapped" for feed in found.values()):
            return
        if not self._may_be_part(found["name"]):
            return
        whole = found.pop("name")
        (part,) = found.values()
        other = "last_name" if part.path == "first_name" else "first_name"
        name, partial = (", ".join(self.names[place] for place in feed.places) for feed in (whole, part))
        raise ConfigurationError(
            f"the column {name!r} may be the full name or the {other.replace('_', ' ')}, because the source has the"
            f" column {partial!r}, and no column for the {other.replace('_', ' ')}. Map it with"
            f" mapping={ {name: other} }, or leave {partial!r} out with mapping={ {partial: ''} }."
        )

    def make_usable(self) -> None:
        """Leave out unusable columns, so that the source can be inspected."""
        given = self.explicit_fields()
        cards = {it for it, name in enumerate(map(plain, self.base)) if may_have_cards(name, given.get(name))}
        kept: list[Feed] = []
        for feed in self.feeds:
            if cards.isdisjoint(feed.places) and feed.path not in {other.path for other in kept}:
                kept.append(feed)
        dropped = {place: feed.path for feed in self.feeds if feed not in kept for place in feed.places}
        self.feeds = kept
        for place in (*self.unknown, *dropped):
            if not self._is_used(place):
                other = f"another column is used for {dropped[place]}" if place in dropped else "unknown"
                self.left_out[place] = CARD_DATA if place in cards else other
        self.unknown.clear()

    def to_mapping(self) -> ColumnMapping:
        """Return the assignment as a mapping."""
        columns: dict[str, tuple[str, ...]] = {}
        rules: dict[str, FieldSource] = {}
        for feed in self.feeds:
            names = tuple(self.names[place] for place in feed.places)
            if len(names) == 1 and feed.default is None and feed.separator is None:
                columns[names[0]] = (*columns.get(names[0], ()), feed.path)
            elif not names:
                rules[feed.path] = FieldSource(constant=feed.default)
            elif feed.separator is None:
                rules[feed.path] = FieldSource(first=names, default=feed.default)
            else:
                rules[feed.path] = FieldSource(join=names, separator=feed.separator, default=feed.default)
        for place, name in enumerate(self.names):
            if not self._is_used(place) and place not in self.unnamed:
                columns[name] = ()
        order = {name: place for place, name in enumerate(self.names)}
        automatic = any(feed.automatic for feed in self.feeds)
        company = [feed for feed in self.feeds if feed.path == "company_name"]
        return evolve(
            self.mapping,
            columns=dict(sorted(columns.items(), key=lambda item: order[item[0]])),
            fields=rules,
            recognise=False,
            unsupported=self.mapping.unsupported or ("metadata" if automatic else None),
            several=self.mapping.several or (self.preset.several if self.preset else None),
            company_as_name=any(self.mapping.uses_company(automatic=feed.automatic) for feed in company) or None,
        )

    def explicit_fields(self) -> dict[str, str]:
        """Return fields by normalised column name, for `check_card_columns`."""
        found = {plain(self.names[place]): "" for place in self.left_out}
        for feed in self.feeds:
            if feed.why == "name of the field":
                continue
            for place in feed.places:
                before = found.get(plain(self.base[place]), "")
                found[plain(self.base[place])] = before if before.startswith("payment_source.") else feed.path
        return found

    def _is_used(self, place: int) -> bool:
        return any(place in feed.places for feed in self.feeds)

    def _explicit(self) -> None:
        """Add the fields of the mapping."""
        by_name = {name: place for place, name in enumerate(self.names)}
        by_plain = {plain(name): place for place, name in reversed(list(enumerate(self.names)))}
        # The mapping of a folder may contain names that differ only in case.
        exact = {by_name.get(name.strip()) for name in self.mapping.columns}

        def places(names: Sequence[str], path: str) -> tuple[int, ...]:
            found = [by_name.get(name.strip(), by_plain.get(plain(name))) for name in names]
            if self.one_table and None in found and self.names:
                use = f"which is mapped to {path!r}" if path else "which the mapping leaves out"
                raise ConfigurationError(
                    f"the source does not have the column {names[found.index(None)]!r}, {use}. Correct the name of the"
                    " column, or remove the column from the mapping."
                )
            return tuple(place for place in found if place is not None)

        for name, paths in self.mapping.columns.items():
            for place in places([name], ", ".join(paths)):
                if name.strip() not in by_name and place in exact:
                    continue
                exact.add(place)
                if not paths:
                    self.left_out[place] = "mapped"
                self.feeds += [Feed(path, (place,), "mapped") for path in paths]
        for path, rule in self.mapping.fields.items():
            found = places(rule.first or rule.join, path)
            separator = rule.separator if rule.join else None
            default = rule.default if rule.constant is None else rule.constant
            if not found and default is None:
                continue  # the columns of another file of the folder
            if path.strip() == "reference" and len(found) < len(rule.join):
                self.left_out |= dict.fromkeys(found, "a part of the reference has no column")
                continue
            self.feeds.append(Feed(path.strip(), found, "mapped", separator, default))

    def _by_name(self, place: int) -> bool:
        """Add a column that has the name of a field."""
        name = plain(self.base[place])
        if name.startswith("metadata."):
            path = "metadata." + self.base[place].strip().partition(".")[2]
        elif name in known_fields():
            path = name
        else:
            return False
        self.feeds.append(Feed(path, (place,), "name of the field"))
        return True

    def _by_preset(self, preset: Preset) -> None:
        """Add the fields of a preset."""
        keys: dict[str, int] = {}
        for place, name in enumerate(self.base):
            if place not in self.left_out:
                keys.setdefault(name_key(name), place)
        mapped = [feed for feed in self.feeds if feed.why == "mapped" or feed.path.startswith("metadata.")]
        given = {feed.path for feed in mapped}
        taken = {place for feed in mapped for place in feed.places}
        for path, names in preset.fields.items():
            places = tuple(dict.fromkeys(keys[name] for name in names if name in keys and keys[name] not in taken))
            if path == "reference":
                places = places[:1]
            if places and path not in given:
                separator = " " if path in preset.join else None
                mapped.append(Feed(path, places, f"preset {preset.title}", separator))
        used = {place for feed in mapped for place in feed.places}
        by_name = [it for it in self.feeds if it.why == "name of the field" and not used.intersection(it.places)]
        self.feeds = mapped
        for feed in by_name:
            if self._is_free(feed.path, feed.places[0]) and feed.path not in {it.path for it in mapped}:
                feed.why = f"preset {preset.title}"
                mapped.append(feed)
            else:
                self.left_out[feed.places[0]] = f"not used by the preset {preset.title}"

    def _is_free(self, path: str, place: int) -> bool:
        """Return whether the preset leaves a field to another column."""
        if self.preset is None:
            return True
        if path.startswith("payment_source."):
            return False
        # A name must not be combined from the columns of two, and neither must an address.
        kind = "address" if path.startswith("address.") else "name" if path in {"first_name", "last_name"} else None
        own = first_word(self.base[place]) if kind == "address" else None
        listed = (it for it in self.feeds if it.why.startswith("preset") and it.path.partition(".")[0] == kind)
        return self.preset.fields.get(path) != () and all(first_word(self.base[it.places[0]]) == own for it in listed)

    def _by_synonym(self, place: int, path: str | None, *, part: bool = False) -> bool:
        """Try to assign a column by a synonym."""
        if path is None or not self._is_free(path, place) or self._is_misleading(place, path):
            return False
        other = self.feed(path)
        if other is None or (not part and other.why == "synonym" and path not in _SEVERAL):
            self.feeds.append(Feed(path, (place,), "synonym"))
        elif path in _SEVERAL and not part and other.why in {"synonym", "name of the field"}:
            other.places = (*other.places, place)
            if path == "address.country":
                # A code may be the calling code of the phone, which is not needed if the row has the country's name.
                other.places = tuple(sorted(other.places, key=lambda it: "code" in name_key(self.base[it])))
        else:
            return False
        return True

    def _is_misleading(self, place: int, path: str) -> bool:
        """Return whether a synonym has another meaning beside the other columns."""
        keys, key = {name_key(name) for name in self.base}, name_key(self.base[place])
        if key == "kraj":
            return not any(key.startswith(_POLISH) for key in keys)
        if key == "state" and any(it.lower().endswith(".city") for it in self.base):
            # The state of an account, beside an address that is an object, unless this object is not the whole address.
            return not {synonym(it) for it in self.base if "." not in it} & {"address.postcode", "address.line1"}
        # `Street 2` beside `City 2` belongs to a second address.
        second = {synonym(key[:-1]) for key in keys if key.endswith("2")}
        return path == "address.line2" and bool(second & {"address.city", "address.postcode"})

    def _by_identifier(self, rest: list[int]) -> None:
        """Assign the reference by its name."""
        found = [place for place in rest if name_key(self.base[place]) in _IDENTIFIERS]
        if len(found) == 1 and self.feed("reference") is None:
            self.feeds.append(Feed("reference", (found[0],), "the only identifier"))

    def _by_house_number(self, rest: list[int]) -> None:
        """Join the house number with the street, in the order of their columns."""
        feed = self.feed("address.line1")
        if feed is not None and feed.why == "synonym":
            found = [it for it in rest if is_number_of(self.base[it], self.base[feed.places[0]])]
            if found:
                feed.places, feed.separator, feed.why = tuple(sorted((*feed.places, *found))), " ", "with house number"

    def _key(self, feed: Feed) -> str:
        return name_key(self.base[feed.places[0]]) if feed.places else ""

    def _may_be_part(self, name: Feed) -> bool:
        """Return whether a column for the name, such as ``Name`` or ``fields.name``, may be the first or last name."""
        return not name.automatic or self._key(name) in _NAMES_IN_OBJECTS

    def _settle_names(self) -> None:
        """Choose between the full name and its parts; without a name, use the company as the name."""
        found = {feed.path: feed for feed in self.feeds}
        name, first, last, company = map(found.get, ("name", "first_name", "last_name", "company_name"))
        only = self._key(first) if first is not None and last is None else ""
        foreign = first is not None and first.why == "synonym" and not only.startswith(_ENGLISH)
        if only and foreign and name is not None and name.why != "mapped" and self._key(name) in _LAST_NAMES:
            name.path, name.why = "last_name", "the table also has a first name"
        elif first is not None and name is None and only in _FULL_NAMES:
            # In some languages, a column such as `Nombre` without a last name contains the full name.
            first.path, first.why = "name", "the table does not have a last name"
        elif name is not None and not self._may_be_part(name) and (part := first or last) is not None:
            if (first is None or last is None) and part.why != "mapped":
                self.feeds.remove(part)
                self.left_out |= {it: "the full name has a column" for it in part.places if not self._is_used(it)}
            else:  # some rows may have no other name, such as those of companies
                name.why = "used in rows without a first and last name"
        used = company is not None and company.automatic and self.mapping.uses_company(automatic=True)
        if company is not None and used and not any(map(self.feed, ("name", "first_name", "last_name"))):
            self.feeds.append(evolve(company, path="name"))
