"""A thousand customers as a shop may have them, some of them broken on purpose."""

import random
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Final

import phonenumbers
from attrs import field, frozen

from wonder_customers.cli.demo.countries import COUNTRIES, Country

__all__ = ["COLUMNS", "Broken", "Person", "people"]

COLUMNS: Final = (
    "reference",
    "name",
    "first_name",
    "last_name",
    "email",
    "phone",
    "company_name",
    "description",
    "metadata.plan",
    "address.line1",
    "address.city",
    "address.postcode",
    "address.country",
)
"""The CSV's columns, in the words of `CustomerDraft`."""

_LATIN: Final = str.maketrans(
    {
        "ß": "ss",
        "ł": "l",
        "đ": "d",
        "ø": "o",
        "æ": "ae",
        "œ": "oe",
        "þ": "th",
        "ð": "d",
        "\N{LATIN SMALL LETTER DOTLESS I}": "i",
    }
)


@frozen
class Broken:
    """What is wrong with a row that is broken on purpose.

    Attributes:
        what: In a few words, for the demo's table.
        cells: What stands in the row instead.
        gateways: The gateways whose limits it breaks; empty where nobody can take it.
        surplus: A cell more than there are columns.
    """

    what: str
    cells: Mapping[str, str] = field(factory=dict, repr=False)
    gateways: tuple[str, ...] = ()
    surplus: str | None = None

    def breaks(self, gateway: str) -> bool:
        """Whether `gateway` must refuse the row."""
        return not self.gateways or gateway in self.gateways


@frozen
class Person:
    """One row of the CSV.

    Attributes:
        cells: What stands in each column; empty cells are left out.
        broken: None for a good row.
    """

    cells: Mapping[str, str] = field(repr=False)
    broken: Broken | None = None

    def row(self) -> list[str]:
        """The row's cells, in the order of `COLUMNS`."""
        surplus = [self.broken.surplus] if self.broken is not None and self.broken.surplus is not None else []
        return [self.cells.get(column, "") for column in COLUMNS] + surplus


def _named(name: str) -> dict[str, str]:
    return {"name": name, "first_name": "", "last_name": ""}


_BROKEN: Final = (
    Broken("the reference is ..", {"reference": ".."}),
    Broken("there is no reference", {"reference": ""}),
    Broken("a line break in the reference", {"reference": "AT\n0815"}),
    Broken("a control character in the reference", {"reference": "CH\x07-0816"}),
    Broken("a note instead of a reference", {"reference": "see the notes of the last call " * 12}),
    Broken("20 addresses in the email", {"email": "; ".join(["office@example.com"] * 20)}),
    Broken("a letter instead of a name", _named("To whom it may concern, " * 14)),
    Broken("a note instead of a phone", {"phone": "ask the neighbour, " * 16}),
    Broken("a phone that a spreadsheet shortened", {"phone": "3.85912E+11"}),
    Broken("a comma without quotes", surplus="2nd floor"),
    Broken("a phone without country code", {"phone": "091 234 5678"}, ("paydock",)),
    Broken("there is no name", _named(""), ("wonder",)),
    Broken("a word instead of a country code", {"address.country": "Croatia"}, ("monri",)),
    Broken("a city of two letters", {"address.city": "Ub"}, ("monri",)),
)
"""Every way of being broken, for one row each; the last row repeats the first one's reference besides."""


def people(count: int = 1000, seed: int = 2024) -> tuple[Person, ...]:
    """So many customers, the broken ones scattered among them; the same ones for the same seed."""
    dice = random.Random(seed)  # noqa: S311 - nothing here is a secret, and the same people must come every time
    phones = {country.region: _phones(country.region) for country in COUNTRIES}
    broken = dict(zip(dice.sample(range(1, count - 1), len(_BROKEN)), _BROKEN, strict=True))
    made: list[Person] = []
    for number in range(count):
        country = dice.choice(COUNTRIES)
        cells = _cells(country, number + 1, next(phones[country.region]), dice)
        if number == count - 1:
            broken[number] = Broken("the reference of row 1 again", {"reference": made[0].cells["reference"]})
        wrong = broken.get(number)
        made.append(Person(cells if wrong is None else {**cells, **wrong.cells}, wrong))
    return tuple(made)


def _cells(country: Country, number: int, phone: str, dice: random.Random) -> dict[str, str]:
    given, given_latin = _latin(dice.choice(country.given.split(", ")))
    family, family_latin = _latin(dice.choice(country.family.split(", ")))
    city, _, postcode = dice.choice(country.cities.split(", ")).partition("/")
    if country.whole is None:
        name = {"first_name": given, "last_name": family}
    else:
        name = {"name": country.whole.format(given=given, family=family)}
    cells = {
        # A reference is text like any other: some shops have slashes, spaces and accents in theirs.
        "reference": f"{country.region}-{number:04}" if number % 40 else f"{country.region}/{number}?b#c é",
        **name,
        "email": f"{given_latin}.{family_latin}{number}@example.{dice.choice(('com', 'net', 'org'))}",
        "phone": phone,
        "company_name": f"{family} {dice.choice(('& Co.', 'Trading', 'Studio'))}" if dice.random() < 0.2 else "",
        "description": dice.choice(_DESCRIPTIONS),
        "metadata.plan": dice.choice(("basic", "plus", "pro")),
        "address.line1": country.street.format(dice.randint(1, 199)),
        "address.city": city,
        "address.postcode": postcode,
        "address.country": country.region,
    }
    return {column: text for column, text in cells.items() if text}


_DESCRIPTIONS: Final = (
    "",
    "",
    "Pays on the first of the month",
    "VIP: call before delivery",
    "Zahlt auf Rechnung, 30 Tage",
    "Préfère le français",
    'Asked for "no calls", please write',
    "早めの配達を希望",
)


def _phones(region: str) -> Iterator[str]:
    """Different valid mobile numbers of the region's own numbering plan, in international form."""
    example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    if example is None:
        raise ValueError(f"{region} has no mobile numbers")
    for tail in range(10_000):
        # A step that shares no factor with 10,000 reaches every ending, in an order that does not look counted.
        text = f"+{example.country_code}{str(example.national_number)[:-4]}{tail * 3307 % 10_000:04}"
        phone = phonenumbers.parse(text)
        if phonenumbers.is_valid_number(phone):
            yield phonenumbers.format_number(phone, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def _latin(name: str) -> tuple[str, str]:
    """A name as it is written, and in the letters of an email address."""
    written, _, latin = name.partition("=")
    plain = unicodedata.normalize("NFKD", (latin or written).lower().translate(_LATIN))
    return written, "".join(letter for letter in plain if letter.isascii() and letter.isalnum())
