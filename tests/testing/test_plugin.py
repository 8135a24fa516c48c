"""The plug-in in user projects: all modes of the event loop plug-ins, and messages that name the fix."""

from pathlib import Path

import pytest
from projects import run_project, run_python

GOOD = """
import pytest

from wonder_customers import CustomerPatch
from wonder_customers.testing import make_draft

pytestmark = pytest.mark.{mark}


async def test_mock(gateway_mock, monri_session, no_waits):
    gateway_mock.monri.refuse("unavailable", operation="update", times=2)
    assert (await monri_session.update("c-1", CustomerPatch(name="Ada"))).id == "c-1"
    assert len(no_waits.waits) == 2


async def test_simulator(wonder_session, paydock_session, monri_session, customer_simulator):
    draft = make_draft()
    for session in (wonder_session, paydock_session, monri_session):
        await session.create(draft)
    for gateway in ("wonder", "paydock", "monri"):
        assert customer_simulator.ledger(gateway) == {{draft.reference: 1}}
        assert len(customer_simulator.customers(gateway)) == 1


async def test_each_in_turn(customer_session, shared_customer_simulator, customer_gateway, no_waits):
    shared_customer_simulator.faults.add("rate_limited", gateway=customer_gateway, retry_after=30)
    customer = await customer_session.create(make_draft())
    assert (await customer_session.get(customer.id)).id == customer.id
    assert no_waits.total >= 30
"""

ANYIO, ASYNCIO = "anyio.pytest_plugin", "pytest_asyncio.plugin"
AUTO = ["asyncio_mode=auto", "asyncio_default_fixture_loop_scope=function"]
MODES: dict[str, tuple[str, tuple[str, ...], list[str], int]] = {
    "anyio, both backends": ("anyio", (ANYIO,), [], 10),
    "anyio beside strict asyncio": ("anyio", (ANYIO, ASYNCIO), ["asyncio_mode=strict"], 10),
    "anyio auto mode": ("filterwarnings('error')", (ANYIO,), ["anyio_mode=auto"], 10),
    "strict asyncio": ("asyncio", (ASYNCIO,), ["asyncio_mode=strict"], 5),
    "auto asyncio": ("filterwarnings('error')", (ANYIO, ASYNCIO), ["asyncio_mode=auto"], 5),
    "asyncio with module loop scope": ("asyncio(loop_scope='module')", (ASYNCIO,), [], 5),
    "asyncio with session loop scope": ("asyncio", (ASYNCIO,), ["asyncio_default_test_loop_scope=session"], 5),
}


USUAL = {"anyio, both backends", "asyncio with session loop scope"}


@pytest.mark.parametrize(
    "mode", [pytest.param(mode, id=mode, marks=() if mode in USUAL else pytest.mark.long) for mode in MODES]
)
def test_fixtures_work_in_each_mode(tmp_path: Path, mode: str) -> None:
    mark, plugins, values, expected = MODES[mode]
    if ASYNCIO in plugins:
        values = [*values, "asyncio_default_fixture_loop_scope=function"]
    options = [part for value in values for part in ("-o", value)]
    outcome = run_project(tmp_path, GOOD.format(mark=mark), *options, plugins=plugins)
    assert outcome.code == 0, outcome.text
    assert outcome.count("passed") == expected


@pytest.mark.parametrize(
    ("mark", "options", "plugins", "message"),
    [
        ("asyncio", ["markers=asyncio"], (ANYIO,), "require pytest-asyncio, which is not installed or is disabled."),
        ("anyio", AUTO, (ANYIO, ASYNCIO), "Remove the marker anyio, or set asyncio_mode = strict"),
    ],
    ids=["without pytest-asyncio", "anyio in auto mode"],
)
def test_mark_that_its_plugin_does_not_run(
    tmp_path: Path, mark: str, options: list[str], plugins: tuple[str, ...], message: str
) -> None:
    test = f"""
import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.{mark}
async def test_marked(monri_session): ...
"""
    outcome = run_project(tmp_path, test, *(part for it in options for part in ("-o", it)), plugins=plugins)
    assert outcome.count("error") == 1
    assert message in outcome.text


MISTAKES = """
import pytest

from wonder_customers import ConfigurationError, CustomerSession, Monri, Paydock, WonderCustomersError
from wonder_customers.testing import make_draft

asynchronous = pytest.mark.anyio
ACCOUNT = Monri("key", "token", base_url="https://ipg.monri.com")


@pytest.fixture
def anyio_backend():
    return "asyncio"


@asynchronous
async def test_not_mocked(gateway_mock, paydock_session):
    await paydock_session.delete("c-1")


@asynchronous
async def test_not_mocked_and_swallowed(gateway_mock, paydock_session):
    try:
        await paydock_session.delete("c-1")
    except AssertionError:
        pass


@asynchronous
async def test_not_called(gateway_mock, monri_session):
    gateway_mock.monri.create(name="Ada")


@asynchronous
async def test_refused_signature(customer_simulator):
    wrong = Monri("another-key", "another-token", base_url=customer_simulator.origin)
    async with CustomerSession(wrong) as session:
        await session.check()


@asynchronous
async def test_external_host():
    async with CustomerSession(ACCOUNT) as session:
        await session.check()


@asynchronous
async def test_external_host_and_swallowed():
    async with CustomerSession(ACCOUNT) as session:
        try:
            await session.check()
        except WonderCustomersError:
            pass


@asynchronous
async def test_external_host_by_own_transport():
    import httpx

    async with CustomerSession(ACCOUNT, transport=lambda: httpx.AsyncHTTPTransport(trust_env=False)) as session:
        await session.check()


@asynchronous
async def test_external_host_by_proxy(customer_simulator):
    from wonder_customers.transports.httpx import HttpxTransport

    async with CustomerSession(
        customer_simulator.account("monri"), transport=HttpxTransport(proxy="http://192.0.2.1:3128")
    ) as session:
        await session.check()


def test_synchronous(monri_session):
    pass


@asynchronous
async def test_unsupported_operation(gateway_mock):
    gateway_mock.wonder.delete()


@asynchronous
async def test_fails_for_another_reason(gateway_mock):
    gateway_mock.wonder.get()
    raise LookupError("mine")
"""

FIXES = {
    "not_mocked": "Mock it with gateway_mock.paydock.delete(…).",
    "not_mocked_and_swallowed": "paydock: DELETE /customers/{id} is not mocked.",
    "not_called": "these routes are mocked but were never called: monri.create(). Check that the code under test",
    "refused_signature": "Check that the credentials belong to this environment and that the clock of this m",
    "external_host": "test_project.py::test_external_host: a session tried to connect to ipg.monri.com",
    "external_host_and_swallowed": "test_project.py::test_external_host_and_swallowed: a session tried to connect to",
    "external_host_by_own_transport": "Use `transport=gateway_mock.transport`",
    "external_host_by_proxy": "a session tried to connect to 192.0.2.1",
    "synchronous": "In a synchronous test, create a session with",
    "unsupported_operation": "wonder does not support delete, so it cannot be mocked:",
    "fails_for_another_reason": "LookupError: mine",
}


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory: pytest.TempPathFactory) -> str:
    return run_project(tmp_path_factory.mktemp("mistakes"), MISTAKES).text


def reported(text: str, test: str) -> str:
    """Return the part of the output about one test."""
    _, found, rest = text.partition(f" test_{test} ___")
    assert found, text
    return rest.partition("\n____")[0].partition("\n====")[0]


@pytest.mark.parametrize("test", FIXES)
def test_each_mistake_names_its_fix(mistakes: str, test: str) -> None:
    assert FIXES[test] in reported(mistakes, test)


def test_each_mistake_is_reported_once(mistakes: str) -> None:
    summary = mistakes.splitlines()[-1]
    # Teardown errors: a swallowed request without a route, and a route without a request.
    assert "8 failed, 2 passed, 3 errors" in summary
    assert "never called: wonder.get()" not in mistakes


NOT_COMPLETED = """
import pytest

pytestmark = pytest.mark.anyio


async def test_skipped(gateway_mock, monri_session):
    gateway_mock.monri.get()
    pytest.skip("not today")


@pytest.fixture
async def prepared(gateway_mock, monri_session):
    gateway_mock.monri.get()
    pytest.skip("not today")


async def test_skipped_by_fixture(prepared):
    pass


async def test_xfail(gateway_mock, monri_session):
    gateway_mock.monri.get()
    pytest.xfail("not ready")


@pytest.mark.xfail
async def test_expected_to_fail(gateway_mock, monri_session):
    gateway_mock.monri.get()
    raise LookupError
"""


def test_mocked_routes_need_no_call_if_the_test_is_skipped_or_fails_as_expected(tmp_path: Path) -> None:
    outcome = run_project(tmp_path, NOT_COMPLETED)
    assert [outcome.count(word) for word in ("skipped", "xfailed", "errors")] == [4, 4, 0], outcome.text


OWN_GATEWAYS = """
import pytest

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.parametrize(argnames="customer_gateway", argvalues=["monri"])
async def test_keywords(customer_session, customer_gateway):
    assert customer_session.gateway == customer_gateway == "monri"


@pytest.mark.parametrize("number, customer_gateway", [(1, "monri")])
async def test_two_in_one_string(customer_session, customer_gateway, number):
    assert customer_session.gateway == customer_gateway == "monri"


@pytest.mark.parametrize(["customer_gateway", "number"], [("monri", 1)])
async def test_list(customer_session, number):
    assert customer_session.gateway == "monri"


@pytest.mark.parametrize(argnames=("customer_gateway",), argvalues=[("monri",)], indirect=True)
async def test_tuple_by_keyword_and_indirect(customer_session, customer_gateway):
    assert customer_session.gateway == customer_gateway == "monri"


class TestOwnFixture:
    @pytest.fixture
    def customer_gateway(self):
        return "monri"

    async def test_once(self, customer_session):
        assert customer_session.gateway == "monri"


class TestOwnParameters:
    @pytest.fixture(params=["monri", "paydock"])
    def customer_gateway(self, request):
        return request.param

    async def test_twice(self, customer_session, customer_gateway):
        assert customer_session.gateway == customer_gateway


@pytest.mark.parametrize("other_customer_gateway", [1])
async def test_another_name(customer_session, other_customer_gateway):
    pass


@pytest.mark.gateways
async def test_mark_without_names(customer_session):
    pass
"""


SANDBOX = """
import os

import pytest

from wonder_customers import CustomerSession, Monri, NotSentError, RetryPolicy

GUARD = "WONDER_CUSTOMERS_LOOPBACK_ONLY"


@pytest.mark.anyio
@pytest.mark.real_gateway
async def test_guard_is_off():
    assert GUARD not in os.environ
    account = Monri("key", "token", base_url="https://unknown.invalid")
    async with CustomerSession(account, retry=RetryPolicy(attempts=1, deadline=5)) as session:
        with pytest.raises(NotSentError):
            await session.check()


def test_guard_is_on_again():
    assert os.environ[GUARD] == "1"
"""


UNUSED = """
import sys

HEAVY = {"wonder_customers", "httpx", "respx", "starlette", "uvicorn", "cattrs", "hypothesis", "cryptography"}


def test_nothing_was_loaded():
    assert "pytest_wonder_customers" in sys.modules
    assert not HEAVY & sys.modules.keys()
"""


@pytest.mark.parametrize(
    ("tests", "passed", "plugins"),
    [(OWN_GATEWAYS, 4 + 1 + 2 + 3 + 3, (ANYIO,)), (SANDBOX, 3, (ANYIO,)), (UNUSED, 1, ())],
    ids=["own gateways", "real gateways", "unused plug-in"],
)
def test_tests_of_a_project_pass(tmp_path: Path, tests: str, passed: int, plugins: tuple[str, ...]) -> None:
    outcome = run_project(tmp_path, tests, plugins=plugins)
    assert (outcome.code, outcome.count("passed")) == (0, passed), outcome.text


def test_guard_applies_to_child_processes(tmp_path: Path) -> None:
    """The guard is an environment variable, so child processes such as web servers inherit it."""
    program = (
        "import anyio; from wonder_customers import *\n"
        "async def main():\n"
        "    async with CustomerSession(Monri('k', 't')) as session: await session.check()\n"
        "anyio.run(main)\n"
    )
    outcome = run_python("-c", program, folder=tmp_path, WONDER_CUSTOMERS_LOOPBACK_ONLY="1")
    assert outcome.code == 1
    assert "a session tried to connect to ipgtest.monri.com" in outcome.text
