"""Accounts: their environment variables, the files that these name, and functions that return secrets."""

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from error_checks import visible_text

from wonder_customers import ConfigurationError, Monri, Paydock, Secret, Wonder
from wonder_customers.dialects import names, package
from wonder_customers.secret import secrets_of
from wonder_customers.testing import CustomerSimulator

HIDDEN = "s3cr3t-k3y"


def as_files(variables: dict[str, str], folder: Path, end: str = "\n") -> dict[str, str]:
    """Return the same settings as files."""
    found = {}
    for name, value in variables.items():
        path = folder / name.lower()
        path.write_bytes(f"{value}{end}".encode())
        found[f"{name}_FILE"] = str(path)
    return found


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"], ids=["none", "LF", "CRLF", "two LF"])
def test_account_is_read_from_files(gateway: str, end: str, tmp_path: Path) -> None:
    with CustomerSimulator() as simulated:
        prefix = f"{gateway.upper()}_"
        variables = {name: it.rstrip() for name, it in simulated.environment().items() if name.startswith(prefix)}
    kind = package(gateway).ACCOUNT
    assert kind.from_environment(as_files(variables, tmp_path, end)) == kind.from_environment(variables)


def test_files_and_variables_may_be_mixed(tmp_path: Path) -> None:
    given = as_files({"MONRI_MERCHANT_KEY": HIDDEN}, tmp_path) | {"MONRI_AUTHENTICITY_TOKEN": "token"}
    assert Monri.from_environment(given) == Monri(HIDDEN, "token")
    assert Monri.from_environment({**given, "MONRI_MERCHANT_KEY": ""}) == Monri(HIDDEN, "token")


def test_variable_set_in_both_ways_is_refused(tmp_path: Path) -> None:
    given = as_files({"MONRI_MERCHANT_KEY": HIDDEN}, tmp_path) | {"MONRI_AUTHENTICITY_TOKEN": "token"}
    with pytest.raises(
        ConfigurationError, match="MONRI_MERCHANT_KEY and MONRI_MERCHANT_KEY_FILE are both set"
    ) as caught:
        Monri.from_environment({**given, "MONRI_MERCHANT_KEY": HIDDEN})
    assert HIDDEN not in visible_text(caught.value, local_values=True)


@pytest.mark.parametrize(
    ("contents", "words"),
    [(None, "No such file"), (b"", "is empty"), (b"\n\r\n", "is empty"), (HIDDEN.encode() + b"\xff", "not UTF-8 text")],
    ids=["missing", "empty", "line breaks only", "not UTF-8"],
)
def test_unreadable_file_is_reported_with_its_variable(contents: bytes | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(ConfigurationError, match=rf"MONRI_MERCHANT_KEY_FILE .*{words}") as caught:
        Monri.from_environment({"MONRI_MERCHANT_KEY_FILE": str(path), "MONRI_AUTHENTICITY_TOKEN": "token"})
    assert HIDDEN not in visible_text(caught.value)
    assert caught.value.__context__ is None  # an error of the decoder contains the contents


@pytest.mark.parametrize("path", [".", "~no-such-user/key", "a\x00b"], ids=["folder", "unknown user", "NUL"])
def test_path_that_is_not_a_file_is_reported(path: str) -> None:
    with pytest.raises(ConfigurationError, match="MONRI_MERCHANT_KEY_FILE"):
        Monri.from_environment({"MONRI_MERCHANT_KEY_FILE": path, "MONRI_AUTHENTICITY_TOKEN": "token"})


def test_file_without_an_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(HIDDEN.encode() * 100_000)
    given = {"MONRI_MERCHANT_KEY_FILE": str(path), "MONRI_AUTHENTICITY_TOKEN": "token"}
    with pytest.raises(ConfigurationError, match=r"MONRI_MERCHANT_KEY_FILE .*has more than 100,000 characters"):
        Monri.from_environment(given)
    with pytest.raises(ConfigurationError, match="nor the path of a readable file"):
        Wonder.from_environment({"WONDER_APP_ID": "app", "WONDER_PRIVATE_KEY": str(path)})


def test_missing_variable_is_reported_with_both_ways_to_set_it() -> None:
    with pytest.raises(ConfigurationError, match=r"set MONRI_MERCHANT_KEY in the .* MONRI_MERCHANT_KEY_FILE=PATH"):
        Monri.from_environment({"MONRI_AUTHENTICITY_TOKEN": "token"})


def test_value_of_another_type_is_reported_with_its_variable() -> None:
    given: Any = {"MONRI_MERCHANT_KEY_FILE": Path("key"), "MONRI_AUTHENTICITY_TOKEN": "token"}
    with pytest.raises(ConfigurationError, match="MONRI_MERCHANT_KEY_FILE must be a str"):
        Monri.from_environment(given)


def test_contents_of_a_key_file_are_not_used_as_a_path(tmp_path: Path) -> None:
    given = as_files({"WONDER_PRIVATE_KEY": str(tmp_path / "other")}, tmp_path) | {"WONDER_APP_ID": "app"}
    with pytest.raises(ConfigurationError, match="private_key is not a valid key in PEM format"):
        Wonder.from_environment(given)


def test_every_gateway_reads_files(tmp_path: Path) -> None:
    for gateway in names():
        with pytest.raises(ConfigurationError):
            package(gateway).ACCOUNT.from_environment({f"{gateway.upper()}_BASE_URL_FILE": str(tmp_path)})


SECRET_FIELDS = ("merchant_key", "private_key", "secret_key", "access_token")


def failing() -> str:
    raise AssertionError("only a session calls it")


@pytest.mark.parametrize(
    "account", [Monri(failing, failing), Paydock(failing), Paydock(access_token=failing), Wonder("app", failing)]
)
def test_account_hides_the_function_and_cannot_reveal_the_secret(account: Any) -> None:
    assert "failing" not in repr(account)
    assert account == evolve(account)
    assert hash(account) == hash(evolve(account))
    assert secrets_of(account) in {(), (Secret("app"),)}
    with pytest.raises(ConfigurationError, match="only a session calls it"):
        next(it for name in SECRET_FIELDS if (it := getattr(account, name, None))).reveal()


def test_unhashable_function_is_refused() -> None:
    class Unhashable:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self) -> str:
            return "key"

    with pytest.raises(ConfigurationError, match="must be hashable"):
        Paydock(Unhashable())


def test_signing_without_a_session_needs_the_key() -> None:
    with pytest.raises(ConfigurationError, match="only a session calls it"):
        Wonder("app", failing).sign(b"message")
