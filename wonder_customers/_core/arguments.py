"""Checks of arguments."""

import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import orjson

from wonder_customers.errors import ConfigurationError
from wonder_customers.rate_limit import RateLimiter
from wonder_customers.retry import RetryPolicy

if TYPE_CHECKING:  # loaded only when there are observers
    from wonder_customers._core.observers import ObserverGroup

_APP_INFO: Final = re.compile(r"[!-~]+( [!-~]+)*")
_LONGEST: Final = 200


def check_account(account: object) -> None:
    """Raise `ConfigurationError` unless `account` is an account."""
    if not callable(getattr(account, "dialect", None)) or isinstance(account, type):
        raise ConfigurationError(
            f"account must be a Wonder(…), Paydock(…), Monri(…) or other account, not {_kind(account)}"
        )


def check_type(name: str, value: object, kinds: tuple[Any, ...], what: str) -> None:
    """Raise `ConfigurationError` unless an argument is an instance of one of `kinds`."""
    if not isinstance(value, kinds):
        raise ConfigurationError(f"{name} must be {what}, not {_kind(value)}")


def check_json(name: str, value: Any) -> None:
    """Raise `ConfigurationError` unless an argument is a mapping of JSON values."""
    check_type(name, value, (Mapping,), "a mapping of JSON values")
    try:
        orjson.dumps(dict(value))
    except TypeError as error:
        raise ConfigurationError(f"{name} must contain only JSON values: {error}") from None


def checked_path(path: str | Path) -> Path:
    """Return `path` as a `Path`. Raise `ConfigurationError` for another type, or a path that cannot exist."""
    check_type("path", path, (str, PathLike), "a str or a Path")
    if "\0" in str(path):
        raise ConfigurationError("path must not contain a null character")
    if any("\ud800" <= it <= "\udfff" for it in str(path)):
        raise ConfigurationError(f"the path {str(path)!a} is not UTF-8. Rename the file or its folder.")
    return Path(path)


def checked_policy(retry: object) -> RetryPolicy:
    """Return `retry`, or the default policy for None. Raise `ConfigurationError` for another type."""
    check_type("retry", retry, (RetryPolicy, type(None)), "a RetryPolicy")
    return cast("RetryPolicy | None", retry) or RetryPolicy()


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


def check_rate_limit(limit: object) -> None:
    """Raise `ConfigurationError` unless `limit` is a `RateLimiter` or None."""
    if limit is not None and (isinstance(limit, type) or not isinstance(limit, RateLimiter)):
        kind = _kind(limit)
        raise ConfigurationError(f"rate_limit must be a RateLimit(…), AdaptiveRateLimit(…) or RateLimiter, not {kind}")


def check_app_info(text: object) -> str | None:
    """Return `text`. Raise `ConfigurationError` if it is invalid in a ``User-Agent`` header."""
    if text is None or (isinstance(text, str) and len(text) <= _LONGEST and _APP_INFO.fullmatch(text)):
        return text
    raise ConfigurationError(
        f"app_info must be a str of 1 to {_LONGEST} printable ASCII characters, with single spaces only between words,"
        " such as 'shop/3.1' or 'shop/3.1 (billing)'"
    )


def observer_group(observers: Any) -> "ObserverGroup | None":
    """Return the group of `observers`, or None without observers."""
    if not observers:
        return None
    from wonder_customers._core.observers import ObserverGroup  # noqa: PLC0415 - loaded only when there are observers

    return ObserverGroup(observers)
