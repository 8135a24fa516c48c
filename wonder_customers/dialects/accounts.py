"""Helpers for the accounts of dialects: base URLs, environment variables and credentials."""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import NoneType
from typing import Any, Final, cast
from urllib.parse import urlsplit

from wonder_customers._support.loopback import is_loopback
from wonder_customers.dialects.provided_secrets import ProvidedSecret, to_secret
from wonder_customers.errors import ConfigurationError
from wonder_customers.secret import Secret, concealed
from wonder_customers.wire import Origin

__all__ = [
    "check_base_url",
    "check_credential",
    "environment",
    "parse_base_url",
    "read_environment",
    "read_secret_file",
    "to_secret",
]


_LONGEST: Final = 100_000
"""The maximum number of characters in a file with a secret."""
_origin: Final = lru_cache(64)(Origin)
"""Returns the same object for equal arguments, because the pool then finds connections faster."""


def parse_base_url(base_url: object) -> tuple[Origin, str]:
    """Return the origin and the path prefix (without a trailing slash) of a base URL.

    Raises:
        ConfigurationError: `base_url` is not allowed. It must be an https URL, or an http URL of a loopback host,
            without credentials, query and fragment.
    """
    try:
        url = urlsplit(base_url if isinstance(base_url, str) else "")
        host, port = (url.hostname or "").encode("idna").decode(), url.port
    except ValueError:
        raise ConfigurationError("base_url must be a valid URL, such as https://host/") from None
    if url.scheme not in {"https", "http"} or not host:
        raise ConfigurationError("base_url must be an https URL with a host, such as https://host/")
    if not re.fullmatch(r"[\x21-\x7e]+", str(base_url)):
        raise ConfigurationError("base_url must contain only printable ASCII characters and no spaces")
    if url.username is not None or url.password is not None or url.query or url.fragment:
        raise ConfigurationError("base_url must not contain a user name, a password, a query or a fragment")
    if re.search(r"[\\%]", str(base_url)) or not {".", ".."}.isdisjoint(url.path.split("/")):
        raise ConfigurationError("base_url must not contain a backslash, a percent sign, or the path segments . and ..")
    if port == 0:
        raise ConfigurationError("base_url must not use port 0")
    if url.scheme == "http" and not is_loopback(host):
        raise ConfigurationError(f"base_url must be an https URL, because {host} is not a loopback host")
    return _origin(url.scheme, host, port or {"https": 443, "http": 80}[url.scheme]), url.path.rstrip("/")


def check_base_url(account: Any, *added: str, endpoint: str) -> None:
    """Check the base URL of an account, which must not end with one of the paths `added` that the dialect adds to it.

    The path of a proxy may end with them, such as ``/paydock/v2``, unless it contains the complete path `endpoint`.

    Raises:
        ConfigurationError: The base URL is not allowed; see `parse_base_url`.
    """
    _, prefix = parse_base_url(account.base_url)
    found = next(filter(prefix.endswith, added), None)
    if found and (endpoint in prefix or environment(account) in {"production", "sandbox"}):
        raise ConfigurationError(f"base_url must not end with {found}, because the library adds this path")


def read_environment(variables: object, *names: str, required: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the optional variables `names` and the `required` variables of an account that are set.

    An empty variable counts as missing. Instead of a variable such as ``MONRI_MERCHANT_KEY``,
    ``MONRI_MERCHANT_KEY_FILE`` may be set to the path of a file that contains the value.

    Raises:
        ConfigurationError: A variable is missing or invalid, or its file cannot be used. The message contains no value.
    """
    if not isinstance(variables, Mapping):
        raise ConfigurationError(
            f"from_environment requires a mapping of strings, such as os.environ, not {type(variables).__name__}"
        )
    given = {name: value for name in (*required, *names) if (value := _setting(variables, name))}
    if missing := [name for name in required if name not in given]:
        raise ConfigurationError(
            f"set {' and '.join(missing)} in the environment (or, to read a value from a file, {missing[0]}_FILE=PATH)"
        )
    return given


@concealed
def _setting(variables: Mapping[str, object], name: str) -> str | None:
    """Return the value of a variable, which may be in a file."""
    by_file = f"{name}_FILE"
    for it in (name, by_file):
        if not isinstance(variables.get(it), (str, NoneType)):
            raise ConfigurationError(f"{it} must be a str, not {type(variables[it]).__name__}")
    value, path = (cast("str | None", variables.get(it)) for it in (name, by_file))
    if not path:
        return value
    if value:
        raise ConfigurationError(f"{name} and {by_file} are both set: unset one of them")
    try:
        contents = read_secret_file(path, "utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigurationError(f"the file that {by_file} names is not UTF-8 text") from None
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: the home directory of a user is unknown
        cause = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"the file that {by_file} names cannot be read: {cause}") from None
    if not contents:
        raise ConfigurationError(f"the file that {by_file} names is empty")
    return contents


@concealed
def read_secret_file(path: str, encoding: str) -> str:
    """Return the contents of a file that contains a secret. ``~`` in the path is the home directory.

    Raises:
        OSError: The file cannot be read.
        ValueError: The path is invalid, or the contents are not valid in `encoding` or too long.
        RuntimeError: The home directory is unknown.
    """
    with Path(path).expanduser().open(encoding=encoding) as file:
        contents = file.read(_LONGEST + 1)
    if len(contents) > _LONGEST:
        raise ValueError(f"the file has more than {_LONGEST:,} characters")
    return contents


def check_credential(name: str, value: Secret | str) -> None:
    """Check that a credential can be sent in a header. A secret that a function returns is not checked.

    Raises:
        ConfigurationError: The credential is not a str of one or more printable ASCII characters without spaces.
    """
    if not isinstance(value, ProvidedSecret) and not _is_valid_in_header(value):
        raise ConfigurationError(
            f"{name} must be a string that is not empty and has only printable ASCII characters, without spaces or line"
            " breaks"
        )


def _is_valid_in_header(value: object) -> bool:
    # A separate function, so that no frame of a traceback contains a revealed secret.
    text = value.reveal() if isinstance(value, Secret) else value
    return isinstance(text, str) and re.fullmatch(r"[\x21-\x7e]+", text) is not None


def environment(account: Any) -> str:
    """Return the environment of an account: ``production``, ``sandbox``, ``simulator`` or ``another server``.

    The URLs `PRODUCTION` and `SANDBOX` of the account class determine the first two. A loopback host counts as a
    simulator.
    """
    origin, _ = parse_base_url(account.base_url)
    for name in ("production", "sandbox"):
        url = getattr(account, name.upper(), None)
        if url is not None and parse_base_url(url)[0] == origin:
            return name
    return "simulator" if is_loopback(origin.host) else "another server"
