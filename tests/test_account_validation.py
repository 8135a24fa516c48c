"""Invalid credentials, keys and URLs: rejected when the account is created, never shown."""

import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from error_checks import visible_text
from mock_gateway import APP_ID, private_key

from wonder_customers import ConfigurationError, Monri, Paydock, Secret, Wonder

HIDDEN = "s3cr3t-k3y"
BAD_CREDENTIALS = {
    "empty": "",
    "blank": " ",
    "newline at the end": f"{HIDDEN}\n",
    "header injected": f"{HIDDEN}\r\nX-Evil: 1",
    "blank inside": f"{HIDDEN} {HIDDEN}",
    "tab": f"\t{HIDDEN}",
    "null": f"{HIDDEN}\x00",
    "not ASCII": f"{HIDDEN}é",
    "lone surrogate": f"{HIDDEN}\ud800",
}
ACCOUNT_WITH: dict[str, Callable[[Any], Any]] = {
    "wonder app_id": lambda value: Wonder(value, private_key()),
    "paydock secret_key": Paydock,
    "paydock access_token": lambda value: Paydock(access_token=value),
    "monri merchant_key": lambda value: Monri(value, "token"),
    "monri authenticity_token": lambda value: Monri("key", value),
}


@pytest.mark.parametrize("place", ACCOUNT_WITH)
@pytest.mark.parametrize("value", BAD_CREDENTIALS.values(), ids=BAD_CREDENTIALS)
def test_credential_with_invalid_characters_is_rejected_and_not_shown(place: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=place.partition(" ")[2]) as caught:
        ACCOUNT_WITH[place](value)
    assert HIDDEN not in visible_text(caught.value)


@pytest.mark.parametrize("place", [it for it in ACCOUNT_WITH if "app_id" not in it])
@pytest.mark.parametrize("wrap", [Secret, str])
def test_traceback_locals_hide_a_rejected_secret(place: str, wrap: Callable[[str], Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ACCOUNT_WITH[place](wrap(f"{HIDDEN}\n"))
    trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert caught.value.__context__ is None
    # Frames of this file contain the plain text that the test passed.
    for frame in trace.stack:
        assert frame.filename == __file__ or HIDDEN not in str(frame.locals)


@pytest.mark.parametrize("place", ACCOUNT_WITH)
@pytest.mark.parametrize("value", [5, b"bytes", ["list"], True], ids=repr)
def test_credential_of_another_type_is_rejected(place: str, value: Any) -> None:
    with pytest.raises(ConfigurationError):
        ACCOUNT_WITH[place](value)


NONE: Any = None
BAD_ACCOUNTS: dict[str, tuple[Callable[[], Any], str]] = {
    "wonder without an id": (lambda: Wonder(NONE, private_key()), "app_id"),
    "wonder without a key": (lambda: Wonder(APP_ID, NONE), r"not NoneType\. Check the variable"),
    "monri without a key": (lambda: Monri(NONE, "t"), r"not NoneType\. Check the variable"),
    "slash in the id": (lambda: Wonder("a/20260101000000", private_key()), "slash"),
    "paydock without a credential": (Paydock, "exactly one of secret_key and access_token"),
    "paydock with both": (lambda: Paydock(HIDDEN, access_token=HIDDEN), "exactly one of secret_key and access_token"),
    **{
        f"auth {auth!r}": (partial(Monri, HIDDEN, HIDDEN, auth=cast("Any", auth)), "auth must be")
        for auth in ("basic", "", None, "Digest", ["oauth"])
    },
}


@pytest.mark.parametrize(("make", "words"), BAD_ACCOUNTS.values(), ids=BAD_ACCOUNTS)
def test_invalid_account_is_rejected_and_shows_no_credential(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        make()
    assert HIDDEN not in visible_text(caught.value)


def _pem(key: Any, *, encryption: KeySerializationEncryption | None = None, form: str = "PKCS8") -> str:
    private_format = {"PKCS8": PrivateFormat.PKCS8, "PKCS1": PrivateFormat.TraditionalOpenSSL}[form]
    text: bytes = key.private_bytes(Encoding.PEM, private_format, encryption or NoEncryption())
    return text.decode()


def _key() -> rsa.RSAPrivateKey:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(private_key().encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


NOT_PEM = "not a valid key in PEM format"
BAD_KEYS: dict[str, tuple[Callable[[], str], str]] = {
    "empty": (lambda: "", NOT_PEM),
    "blank": (lambda: " \n", NOT_PEM),
    "garbage": (lambda: "MIIEvQIBADAN", NOT_PEM),
    "garbage in PEM": (lambda: "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----", NOT_PEM),
    "cut short": (lambda: private_key()[:-200], NOT_PEM),
    "not ASCII": (lambda: private_key().replace("A", "é", 1), NOT_PEM),
    "lone surrogate": (lambda: "\ud800", NOT_PEM),
    "encrypted": (lambda: _pem(_key(), encryption=BestAvailableEncryption(b"pass")), "encrypted"),
    "encrypted, older": (lambda: _pem(_key(), encryption=BestAvailableEncryption(b"p"), form="PKCS1"), "encrypted"),
    "elliptic curve": (lambda: _pem(ec.generate_private_key(ec.SECP256R1())), "RSA key"),
    "Edwards curve": (lambda: _pem(ed25519.Ed25519PrivateKey.generate()), "RSA key"),
    "DSA": (lambda: _pem(dsa.generate_private_key(1024)), "RSA key"),
    "RSA of 1024 bits": (lambda: _pem(rsa.generate_private_key(65537, 1024)), "2048 bits"),
    "public key": (
        lambda: _key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        NOT_PEM,
    ),
    "certificate": (lambda: "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----", NOT_PEM),
}


@pytest.mark.parametrize(("make", "words"), BAD_KEYS.values(), ids=BAD_KEYS)
def test_invalid_private_key_is_rejected_and_not_shown(make: Callable[[], str], words: str) -> None:
    pem = Secret(make())
    with pytest.raises(ConfigurationError, match=words) as caught:
        Wonder(APP_ID, pem)
    shown = visible_text(caught.value, local_values=True)
    for line in filter(None, pem.reveal().splitlines()[1:-1]):
        assert line not in shown


def test_private_key_may_have_escaped_line_breaks_and_spaces() -> None:
    Wonder(APP_ID, private_key().replace("\n", "\\n"))
    Wonder(APP_ID, f"\n  {private_key()}\n\n")


BAD_URLS: dict[str, Any] = {
    "http to another machine": "http://gateway.wonder.today",
    "http to another machine by address": "http://192.0.2.1/",
    "http to a host that begins with localhost": "http://localhost.evil.example/",
    "http to a host that begins with 127.0.0.1": "http://127.0.0.1.evil.example/",
    "http to a private address": "http://10.0.0.1/",
    "http to all addresses": "http://0.0.0.0/",
    "http to an IPv6 address": "http://[::2]/",
    "user": f"https://user@{HIDDEN}.example/",
    "user and password": f"https://user:{HIDDEN}@gateway.example/",
    "user on loopback": f"http://user:{HIDDEN}@127.0.0.1/",
    "query": f"https://gateway.example/?key={HIDDEN}",
    "fragment": f"https://gateway.example/#{HIDDEN}",
    "file": "file:///etc/passwd",
    "ftp": "ftp://gateway.example/",
    "no scheme": "gateway.example",
    "no host": "https:///v1",
    "empty": "",
    "blank": " ",
    "blank inside": "https://gateway .example/",
    "newline": "https://gateway.example/\r\nX: 1",
    "not ASCII": "https://gatewäy.example/",
    "bad port": "https://gateway.example:99999/",
    "port 0": "https://gateway.example:0/",
    "no port number": "https://gateway.example:port/",
    "bad IPv6": "https://[::1/",
    "backslash before another host": f"https://gateway.example\\{HIDDEN}.example/",
    "backslash in the path": "https://gateway.example/v1\\..",
    "NUL": "https://gateway.example/%00/",
    "encoded slash": "https://gateway.example/%2f..%2f",
    "segment ..": "https://gateway.example/v1/../admin/",
    "segment . at the end": "https://gateway.example/v1/.",
    "None": None,
    "bytes": b"https://gateway.example/",
    "number": 5,
}
ACCOUNT_AT: dict[str, Callable[[Any], Any]] = {
    "wonder": lambda url: Wonder(APP_ID, private_key(), base_url=url),
    "paydock": lambda url: Paydock("key", base_url=url),
    "monri": lambda url: Monri("key", "token", base_url=url),
}


@pytest.mark.parametrize("url", BAD_URLS.values(), ids=BAD_URLS)
def test_invalid_base_url_is_rejected_and_not_shown(gateway: str, url: Any) -> None:
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        ACCOUNT_AT[gateway](url)
    assert HIDDEN not in str(caught.value).replace(f"{HIDDEN}.example", "")


@pytest.mark.parametrize(
    ("gateway", "url", "named"),
    [
        ("wonder", f"{Wonder.SANDBOX}/svc/payment/api/v1/openapi/", "/svc/payment/api/v1/openapi"),
        ("wonder", f"{Wonder.SANDBOX}/svc/payment/api/v1/openapi/customers", "/svc/payment/api/v1/openapi/customers"),
        ("wonder", f"{Wonder.PRODUCTION}/svc", "/svc"),
        ("wonder", "https://proxy.example/w/svc/payment/api/v1/openapi", "/svc/payment/api/v1/openapi"),
        ("monri", f"{Monri.SANDBOX}/v2", "/v2"),
        ("monri", f"{Monri.SANDBOX}/v2/customers", "/v2/customers"),
        ("monri", "http://127.0.0.1:8080/v2/customers", "/v2/customers"),
        ("paydock", f"{Paydock.SANDBOX}customers/", "/customers"),
        ("paydock", "https://proxy.example/paydock/v1/customers", "/customers"),
        ("paydock", "https://api.paydock.com", "/v1/"),
    ],
)
def test_base_url_with_a_path_of_the_documentation_is_rejected(gateway: str, url: str, named: str) -> None:
    """Every request would be answered with HTTP 404, which looks like a missing customer."""
    with pytest.raises(ConfigurationError, match=f"base_url must (not )?end with {named}, "):
        ACCOUNT_AT[gateway](url)


@pytest.mark.parametrize(
    "url",
    [
        "https://gateway.example",
        "https://gateway.example:8443/v1/",
        "http://127.0.0.1:8080",
        "http://127.9.8.7:8000/v1/",
        "http://[::1]:8080/",
        "http://localhost/v1/",
        "http://api.localhost:1",
        "HTTPS://GATEWAY.EXAMPLE/",
        "https://proxy.example/paydock/v2",
        "https://proxy.example/v2/",
        "https://proxy.example/svc",
        "https://proxy.example/customers",
    ],
)
def test_base_url_accepts_https_and_loopback_http(gateway: str, url: str) -> None:
    assert ACCOUNT_AT[gateway](url).base_url == url


def test_missing_environment_variables_are_named_and_values_not_shown(gateway: str) -> None:
    for variables in ({}, {"MONRI_MERCHANT_KEY": HIDDEN, "WONDER_PRIVATE_KEY": HIDDEN}):
        with pytest.raises(ConfigurationError, match=f"{gateway.upper()}_") as caught:
            ACCOUNT_CLASSES[gateway].from_environment(variables)
        assert HIDDEN not in visible_text(caught.value)


def test_private_key_variable_may_be_a_path_and_an_invalid_path_is_not_shown(tmp_path: Any) -> None:
    path = tmp_path / "key.pem"
    path.write_text(private_key())
    assert Wonder.from_environment({"WONDER_APP_ID": APP_ID, "WONDER_PRIVATE_KEY": str(path)}).app_id == APP_ID
    for wrong in (tmp_path / HIDDEN, tmp_path):
        with pytest.raises(ConfigurationError, match="WONDER_PRIVATE_KEY is neither") as caught:
            Wonder.from_environment({"WONDER_APP_ID": APP_ID, "WONDER_PRIVATE_KEY": str(wrong)})
        assert HIDDEN not in visible_text(caught.value)


VARIABLES = {
    "wonder": ("WONDER_APP_ID", "WONDER_PRIVATE_KEY", "WONDER_BASE_URL"),
    "paydock": ("PAYDOCK_SECRET_KEY", "PAYDOCK_BASE_URL"),
    "monri": ("MONRI_MERCHANT_KEY", "MONRI_AUTHENTICITY_TOKEN", "MONRI_AUTH", "MONRI_BASE_URL"),
}
ACCOUNT_CLASSES: dict[str, Any] = {"wonder": Wonder, "paydock": Paydock, "monri": Monri}


@pytest.mark.parametrize("variables", [None, 5, HIDDEN, [HIDDEN], dict], ids=lambda it: type(it).__name__)
def test_environment_must_be_a_mapping(gateway: str, variables: Any) -> None:
    with pytest.raises(ConfigurationError, match="mapping of strings, such as") as caught:
        ACCOUNT_CLASSES[gateway].from_environment(variables)
    assert HIDDEN not in visible_text(caught.value, local_values=True).replace(repr(variables), "")


@pytest.mark.parametrize(
    ("gateway", "name"), [(gateway, name) for gateway, names in VARIABLES.items() for name in names]
)
@pytest.mark.parametrize("value", [5, b"bytes", ["list"], True, 0, b""], ids=repr)
def test_environment_variable_that_is_not_text_is_named(gateway: str, name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be a str, not {type(value).__name__}"):
        ACCOUNT_CLASSES[gateway].from_environment(dict.fromkeys(VARIABLES[gateway], HIDDEN) | {name: value})


def test_private_key_path_in_an_unknown_home_folder_is_rejected() -> None:
    with pytest.raises(ConfigurationError, match="WONDER_PRIVATE_KEY is neither"):
        Wonder.from_environment({"WONDER_APP_ID": APP_ID, "WONDER_PRIVATE_KEY": "~unknown-user-name/key.pem"})
