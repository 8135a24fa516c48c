"""`probe` reports exactly the differences from the documentation and no values, and deletes its customers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from attrs import asdict, evolve

from wonder_customers import ConfigurationError, CustomerSession, InvalidRequestError, dialects
from wonder_customers.cli.app import run
from wonder_customers.dialects import simulator
from wonder_customers.dialects.base import Account
from wonder_customers.dialects.checks import GatewayChecks, Observations
from wonder_customers.dialects.facts import facts_of
from wonder_customers.probing import ProbeReport, probe
from wonder_customers.testing.simulated import CustomerSimulator
from wonder_customers.transports.asyncio import AsyncioTransport
from wonder_customers.wire import HttpResponse, SignedRequest, Transmission

GATEWAYS = ("wonder", "paydock", "monri")


def _quirks() -> Iterator[Any]:
    """Yield each quirk of each gateway; a quirk that an earlier gateway has is long."""
    seen = set[str]()
    for gateway in GATEWAYS:
        for quirk in simulator(gateway).known_quirks:
            yield pytest.param(gateway, quirk.name, marks=pytest.mark.long if quirk.name in seen else ())
            seen.add(quirk.name)


async def _probe(account: Account, **options: Any) -> ProbeReport:
    async with CustomerSession(account) as session:
        return await probe(session, **options)


async def test_probe_finds_no_difference_in_the_documented_gateway(
    gateway: str, customer_simulator: CustomerSimulator
) -> None:
    for _ in range(2):
        report = await _probe(customer_simulator.account(gateway))
        assert [(it.name, it.seen) for it in report.differences] == []
        assert report.failed == {}
    left = [it for it in customer_simulator.customers(gateway) if not (it.get("deleted") or it.get("archived"))]
    assert len(left) == len(report.left_behind) == (3 if gateway == "wonder" else 0)


async def test_probe_checks_payment_tokens_and_leaves_none(customer_simulator: CustomerSimulator) -> None:
    await _probe(customer_simulator.account("wonder"))
    sent = [it.method for it in customer_simulator.requests if "payment_tokens" in it.path]
    assert sent == ["GET", "POST", "POST", "DELETE", "GET"]
    async with customer_simulator.session("wonder") as session:
        found = await session.get_by_reference("probe-0")
        assert await session.list_payment_tokens(found.id) == ()


class _WithoutDeletion(AsyncioTransport):
    """Answers every deletion with a refusal."""

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        if signed_request.method != "DELETE":
            return await super().send(signed_request, transmission)
        transmission.sent, transmission.status = True, 403
        return HttpResponse(403, {}, b"{}")


@pytest.mark.parametrize("gateway", ["wonder", "paydock"])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_probe_names_what_it_could_not_delete(gateway: str, customer_simulator: CustomerSimulator) -> None:
    async with CustomerSession(customer_simulator.account(gateway), transport=_WithoutDeletion) as session:
        report = await probe(session)
    tokens = [it for it in report.left_behind if it == "a payment token of probe-0"]
    assert (len(report.left_behind), len(tokens)) == ((4, 1) if gateway == "wonder" else (3, 0))
    assert ("token-left" in [it.name for it in report.differences]) is (gateway == "wonder")


@pytest.mark.parametrize(("gateway", "quirk"), list(_quirks()))
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_probe_reports_the_enabled_quirk(gateway: str, quirk: str, customer_simulator: CustomerSimulator) -> None:
    customer_simulator.quirks.add(quirk)
    report = await _probe(customer_simulator.account(gateway))
    expected = "other-type" if quirk == "status-as-boolean" else quirk
    assert [it.name for it in report.differences] == [expected], report.differences
    assert report.failed == {}


async def test_probe_with_all_quirks_cleans_up_and_reports_shapes_and_no_values(
    gateway: str, customer_simulator: CustomerSimulator
) -> None:
    customer_simulator.quirks.add("all")
    report = await _probe(customer_simulator.account(gateway))
    assert report.failed == {}
    assert len(report.differences) >= 8
    left = [it for it in customer_simulator.customers(gateway) if not (it.get("deleted") or it.get("archived"))]
    assert len(left) == len(report.left_behind)
    written = orjson.dumps(asdict(report)).decode()
    secrets = [it for it in customer_simulator.environment().values() if not it.startswith("http")]
    for value in ("Probe.Original", "probe.original", "7700900123", "770 090", "Zagreb", "10000", "Zo", *secrets):
        assert value not in written
    assert report.steps["create"][0]["status"] in {200, 201}
    assert report.steps["create"][0]["headers"]


async def test_account_outside_of_the_sandbox_is_refused_before_a_request(
    customer_simulator: CustomerSimulator,
) -> None:
    account: Any = customer_simulator.account("monri")
    async with CustomerSession(evolve(account, base_url="https://ipg.monri.com")) as session:
        with pytest.raises(ConfigurationError, match="not a sandbox account"):
            await probe(session)


async def test_production_probe_sends_reads_only(gateway: str, customer_simulator: CustomerSimulator) -> None:
    async with customer_simulator.session(gateway) as session:
        await probe(session)
        before = len(customer_simulator.requests)
        report = await probe(session, production=True)
    assert {it.method for it in customer_simulator.requests[before:]} == {"GET"}
    assert report.differences == ()


@pytest.mark.parametrize(("quirk", "code"), [(None, 0), ("time-form", 2)])
def test_command_prints_the_checks_and_writes_the_report(
    quirk: str | None,
    code: int,
    customer_simulator: CustomerSimulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in customer_simulator.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "200")
    if quirk:
        customer_simulator.quirks.add(quirk)
    file = tmp_path / "probe.json"
    assert run(["probe", "paydock", "--json", str(file)]) == code
    assert ("created_at: expected time, found number" in capsys.readouterr().out) is (code == 2)
    assert orjson.loads(file.read_bytes())["gateway"] == "paydock"
    sent = len(customer_simulator.requests)
    assert run(["probe", "paydock", "--json", str(file)]) == 1
    assert run(["probe", "paydock", "--json", str(tmp_path / "missing" / "probe.json")]) == 1
    assert len(customer_simulator.requests) == sent
    message = "Nothing was sent. Give the path of a new file in an existing folder with --json."
    assert capsys.readouterr().err.count(message) == 2
    monkeypatch.setenv("PAYDOCK_SECRET_KEY", "wrong")
    assert run(["probe", "paydock"]) == 1


@pytest.mark.parametrize(
    "body",
    [None, [], [None], 5, {"data": None}, {"data": {"customer": None, "payment_tokens": 1}}, {"resource": None}],
    ids=str,
)
def test_checks_accept_responses_of_any_form(gateway: str, body: Any) -> None:
    steps = ("create", "duplicate", "create_token", "delete_token", "list", "delete", "get_deleted", "unknown")
    seen = Observations({step: [HttpResponse(200, {}, orjson.dumps(body))] for step in steps})
    checks = GatewayChecks.of(dialects.package(gateway).__name__).checks
    assert all(isinstance(check.see(seen), str | None) for check in checks)


def test_refused_second_create_at_wonder_is_not_reported_as_another_customer() -> None:
    created, refused = {"data": {"customer": {"uuid": "u"}}}, {"code": "E000001", "data": None}
    responses = {
        "create": [HttpResponse(200, {}, orjson.dumps(created))],
        "duplicate": [HttpResponse(400, {}, orjson.dumps(refused))],
    }
    seen = Observations(responses, {"duplicate": InvalidRequestError("refused", status=400)})
    (check,) = (it for it in GatewayChecks.of("wonder_customers.dialects.wonder").checks if it.fact == "upsert")
    assert check.see(seen) == "HTTP 400, read as InvalidRequestError"


def test_checks_name_facts_of_the_gateways_page(gateway: str) -> None:
    name = dialects.package(gateway).__name__
    assert {check.fact for check in GatewayChecks.of(name).checks} <= {fact.name for fact in facts_of(name)}
