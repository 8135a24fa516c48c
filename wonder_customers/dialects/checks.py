"""Checks of the library's assumptions about a gateway, which a probe applies to its observations."""

import re
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Final

import orjson
from attrs import define, evolve, field, fields, frozen, has

from wonder_customers.dialects.drift import Drift
from wonder_customers.errors import (
    AuthenticationError,
    CallError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
)
from wonder_customers.records import PaymentSource
from wonder_customers.secret import Secret
from wonder_customers.wire import HttpResponse

__all__ = [
    "COMMON",
    "NOT_HANDLED",
    "Check",
    "GatewayChecks",
    "Observations",
    "refused_with",
    "status_of",
    "without_keys",
    "without_nulls",
    "wrong_key",
]

NOT_HANDLED: Final = (
    "The library does not handle the difference. Please report the difference, so that the library can be corrected."
)
"""The advice about a deviation that the library does not handle."""


@define
class Observations:
    """The observations of a probe.

    Attributes:
        responses: The responses by step, such as ``create`` or ``unknown``.
        errors: The errors of failed steps, by step.
        drift: Fields that differ from the gateway's documentation.
        normalized: Fields that are equal only after normalisation.
        different: Fields that the gateway changed in another way.
        extra: Undocumented keys of the customers in responses.
        late: Whether a new customer was not found by its reference at once.
        listed: The number of customers on the page of the step ``list``; None if unknown.
    """

    responses: dict[str, list[HttpResponse]] = field(factory=dict)
    errors: dict[str, CallError] = field(factory=dict)
    drift: set[Drift] = field(factory=set)
    normalized: set[str] = field(factory=set)
    different: set[str] = field(factory=set)
    extra: set[str] = field(factory=set)
    late: bool = False
    listed: int | None = None

    def status(self, step: str) -> int | None:
        """Return the status of the last response of a step, or None if the step has no response."""
        found = self.responses.get(step)
        return found[-1].status if found else None

    def body(self, step: str, *path: str) -> Any:
        """Return the JSON value in the last response of a step, or the value at `path` in it; None if it has none."""
        responses = self.responses.get(step)
        try:
            found = orjson.loads(responses[-1].body) if responses else None
        except orjson.JSONDecodeError:
            return None
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return found


@frozen
class Check:
    """One check of a fact.

    Attributes:
        name: The name of the deviation that the check detects.
        fact: The name of the fact in the dialect's ``facts.toml``; empty if the file has no such fact.
        believed: The assumption of the library.
        see: A function that returns a description of the deviation, without values of the account; None if no
            observation contradicts the assumption.
        advice: Advice for users about the deviation.
    """

    name: str
    fact: str
    believed: str
    see: Callable[[Observations], str | None]
    advice: str = (
        "The library handles the difference. Please report the difference, so that the documentation can be corrected."
    )


def _deviation(it: Drift) -> str:
    if it.expected in {"time", "date"}:
        return "time-form"
    names = {"boolean": "booleans-as-numbers", "text": "text-as-numbers"}
    return names.get(it.expected, "other-type") if it.found == "number" else "other-type"


def _types(name: str, believed: str) -> Check:
    """Return the check for one kind of drift."""

    def see(seen: Observations) -> str | None:
        found = [it for it in seen.drift if _deviation(it) == name]
        return "; ".join(sorted(f"{it.field}: expected {it.expected}, found {it.found}" for it in found)) or None

    return Check(name, "", believed, see)


def _normalized(*names: str) -> Callable[[Observations], str | None]:
    def see(seen: Observations) -> str | None:
        found = sorted(seen.normalized.intersection(names))
        return f"{', '.join(found)} changed" if found else None

    return see


def _phone(seen: Observations) -> str | None:
    text = orjson.dumps(seen.body("create"))
    return "different punctuation" if re.search(rb'"phone":"[+\d]*[^+\d"]', text) else None


def status_of(step: str, *expected: int) -> Callable[[Observations], str | None]:
    """Return a check that the last response of `step`, if any, has one of the statuses `expected`."""

    def see(seen: Observations) -> str | None:
        status = seen.status(step)
        return None if status is None or status in expected else f"HTTP {status}"

    return see


def wrong_key(fact: str, *expected: int) -> Check:
    """Return the check that a wrong key causes one of the statuses `expected`."""
    believed = f"a wrong key causes HTTP {' or '.join(map(str, expected))}"
    return Check("wrong-key-status", fact, believed, status_of("wrong_key", *expected), NOT_HANDLED)


def refused_with(step: str, *expected: type[CallError]) -> Callable[[Observations], str | None]:
    """Return a check that `step` fails with one of the errors `expected`, or succeeds if `expected` is empty.

    A step without a response passes the check.
    """

    def see(seen: Observations) -> str | None:
        error = seen.errors.get(step)
        if step not in seen.responses or isinstance(error, expected or type(None)):
            return None
        return f"HTTP {seen.status(step)}, read as {'success' if error is None else type(error).__name__}"

    return see


def without_keys(step: str, path: tuple[str, ...], names: Iterable[str]) -> Callable[[Observations], str | None]:
    """Return a check that the object at `path` in the last response of `step` has the keys `names`.

    A response without the object passes the check.
    """
    expected = tuple(names)

    def see(seen: Observations) -> str | None:
        found = seen.body(step, *path)
        missing = [name for name in expected if name not in found] if isinstance(found, dict) else []
        return f"without {', '.join(missing)}" if missing else None

    return see


def without_nulls(step: str, *path: str) -> Callable[[Observations], str | None]:
    """Return a check that no field of the object at `path` in the last response of `step` is null."""

    def see(seen: Observations) -> str | None:
        found = seen.body(step, *path)
        return "null" if isinstance(found, dict) and None in found.values() else None

    return see


COMMON: Final = (
    Check(
        "lower-case-email",
        "",
        "e-mail addresses are returned unchanged",
        _normalized("email"),
        "Comparisons ignore case.",
    ),
    Check(
        "collapsed-blanks",
        "",
        "spaces in strings are returned unchanged",
        _normalized("name", "first_name", "last_name", "description", "company_name", "address.line1"),
        "Comparisons ignore the number of spaces.",
    ),
    Check("reformatted-phone", "", "phone numbers are returned unchanged", _phone, "Comparisons ignore punctuation."),
    _types("booleans-as-numbers", "booleans are true or false"),
    _types("text-as-numbers", "documented strings are strings"),
    _types("time-form", "times have the format of RFC 3339"),
    _types("other-type", "other fields have the documented types"),
    Check(
        "changed-value",
        "",
        "values are returned unchanged",
        lambda seen: ", ".join(sorted(seen.different)) or None,
        "`verify` reports these fields as different. Please report the difference.",
    ),
)


def _wrong_account(account: Any) -> Any:
    """Return `account` with wrong secrets, if possible."""
    if not has(type(account)):
        return None
    names = [it.name for it in fields(type(account)) if isinstance(getattr(account, it.name), Secret)]
    try:
        return evolve(account, **dict.fromkeys(names, Secret("0" * 40))) if names else None
    except (ConfigurationError, TypeError, ValueError):
        return None


_BY_ERROR: Final = (
    Check(
        "wrong-key-status",
        "",
        "a wrong key causes an authentication error",
        refused_with("wrong_key", AuthenticationError, PermissionDeniedError),
        NOT_HANDLED,
    ),
    Check(
        "not-found-wording",
        "",
        "an unknown customer causes a not-found error",
        refused_with("unknown", NotFoundError),
        NOT_HANDLED,
    ),
)


@frozen
class GatewayChecks:
    """The checks of one dialect, from its module ``checks``. Without such a module, the defaults apply.

    The module must define ``CHECKS``. ``NOT_IN_EXTRA``, ``wrong_account`` and ``PAYMENT_SOURCE`` are optional.

    Attributes:
        checks: The checks.
        not_in_extra: Keys of customers that are not reported as undocumented.
        wrong_account: A function that returns the given account with wrong credentials, or None to omit this step.
        source: A payment source that the probe stores and deletes; None to omit these steps.
    """

    checks: tuple[Check, ...] = _BY_ERROR
    not_in_extra: frozenset[str] = frozenset()
    wrong_account: Callable[[Any], Any] = _wrong_account
    source: PaymentSource | None = None

    @classmethod
    def of(cls, package: str) -> "GatewayChecks":
        """Return the checks of the dialect in `package`."""
        try:
            module: Any = import_module(f"{package}.checks")
        except ModuleNotFoundError as error:
            if error.name != f"{package}.checks":
                raise
            return cls()
        return cls(
            module.CHECKS,
            getattr(module, "NOT_IN_EXTRA", frozenset()),
            getattr(module, "wrong_account", _wrong_account),
            getattr(module, "PAYMENT_SOURCE", None),
        )
