"""Input that cannot work: one clear error of the library's own, nothing sent, and nothing private in what it says."""

import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

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
from examples import CARD
from wired import ACCOUNTS, APP_ID, HEX24, UUID, Wire, private_key

from wonder_customers import (
    Address,
    CardSource,
    ConfigurationError,
    CustomerDraft,
    CustomerPatch,
    CustomerSession,
    InvalidRecord,
    Monri,
    OneTimeToken,
    Paydock,
    PaymentToken,
    Phone,
    RetryPolicy,
    Secret,
    VaultToken,
    Wonder,
)

Session = CustomerSession[Any]
Verb = Callable[[Session], Awaitable[Any]]
GATEWAY = pytest.mark.parametrize("gateway", ACCOUNTS)


def told(error: BaseException, *, local_values: bool = False) -> str:
    """Everything that an error may show: its words, its repr, its fields, its formatted traceback."""
    trace = traceback.TracebackException.from_exception(error, capture_locals=local_values)
    return "\n".join((str(error), repr(error), repr(vars(error)), *trace.format()))


async def refused(gateway: str, verb: Verb) -> InvalidRecord:
    """The `InvalidRecord` that a verb raises, with nothing sent."""
    wire = Wire()
    async with wire.session(ACCOUNTS[gateway]()) as session:
        with pytest.raises(InvalidRecord) as caught:
            await verb(session)
    assert wire.requests == []
    assert caught.value.gateway == gateway
    assert "Nothing was sent" in str(caught.value)
    return caught.value


UNSAFE: dict[str, Any] = {
    "dots": "..",
    "dot": ".",
    "empty": "",
    "newline": "a\nb",
    "null": "a\x00b",
    "delete": "a\x7fb",
    "C1 control": "a\x85b",
    "lone surrogate": "Lovelace\ud800",
    "10,000 characters": "Lovelace" * 1250,
    "None": None,
    "number": 35,
    "bytes": b"Lovelace",
    "list": ["Lovelace"],
}
UNSAFE_TEXTS = pytest.mark.parametrize("value", UNSAFE.values(), ids=UNSAFE)
CARDS = {
    "Wonder": CARD,
    "Paydock": CardSource(
        "4111111111111111", expire_month="12", expire_year="2030", holder_name="Ada Lovelace", gateway_id=HEX24
    ),
}
PLACES: dict[str, Callable[[Session, Any], Awaitable[Any]]] = {
    "get": lambda session, value: session.get(value),
    "get_by_reference": lambda session, value: session.get_by_reference(value),
    "update": lambda session, value: session.update(value, CustomerPatch(name="Ada")),
    "delete": lambda session, value: session.delete(value),
    "list_payment_tokens": lambda session, value: session.list_payment_tokens(value),
    "create_payment_token": lambda session, value: session.create_payment_token(
        value, CARDS[type(session.account).__name__]
    ),
    "check_payment_token (customer)": lambda session, value: session.check_payment_token(value, "t"),
    "check_payment_token (token)": lambda session, value: session.check_payment_token(UUID, value),
    "check_payment_token (record)": lambda session, value: session.check_payment_token(UUID, PaymentToken(value)),
    "delete_payment_token (customer)": lambda session, value: session.delete_payment_token(value, "t"),
    "delete_payment_token (token)": lambda session, value: session.delete_payment_token(UUID, value),
}
UNSUPPORTED = {("wonder", "delete")} | {
    ("monri", name) for name in PLACES if name.startswith(("create_p", "check_p", "delete_p"))
}


@pytest.mark.parametrize(
    ("gateway", "place"),
    [(gateway, place) for gateway in ACCOUNTS for place in PLACES if (gateway, place) not in UNSUPPORTED],
)
@UNSAFE_TEXTS
@pytest.mark.anyio
async def test_an_id_or_reference_that_cannot_stand_in_a_path_is_refused(gateway: str, place: str, value: Any) -> None:
    error = await refused(gateway, lambda session: PLACES[place](session, value))
    (violation,) = error.violations
    if place.endswith(("(token)", "(record)")):
        assert violation.field == "token"
    else:
        assert violation.field in ({"reference"} if place == "get_by_reference" else {"id", "customer_id"})
    assert "Lovelace" not in told(error)


@GATEWAY
@UNSAFE_TEXTS
@pytest.mark.anyio
async def test_a_draft_whose_reference_cannot_stand_in_a_path_is_refused(gateway: str, value: Any) -> None:
    if value is None and gateway != "wonder":
        return  # there a customer may be without one
    draft = CustomerDraft(reference=value, name="Ada", phone=Phone("+852", "12345678"))
    for verb in ("create", "upsert"):
        error = await refused(gateway, lambda session, verb=verb: getattr(session, verb)(draft))  # type: ignore[misc]
        assert [it.field for it in error.violations] == ["reference"]
        assert "Lovelace" not in told(error)


WRONG: Any = CustomerDraft(
    reference="a\nprivate",
    name="private " * 100,
    first_name="private",
    last_name=5,  # type: ignore[arg-type]
    email="private@" + "x" * 300,
    phone=Phone("+private852", "private" * 50),
    company_name="private" * 50,
    description="private" * 50,
    metadata={"private": object()},
    address=Address(line1="pr", line2="private", city="pr", postcode="private-private", country="private"),
    default_payment_method="private",
    default_payment_token="private",
    payment_source=CardSource(
        "4111111111111112", expire_month="13", expire_year="30", holder_name="", cvv="private", gateway_id="private"
    ),
)
EVERYTHING_WRONG = {
    "wonder": {
        "reference": "reference_number",
        "name": "name",
        "email": "email",
        "phone.dial_code": "dial_code",
        "phone.number": "phone",
        "company_name": "company_name",
        "default_payment_method": "default_payment_method",
        "default_payment_token": "default_payment_token",
        **dict.fromkeys(("first_name", "last_name", "description", "metadata")),
        **dict.fromkeys(f"address.{name}" for name in ("line1", "line2", "city", "postcode", "country")),
        **dict.fromkeys(
            f"payment_source.{name}"
            for name in ("number", "expire_month", "expire_year", "holder_name", "cvv", "gateway_id")
        ),
    },
    "paydock": {
        "reference": "reference",
        "email": "email",
        "phone": "phone",
        "company_name": "company_name",
        "description": "description",
        "metadata": "meta",
        "default_payment_token": "default_source",
        "last_name": "last_name",
        "payment_source.number": "payment_source.card_number",
        "payment_source.expire_month": "payment_source.expire_month",
        "payment_source.expire_year": "payment_source.expire_year",
        "payment_source.holder_name": "payment_source.card_name",
        "payment_source.cvv": "payment_source.card_ccv",
        "payment_source.gateway_id": "payment_source.gateway_id",
        **dict.fromkeys(("name", "default_payment_method")),
        **dict.fromkeys(f"address.{name}" for name in ("line1", "line2", "city", "postcode", "country")),
    },
    "monri": {
        "reference": "merchant_customer_id",
        "name": "name",
        "email": "email",
        "phone": "phone",
        "description": "description",
        "metadata": "metadata",
        "address.line1": "address",
        "address.city": "city",
        "address.postcode": "zip_code",
        "address.country": "country",
        **dict.fromkeys(
            (
                "first_name",
                "last_name",
                "company_name",
                "address.line2",
                "default_payment_method",
                "default_payment_token",
            )
        ),
        **dict.fromkeys(
            f"payment_source.{name}"
            for name in ("number", "expire_month", "expire_year", "holder_name", "cvv", "gateway_id")
        ),
    },
}


@GATEWAY
@pytest.mark.anyio
async def test_a_draft_with_everything_wrong_lists_every_field_at_once(gateway: str) -> None:
    for verb in ("create", "upsert"):
        error = await refused(gateway, lambda session, verb=verb: getattr(session, verb)(WRONG))  # type: ignore[misc]
        found = {it.field: it.wire_field for it in error.violations}
        assert found == EVERYTHING_WRONG[gateway]
        assert len(found) == len(error.violations)
        for violation in error.violations:
            assert violation.limit
            assert str(violation) in str(error)
            assert violation.wire_field is None or violation.wire_field in str(violation)
        shown = told(error, local_values=True)
        assert "4111111111111112" not in shown
        assert "private " not in told(error)
        assert "private@" not in told(error)


KINDS: Any = CustomerDraft(
    reference=["private"],  # type: ignore[arg-type]
    name={"private": 1},  # type: ignore[arg-type]
    first_name=b"private",  # type: ignore[arg-type]
    last_name=object(),  # type: ignore[arg-type]
    email=float("nan"),  # type: ignore[arg-type]
    phone="private",  # type: ignore[arg-type]
    company_name=True,  # type: ignore[arg-type]
    description=datetime.now(UTC),  # type: ignore[arg-type]
    metadata="private",
    address="private",  # type: ignore[arg-type]
    default_payment_method=["private"],  # type: ignore[arg-type]
    default_payment_token={"private"},  # type: ignore[arg-type]
    payment_source="private",  # type: ignore[arg-type]
)


@GATEWAY
@pytest.mark.anyio
async def test_a_draft_with_the_wrong_kind_of_thing_in_every_field_names_each(gateway: str) -> None:
    error = await refused(gateway, lambda session: session.create(KINDS))
    named = {it.field.partition(".")[0] for it in error.violations}
    assert named == {
        "reference",
        "name",
        "first_name",
        "last_name",
        "email",
        "phone",
        "company_name",
        "description",
        "metadata",
        "address",
        "default_payment_method",
        "default_payment_token",
        "payment_source",
    }
    assert "private" not in str(error)


@GATEWAY
@pytest.mark.anyio
async def test_a_patch_is_held_against_the_limits_before_anything_is_sent(gateway: str) -> None:
    patches = [
        CustomerPatch(email="private@" + "x" * 300),
        CustomerPatch(reference="a\nb"),
        CustomerPatch(phone="private"),  # type: ignore[arg-type]
        CustomerPatch(default_payment_token="private", name=5),  # type: ignore[arg-type]
        CustomerPatch(first_name="private", name="another"),
    ]
    for patch in patches:
        error = await refused(gateway, lambda session, patch=patch: session.update(HEX24, patch))  # type: ignore[misc]
        assert "private" not in told(error)


@pytest.mark.anyio
async def test_what_wonder_requires_cannot_be_cleared() -> None:
    for field in ("name", "phone", "reference"):
        patch = CustomerPatch(**{field: None})
        error = await refused("wonder", lambda session, patch=patch: session.update(UUID, patch))  # type: ignore[misc]
        assert [it.field.partition(".")[0] for it in error.violations] == [field]


METADATA: dict[str, Any] = {
    "nan": {"a": float("nan")},
    "infinity": {"a": [float("inf")]},
    "a moment": {"a": datetime.now(UTC)},
    "bytes": {"a": b"x"},
    "a secret": {"a": Secret("hidden")},
    "numbers as keys": {1: "x"},
    "a set": {"a": {1}},
    "a huge number": {"a": 2**64},
    "surrogates": {"a": "\ud800"},
    "a list": ["a"],
}
_loop: dict[str, Any] = {}
_loop["self"] = _loop
METADATA["itself"] = _loop


@pytest.mark.parametrize("metadata", METADATA.values(), ids=METADATA)
@pytest.mark.anyio
async def test_metadata_that_json_would_change_or_cannot_hold_is_refused(metadata: Any) -> None:
    error = await refused("monri", lambda session: session.create(CustomerDraft(metadata=metadata)))
    assert [(it.field, it.wire_field) for it in error.violations] == [("metadata", "metadata")]


def test_every_broken_limit_of_a_card_is_named_and_no_digit_of_it() -> None:
    with pytest.raises(InvalidRecord) as caught:
        ACCOUNTS["wonder"]().dialect().create_payment_token(UUID, WRONG.payment_source)
    assert [it.field for it in caught.value.violations] == [
        "number",
        "expire_month",
        "expire_year",
        "cvv",
        "holder_name",
        "transaction_type",
        "success_return_url",
        "fail_return_url",
        "gateway_id",
    ]
    shown = told(caught.value, local_values=True)
    assert "4111" not in shown
    assert "private" not in shown.replace("gateway_id='private'", "")


SOURCES: list[Any] = [None, "4111111111111111", 5, {"number": "4111"}, PaymentToken("t"), CardSource]


@pytest.mark.parametrize("gateway", ["wonder", "paydock"])
@pytest.mark.parametrize("source", SOURCES, ids=[type(it).__name__ for it in SOURCES])
@pytest.mark.anyio
async def test_what_is_no_payment_source_is_refused(gateway: str, source: Any) -> None:
    error = await refused(gateway, lambda session: session.create_payment_token(UUID, source))
    assert [it.field for it in error.violations] == ["payment_source"]
    assert "4111" not in str(error)


@pytest.mark.anyio
async def test_wonder_takes_cards_only_and_paydocks_sources_keep_their_forms() -> None:
    for source in (OneTimeToken(UUID), VaultToken(UUID)):
        await refused("wonder", lambda session, source=source: session.create_payment_token(UUID, source))  # type: ignore[misc]
    for broken in (OneTimeToken("private"), VaultToken("private"), VaultToken(UUID, gateway_id="private")):
        error = await refused(
            "paydock",
            lambda session, broken=broken: session.create_payment_token(HEX24, broken),  # type: ignore[misc]
        )
        assert "private" not in str(error)


NO_DRAFTS: list[Any] = [None, {}, {"name": "Lovelace"}, "Lovelace", CustomerPatch(), CustomerDraft, 5]


@GATEWAY
@pytest.mark.parametrize("draft", NO_DRAFTS, ids=[type(it).__name__ for it in NO_DRAFTS])
@pytest.mark.anyio
async def test_what_is_no_draft_is_refused_by_create_and_upsert(gateway: str, draft: Any) -> None:
    for verb in ("create", "upsert"):
        error = await refused(gateway, lambda session, verb=verb: getattr(session, verb)(draft))  # type: ignore[misc]
        assert [it.field for it in error.violations] == ["draft"]
        assert "Lovelace" not in told(error)


@GATEWAY
@pytest.mark.parametrize("patch", [None, {}, {"name": "Lovelace"}, CustomerDraft(), CustomerPatch], ids=repr)
@pytest.mark.anyio
async def test_what_is_no_patch_is_refused_by_update(gateway: str, patch: Any) -> None:
    error = await refused(gateway, lambda session: session.update(HEX24, patch))
    assert [it.field for it in error.violations] == ["patch"]


async def _walk(session: Session, **options: Any) -> None:
    async for _ in session.list(**options):
        raise AssertionError("there is nothing to list")


@GATEWAY
@pytest.mark.parametrize(
    "limit", [0, -1, 1001, True, False, 1.0, "5", [5], 10**30], ids=lambda it: f"{type(it).__name__} {it}"
)
@pytest.mark.anyio
async def test_a_page_size_outside_of_1_to_1000_is_refused(gateway: str, limit: Any) -> None:
    error = await refused(gateway, lambda session: _walk(session, limit=limit))
    assert [it.field for it in error.violations] == ["limit"]


@GATEWAY
@pytest.mark.parametrize(
    "cursor", ["", "abc", "-1", "1.5", " 1", "1\n", "\uff11", "9" * 40, 5, True, ["0"], b"0"], ids=repr
)
@pytest.mark.anyio
async def test_a_cursor_that_no_page_carried_is_refused(gateway: str, cursor: Any) -> None:
    error = await refused(gateway, lambda session: _walk(session, cursor=cursor))
    assert [it.field for it in error.violations] == ["cursor"]


@pytest.mark.parametrize("gateway", ["wonder", "paydock"])
@pytest.mark.parametrize(
    "filters",
    [{"limit": "5"}, {1: "x"}, {"search": 5}, {"search": None}, {"search": "\ud800"}, {"\ud800": "x"}, "search=x", 5],
    ids=repr,
)
@pytest.mark.anyio
async def test_filters_that_are_no_texts_or_would_move_the_page_are_refused(gateway: str, filters: Any) -> None:
    error = await refused(gateway, lambda session: _walk(session, filters=filters))
    assert [it.field for it in error.violations] == ["filters"]


# Accounts

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
def test_a_credential_that_cannot_stand_in_a_header_is_refused_and_not_shown(place: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=place.partition(" ")[2]) as caught:
        ACCOUNT_WITH[place](value)
    assert HIDDEN not in told(caught.value)


@pytest.mark.parametrize("place", [it for it in ACCOUNT_WITH if "app_id" not in it])
@pytest.mark.parametrize("wrap", [Secret, str])
def test_a_refused_secret_is_in_no_local_variable_of_the_traceback(place: str, wrap: Callable[[str], Any]) -> None:
    """Those of the caller excepted, whose plain text it was."""
    with pytest.raises(ConfigurationError) as caught:
        ACCOUNT_WITH[place](wrap(f"{HIDDEN}\n"))
    trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert caught.value.__context__ is None
    for frame in trace.stack:
        assert frame.filename == __file__ or HIDDEN not in str(frame.locals)


@pytest.mark.parametrize("place", ACCOUNT_WITH)
@pytest.mark.parametrize("value", [5, b"bytes", ["list"], True], ids=repr)
def test_a_credential_of_another_type_is_a_configuration_error(place: str, value: Any) -> None:
    with pytest.raises(ConfigurationError):
        ACCOUNT_WITH[place](value)


def test_none_is_no_credential_either() -> None:
    none: Any = None
    for kind, given in ((Wonder, (none, private_key())), (Wonder, (APP_ID, none)), (Monri, (none, "t"))):
        with pytest.raises(ConfigurationError):
            kind(*given)


def test_paydock_needs_exactly_one_credential() -> None:
    for given in ({}, {"secret_key": HIDDEN, "access_token": HIDDEN}):
        with pytest.raises(ConfigurationError, match="either secret_key or access_token") as caught:
            Paydock(**given)
        assert HIDDEN not in told(caught.value)


def test_monris_auth_is_one_of_two_words() -> None:
    for auth in ("basic", "", None, "Digest", ["oauth"]):
        with pytest.raises(ConfigurationError, match="auth must be"):
            Monri("key", "token", auth=auth)  # type: ignore[arg-type]


def _pem(key: Any, *, encryption: KeySerializationEncryption | None = None, form: str = "PKCS8") -> str:
    place = {"PKCS8": PrivateFormat.PKCS8, "PKCS1": PrivateFormat.TraditionalOpenSSL}[form]
    text: bytes = key.private_bytes(Encoding.PEM, place, encryption or NoEncryption())
    return text.decode()


def _key() -> rsa.RSAPrivateKey:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(private_key().encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


BAD_KEYS: dict[str, tuple[Callable[[], str], str]] = {
    "empty": (lambda: "", "no private key"),
    "blank": (lambda: " \n", "no private key"),
    "garbage": (lambda: "MIIEvQIBADAN", "no private key"),
    "garbage in PEM": (lambda: "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----", "no private key"),
    "cut short": (lambda: private_key()[:-200], "no private key"),
    "not ASCII": (lambda: private_key().replace("A", "é", 1), "no private key"),
    "lone surrogate": (lambda: "\ud800", "no private key"),
    "encrypted": (lambda: _pem(_key(), encryption=BestAvailableEncryption(b"pass")), "encrypted"),
    "encrypted, older form": (
        lambda: _pem(_key(), encryption=BestAvailableEncryption(b"pass"), form="PKCS1"),
        "encrypted",
    ),
    "elliptic curve": (lambda: _pem(ec.generate_private_key(ec.SECP256R1())), "RSA key"),
    "Edwards curve": (lambda: _pem(ed25519.Ed25519PrivateKey.generate()), "RSA key"),
    "DSA": (lambda: _pem(dsa.generate_private_key(1024)), "RSA key"),
    "RSA of 1024 bits": (lambda: _pem(rsa.generate_private_key(65537, 1024)), "2048 bits"),
    "the public half": (
        lambda: _key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        "no private key",
    ),
    "a certificate": (lambda: "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----", "no private key"),
}


@pytest.mark.parametrize(("make", "words"), BAD_KEYS.values(), ids=BAD_KEYS)
def test_what_is_no_plain_rsa_key_is_refused_and_no_line_of_it_is_shown(make: Callable[[], str], words: str) -> None:
    pem = Secret(make())
    with pytest.raises(ConfigurationError, match=words) as caught:
        Wonder(APP_ID, pem)
    shown = told(caught.value, local_values=True)
    for line in filter(None, pem.reveal().splitlines()[1:-1]):
        assert line not in shown


def test_a_key_may_have_escaped_line_breaks_and_stray_blanks() -> None:
    Wonder(APP_ID, private_key().replace("\n", "\\n"))
    Wonder(APP_ID, f"\n  {private_key()}\n\n")


BAD_URLS: dict[str, Any] = {
    "http to another machine": "http://gateway.wonder.today",
    "http to another machine by address": "http://192.0.2.1/",
    "http to what only looks like this machine": "http://localhost.evil.example/",
    "http to what only looks like loopback": "http://127.0.0.1.evil.example/",
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
    "no port number": "https://gateway.example:port/",
    "bad IPv6": "https://[::1/",
    "None": None,
    "bytes": b"https://gateway.example/",
    "number": 5,
}
AT: dict[str, Callable[[Any], Any]] = {
    "wonder": lambda url: Wonder(APP_ID, private_key(), base_url=url),
    "paydock": lambda url: Paydock("key", base_url=url),
    "monri": lambda url: Monri("key", "token", base_url=url),
}


@GATEWAY
@pytest.mark.parametrize("url", BAD_URLS.values(), ids=BAD_URLS)
def test_a_base_url_that_is_not_https_or_says_more_than_a_place_is_refused(gateway: str, url: Any) -> None:
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        AT[gateway](url)
    assert HIDDEN not in str(caught.value).replace(f"{HIDDEN}.example", "")


@GATEWAY
@pytest.mark.parametrize(
    "url",
    [
        "https://gateway.example",
        "https://gateway.example:8443/v1/",
        "http://127.0.0.1:8080",
        "http://[::1]:8080/",
        "http://localhost/v1/",
        "http://api.localhost:1",
        "HTTPS://GATEWAY.EXAMPLE/",
    ],
)
def test_https_anywhere_and_http_on_this_machine_are_taken(gateway: str, url: str) -> None:
    assert AT[gateway](url).base_url == url


@GATEWAY
def test_missing_variables_are_named_and_present_ones_not_shown(gateway: str) -> None:
    account: Any = {"wonder": Wonder, "paydock": Paydock, "monri": Monri}[gateway]
    for variables in ({}, {"MONRI_MERCHANT_KEY": HIDDEN, "WONDER_PRIVATE_KEY": HIDDEN}):
        with pytest.raises(ConfigurationError, match=f"{gateway.upper()}_") as caught:
            account.from_environment(variables)
        assert HIDDEN not in told(caught.value)


def test_a_key_variable_may_name_a_file_and_a_wrong_name_is_told_without_it(tmp_path: Any) -> None:
    place = tmp_path / "key.pem"
    place.write_text(private_key())
    assert Wonder.from_environment({"WONDER_APP_ID": APP_ID, "WONDER_PRIVATE_KEY": str(place)}).app_id == APP_ID
    for wrong in (tmp_path / HIDDEN, tmp_path):
        with pytest.raises(ConfigurationError, match="WONDER_PRIVATE_KEY is neither") as caught:
            Wonder.from_environment({"WONDER_APP_ID": APP_ID, "WONDER_PRIVATE_KEY": str(wrong)})
        assert HIDDEN not in told(caught.value)


# Sessions and policies

BAD_SESSIONS: dict[str, dict[str, Any]] = {
    "no account": {"account": None},
    "a class": {"account": Paydock},
    "a text": {"account": "paydock"},
    "retry of another type": {"retry": 3},
    "transport of another type": {"transport": 5},
    "no connections": {"max_connections": 0},
    "fewer than none": {"max_connections": -1},
    "a truth": {"max_connections": True},
    "half a connection": {"max_connections": 1.5},
    "too many": {"max_connections": 10**6},
}


@pytest.mark.parametrize("options", BAD_SESSIONS.values(), ids=BAD_SESSIONS)
def test_a_session_that_cannot_work_is_refused_when_it_is_made(options: dict[str, Any]) -> None:
    account = options.get("account", ACCOUNTS["paydock"]())
    with pytest.raises(ConfigurationError):
        CustomerSession(account, **{name: value for name, value in options.items() if name != "account"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": True},
        {"attempts": 2.0},
        {"attempts": "3"},
        {"deadline": 0},
        {"deadline": -1},
        {"deadline": float("nan")},
        {"deadline": float("inf")},
        {"deadline": None},
        {"read_timeout": 0},
        {"base": -0.1},
        {"factor": 0.5},
        {"budget": -1},
    ],
    ids=repr,
)
def test_a_policy_that_cannot_work_names_the_setting(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigurationError, match=rf"RetryPolicy\({name}="):
        RetryPolicy(**wrong)
