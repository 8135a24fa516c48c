"""Messages in terms of commands, options and environment variables."""

import re
from ast import literal_eval
from shlex import quote

from attrs import fields

from wonder_customers.dialects import package
from wonder_customers.errors import (
    CallError,
    ConfigurationError,
    DeadlineExceededError,
    InvalidRequestError,
    NotFoundError,
    OutcomeUnknownError,
)

__all__ = ["error_message", "no_effect", "with_options", "with_variables"]

_TEXT = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_ARGUMENT = re.compile(
    rf"""mapping=(\{{(?:{_TEXT}|[^{{}}'"])*\}})"""
    rf"|\b(encoding|form|quote|skip_lines|unknown|unsupported)=({_TEXT}|\d+)"
    r"|`(database|delimiter|encoding|form|query|sheet)`"
)
"""An argument of `read`, or an attribute of a mapping, as it is in messages."""
_PROXY = {
    "the proxy of the transport, if it has one": "WONDER_CUSTOMERS_PROXY, if it is set",
    "HttpxTransport(proxy=Secret('http://user:password@host:port'))": "WONDER_CUSTOMERS_PROXY",
    "proxy must be": "WONDER_CUSTOMERS_PROXY must be",
}


def no_effect(option: str, why: str) -> ConfigurationError:
    """Return the error for an option that has no effect. `why` completes the sentence."""
    return ConfigurationError(f"{option} has no effect{why}. Remove {option}.")


def with_options(message: str) -> str:
    """Replace the arguments in a message about a source with options."""
    return _ARGUMENT.sub(_option, message)


def _option(found: re.Match[str]) -> str:
    columns, name, value, bare = found.groups()
    if columns is not None:
        return " ".join(_map_option(column, field) for column, field in literal_eval(columns).items())
    if name == "unknown":
        return "--ignore-unknown"
    option = f"--{name or bare}".replace("_", "-").replace("--form", "--format")
    return " ".join(filter(None, (option, (value or "").strip("'"))))


def _map_option(column: str, field: str | list[str]) -> str:
    """Return the option ``--map`` for a column, quoted for a shell."""
    pair = f"{column}={field if isinstance(field, str) else ','.join(field)}"
    return "--map '{}'".format(pair.replace("'", "'\"'\"'"))


def with_variables(message: str, gateway: str) -> str:
    """Replace ``base_url``, and an account's argument at the start of a message, with environment variables."""
    names = "|".join(it.name for it in fields(package(gateway).ACCOUNT))
    return re.sub(rf"^(?:{names})\b|\bbase_url\b", lambda found: f"{gateway}_{found[0]}".upper(), message)


def error_message(error: Exception) -> str:
    """Return the message of an error, with a hint about commands instead of a hint about the library's functions."""
    message = str(error)
    for argument, variable in _PROXY.items():
        message = message.replace(argument, variable)
    if not isinstance(error, CallError):
        return with_options(message)
    bare = message.removesuffix(error.hint)
    if isinstance(error, OutcomeUnknownError):
        by_reference = error.id is None and error.reference is not None
        customer = f"--reference {quote(error.reference or '')}" if by_reference else quote(error.id or "ID")
        command = f"`wonder-customers get {error.gateway} {customer}`"
        return f"{bare}Do not repeat the command. Show the customer with {command}."
    if isinstance(error, DeadlineExceededError):
        return f"{bare}Run the command again when the gateway is available."
    wrong = isinstance(error, (InvalidRequestError, NotFoundError)) and error.certain
    if wrong and error.operation in {"get", "delete"}:
        return f"{message} `wonder-customers get {error.gateway} --reference REFERENCE` finds a customer by reference."
    return with_variables(message, error.gateway) if error.gateway else message
