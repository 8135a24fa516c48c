"""Quirks: optional deviations of the simulated gateways from their documentation.

Each gateway has a table of quirks next to its simulator.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.responses import Response

JsonObject = dict[str, Any]


@dataclass
class SimulatedResponse:
    """A response that quirks modify.

    Attributes:
        method: The method of the request.
        path: The template of the request's path, such as ``/v2/customers/{uuid}``.
        status: The HTTP status.
        body: The JSON object in the body.
        customers: The customers in `body`, which can be modified in place.
    """

    method: str
    path: str
    status: int
    body: JsonObject
    customers: list[JsonObject]


@dataclass(frozen=True)
class Quirk:
    """One deviation.

    Attributes:
        name: The name of the quirk.
        description: The deviation in a few words.
        change: A function that modifies a response.
        query: A function that returns the modified query of a request.
    """

    name: str
    description: str
    change: Callable[[SimulatedResponse], None] = lambda _: None
    query: Callable[[Mapping[str, str]], Mapping[str, str]] = lambda query: query


class Quirks:
    """The active quirks of a server: ``customer_simulator.quirks.add("text-as-numbers")``.

    Args:
        known: All quirks of all gateways.
    """

    def __init__(self, known: Iterable[Quirk] = ()) -> None:
        self.descriptions: dict[str, str] = {}
        for quirk in known:
            self.descriptions.setdefault(quirk.name, quirk.description)
        self._active: frozenset[str] = frozenset()

    @property
    def active(self) -> tuple[str, ...]:
        """The names of the active quirks, in alphabetical order."""
        return tuple(sorted(self._active))

    def add(self, *names: str) -> None:
        """Activate quirks. The name ``all`` activates all of them.

        Raises:
            ValueError: A name is unknown.
        """
        self._active |= self._known(names)

    def clear(self) -> None:
        """Deactivate all quirks."""
        self._active = frozenset()

    def described(self) -> dict[str, Any]:
        """Return the quirks as a JSON object for the administrative endpoint."""
        return {"active": self.active, "known": self.descriptions}

    def change(self, values: Any) -> None:
        """Activate exactly the quirks in a JSON object: ``{"active": ["id-name"]}``.

        Raises:
            ValueError: The object has another form, or a name is unknown. Nothing was changed.
        """
        names = values.get("active") if isinstance(values, dict) and len(values) == 1 else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError('quirks must be a JSON object whose only key is "active", with a list of names')
        self._active = self._known(names)

    def _known(self, names: Collection[str]) -> frozenset[str]:
        """Return the quirks with these names."""
        unknown = sorted(set(names) - {"all", *self.descriptions})
        if unknown:
            raise ValueError(f"unknown quirk {unknown[0]!r}; use `all`, or names from {', '.join(self.descriptions)}")
        return frozenset(self.descriptions if "all" in names else names)

    def __contains__(self, name: object) -> bool:
        return name in self._active

    def among(self, quirks: Iterable[Quirk]) -> Iterator[Quirk]:
        """Yield the active quirks among `quirks`."""
        return (quirk for quirk in quirks if quirk.name in self._active)


def changed(original: Response, response: SimulatedResponse, quirks: Iterable[Quirk]) -> Response:
    """Apply `quirks` to `response`, and return it with the headers of `original`."""
    for quirk in quirks:
        quirk.change(response)
    headers = {name: value for name, value in original.headers.items() if name != "content-length"}
    return Response(orjson.dumps(response.body), response.status, headers)


def change_fields(convert: Callable[[Any], Any], *names: str) -> Callable[[SimulatedResponse], None]:
    """Return a change that converts the fields `names` of each customer, except missing fields and null."""

    def change(response: SimulatedResponse) -> None:
        for customer in response.customers:
            customer.update({name: convert(customer[name]) for name in names if customer.get(name) is not None})

    return change


def keys_removed(*names: str) -> Callable[[SimulatedResponse], None]:
    """Return a change that removes top-level keys from successful responses."""

    def change(response: SimulatedResponse) -> None:
        for name in names if response.status < 300 else ():
            response.body.pop(name, None)

    return change


def not_found_as(body: JsonObject) -> Quirk:
    """Return a quirk that replaces HTTP 404 by HTTP 400 with `body`."""

    def change(response: SimulatedResponse) -> None:
        if response.status == 404:
            response.status, response.body = 400, dict(body)

    return Quirk("not-found-wording", "an unknown customer causes HTTP 400", change)


def _with_small_limit(query: Mapping[str, str]) -> Mapping[str, str]:
    limit = query.get("limit", "2")
    return {**query, "limit": "2"} if limit.isdecimal() and int(limit) > 2 else query


def numbers(value: Any) -> Any:
    """Return a string of digits as an int, unless it starts with a zero. A plus sign is dropped."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"\+?[1-9]\d*", value) else value


def spaced(value: Any) -> Any:
    """Return a telephone number with spaces."""
    return re.sub(r"(\d{3})(?=\d)", r"\1 ", value) if isinstance(value, str) else value


_UNKNOWN: Final = {"loyalty_tier": "gold", "risk": {"score": 12}}


def _extra(response: SimulatedResponse) -> None:
    for customer in response.customers:
        customer.update(_UNKNOWN)


EXTRA_FIELDS: Final = Quirk("extra-fields", "customers have undocumented fields", _extra)
REFORMATTED_PHONE: Final = Quirk("reformatted-phone", "phone numbers contain spaces", change_fields(spaced, "phone"))
LOWER_CASE_EMAIL: Final = Quirk(
    "lower-case-email", "e-mail addresses are in lower case", change_fields(str.lower, "email")
)
SMALLER_PAGES: Final = Quirk("smaller-pages", "lists have at most 2 items", query=_with_small_limit)


def collapsed_blanks(*names: str) -> Quirk:
    """Return a quirk that collapses white space in the fields `names`."""
    return Quirk(
        "collapsed-blanks",
        "consecutive spaces in a string become a single space",
        change_fields(lambda value: " ".join(value.split()) if isinstance(value, str) else value, *names),
    )


def booleans_as_numbers(*names: str) -> Quirk:
    """Return a quirk that replaces the booleans in the fields `names` by 0 or 1."""
    return Quirk("booleans-as-numbers", "booleans are 0 or 1", change_fields(int, *names))
