"""`pytest --record` writes the cassettes of tests, and the same tests replay them."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from projects import SETTINGS, RunResult, run_python

from wonder_customers.testing.simulated import CustomerSimulator

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


@pytest.mark.parametrize("workers", [pytest.param((), marks=pytest.mark.long), ("-p", "xdist.plugin", "-n2")])
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


CONFIGURED = """
import pytest
from wonder_customers import CustomerDraft, Phone

pytestmark = pytest.mark.anyio

async def test_monri(monri_session, gateway_cassette):
    await monri_session.create(CustomerDraft("r-1", "Ada"))

async def test_wonder(wonder_session, gateway_cassette):
    await wonder_session.create(CustomerDraft("r-1", "Ada", phone=Phone("+44", "7911123456")))
"""


@pytest.mark.parametrize(
    ("more", "message"),
    [
        pytest.param({}, "set MONRI_MERCHANT_KEY and", marks=pytest.mark.long),
        ({"MONRI_MERCHANT_KEY_FILE": "missing", "MONRI_AUTHENTICITY_TOKEN": "t"}, "MONRI_MERCHANT_KEY_FILE"),
    ],
)
def test_missing_credentials_of_the_recorded_gateway_are_named(
    customer_simulator: CustomerSimulator, tmp_path: Path, more: dict[str, str], message: str
) -> None:
    wonder = {name: it for name, it in customer_simulator.environment().items() if name.startswith("WONDER_")}
    recorded = _run(tmp_path, CONFIGURED, "--record", "-k", "asyncio", **wonder, **more)
    assert (recorded.count("passed"), recorded.count("error")) == (1, 1), recorded.text
    assert "ConfigurationError" in recorded.text
    assert message in recorded.text
    assert "monri.invalid" not in recorded.text
