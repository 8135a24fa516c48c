"""Sample customers for the demo; some rows are invalid."""

import random
from collections.abc import Iterator, Mapping
from typing import Final

import phonenumbers
from attrs import field, frozen

from wonder_customers.cli.demo.countries import COUNTRIES, Country

__all__ = ["COLUMNS", "Defect", "Person", "people"]

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
"""The columns of the CSV file, named like the fields of `CustomerDraft`."""


@frozen
class Defect:
    """A defect of a row that is broken on purpose.

    Attributes:
        description: A short description, for the demo's table.
        cells: The cells that replace cells of the row.
        gateways: The gateways that refuse the row; empty for all.
        surplus: An additional cell after the last column.
    """

    description: str
    cells: Mapping[str, str] = field(factory=dict, repr=False)
    gateways: tuple[str, ...] = ()
    surplus: str | None = None

    def is_refused_by(self, gateway: str) -> bool:
        """Return whether `gateway` must refuse the row."""
        return not self.gateways or gateway in self.gateways


@frozen
class Person:
    """One row of the CSV file: its values by column, and its defect."""

    cells: Mapping[str, str] = field(repr=False)
    defect: Defect | None = None

    def row(self) -> list[str]:
        """Return the row's cells."""
        surplus = [self.defect.surplus] if self.defect is not None and self.defect.surplus is not None else []
        return [self.cells.get(column, "") for column in COLUMNS] + surplus


def _single_name(name: str) -> dict[str, str]:
    return {"name": name, "first_name": "", "last_name": ""}


_DEFECTS: Final = (
    Defect("a reference of two dots", {"reference": ".."}),
    Defect("a missing reference", {"reference": ""}),
    Defect("a line break in the reference", {"reference": "AT\n0815"}),
    Defect("a control character in the reference", {"reference": "CH\x07-0816"}),
    Defect("a note instead of a reference", {"reference": "see the notes of the last call " * 12}),
    Defect("20 addresses in the email", {"email": "; ".join(["office@example.com"] * 20)}),
    Defect("the text of a letter instead of a name", _single_name("To whom it may concern, " * 14)),
    Defect("a note instead of a phone number", {"phone": "ask the neighbour, " * 16}),
    Defect("a phone number that a spreadsheet shortened", {"phone": "3.85912E+11"}),
    Defect("a comma outside quotes", surplus="2nd floor"),
    Defect("a phone number without a calling code", {"phone": "5678", "address.country": ""}, ("paydock",)),
    Defect("a missing name", _single_name(""), ("wonder",)),
    Defect("a word instead of a country code", {"address.country": "Atlantis"}, ("monri",)),
    Defect("a city of two letters", {"address.city": "Ub"}, ("monri",)),
)
"""Each of these defects occurs in one row. In addition, the last row repeats the reference of the first row."""


def people(count: int = 1000, seed: int = 2024) -> tuple[Person, ...]:
    """Return `count` rows (16 or more), some of which are broken.

    The same arguments give the same rows.
    """
    rng = random.Random(seed)  # noqa: S311 - not used for secrets; the rows must be reproducible
    phones = {country.region: _phones(country.region) for country in COUNTRIES}
    defects = dict(zip(rng.sample(range(1, count - 1), len(_DEFECTS)), _DEFECTS, strict=True))
    persons: list[Person] = []
    for number in range(count):
        country = rng.choice(COUNTRIES)
        cells = _cells(country, number + 1, next(phones[country.region]), rng)
        if number == count - 1:
            defects[number] = Defect("the reference of row 1 again", {"reference": persons[0].cells["reference"]})
        defect = defects.get(number)
        persons.append(Person(cells if defect is None else {**cells, **defect.cells}, defect))
    return tuple(persons)


def _cells(country: Country, number: int, phone: str, rng: random.Random) -> dict[str, str]:
    given, family = rng.choice(country.given.split(", ")), rng.choice(country.family.split(", "))
    city, _, postcode = rng.choice(country.cities.split(", ")).partition("/")
    if country.whole is None:
        name = {"first_name": given, "last_name": family}
    else:
        name = {"name": country.whole.format(given=given, family=family)}
    cells = {
        # References may contain slashes, spaces and accents.
        "reference": f"{country.region}-{number:04}" if number % 40 else f"{country.region}/{number}?b#c é",
        **name,
        "email": f"customer{number}@example.{rng.choice(('com', 'net', 'org'))}",
        "phone": phone,
        "company_name": f"{family} {rng.choice(('& Co.', 'Trading', 'Studio'))}" if rng.random() < 0.2 else "",
        "description": rng.choice(_DESCRIPTIONS),
        "metadata.plan": rng.choice(("basic", "plus", "pro")),
        "address.line1": country.street.format(rng.randint(1, 199)),
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
    """Yield valid mobile phone numbers of a region."""
    example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    if example is None:
        raise ValueError(f"{region} has no mobile numbers")
    for tail in range(10_000):
        # The step is coprime to 10,000, so every ending occurs once, in an order that does not look sequential.
        text = f"+{example.country_code}{str(example.national_number)[:-4]}{tail * 3307 % 10_000:04}"
        phone = phonenumbers.parse(text)
        if phonenumbers.is_valid_number(phone):
            yield phonenumbers.format_number(phone, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
