"""Cassettes contain no personal data and no credentials, and are replayed on both event loops."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from projects import SETTINGS, RunResult, run_python

from wonder_customers import (
    Address,
    ConfigurationError,
    ConflictError,
    CustomerDraft,
    CustomerPatch,
    CustomerSession,
    InvalidResponseError,
    Monri,
    NotFoundError,
    NotSentError,
    PaydockFilter,
    Phone,
)
from wonder_customers.dialects.offline import account_at, mock_origin
from wonder_customers.testing.cassettes import RecordingTransport, ReplayTransport, to_har
from wonder_customers.testing.factories import make_source
from wonder_customers.testing.simulated import CustomerSimulator
from wonder_customers.transports.httpx import HttpxTransport
from wonder_customers.wire import HttpResponse, SignedRequest, Transmission

pytestmark = pytest.mark.anyio

GATEWAYS = ("wonder", "paydock", "monri")
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


@pytest.mark.parametrize("gateway", GATEWAYS)
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
    async with CustomerSession(account_at(gateway, mock_origin(gateway)), transport=replay) as session:
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


class _Written:
    """Responds with a body that is not compact JSON, and with headers in another order."""

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        transmission.sent, transmission.status = True, 200
        transmission.headers = {"retry-after": "1", "content-type": "application/json"}
        return HttpResponse(200, transmission.headers, WRITTEN)

    async def aclose(self) -> None:
        """Do nothing."""


async def test_bodies_and_headers_are_replayed_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "cassette.json"
    account = account_at("monri", mock_origin("monri"))
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
    expected = WRITTEN.replace(b"1.0e2", b"100.0")  # a redacted number is written as in the request
    assert (received[0].body, list(received[0].headers)) == (expected, ["retry-after", "content-type"])


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


class _Refusing:
    """Returns a token, and refuses each write."""

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        oauth = signed_request.target.endswith("oauth")
        body = {"status": "approved", "access_token": "bearer", "expires_in": 900} if oauth else REFUSAL
        transmission.sent, transmission.status, transmission.headers = True, 200 if oauth else 400, {}
        return HttpResponse(transmission.status, {}, orjson.dumps(body))

    async def aclose(self) -> None:
        """Do nothing."""


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


async def test_response_with_a_code_of_another_type_is_recorded(tmp_path: Path) -> None:
    class Unusual(_Written):
        async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
            written = await super().send(signed_request, transmission)
            return HttpResponse(written.status, written.headers, b'{"code": []}')

    path = tmp_path / "cassette.json"
    account = account_at("monri", mock_origin("monri"))
    async with CustomerSession(account, transport=lambda: RecordingTransport(Unusual(), path)) as session:
        with pytest.raises(InvalidResponseError):
            await session.create(CustomerDraft("r-1", "Zoë"))
    assert b'"code"' in path.read_bytes()


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
    ],
)
@pytest.mark.parametrize("read", [ReplayTransport, to_har])
def test_damaged_cassette_is_reported(read: Callable[[Path], object], content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cassette.json"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"is not a cassette of version 1\. Record it again"):
        read(path)


async def test_request_that_was_not_recorded_is_not_sent(customer_simulator: CustomerSimulator, tmp_path: Path) -> None:
    path = tmp_path / "cassette.json"
    await _record("monri", customer_simulator, path)
    replay = ReplayTransport(path)
    async with CustomerSession(account_at("monri", mock_origin("monri")), transport=replay) as session:
        with pytest.raises(NotSentError, match="has no unused response to this GET request"):
            await session.get("another")
        with pytest.raises(NotSentError):
            await session.create(_draft("monri", description="not recorded"))
    assert "POST /v2/customers" in replay.unused


PLUGINS = ("-p", "pytest_wonder_customers", "-p", "anyio.pytest_plugin")


def _run(folder: Path, test: str, *options: str, **variables: str) -> RunResult:
    (folder / "pytest.ini").write_text(SETTINGS)
    (folder / "test_shop.py").write_text(test)
    off: Any = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **variables}
    return run_python("-m", "pytest", "-q", *PLUGINS, *options, folder=folder, **off)


def _accounts(simulated: CustomerSimulator) -> dict[str, str]:
    return {name: it for name, it in simulated.environment().items() if name.startswith("MONRI_")}


SHOP = """
import pytest
from wonder_customers import CustomerDraft

pytestmark = pytest.mark.anyio

async def test_create(monri_session, gateway_cassette):
    made = await monri_session.create(CustomerDraft("r-1", "Canary Lovelace"))
    assert (await monri_session.get(made.id)).name == "Canary Lovelace"

class TestFirst:
    async def test_create(self, monri_session, gateway_cassette):
        await monri_session.create(CustomerDraft("r-2", "Canary Lovelace"))

    class TestInner:
        async def test_create(self, monri_session, gateway_cassette):
            await monri_session.create(CustomerDraft("r-3", "Canary Lovelace"))

@pytest.mark.parametrize("reference", ["a/b", "a b", "a-b", "A-b", "x" * 300, "trio", "asyncio"])
async def test_value(monri_session, gateway_cassette, reference):
    await monri_session.create(CustomerDraft(reference[:60], "Canary Lovelace"))

@pytest.mark.parametrize("anyio_backend", [pytest.param(("asyncio", {"debug": True}), id="asyncio+debug"), "trio"])
async def test_own_backends(monri_session, gateway_cassette):
    await monri_session.create(CustomerDraft("r-4", "Canary Lovelace"))
"""


@pytest.mark.parametrize("workers", [(), ("-p", "xdist.plugin", "-n2")])
def test_gateway_cassette_is_recorded_once_and_replayed_on_both_event_loops(
    customer_simulator: CustomerSimulator, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    recorded = _run(tmp_path, SHOP, "--record", "-rs", *workers, **_accounts(customer_simulator))
    assert (recorded.count("passed"), recorded.count("skipped"), recorded.code) == (11, 11, 0), recorded.text
    assert "test_create[asyncio] records the cassette of this test. Run pytest without --record" in recorded.text
    cassettes = {it.name: it.read_text() for it in (tmp_path / "cassettes" / "test_shop").iterdir()}
    plain = {"test_create.json", "TestFirst.test_create.json", "TestFirst.TestInner.test_create.json"}
    plain |= {"test_value-a-b.json", "test_value-trio.json", "test_value-asyncio.json", "test_own_backends.json"}
    assert plain <= cassettes.keys()
    assert len({name.lower() for name in cassettes}) == 11
    assert "Canary" not in "".join(cassettes.values())
    before = len(customer_simulator.requests)
    assert _run(tmp_path, SHOP).count("passed") == 22
    assert len(customer_simulator.requests) == before


UNFINISHED = """
import pytest
from wonder_customers import CustomerDraft

pytestmark = pytest.mark.anyio

@pytest.fixture
def anyio_backend():
    return "asyncio"

async def test_passed(monri_session, gateway_cassette):
    await monri_session.create(CustomerDraft("r-1", "Ada"))

async def test_failed(monri_session, gateway_cassette):
    assert (await monri_session.get_by_reference("r-1")).name == "Another"

async def test_skipped(monri_session, gateway_cassette):
    await monri_session.get_by_reference("r-1")
    pytest.skip("not today")

@pytest.mark.xfail
async def test_expected_to_fail(monri_session, gateway_cassette):
    assert (await monri_session.get_by_reference("r-1")).name == "Another"

async def test_no_request(gateway_cassette):
    pass
"""


def test_only_a_test_that_passes_replaces_its_cassette(customer_simulator: CustomerSimulator, tmp_path: Path) -> None:
    folder = tmp_path / "cassettes" / "test_shop"
    kept = [folder / f"test_{name}.json" for name in ("failed", "skipped", "expected_to_fail")]
    folder.mkdir(parents=True)
    for path in kept:
        path.write_text("kept")
    recorded = _run(tmp_path, UNFINISHED, "--record", **_accounts(customer_simulator))
    words = ("passed", "failed", "skipped", "xfailed", "error")
    assert [recorded.count(word) for word in words] == [2, 1, 1, 1, 0], recorded.text
    assert {path.read_text() for path in kept} == {"kept"}
    assert orjson.loads((folder / "test_no_request.json").read_bytes())["interactions"] == []


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
        offline = account_at(gateway, mock_origin(gateway))
        async with CustomerSession(offline, transport=ReplayTransport(path), strict=True) as session:
            assert await work(session) == recorded
            assert session.stats().drift == {}


CONFIGURED = """
import pytest
from wonder_customers import CustomerDraft, Phone

pytestmark = pytest.mark.anyio

async def test_monri(monri_session, gateway_cassette):
    await monri_session.create(CustomerDraft("r-1", "Ada"))

async def test_wonder(wonder_session, gateway_cassette):
    await wonder_session.create(CustomerDraft("r-1", "Ada", phone=Phone("+44", "7911123456")))
"""


def test_missing_credentials_of_the_recorded_gateway_are_named(
    customer_simulator: CustomerSimulator, tmp_path: Path
) -> None:
    variables = customer_simulator.environment()
    wonder = {name: it for name, it in variables.items() if name.startswith("WONDER_")}
    wrong = {"MONRI_MERCHANT_KEY_FILE": str(tmp_path / "missing"), "MONRI_AUTHENTICITY_TOKEN": "t"}
    for more, message in (({}, "set MONRI_MERCHANT_KEY and"), (wrong, "MONRI_MERCHANT_KEY_FILE")):
        recorded = _run(tmp_path, CONFIGURED, "--record", "-k", "asyncio", **wonder, **more)
        assert (recorded.count("passed"), recorded.count("error")) == (1, 1), recorded.text
        assert "ConfigurationError" in recorded.text
        assert message in recorded.text
        assert "monri.invalid" not in recorded.text
