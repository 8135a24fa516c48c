"""The gateways' documented limits as tables of rules, and the check of records against them."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Final, TypeVar

import orjson
from attrs import evolve, fields, frozen

from wonder_customers.dialects.base import UNPAIRED_SURROGATE, path_segment_problem
from wonder_customers.dialects.json import DEPTH, deeper_than
from wonder_customers.errors import InvalidRecordError, Violation
from wonder_customers.records import (
    UNSET,
    Address,
    BankAccountSource,
    CardSource,
    CustomerDraft,
    CustomerPatch,
    OneTimeToken,
    Phone,
    VaultToken,
)
from wonder_customers.secret import Secret

Draft = TypeVar("Draft", bound=CustomerDraft | CustomerPatch)

_NONE: Final = (1, 0)
"""The `Limit.lengths` of a limit that checks every value."""


@frozen(eq=False)
class Limit:
    """A documented limit.

    Attributes:
        description: The limit in words, for the documentation.
        check: Returns why a value violates the limit, without the value; None if it does not.
        lengths: The smallest and the greatest length of printable strings that always satisfy the limit.
    """

    description: str
    check: Callable[[Any], str | None]
    lengths: tuple[int, int] = _NONE


@frozen(eq=False)
class FieldRule:
    """The rule for one field.

    Attributes:
        field: The record's field, such as ``address.city``.
        wire: The gateway's field, such as ``payment_source.address_city``.
        limit: The documented limit.
        required: Whether the document requires the field.
        write: Returns the JSON value of a valid value; None if valid values are sent unchanged.
    """

    field: str
    wire: str
    limit: Limit
    required: bool = False
    write: Callable[[Any], Any] | None = None


def text(shortest: int = 0, longest: int = 255) -> Limit:
    """Return a limit for a str of `shortest` to `longest` characters of valid Unicode."""

    def check(value: Any) -> str | None:
        if not isinstance(value, str):
            return f"must be a str, not {type(value).__name__}"
        if not shortest <= len(value) <= longest:
            return f"must have {shortest} to {longest} characters, but has {len(value)}"
        invalid = "\0" in value or UNPAIRED_SURROGATE.search(value)
        return "must be valid Unicode without NUL characters" if invalid else None

    return Limit(f"{shortest} to {longest} characters", check, (shortest, longest))


def phone_text(shortest: int, longest: int) -> Limit:
    """Return a limit for a str of `shortest` to `longest` characters that contains a digit."""
    length = text(shortest, longest)

    def check(value: Any) -> str | None:
        return length.check(value) or (None if any(map(str.isdecimal, value)) else "must contain a digit")

    return Limit(f"{length.description}, with a digit", check)


def reference(longest: int) -> Limit:
    """Return the limit for the caller's id of a customer, which must be usable as a segment of a path."""
    return Limit(f"1 to {longest} characters, usable in a path", lambda value: path_segment_problem(value, longest))


def pattern(expression: str, description: str) -> Limit:
    """Return a limit for strings that a regular expression matches completely."""
    compiled = re.compile(expression, re.ASCII)
    return Limit(
        description,
        lambda value: None if isinstance(value, str) and compiled.fullmatch(value) else f"must be {description}",
    )


def one_of(*choices: str) -> Limit:
    """Return a limit for a field with a fixed set of documented values."""
    listed = ", ".join(choices)
    return Limit(f"one of {listed}", lambda value: None if value in choices else f"must be one of {listed}")


@cache
def _countries() -> frozenset[str]:
    # The regions of ``phonenumbers`` are the assigned two-letter codes, Kosovo's XK, and two reserved codes (AC and
    # TA). Countries without a separate telephone network are added.
    from wonder_customers._support.phone_numbers import REGIONS  # noqa: PLC0415 - the telephone library is large

    return REGIONS - {"AC", "TA"} | {"AQ", "BV", "GS", "HM", "PN", "TF", "UM"}


def _country_problem(value: Any) -> str | None:
    known = isinstance(value, str) and value in _countries()
    return None if known else "must be an ISO 3166-1 alpha-2 country code in upper case"


COUNTRY: Final = Limit("an ISO 3166-1 alpha-2 code", _country_problem)


def dial_code(longest: int) -> Limit:
    """Return a limit for dial codes of at most `longest` characters."""
    characters = "digits with an optional leading +, spaces and hyphens"
    return pattern(rf"(?=.{{1,{longest}}}$)\+?[0-9][0-9 -]*", f"1 to {longest} characters: {characters}")


DIAL_CODE: Final = dial_code(10)
SECOND_CODE: Final = "must not contain a country calling code that differs from the dial code"


def _e164_problem(value: Any) -> str | None:
    if not isinstance(value, Phone):
        return f"must be a Phone, not {type(value).__name__}: use Phone.parse(…)"
    known = (not value.dial_code or DIAL_CODE.check(value.dial_code) is None) and value.e164() is not None
    return None if known else "must be a dial code, such as +852, and digits that form an international number (E.164)"


E164: Final = Limit("an international number (E.164)", _e164_problem)


_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # in orjson's output


def json_object_problem(value: Any) -> str | None:
    """Return why `value` cannot be sent as a JSON object and read back, or None if it can."""
    if not isinstance(value, (dict, Mapping)):
        return f"must be a dictionary, not {type(value).__name__}"
    try:
        # Read back, because orjson writes a NaN or a datetime as another value.
        written = orjson.dumps(dict(value))
        again = orjson.loads(written)
    except (orjson.JSONEncodeError, RecursionError):
        written, again = b"", None
    if again != value or _NUL.search(written):
        return (
            f"must contain only JSON values in at most {DEPTH // 2} nested levels, with strings as keys, no integer of"
            " more than 64 bits and no NUL character"
        )
    deep = written.count(b"{") + written.count(b"[") > DEPTH // 2 and deeper_than(DEPTH // 2, again)
    return f"must have at most {DEPTH // 2} nested levels" if deep else None


def json_copy(value: Any) -> Any:
    """Return a copy of a JSON value, because a caller can change metadata before the request is sent."""
    return orjson.loads(orjson.dumps(value))


JSON_OBJECT: Final = Limit("a JSON object", json_object_problem)
MONTH: Final = pattern("0[1-9]|1[0-2]", "a month, 01 to 12")
YEAR: Final = pattern("20[0-9]{2}", "a year of four digits")
UUID: Final = pattern(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}", "a UUID")
HEX24: Final = pattern(r"[0-9a-fA-F]{24}", "24 hexadecimal digits")


def _card_number_problem(value: Any) -> str | None:
    digits = value.reveal() if isinstance(value, Secret) else ""
    if not re.fullmatch(r"[0-9]{12,19}", digits):
        return "must be 12 to 19 digits"
    doubled = "".join(str(int(digit) * (1 + index % 2)) for index, digit in enumerate(reversed(digits)))
    return None if sum(map(int, doubled)) % 10 == 0 else "must have a correct check digit"


CARD_NUMBER: Final = Limit("12 to 19 digits with a correct check digit", _card_number_problem)


def secret_value(limit: Limit) -> Limit:
    """Return a limit for a `Secret` whose value satisfies `limit`."""
    return Limit(
        limit.description,
        lambda value: limit.check(value.reveal()) if isinstance(value, Secret) else "must be a Secret",
    )


SECURITY_CODE: Final = secret_value(pattern("[0-9]{3,4}", "3 or 4 digits"))

_NAMES: Final = ("name", "first_name", "last_name")
_PARTS: Final[Mapping[str, tuple[type, ...]]] = {
    "phone": (Phone,),
    "address": (Address,),
    "payment_source": (CardSource, OneTimeToken, VaultToken, BankAccountSource),
    "payment_source.address": (Address,),
}

_FieldCheck = tuple[str, FieldRule | None, str, int, int, tuple[type, ...] | None, tuple[str, ...]]
"""The path of a field, its rule, its name at the gateway, the two `Limit.lengths`, the classes allowed for a field that
consists of other fields, and the gateway's names of the field or of these other fields.
"""


@cache
def _checks(
    kind: type, rules: tuple[FieldRule, ...], path: str
) -> tuple[Callable[[Any], tuple[Any, ...]], tuple[_FieldCheck, ...], object]:
    """Return a function that reads all fields of a record, the checks of the fields, and the value of absent fields."""
    by_field = {rule.field: rule for rule in rules}
    names = [attribute.name for attribute in fields(kind) if attribute.name != "clear"]
    checks: list[_FieldCheck] = []
    for name in (f"{path}{it}" for it in names):
        rule, wires = by_field.get(name), tuple(it.wire for it in rules if f"{it.field}.".startswith(f"{name}."))
        if rule is None:
            checks.append((name, None, "", *_NONE, _PARTS.get(name), wires))
        else:
            checks.append((name, rule, rule.wire, *rule.limit.lengths, None, wires))
    # For a single name, `attrgetter` returns the value instead of a tuple.
    read = attrgetter(*names) if len(names) > 1 else lambda record: (getattr(record, names[0]),)
    return read, tuple(checks), UNSET if issubclass(kind, CustomerPatch) else None


@cache
def _required(rules: tuple[FieldRule, ...]) -> tuple[FieldRule, ...]:
    return tuple(rule for rule in rules if rule.required)


def violations(
    record: Any,
    rules: tuple[FieldRule, ...],
    *,
    unsupported: str,
    body: dict[str, Any] | None = None,
) -> list[Violation]:
    """Return all violations of `rules` by `record`, in the order of the rules.

    Args:
        record: A draft, a patch or a payment source.
        rules: The gateway's table.
        unsupported: The message for a field without a rule.
        body: Receives the values, except the payment source, under the gateway's names. Invalid values are unchanged.
    """
    found: list[Violation] = []
    _check_fields(record, rules, unsupported, "", found, body={} if body is None else body)
    for rule in _required(rules):
        parent, _, name = rule.field.rpartition(".")
        holder = getattr(record, parent, None) if parent else record
        if holder is not UNSET and getattr(holder, name, None) is None:
            found.append(Violation(rule.field, rule.wire, "is required"))
    if len(found) > 1:
        positions = {rule.field: position for position, rule in enumerate(rules)}
        found.sort(key=lambda it: positions.get(it.field, len(positions)))
    return found


def _check_fields(
    record: Any,
    rules: tuple[FieldRule, ...],
    unsupported: str,
    path: str,
    found: list[Violation],
    *,
    body: dict[str, Any],
) -> None:
    """Check the fields of a record, and collect violations and values."""
    kind: Any = type(record)
    read, checks, absent = _checks(kind, rules, path)
    for check, value in zip(checks, read(record), strict=True):
        if value is absent:
            continue
        name, rule, wire, shortest, longest, parts, wires = check
        if type(value) is str and shortest <= len(value) <= longest and value.isprintable():
            body[wire] = value
        elif value is None and wires:
            body |= dict.fromkeys(wires)  # a patch clears the field and its parts
        elif rule is not None:
            broken = rule.limit.check(value)
            if broken:
                found.append(Violation(name, wire, broken))
            body[wire] = value if broken or rule.write is None else rule.write(value)
        elif parts is not None and isinstance(value, parts):
            inner = {} if name == "payment_source" else body
            _check_fields(value, rules, unsupported, f"{name}.", found, body=inner)
        else:
            found.append(Violation(name, None, _problem_without_rule(name, value, rules) or unsupported))


def _problem_without_rule(name: str, value: Any, rules: tuple[FieldRule, ...]) -> str | None:
    """Return why a value is not allowed for a field without a rule; None if the gateway does not have the field."""
    if name in _NAMES and any(rule.field in _NAMES for rule in rules):
        return "must be given as name, or as first_name and last_name together"
    if name not in _PARTS:
        return None
    if value is None:
        return _NOT_CLEARABLE
    return f"must be {' or '.join(it.__name__ for it in _PARTS[name])}, not {type(value).__name__}"


_NOT_CLEARABLE: Final = "cannot be cleared at this gateway"


def not_clearable(draft: CustomerDraft, clearable: frozenset[str]) -> list[Violation]:
    """Return a violation for each field in `draft.clear` that is not `clearable`."""
    return [Violation(name, None, _NOT_CLEARABLE) for name in sorted(draft.clear - clearable)]


def cleared_body(
    draft: CustomerDraft, rules: Sequence[FieldRule], wires: Mapping[str, str], parts: Iterable[str] = ()
) -> dict[str, Any]:
    """Return the null values that clear the fields in `draft.clear`, except metadata keys.

    `rules` and `wires` contain the gateway's names. The field ``address`` clears all `parts`.
    """
    names = dict(field_names(rules)) | dict(wires)
    body = {names[name]: None for name in sorted(draft.clear) if name in names}
    return body | dict.fromkeys(parts) if "address" in draft.clear else body


def wire_names(rules: Iterable[FieldRule], prefix: str = "") -> dict[str, str]:
    """Return the gateway's names of the fields directly below `prefix`, such as ``address.``."""
    below = {rule.field.removeprefix(prefix): rule.wire for rule in rules if rule.field.startswith(prefix)}
    return {name: wire.rpartition(".")[2] for name, wire in below.items() if "." not in name}


def field_names(rules: Iterable[FieldRule]) -> tuple[tuple[str, str], ...]:
    """Return the record's name and the gateway's name of each field, for `comparison.compare_values`."""
    return tuple((rule.field, rule.wire) for rule in rules)


def raise_violations(gateway: str, found: Sequence[Violation]) -> None:
    """Raise `InvalidRecordError` if `found` is not empty."""
    if found:
        raise InvalidRecordError(gateway, found)


def valid_body(gateway: str, body: dict[str, Any], found: Sequence[Violation]) -> dict[str, Any]:
    """Return `body`, or raise `InvalidRecordError` if `found` is not empty."""
    if found:
        body.clear()  # a tool that shows local variables must not show the record
        raise InvalidRecordError(gateway, found)
    return body


def _given(value: object) -> bool:
    return value is not None and value is not UNSET


_NO_PARTS: Final = ((None, None), (UNSET, UNSET), (None, UNSET), (UNSET, None))


def merge_names(record: Draft) -> Draft:
    """Return `record` with the first and the last name joined in `name`, for a gateway with a single name field.

    Names that cannot be joined are left unchanged. They are then reported as violations.
    """
    parts = (record.first_name, record.last_name)
    if parts in _NO_PARTS:
        return record
    absent = None if isinstance(record, CustomerDraft) else UNSET
    texts = [part for part in parts if isinstance(part, str)]
    complete = len(texts) == 2 or absent is None
    joined = " ".join(filter(None, texts))
    if not complete or len(texts) != sum(map(_given, parts)) or (_given(record.name) and record.name != joined):
        return record
    merged: dict[str, Any] = {"name": joined, "first_name": absent, "last_name": absent}
    return evolve(record, **merged)


def name_as_first_name(record: Draft) -> Draft:
    """Return `record` with `name` moved to `first_name`, for a gateway with fields for the first and the last name.

    A name that contradicts the first and the last name is left unchanged, and then reported as a violation.
    """
    cleared = record.name is None and isinstance(record, CustomerPatch) and not _given(record.first_name)
    if not _given(record.name) and not cleared:
        return record
    parts = [part for part in (record.first_name, record.last_name) if _given(part)]
    if parts and (not all(isinstance(part, str) for part in parts) or " ".join(map(str, parts)) != record.name):
        return record
    moved: dict[str, Any] = {"name": None if isinstance(record, CustomerDraft) else UNSET}
    # A patch clears the previous last name.
    return evolve(record, **moved if parts else moved | {"first_name": record.name, "last_name": None})
