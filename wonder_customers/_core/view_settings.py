"""The settings of a session or view, and their checks."""

import re
from collections.abc import Mapping
from typing import Any, Final, TypedDict

import attrs
from attrs import evolve, field, frozen

from wonder_customers._core.arguments import checked_policy
from wonder_customers._core.waits import StopSignal
from wonder_customers._support.card_data import find_card_data
from wonder_customers.dialects.base import Account
from wonder_customers.errors import ConfigurationError
from wonder_customers.retry import RetryPolicy, with_deadline
from wonder_customers.wire import Header

_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE: Final = re.compile(r"[!-~]([ -~]*[!-~])?")
_RESERVED: Final = re.compile(
    "host|connection|keep-alive|te|trailer|upgrade|expect|content-.*|transfer-encoding|accept|accept-encoding|cookie"
    "|user-agent|x-request-id|x-i18n-lang|(proxy-)?authorization|credential|nonce|signature|x-user-.*|x-access-token",
    re.IGNORECASE,
)
# The numbers in these headers and words, such as access tokens, can look like card numbers.
_TRACING: Final = re.compile("trace|span|parent|b3", re.IGNORECASE)
_MIXED: Final = re.compile(r"(?<![\w-])(?=[\d_-]*[a-zA-Z])(?=[a-zA-Z_-]*\d)[\w-]+")


class SessionOptions(TypedDict, total=False):
    """The options of a view. Options that are missing or None keep the values of the session or view."""

    retry: RetryPolicy | None
    """The retry policy."""
    deadline: float | None
    """The time limit of a call in seconds, including all attempts."""
    headers: Mapping[str, str] | None
    """Additional headers of every request, by name. Headers that are reserved for the library are refused."""
    language: str | None
    """Wonder: the language of the gateway's messages, ``en``, ``zh-HK`` or ``zh-CN``."""
    stop: StopSignal | None
    """A signal that ends the waits of the calls."""


@frozen
class ViewSettings:
    """The settings of a session or view."""

    policy: RetryPolicy
    headers: tuple[Header, ...] = field(default=(), repr=False)  # their values may be secrets
    language: str | None = None  # None: the language of the account
    stop: StopSignal | None = None

    def changed(self, options: Mapping[str, Any]) -> "ViewSettings":
        """Return the settings with `options`. Raise `ConfigurationError` if an option is invalid."""
        for name in options.keys() - SessionOptions.__annotations__.keys():
            known = ", ".join(SessionOptions.__annotations__)
            raise ConfigurationError(f"unknown option {name!r}; the options are {known}")
        given = {name: value for name, value in options.items() if value is not None}
        policy = checked_policy(given.get("retry", self.policy))
        if "deadline" in given:
            policy = with_deadline(policy, given["deadline"])
        headers = _checked_headers(given["headers"]) if "headers" in given else self.headers
        stop = given.get("stop", self.stop)
        if not isinstance(stop, StopSignal | None):
            raise ConfigurationError(f"stop must be a StopSignal, not {type(stop).__name__}")
        return ViewSettings(policy, headers, given.get("language", self.language), stop)

    def localized(self, account: Account) -> Account:
        """Return the account with the language of these settings.

        Raises:
            ConfigurationError: The account does not support the language.
        """
        if self.language is None:
            return account
        kind: Any = type(account)
        if not attrs.has(kind) or "language" not in attrs.fields_dict(kind):
            raise ConfigurationError(f"language is not a setting of {kind.__name__} accounts")
        localized: Account = evolve(account, language=self.language)  # type: ignore[misc]  # an attrs class, as checked
        return localized


def _checked_headers(headers: object) -> tuple[Header, ...]:
    if not isinstance(headers, Mapping):
        raise ConfigurationError(f"headers must be a mapping of names to values, not {type(headers).__name__}")
    for name, value in headers.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigurationError(
                "headers: each name must be a non-empty string of ASCII letters, digits and the characters"
                " !#$%&'*+-.^_`|~"
            )
        if _RESERVED.fullmatch(name):
            raise ConfigurationError(f"headers must not contain {name}, which is reserved for the library")
        # The value may be a secret.
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise ConfigurationError(
                f"headers: the value of {name} must be a non-empty string of printable ASCII characters that neither"
                " starts nor ends with a space"
            )
        for place, problem in () if _TRACING.search(name) else find_card_data({name: _MIXED.sub("", value)}):
            hint = " If it is another number, join it with a letter, such as id-1234." if "number" in problem else ""
            raise ConfigurationError(f"headers: {place or 'a name'} {problem}, which must not be sent.{hint}")
    return tuple((name.encode("ascii"), value.encode("ascii")) for name, value in headers.items())
