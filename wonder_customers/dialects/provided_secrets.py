"""Secrets that a function of the application returns, for example from a secret manager."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn, TypeAlias, TypeVar

import attrs

from wonder_customers.errors import ConfigurationError
from wonder_customers.secret import Secret, fields_of, secret

__all__ = [
    "ProvidedSecret",
    "SecretArgument",
    "SecretFunction",
    "provided_secrets",
    "to_optional_secret",
    "to_secret",
    "with_secrets",
]

AnyAccount = TypeVar("AnyAccount")

SecretFunction: TypeAlias = Callable[[], str | Secret | Awaitable[str | Secret]]
"""A function or coroutine function without arguments that returns a secret."""
SecretArgument: TypeAlias = Secret | str | SecretFunction
"""A secret of an account, or a function that returns it."""


class ProvidedSecret(Secret):
    """An account's secret that is returned by a function. A session calls the function when it needs the secret.

    Two provided secrets are equal if their functions are equal. The ``repr`` does not show the function.

    Attributes:
        function: The function.

    Raises:
        ConfigurationError: The function is not hashable.
    """

    __slots__ = ("_function",)
    _function: SecretFunction

    def __init__(self, function: SecretFunction) -> None:
        try:
            hash(function)
        except TypeError:
            raise ConfigurationError("a function that returns a secret must be hashable") from None
        object.__setattr__(self, "_function", function)

    @property
    def function(self) -> SecretFunction:
        """The function that returns the secret."""
        return self._function

    def reveal(self) -> NoReturn:
        """Raise an error, because only a session calls the function.

        Raises:
            ConfigurationError: Always.
        """
        raise ConfigurationError(
            "the value of this secret is unknown, because only a session calls its function. To get the value, call"
            " secret.function()"
        )

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProvidedSecret) and bool(self._function == other._function)

    def __hash__(self) -> int:
        return hash((ProvidedSecret, self._function))


def to_secret(value: SecretArgument) -> Secret:
    """Return a key or token as a `Secret`. A function becomes a `ProvidedSecret`.

    Raises:
        ConfigurationError: `value` is of another type, or the function is not hashable.
    """
    if isinstance(value, (str, Secret)):
        return secret(value)
    if callable(value):
        return ProvidedSecret(value)
    raise ConfigurationError(
        f"keys and tokens must be str, Secret or a function that returns one of them, not {type(value).__name__}"
        + (". Check the variable or setting from which it is read" if value is None else "")
    )


def to_optional_secret(value: SecretArgument | None) -> Secret | None:
    """Return None for None, and any other `value` as `to_secret` does."""
    return None if value is None else to_secret(value)


def provided_secrets(account: object) -> dict[str, ProvidedSecret]:
    """Return the secrets of an account that functions return, by the names of their fields."""
    return {name: value for name, value in fields_of(account) if isinstance(value, ProvidedSecret)}


def with_secrets(account: AnyAccount, values: Mapping[str, SecretArgument]) -> AnyAccount:
    """Return a copy of an account with other secrets, or functions that return them, by the names of their fields.

    Raises:
        ConfigurationError: A secret is invalid, or the class of the account is not an attrs class.
    """
    if not attrs.has(type(account)):
        raise ConfigurationError(f"{type(account).__name__} must be an attrs class, because its secrets are functions")
    changed: Any = attrs.evolve(account, **values)  # type: ignore[misc]  # an attrs class
    return changed  # type: ignore[no-any-return]
