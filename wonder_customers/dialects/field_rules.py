"""The gateways' documented limits as tables, and the one check that reads them.

A table row names the record's field, the gateway's field and what the gateway's document asks of the value. The same
rows give the converters their renames, so a field cannot be checked under one name and sent under another.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

import orjson
from attrs import evolve, fields, frozen

from wonder_customers.dialects.base import unsafe_in_path
from wonder_customers.dialects.json import DEPTH, deeper_than
from wonder_customers.errors import InvalidRecordError, Violation
from wonder_customers.records import (
    UNSET,
    Address,
    CardSource,
    CustomerDraft,
    CustomerPatch,
    OneTimeToken,
    Phone,
    VaultToken,
)
from wonder_customers.secret import Secret

Draft = TypeVar("Draft", bound=CustomerDraft | CustomerPatch)

Check = Callable[[Any], str | None]
"""What is wrong with a value, in the words of the limit; None when nothing is."""


@frozen(eq=False)
class Row:
    """One field of a gateway's document. Rows are told apart by what they are, so that a table is a quick key.

    Attributes:
        field: The record's field, such as ``address.city``.
        wire: The gateway's field, such as ``payment_source.address_city``.
        check: The documented limit.
        required: Whether the document asks for it.
    """

    field: str
    wire: str
    check: Check
    required: bool = False


def text(shortest: int = 0, longest: int = 255) -> Check:
    """Text of so many characters. Where a document sets no limit, 255 is ours."""

    def check(value: Any) -> str | None:
        if not isinstance(value, str):
            return f"must be text, not {type(value).__name__}"
        if not shortest <= len(value) <= longest:
            return f"must have {shortest} to {longest} characters, has {len(value)}"
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            return "must be valid Unicode"
        return None

    return check


def reference(longest: int) -> Check:
    """An own id, which the gateways read back from a path."""
    return lambda value: unsafe_in_path(value, longest)


def pattern(expression: str, words: str) -> Check:
    """Text of a certain form; `words` describe it."""
    compiled = re.compile(expression, re.ASCII)
    return lambda value: None if isinstance(value, str) and compiled.fullmatch(value) else f"must be {words}"


def one_of(*choices: str) -> Check:
    """One of the documented words."""
    return lambda value: None if value in choices else f"must be one of {', '.join(choices)}"


@cache
def _countries() -> frozenset[str]:
    # The telephone library's regions are the assigned two-letter codes, Kosovo's XK, and two that are only reserved (AC
    # and TA); countries without telephones of their own are added.
    from wonder_customers._support.phone_numbers import REGIONS  # noqa: PLC0415 - the telephone library is large

    return REGIONS - {"AC", "TA"} | {"AQ", "BV", "GS", "HM", "PN", "TF", "UM"}


def country(value: Any) -> str | None:
    """An ISO 3166-1 alpha-2 code."""
    return (
        None
        if isinstance(value, str) and value in _countries()
        else "must be an ISO 3166-1 alpha-2 country code, in capitals"
    )


def e164(value: Any) -> str | None:
    """A telephone number that can be written in E.164."""
    known = isinstance(value, Phone) and value.dial_code is not None and value.e164() is not None
    return None if known else "must be an international number (E.164): a dial code such as +852 and the digits"


def json_object(value: Any) -> str | None:
    """A dictionary that JSON can hold, with text as keys, and not so deep that its answer could not be read."""
    if not isinstance(value, Mapping):
        return f"must be a dictionary, not {type(value).__name__}"
    try:
        # Read back, because a NaN or a moment is written, but as something else.
        again = orjson.loads(orjson.dumps(dict(value)))
    except (orjson.JSONEncodeError, RecursionError):
        again = None
    if again != value:
        return "must hold only JSON values, with text as keys"
    return f"must be nested no deeper than {DEPTH // 2} levels" if deeper_than(DEPTH // 2, again) else None


UUID = pattern(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}", "a UUID")
HEX24 = pattern(r"[0-9a-fA-F]{24}", "24 hexadecimal digits")


def card_number(value: Any) -> str | None:
    """Digits with a right check digit (Luhn)."""
    digits = value.reveal() if isinstance(value, Secret) else ""
    if not re.fullmatch(r"[0-9]{12,19}", digits):
        return "must be 12 to 19 digits"
    doubled = "".join(str(int(digit) * (1 + place % 2)) for place, digit in enumerate(reversed(digits)))
    return None if sum(map(int, doubled)) % 10 == 0 else "is no card number: its check digit is wrong"


def hidden(check: Check) -> Check:
    """`check` applied to what a `Secret` holds."""
    return lambda value: check(value.reveal()) if isinstance(value, Secret) else "must be a Secret"


_PARTS: Mapping[str, tuple[type, ...]] = {
    "phone": (Phone,),
    "address": (Address,),
    "payment_source": (CardSource, OneTimeToken, VaultToken),
    "payment_source.address": (Address,),
}


_Places = tuple[tuple[str, tuple[type, ...] | None], ...]


@cache
def _fields(kind: type, whole: frozenset[str], path: str) -> tuple[Callable[[Any], tuple[Any, ...]], _Places]:
    """Reads all fields of a record, and says where each stands and which parts it may be, when `path` leads to it."""
    names = [attribute.name for attribute in fields(kind)]
    places = [f"{path}{name}" for name in names]
    parts = [None if place in whole else _PARTS.get(place) for place in places]
    # Of a single field, `attrgetter` gives the bare value.
    read = attrgetter(*names) if len(names) > 1 else lambda record: (getattr(record, names[0]),)
    return read, tuple(zip(places, parts, strict=True))


def _leaves(record: Any, whole: frozenset[str], path: str = "") -> dict[str, Any]:
    """Every value that says something, by its path; parts named in `whole` stay in one piece.

    None says something in a patch only, where it clears.
    """
    silent = UNSET if isinstance(record, CustomerPatch) else None
    kind: Any = type(record)
    read, places = _fields(kind, whole, path)
    found: dict[str, Any] = {}
    for (place, parts), value in zip(places, read(record), strict=True):
        if value is silent:
            continue
        if parts is not None and isinstance(value, parts):
            found |= _leaves(value, whole, f"{place}.")
        else:
            found[place] = value
    return found


@cache
def _known(rows: tuple[Row, ...]) -> tuple[frozenset[str], frozenset[str]]:
    """The parts that a table takes in one piece, and the fields that it has any row for."""
    names = frozenset(row.field for row in rows)
    return names & frozenset(_PARTS), frozenset(name.partition(".")[0] for name in names)


def violations(
    record: Any, rows: Sequence[Row], *, homeless: str, partial: bool = False, path: str = ""
) -> list[Violation]:
    """All limits of `rows` that `record` breaks.

    Args:
        record: A draft, a patch or a payment source.
        rows: The gateway's table.
        homeless: Why a field that is in no row cannot be carried.
        partial: A patch: required fields may stay away.
        path: Where `record` stands in the caller's record, such as ``payment_source.``.
    """
    whole, homes = _known(tuple(rows))
    values = _leaves(record, whole, path)
    found = []
    for row in rows:
        value = values.pop(row.field, None)
        if value is not None:
            broken = row.check(value)
        elif row.required and not partial:
            broken = "is required"
        else:  # in a patch, None clears; whole addresses are cleared under their own name
            continue
        if broken:
            found.append(Violation(row.field, row.wire, broken))
    for name, value in values.items():
        if value is None and name in homes:
            continue
        expected = " or ".join(part.__name__ for part in _PARTS.get(name, ()))
        wrong = f"must be {expected}, not {type(value).__name__}" if expected else homeless
        found.append(Violation(name, None, wrong))
    return found


def changed_fields(
    rows: Sequence[Row], sent: Mapping[str, Any], held: Mapping[str, Any], *, strict: bool
) -> tuple[str, ...]:
    """The record fields whose sent value the held one does not repeat.

    Args:
        rows: The gateway's table.
        sent: A request body.
        held: A reply's body. Keys it does not have were not echoed and are not judged.
        strict: Whether a null in `held` counts as another value.
    """

    def differs(wire: str) -> bool:
        mine, theirs = sent.get(wire), held.get(wire)
        if mine is None or wire not in held or (theirs is None and not strict):
            return False
        if isinstance(mine, str) and isinstance(theirs, str):
            return mine.strip() != theirs.strip()
        return bool(mine != theirs)

    return tuple(row.field for row in rows if differs(row.wire))


def refuse(gateway: str, found: Sequence[Violation]) -> None:
    """Raise `InvalidRecordError` when there are violations."""
    if found:
        raise InvalidRecordError(gateway, found)


def _given(value: object) -> bool:
    return value is not None and value is not UNSET


def one_name(record: Draft) -> Draft:
    """`record` with first and last name folded into `name`, for a gateway that has only that.

    Parts that disagree with a given `name`, that are no text, or of which a patch gives only one, stay where they are:
    the gateway's table has no row for them, so they are named as violations instead of being dropped.
    """
    parts = (record.first_name, record.last_name)
    if not (_given(parts[0]) or _given(parts[1])):
        return record
    blank = None if isinstance(record, CustomerDraft) else UNSET
    words = [part for part in parts if isinstance(part, str)]
    whole = len(words) == 2 or blank is None
    joined = " ".join(filter(None, words))
    if not whole or len(words) != sum(map(_given, parts)) or (_given(record.name) and record.name != joined):
        return record
    folded: dict[str, Any] = {"name": joined, "first_name": blank, "last_name": blank}
    return evolve(record, **folded)


def two_names(record: Draft) -> Draft:
    """`record` with a lone `name` whole in `first_name`: a name is never split by guess.

    A `name` that disagrees with first and last name stays, and is named as a violation.
    """
    cleared = record.name is None and isinstance(record, CustomerPatch) and not _given(record.first_name)
    if not _given(record.name) and not cleared:
        return record
    parts = [part for part in (record.first_name, record.last_name) if _given(part)]
    if parts and (not all(isinstance(part, str) for part in parts) or " ".join(map(str, parts)) != record.name):
        return record
    moved: dict[str, Any] = {"name": None if isinstance(record, CustomerDraft) else UNSET}
    return evolve(record, **moved if parts else moved | {"first_name": record.name})
