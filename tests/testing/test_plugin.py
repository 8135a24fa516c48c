"""The plug-in in projects of its users: every mode of the event loop plug-ins, every mistake with its cure."""

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
MODES: dict[str, tuple[str, tuple[str, ...], list[str], int]] = {
    "anyio, both back ends": ("anyio", (ANYIO,), [], 10),
    "anyio beside strict asyncio": ("anyio", (ANYIO, ASYNCIO), ["asyncio_mode=strict"], 10),
    "anyio of its own accord": ("filterwarnings('error')", (ANYIO,), ["anyio_mode=auto"], 10),
    "strict asyncio": ("asyncio", (ASYNCIO,), ["asyncio_mode=strict"], 5),
    "auto asyncio": ("filterwarnings('error')", (ANYIO, ASYNCIO), ["asyncio_mode=auto"], 5),
    "asyncio on one loop per module": ("asyncio(loop_scope='module')", (ASYNCIO,), [], 5),
    "asyncio on one loop in all": ("asyncio", (ASYNCIO,), ["asyncio_default_test_loop_scope=session"], 5),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode(tmp_path: Path, mode: str) -> None:
    mark, plugins, values, expected = MODES[mode]
    if ASYNCIO in plugins:
        values = [*values, "asyncio_default_fixture_loop_scope=function"]
    options = [part for value in values for part in ("-o", value)]
    outcome = run_project(tmp_path, GOOD.format(mark=mark), *options, plugins=plugins)
    assert outcome.code == 0, outcome.text
    assert outcome.count("passed") == expected


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
async def test_leaves():
    async with CustomerSession(ACCOUNT) as session:
        await session.check()


@asynchronous
async def test_leaves_and_is_swallowed():
    async with CustomerSession(ACCOUNT) as session:
        try:
            await session.check()
        except WonderCustomersError:
            pass


@asynchronous
async def test_leaves_by_a_transport_of_its_own():
    import httpx

    async with CustomerSession(ACCOUNT, transport=httpx.AsyncHTTPTransport(trust_env=False)) as session:
        await session.check()


@asynchronous
async def test_leaves_by_a_proxy(customer_simulator):
    from wonder_customers.transports.httpx import HttpxTransport

    async with CustomerSession(
        customer_simulator.account("monri"), transport=HttpxTransport(proxy="http://192.0.2.1:3128")
    ) as session:
        await session.check()


def test_plain(monri_session):
    pass


@asynchronous
async def test_unoffered(gateway_mock):
    gateway_mock.wonder.delete()


@asynchronous
async def test_fails_for_its_own_reason(gateway_mock):
    gateway_mock.wonder.get()
    raise LookupError("mine")
"""

CURES = {
    "not_mocked": "Answer it with gateway_mock.paydock.delete(…).",
    "not_mocked_and_swallowed": "paydock: DELETE /customers/{id} is not mocked.",
    "not_called": "mocked, and never called: monri.create(). Either the code under test",
    "refused_signature": "Check the credentials, that they belong to this environment, and this machine's clock.",
    "leaves": "test_project.py::test_leaves: a session was about to call ipg.monri.com",
    "leaves_and_is_swallowed": "test_project.py::test_leaves_and_is_swallowed: a session was about to call",
    "leaves_by_a_transport_of_its_own": "Give the session `transport=gateway_mock.transport`",
    "leaves_by_a_proxy": "a session was about to call 192.0.2.1",
    "plain": "In a plain test open a session yourself, from gateway_mock.monri.session()",
    "unoffered": "wonder has no delete: its documents describe no way to delete a customer",
    "fails_for_its_own_reason": "LookupError: mine",
}


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory: pytest.TempPathFactory) -> str:
    return run_project(tmp_path_factory.mktemp("mistakes"), MISTAKES).text


def reported(text: str, test: str) -> str:
    """What the run said of one test."""
    _, found, rest = text.partition(f" test_{test} ___")
    assert found, text
    return rest.partition("\n____")[0].partition("\n====")[0]


@pytest.mark.parametrize("test", CURES)
def test_every_mistake_names_its_cure(mistakes: str, test: str) -> None:
    assert CURES[test] in reported(mistakes, test)


def test_no_mistake_passes_and_none_is_told_twice(mistakes: str) -> None:
    summary = mistakes.splitlines()[-1]
    # Teardown errors: a swallowed request without a route, and a route without a request.
    assert "8 failed, 2 passed, 3 errors" in summary
    assert "never called: wonder.get()" not in mistakes


SANDBOX = """
import os

import pytest

from wonder_customers import CustomerSession, Monri, NotSentError, RetryPolicy

GUARD = "WONDER_CUSTOMERS_LOOPBACK_ONLY"


@pytest.mark.anyio
@pytest.mark.real_gateway
async def test_it_may_leave():
    assert GUARD not in os.environ
    account = Monri("key", "token", base_url="https://nobody.invalid")
    async with CustomerSession(account, retry=RetryPolicy(attempts=1, deadline=5)) as session:
        with pytest.raises(NotSentError):
            await session.check()


def test_the_next_one_may_not():
    assert os.environ[GUARD] == "1"
"""


def test_a_test_against_a_sandbox_is_let_through(tmp_path: Path) -> None:
    outcome = run_project(tmp_path, SANDBOX)
    assert outcome.code == 0, outcome.text
    assert outcome.count("passed") == 3


UNUSED = """
import sys

HEAVY = {"wonder_customers", "httpx", "respx", "starlette", "uvicorn", "cattrs", "hypothesis", "cryptography"}


def test_nothing_was_loaded():
    assert "pytest_wonder_customers" in sys.modules
    assert not HEAVY & sys.modules.keys()
"""


def test_it_costs_nothing_when_unused(tmp_path: Path) -> None:
    outcome = run_project(tmp_path, UNUSED, plugins=())
    assert outcome.code == 0, outcome.text


def test_programs_that_a_test_starts_heed_the_guard(tmp_path: Path) -> None:
    """The guard is a variable of the environment: it reaches a web server in a process of its own."""
    program = (
        "import anyio; from wonder_customers import *\n"
        "async def main():\n"
        "    async with CustomerSession(Monri('k', 't')) as session: await session.check()\n"
        "anyio.run(main)\n"
    )
    outcome = run_python("-c", program, folder=tmp_path, WONDER_CUSTOMERS_LOOPBACK_ONLY="1")
    assert outcome.code == 1
    assert "a session was about to call ipgtest.monri.com" in outcome.text
