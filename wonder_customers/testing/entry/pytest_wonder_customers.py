"""The pytest plug-in of wonder_customers: mocked gateways, simulated gateways, and a guard before the real ones.

It is a module of its own beside the package, because pytest imports every installed plug-in when it starts: nothing of
the package, nor httpx, respx or a web framework, is loaded before a test asks for a fixture.
"""

import os
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

if TYPE_CHECKING:
    from wonder_customers import CustomerSession, Monri, Paydock, RetryPolicy, Wonder
    from wonder_customers.testing import CustomerSimulator, GatewayMock, SkippedWaits

_GUARD: Final = "WONDER_CUSTOMERS_LOOPBACK_ONLY"
_BORDER: Final = "wonder_customers.transports.loopback_guard"
_SCOPES: Final = ("function", "class", "module", "package", "session")
_SET_BY_US = pytest.StashKey[bool]()
_FAILED = pytest.StashKey[bool]()

pytest.register_assert_rewrite("wonder_customers.testing.conformance")

# The guard


def pytest_configure(config: pytest.Config) -> None:
    """Forbid requests that leave this machine, and announce the markers."""
    config.addinivalue_line("markers", "real_gateway: sessions in this test may call real gateways.")
    config.addinivalue_line("markers", "gateways(*names): the gateways that `customer_session` takes; all by default.")
    config.stash[_SET_BY_US] = _GUARD not in os.environ
    os.environ.setdefault(_GUARD, "1")
    if any(getattr(plugin, "__name__", "") == "pytest_asyncio.plugin" for plugin in config.pluginmanager.get_plugins()):
        config.pluginmanager.register(_asyncio_fixtures(), "wonder_customers_asyncio")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave the environment as it was."""
    if config.stash.get(_SET_BY_US, False):
        os.environ.pop(_GUARD, None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test that is marked `real_gateway` leave this machine."""
    if item.get_closest_marker("real_gateway") is None:
        return (yield)
    before = os.environ.pop(_GUARD, None)
    try:
        return (yield)
    finally:
        if before is not None:
            os.environ[_GUARD] = before


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Fail where the guard refused something."""
    with _refusals_fail():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail where the guard refused something."""
    with _refusals_fail():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Fail where the guard refused something."""
    with _refusals_fail():
        return (yield)


@contextmanager
def _refusals_fail() -> Iterator[None]:
    """Fail for what the guard refused, even where the code under test has swallowed the error or it came in a task."""
    border = sys.modules.get(_BORDER)
    if border is not None:
        border.refused.clear()
    yield
    border = sys.modules.get(_BORDER)
    if border is not None and border.refused:
        message = border.refused[0]
        border.refused.clear()
        pytest.fail(message, pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether the test failed: its mocked routes need not be called then."""
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


# Gateways that are not real


@pytest.fixture
def gateway_mock(request: pytest.FixtureRequest) -> "Iterator[GatewayMock]":
    """All gateways mocked: session fixtures of the test send here, and every mocked route must be called."""
    from wonder_customers.testing.mock import GatewayMock  # noqa: PLC0415 - see the module's docstring

    mock = GatewayMock()
    yield mock
    if complaint := None if request.node.stash.get(_FAILED, False) else mock.complaint():
        pytest.fail(f"gateway_mock: {complaint}", pytrace=False)


@pytest.fixture
def customer_simulator() -> "Iterator[CustomerSimulator]":
    """All gateways simulated over real HTTP on a free loopback port, empty at the start of the test."""
    from wonder_customers.testing.simulated import CustomerSimulator  # noqa: PLC0415 - see the module's docstring

    with CustomerSimulator() as simulated:
        yield simulated


@pytest.fixture(scope="session")
def _simulator_of_the_run() -> "Iterator[CustomerSimulator]":
    from wonder_customers.testing.simulated import CustomerSimulator  # noqa: PLC0415 - see the module's docstring

    with CustomerSimulator() as simulated:
        yield simulated


@pytest.fixture(scope="session")
def shared_customer_simulator(_simulator_of_the_run: "CustomerSimulator") -> "CustomerSimulator":
    """One simulator for the whole run: what a test leaves there, the next one finds. Clear its faults yourself."""
    return _simulator_of_the_run


@pytest.fixture
def no_waits() -> "Iterator[SkippedWaits]":
    """Retries do not sleep. The fixture's `waits` tell what they would have waited."""
    from wonder_customers.testing.waits import no_waits as skipping  # noqa: PLC0415 - see the module's docstring

    with skipping() as skipped:
        yield skipped


# Sessions


class _Place(NamedTuple):
    """Where the sessions of a test send: accounts by gateway, and the transport (None: the default one)."""

    account: Callable[[str], Any]
    transport: Any


@pytest.fixture
def customer_retry_policy() -> "RetryPolicy | None":
    """The retry policy of the session fixtures; override it in your ``conftest.py``. None is the library's default."""
    return None


@pytest.fixture
def _customer_place(request: pytest.FixtureRequest) -> _Place:
    """The mock where the test asks for it, else the simulator."""
    if "gateway_mock" in request.fixturenames:
        from wonder_customers.testing.accounts import account_at, mock_origin  # noqa: PLC0415

        transport = request.getfixturevalue("gateway_mock").transport
        return _Place(lambda gateway: account_at(gateway, mock_origin(gateway)), transport)
    shared = "shared_customer_simulator" in request.fixturenames
    simulated = request.getfixturevalue("shared_customer_simulator" if shared else "customer_simulator")
    return _Place(simulated.account, None)


@asynccontextmanager
async def _line(place: _Place, retry: "RetryPolicy | None") -> "AsyncIterator[CustomerSession[Any]]":
    """One open session, of which the fixtures are views."""
    from wonder_customers import CustomerSession, dialects  # noqa: PLC0415 - see the module's docstring

    async with CustomerSession(place.account(dialects.names()[0]), retry=retry, transport=place.transport) as line:
        yield line


@pytest.fixture
async def _line_by_anyio(
    _customer_place: _Place, customer_retry_policy: "RetryPolicy | None"
) -> "AsyncIterator[CustomerSession[Any]]":
    async with _line(_customer_place, customer_retry_policy) as line:
        yield line


def _asyncio_fixtures() -> ModuleType:
    """The same fixture for pytest-asyncio, once per scope of event loop, because a session lives on its test's loop."""
    import pytest_asyncio  # noqa: PLC0415 - it need not be installed

    def for_scope(loop_scope: Any) -> Any:
        async def opened(
            _customer_place: _Place, customer_retry_policy: "RetryPolicy | None"
        ) -> "AsyncIterator[CustomerSession[Any]]":
            async with _line(_customer_place, customer_retry_policy) as line:
                yield line

        return pytest_asyncio.fixture(loop_scope=loop_scope, name=f"_line_by_asyncio_{loop_scope}")(opened)

    made = ModuleType("pytest_wonder_customers_asyncio")
    for loop_scope in _SCOPES:
        setattr(made, f"line_by_asyncio_{loop_scope}", for_scope(loop_scope))
    return made


@pytest.fixture
def _customer_line(request: pytest.FixtureRequest) -> "CustomerSession[Any]":
    """The session, opened by whichever plug-in runs the test, on the loop that it runs on."""
    mark = request.node.get_closest_marker("asyncio")
    if mark is None and "anyio_backend" not in request.fixturenames:
        pytest.fail(
            "a session fixture needs a test that runs on an event loop: make it `async def` and mark it with"
            " @pytest.mark.anyio or @pytest.mark.asyncio. In a plain test open a session yourself, from"
            " gateway_mock.monri.session() or customer_simulator.session('monri').",
            pytrace=False,
        )
    opener = "_line_by_anyio"
    if mark is not None:
        default = request.config.getini("asyncio_default_test_loop_scope")
        opener = f"_line_by_asyncio_{mark.kwargs.get('loop_scope') or mark.kwargs.get('scope') or default}"
    line: CustomerSession[Any] = request.getfixturevalue(opener)
    return line


@pytest.fixture
def wonder_session(_customer_line: "CustomerSession[Any]", _customer_place: _Place) -> "CustomerSession[Wonder]":
    """An open session for Wonder: at `gateway_mock` where the test asks for that too, else at the simulator."""
    return _customer_line.for_account(_customer_place.account("wonder"))


@pytest.fixture
def paydock_session(_customer_line: "CustomerSession[Any]", _customer_place: _Place) -> "CustomerSession[Paydock]":
    """An open session for Paydock: at `gateway_mock` where the test asks for that too, else at the simulator."""
    return _customer_line.for_account(_customer_place.account("paydock"))


@pytest.fixture
def monri_session(_customer_line: "CustomerSession[Any]", _customer_place: _Place) -> "CustomerSession[Monri]":
    """An open session for Monri: at `gateway_mock` where the test asks for that too, else at the simulator."""
    return _customer_line.for_account(_customer_place.account("monri"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests that use `customer_session` once per gateway."""
    if "customer_gateway" not in metafunc.fixturenames:
        return
    if any("customer_gateway" in str(mark.args[:1]) for mark in metafunc.definition.iter_markers("parametrize")):
        return
    mark = metafunc.definition.get_closest_marker("gateways")
    if mark is None:
        from wonder_customers import dialects  # noqa: PLC0415 - see the module's docstring

        metafunc.parametrize("customer_gateway", dialects.names(), indirect=True)
    else:
        metafunc.parametrize("customer_gateway", mark.args, indirect=True)


@pytest.fixture
def customer_gateway(request: pytest.FixtureRequest) -> str:
    """The name of the gateway that `customer_session` speaks to in this run of the test."""
    return str(request.param)


@pytest.fixture
def customer_session(
    customer_gateway: str, _customer_line: "CustomerSession[Any]", _customer_place: _Place
) -> "CustomerSession[Any]":
    """An open session for each gateway in turn; choose with ``@pytest.mark.gateways("monri", …)``."""
    return _customer_line.for_account(_customer_place.account(customer_gateway))
