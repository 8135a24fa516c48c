"""Cassettes contain no personal data and no credentials, and are replayed on both event loops."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from attrs import evolve

from scripted_transport import WithoutConnections
from wonder_customers import (
    Address,
    ConfigurationError,
    ConflictError,
    CustomerDraft,
    CustomerPatch,
    CustomerSession,
    GatewayError,
    InvalidResponseError,
    Monri,
    NotFoundError,
    NotSentError,
    PaydockFilter,
    Phone,
)
from wonder_customers.dialects.offline import offline_account
from wonder_customers.testing.cassettes import RecordingTransport, ReplayTransport, to_har
from wonder_customers.testing.factories import make_source
from wonder_customers.testing.simulated import CustomerSimulator
from wonder_customers.transports.httpx import HttpxTransport
from wonder_customers.wire import HttpResponse, SignedRequest, Transmission

GATEWAYS = ("wonder", "paydock", "monri")
COMMON_HEADERS = (b"Host", b"Accept", b"Accept-Encoding", b"Content-Type", b"User-Agent", b"X-Request-ID")
CANARIES = (
    "Canary",
    "canary.one@example.com",
    "7700900123",
    "Hidden Street",
    "Secretville",
    "80808",
    "4111111111111111",
)


def _draft(gateway: str, **changes: Any) -> CustomerDraft:
    address = {"address": Address(line1="Hidden Street 1", city="Secretville", postcode="80808", country="HR")}
    more: dict[str, Any] = address if gateway == "monri" else {}
    return CustomerDraft(
        "r-1",
        "Canary Lovelace",
        email="canary.one@example.com",
        phone=Phone("+44", "7700900123"),
        **{**more, **changes},
    )


async def _script(session: CustomerSession[Any]) -> list[Any]:
    """Return the records of a round with every kind of request."""
    gateway = session.gateway
    made = await session.create(_draft(gateway))
    found: list[Any] = [made, await session.get(made.id), await session.get_by_reference("r-1")]
    found.append(await session.update(made.id, CustomerPatch(email="canary.one@example.com")))
    found += [it async for it in session.list()]
    source = make_source(session.account)
    if source is not None:
        found.append((await session.create_payment_token(made.id, source)).token)
    with pytest.raises(NotFoundError):
        await session.get_by_reference("r-2")
    if gateway == "monri":
        with pytest.raises(ConflictError):
            await session.create(_draft(gateway))
    if gateway == "paydock":
        found += [it.id async for it in session.list(filter=PaydockFilter(search="Canary"))]
    return found


async def _record(gateway: str, simulated: CustomerSimulator, path: Path) -> list[Any]:
    recording = RecordingTransport(HttpxTransport(), path)
    async with CustomerSession(simulated.account(gateway), transport=lambda: recording) as session:
        return await _script(session)


async def test_cassette_replays_without_personal_data_and_credentials(
    gateway: str, customer_simulator: CustomerSimulator, tmp_path: Path
) -> None:
    path = tmp_path / "folder" / "cassette.json"
    recorded = await _record(gateway, customer_simulator, path)
    written = path.read_text(encoding="utf-8")
    variables = {name: it for name, it in customer_simulator.environment().items() if not name.endswith("_URL")}
    for canary in (*CANARIES, *variables.values()):
        assert canary not in written
    replay = ReplayTransport(path)
    async with CustomerSession(offline_account(gateway), transport=replay) as session:
        replayed = await _script(session)
    assert replay.unused == ()
    for before, after in zip(recorded, replayed, strict=True):
        for name in ("id", "reference", "name", "email", "phone", "status"):
            assert getattr(before, name, None) == getattr(after, name, None), name
    assert to_har(path)["log"]["entries"][0]["request"]["method"] == "POST"


async def test_equal_values_have_equal_numbers(customer_simulator: CustomerSimulator, tmp_path: Path) -> None:
    path = tmp_path / "cassette.json"
    await _record("monri", customer_simulator, path)
    first, second, *_ = orjson.loads(path.read_bytes())["interactions"]
    assert (
        first["request"]["body"]["email"] == first["response"]["body"]["email"] == second["response"]["body"]["email"]
    )
    assert set(first["request"]["body"]["email"]) == {"redacted", "type"}
    assert first["response"]["body"]["uuid"] == second["response"]["body"]["uuid"]


WRITTEN = (
    b'{ "uuid" : "u-1",\r\n "merchant_customer_id": "r-1", "status": "approved",'
    b' "name": "Zo\xc3\xab", "email":"one@example.com", "metadata": {"a": 1.0e2, "b": [ ]} }\n'
)


class _Written(WithoutConnections):
    """Responds with a body that is not compact JSON, and with headers in another order."""

    written = WRITTEN

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        transmission.sent, transmission.status = True, 200
        transmission.headers = {"retry-after": "1", "content-type": "application/json"}
        return HttpResponse(200, transmission.headers, self.written)


@pytest.mark.parametrize("body", [WRITTEN, b"\xef\xbb\xbf" + WRITTEN])
async def test_values_and_headers_of_responses_are_replayed(
    body: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Written, "written", body)
    path = tmp_path / "cassette.json"
    account = offline_account("monri")
    draft = CustomerDraft("r-1", "Zoë", email="one@example.com", metadata={"a": 100.0, "b": []})
    async with CustomerSession(account, transport=lambda: RecordingTransport(_Written(), path)) as session:
        await session.create(draft)
    assert "example.com" not in path.read_text(encoding="utf-8")
    received: list[HttpResponse] = []

    class Kept(ReplayTransport):
        async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
            received.append(await super().send(signed_request, transmission))
            return received[-1]

    async with CustomerSession(account, transport=Kept(path)) as session:
        await session.create(draft)
    assert orjson.loads(received[0].body) == orjson.loads(WRITTEN)
    assert list(received[0].headers) == ["retry-after", "content-type"]


METADATA = {"tax_id": "DE-811907", "code": "born in London", "status": "Grace", "type": 447911123456, "id": ["X-12-Y"]}
HOLDER = {"uuid": "u-2", "name": "Hopper", "phone": 447911123456, "extra": {"id": "X-12-Y"}, "metadata": METADATA}
PRIVATE = ("DE-811907", "London", "Grace", "447911123456", "X-12-Y", "Hopper", "canary-token", "canary-key", "bearer")
REFUSAL = {
    "status": "invalid-request",
    "code": 10001,
    "message": "merchant_customer_id already taken by Ada-Canary, call 447911123456",
    "errors": {"email": ["is already taken"]},
    "status_note": "Hopper",
    "customer": HOLDER,
}


class _Refusing(WithoutConnections):
    """Returns a token, and refuses each write."""

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        oauth = signed_request.target.endswith("oauth")
        body = {"status": "approved", "access_token": "bearer", "expires_in": 900} if oauth else REFUSAL
        transmission.sent, transmission.status, transmission.headers = True, 200 if oauth else 400, {}
        return HttpResponse(transmission.status, {}, orjson.dumps(body))


async def test_metadata_refusals_and_credentials_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "cassette.json"
    draft = CustomerDraft("r-1", "Ada-Canary", metadata=METADATA)
    transports: dict[str, Callable[[], Any]] = {
        "canary": lambda: RecordingTransport(_Refusing(), path),
        "other": lambda: ReplayTransport(path),
    }
    for name, transport in transports.items():
        account = Monri(f"{name}-key", f"{name}-token", auth="oauth")
        async with CustomerSession(account, transport=transport) as session:
            with pytest.raises(ConflictError, match="merchant_customer_id already taken by …, call …") as caught:
                await session.create(draft)
        assert caught.value.code == "invalid-request"
    written = path.read_text(encoding="utf-8")
    assert [it for it in PRIVATE if it in written] == []
    for kept in ('"approved"', '"invalid-request"', "10001", "900", '"r-1"', '"u-2"', "is already taken", "/v2/oauth"):
        assert kept in written


async def record_create(path: Path, name: str, body: bytes) -> None:
    """Record a create whose response has an unreadable `body`."""

    class Unreadable(_Written):
        async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
            written = await super().send(signed_request, transmission)
            return HttpResponse(written.status, written.headers, body)

    account = offline_account("monri")
    async with CustomerSession(account, transport=lambda: RecordingTransport(Unreadable(), path)) as session:
        with pytest.raises(InvalidResponseError):
            await session.create(CustomerDraft("r-1", name))


async def test_sent_value_in_another_form_is_also_replaced_in_an_id(tmp_path: Path) -> None:
    path = tmp_path / "cassette.json"
    await record_create(path, "Ada Canary", b'{"name": "ada canary", "user_id": "ada canary"}')
    assert b"canary" not in path.read_bytes().lower()


@pytest.mark.parametrize("body", [b'{"code": []}', b"[" * 999 + b"]" * 999], ids=["code", "deep"])
async def test_unreadable_response_is_recorded(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "cassette.json"
    await record_create(path, "Zoë", body)
    assert b'"response"' in path.read_bytes()


async def test_credentials_that_a_refusal_repeats_are_replaced(tmp_path: Path, gateway: str) -> None:
    path, sent = tmp_path / "cassette.json", list[str]()

    class Repeating(_Refusing):
        async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
            refused = await super().send(signed_request, transmission)
            sent.extend(value.decode() for name, value in signed_request.headers if name not in COMMON_HEADERS)
            message = f"application/json refused: {'; '.join(sent)}"
            return evolve(refused, body=orjson.dumps({"message": message, "error": {"message": message}}))

    account = offline_account(gateway)
    async with CustomerSession(account, transport=lambda: RecordingTransport(Repeating(), path)) as session:
        with pytest.raises(GatewayError):
            await session.get("0" * 24)
    written = path.read_text()
    words = {word for value in sent for word in re.findall(r"[^\s/]{12,}", value)}
    assert words
    assert [word for word in words if word in written] == []
    assert "application/json refused" in written


def test_missing_cassette_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        ReplayTransport(tmp_path / "cassette.json")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"version":2,"interactions":[]}',
        b'{"version":1,"interactions":[null]}',
        b'{"version":1,"interactions":[{"request":{},"response":{"status":200,"headers":{},"body":null}}]}',
        b'{"version":1,"interactions":[{"request":{"method":"GET","target":"/x","headers":[],"body":null},"response":{}}]}',
        b'{"version":1,"interactions":[{"request":{"method":"GET","target":"/x","headers":[],"body":%b%b},'
        b'"response":{"status":200,"headers":{},"body":null}}]}' % (b"[" * 999, b"]" * 999),
    ],
)
@pytest.mark.parametrize("read", [ReplayTransport, to_har])
def test_damaged_cassette_is_reported(read: Callable[[Path], object], content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cassette.json"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"is not a cassette of version 1\. Record it again"):
        read(path)


async def test_object_that_is_not_a_placeholder_is_replayed(tmp_path: Path) -> None:
    path, value = tmp_path / "cassette.json", {"redacted": 1, "type": {}}
    request: dict[str, Any] = {"method": "GET", "target": "/v2/customers/1", "headers": [], "body": None}
    response: dict[str, Any] = {"status": 200, "headers": {}, "body": {"uuid": "1", "description": value}}
    path.write_bytes(orjson.dumps({"version": 1, "interactions": [{"request": request, "response": response}]}))
    async with CustomerSession(offline_account("monri"), transport=ReplayTransport(path)) as session:
        assert (await session.get("1")).extra == {"description": value}


async def test_request_that_was_not_recorded_is_not_sent(customer_simulator: CustomerSimulator, tmp_path: Path) -> None:
    path = tmp_path / "cassette.json"
    await _record("monri", customer_simulator, path)
    replay = ReplayTransport(path)
    async with CustomerSession(offline_account("monri"), transport=replay) as session:
        with pytest.raises(NotSentError, match=r"has no unused response to this GET request.* Use fixed references"):
            await session.get("another")
        with pytest.raises(NotSentError):
            await session.create(_draft("monri", description="not recorded"))
    assert "POST /v2/customers" in replay.unused


async def test_values_keep_their_form(customer_simulator: CustomerSimulator, tmp_path: Path) -> None:
    """The gateway writes sent values in another form, and its own URLs are still URLs."""
    customer_simulator.quirks.add("lower-case-email", "reformatted-phone")

    async def work(session: CustomerSession[Any], *, saved: bool = False) -> list[Any]:
        draft = CustomerDraft("r-1", "Ada Lovelace", email="ADA@Example.org", phone=Phone("+44", "7911 123456"))
        made = await session.create(draft)
        found: list[Any] = [made.email and made.email.casefold(), made.phone and made.phone.e164()]
        if saved:
            customer_simulator.gateway("monri").add_payment_method(made.id)
        source = make_source(session.account)
        token = None if source is None else await session.create_payment_token(made.id, source)
        for it in filter(None, [token, *await session.list_payment_tokens(made.id)]):
            found += [it.card and (it.card.exp_month, it.card.exp_year, it.card.expired), it.verify_url is None]
        return found

    for gateway in GATEWAYS:
        path, account = tmp_path / f"{gateway}.json", customer_simulator.account(gateway)
        async with CustomerSession(account, transport=partial(RecordingTransport, None, path)) as session:
            recorded = await work(session, saved=gateway == "monri")
        assert recorded[:2] == ["ada@example.org", "+447911123456"]
        offline = offline_account(gateway)
        async with CustomerSession(offline, transport=ReplayTransport(path), strict=True) as session:
            assert await work(session) == recorded
            assert session.stats().drift == {}
