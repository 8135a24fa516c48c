"""The pytest plug-in of wonder_customers: fixtures for mocked and simulated gateways, and the loopback guard.

The plug-in is a separate top-level module, because pytest imports every installed plug-in at start-up. The package,
httpx, respx and the web framework are imported only if a test requests a fixture.
"""

import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zlib import crc32

import pytest

if TYPE_CHECKING:
    from wonder_customers import CustomerSession, Monri, Paydock, RetryPolicy, Wonder
    from wonder_customers.testing import CustomerSimulator, GatewayMock, SkippedWaits
    from wonder_customers.testing.cassettes import RecordingTransport, ReplayTransport

_GUARD: Final = "WONDER_CUSTOMERS_LOOPBACK_ONLY"
_GUARD_MODULE: Final = "wonder_customers.transports.loopback_guard"
_SCOPES: Final = ("function", "class", "module", "package", "session")
_SET_BY_US = pytest.StashKey[bool]()
_INCOMPLETE = pytest.StashKey[bool]()

pytest.register_assert_rewrite("wonder_customers.testing.conformance")

# The guard


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option ``--record``."""
    parser.getgroup("wonder_customers").addoption(
        "--record",
        action="store_true",
        help="Record the cassettes of tests that use `gateway_cassette`. Sessions use the accounts in the environment.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Enable the loopback guard, and register the markers and the fixtures for pytest-asyncio."""
    config.addinivalue_line("markers", "real_gateway: sessions in this test may connect to real gateways.")
    config.addinivalue_line("markers", "gateways(*names): run a test with `customer_session` only for these gateways.")
    config.stash[_SET_BY_US] = _GUARD not in os.environ
    os.environ.setdefault(_GUARD, "1")
    if any(getattr(plugin, "__name__", "") == "pytest_asyncio.plugin" for plugin in config.pluginmanager.get_plugins()):
        config.pluginmanager.register(_asyncio_fixtures(), "wonder_customers_asyncio")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Restore the environment."""
    if config.stash.get(_SET_BY_US, False):
        os.environ.pop(_GUARD, None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Disable the loopback guard for tests that may connect to real gateways."""
    records = item.config.getoption("record") and "gateway_cassette" in getattr(item, "fixturenames", ())
    if item.get_closest_marker("real_gateway") is None and not records:
        return (yield)
    before = os.environ.pop(_GUARD, None)
    try:
        return (yield)
    finally:
        if before is not None:
            os.environ[_GUARD] = before


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Remove unconfirmed writes of earlier tests, and fail if the loopback guard refuses a connection."""
    locks = sys.modules.get("wonder_customers._core.write_locks")
    if locks is not None:
        locks.UNCONFIRMED_WRITES.clear()
    item.stash[_INCOMPLETE] = False  # a plug-in may run the same test again
    with _fail_on_guard_refusals():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail if the loopback guard refuses a connection."""
    with _fail_on_guard_refusals():
        return (yield)


pytest_runtest_teardown = pytest_runtest_call


@contextmanager
def _fail_on_guard_refusals() -> Iterator[None]:
    """Fail if the guard refused a connection in the block."""
    guard = sys.modules.get(_GUARD_MODULE)
    if guard is not None:
        guard.refused.clear()
    yield
    guard = sys.modules.get(_GUARD_MODULE)
    if guard is not None and guard.refused:
        message = guard.refused[0]
        guard.refused.clear()
        pytest.fail(message, pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note whether the test failed, failed as expected, or was skipped."""
    report = yield
    if not report.passed:
        item.stash[_INCOMPLETE] = True
    return report


# Mocked and simulated gateways


@pytest.fixture
def gateway_mock(request: pytest.FixtureRequest) -> "Iterator[GatewayMock]":
    """Return mocks of all gateways. Session fixtures send to the mocks, and mocked routes must be called."""
    from wonder_customers.testing.mock import GatewayMock  # noqa: PLC0415 - see the module's docstring

    mock = GatewayMock()
    yield mock
    if failure := None if request.node.stash[_INCOMPLETE] else mock.failure():
        pytest.fail(f"gateway_mock: {failure}", pytrace=False)


@pytest.fixture
def customer_simulator() -> "Iterator[CustomerSimulator]":
    """Return simulations of all gateways over real HTTP on a free loopback port. Each test starts without data."""
    from wonder_customers.testing.simulated import CustomerSimulator  # noqa: PLC0415 - see the module's docstring

    with CustomerSimulator() as simulated:
        yield simulated


@pytest.fixture
def gateway_cassette(request: pytest.FixtureRequest) -> "Iterator[RecordingTransport | ReplayTransport]":
    """Replay the cassette ``cassettes/MODULE/TEST.json`` beside the test module, or record it with ``--record``.

    The sessions of the session fixtures use the cassette. Only a test that passes replaces its cassette.
    """
    from wonder_customers.testing.cassettes import RecordingTransport, ReplayTransport  # noqa: PLC0415

    test = request.node
    path = _cassette_path(test)
    if request.config.getoption("record"):
        # Not "the first that runs": with pytest-xdist, the runs of a test may be in several processes.
        runs = (it for it in request.session.items if it.parent is test.parent and _cassette_path(it) == path)
        if (first := next(runs, test)) is not test:
            pytest.skip(f"{first.name} records the cassette of this test. Run pytest without --record to replay it.")
        recording = RecordingTransport(None, path, write_on_close=False)
        yield recording
        if not test.stash[_INCOMPLETE]:
            recording.write()
        return
    replay = ReplayTransport(path)
    yield replay
    if replay.unused and not test.stash[_INCOMPLETE]:
        pytest.fail(
            f"gateway_cassette: recorded requests were not sent: {', '.join(replay.unused)}. Correct the code under"
            " test, or record the test again with `pytest --record`.",
            pytrace=False,
        )


def _cassette_path(test: pytest.Item) -> Path:
    """Return the path of a test's cassette. The runs of a test on asyncio and trio have the same cassette."""
    classes = [node.name for node in test.listchain() if isinstance(node, pytest.Class)]
    name = ".".join([*classes, getattr(test, "originalname", test.name)])
    call = getattr(test, "callspec", None)
    parts = [] if call is None else call.id.split("-")
    if call is not None and "anyio_backend" in call.params:
        backend = call.params["anyio_backend"]
        its_id = rf"{backend if isinstance(backend, str) else backend[0]}\b.*|anyio_backend\d+"
        for part in [part for part in parts if re.fullmatch(its_id, part)][:1]:
            parts.remove(part)
    if parts:
        values = "-".join(parts)
        written = re.sub(r"[^A-Za-z0-9_.-]+", "-", values)[:100]
        # A checksum, because different values may be written alike, also on file systems that ignore the case.
        name += f"-{written}" if written == values.lower() else f"-{written}-{crc32(values.encode()):08x}"
    return test.path.parent / "cassettes" / test.path.stem / f"{name}.json"


@pytest.fixture(scope="session")
def shared_customer_simulator() -> "Iterator[CustomerSimulator]":
    """Return one simulator for all tests of this process. Tests must clear its data and faults themselves."""
    from wonder_customers.testing.simulated import CustomerSimulator  # noqa: PLC0415 - see the module's docstring

    with CustomerSimulator() as simulated:
        yield simulated


@pytest.fixture
def no_waits() -> "Iterator[SkippedWaits]":
    """Skip the waits of sessions. The attribute `waits` lists the skipped waits in seconds."""
    from wonder_customers.testing.waits import no_waits as skipping  # noqa: PLC0415 - see the module's docstring

    with skipping() as skipped:
        yield skipped


# Sessions


class _SessionTarget(NamedTuple):
    """The accounts of a test's sessions by gateway name, their transport, and the account of `_base_session`."""

    account: Callable[[str], Any]
    transport: Any
    base: Any


@pytest.fixture
def customer_retry_policy() -> "RetryPolicy | None":
    """Return the retry policy of the session fixtures; None for the default. Override it in ``conftest.py``."""
    return None


@pytest.fixture
def _session_target(request: pytest.FixtureRequest) -> _SessionTarget:
    """Return the mock, the cassette or the simulator that the test uses."""
    if not {"gateway_mock", "gateway_cassette"}.isdisjoint(request.fixturenames):
        from wonder_customers import dialects  # noqa: PLC0415 - see the module's docstring
        from wonder_customers.dialects.offline import offline_account  # noqa: PLC0415

        base = offline_account(dialects.names()[0])
        if "gateway_mock" in request.fixturenames:
            return _SessionTarget(offline_account, request.getfixturevalue("gateway_mock").transport, base)
        cassette = request.getfixturevalue("gateway_cassette")

        def account_from_environment(gateway: str) -> Any:
            return dialects.package(gateway).ACCOUNT.from_environment()

        account = account_from_environment if request.config.getoption("record") else offline_account
        return _SessionTarget(account, lambda: cassette, base)
    shared = "shared_customer_simulator" in request.fixturenames
    simulated = request.getfixturevalue("shared_customer_simulator" if shared else "customer_simulator")
    return _SessionTarget(simulated.account, None, simulated.account(next(iter(simulated.server.gateways))))


@asynccontextmanager
async def _open_session(target: _SessionTarget, retry: "RetryPolicy | None") -> "AsyncIterator[CustomerSession[Any]]":
    """Open the session on which the session fixtures are based."""
    from wonder_customers import CustomerSession  # noqa: PLC0415 - see the module's docstring

    async with CustomerSession(target.base, retry=retry, transport=target.transport) as session:
        yield session


@pytest.fixture
async def _session_by_anyio(
    _session_target: _SessionTarget, customer_retry_policy: "RetryPolicy | None"
) -> "AsyncIterator[CustomerSession[Any]]":
    async with _open_session(_session_target, customer_retry_policy) as session:
        yield session


def _asyncio_fixtures() -> ModuleType:
    """Return the equivalents of `_session_by_anyio` for pytest-asyncio."""
    import pytest_asyncio  # noqa: PLC0415 - optional

    def for_scope(loop_scope: Any) -> Any:
        async def opened(
            _session_target: _SessionTarget, customer_retry_policy: "RetryPolicy | None"
        ) -> "AsyncIterator[CustomerSession[Any]]":
            async with _open_session(_session_target, customer_retry_policy) as session:
                yield session

        return pytest_asyncio.fixture(loop_scope=loop_scope, name=f"_session_by_asyncio_{loop_scope}")(opened)

    module = ModuleType("pytest_wonder_customers_asyncio")
    for loop_scope in _SCOPES:
        setattr(module, f"session_by_asyncio_{loop_scope}", for_scope(loop_scope))
    return module


@pytest.fixture
def _base_session(request: pytest.FixtureRequest) -> "CustomerSession[Any]":
    """Return the session on which the session fixtures are based."""
    mark = request.node.get_closest_marker("asyncio")
    if mark is None and "anyio_backend" not in request.fixturenames:
        pytest.fail(
            "Session fixtures require an asynchronous test: declare it with `async def` and mark it with"
            " @pytest.mark.anyio or @pytest.mark.asyncio. In a synchronous test, create a session with"
            " gateway_mock.monri.session() or customer_simulator.session('monri').",
            pytrace=False,
        )
    opener = "_session_by_anyio"
    if mark is not None:
        if "anyio_backend" in request.fixturenames:
            pytest.fail(
                "pytest-asyncio runs this test, because of its mode `auto` or the marker asyncio, but anyio's plug-in"
                " runs its fixtures on another event loop. Remove the marker anyio, or set asyncio_mode = strict and"
                " remove the marker asyncio.",
                pytrace=False,
            )
        if not request.config.pluginmanager.has_plugin("wonder_customers_asyncio"):
            pytest.fail(
                "Tests marked with @pytest.mark.asyncio require pytest-asyncio, which is not installed or is disabled."
                " Install pytest-asyncio, or mark the test with @pytest.mark.anyio.",
                pytrace=False,
            )
        default = request.config.getini("asyncio_default_test_loop_scope")
        opener = f"_session_by_asyncio_{mark.kwargs.get('loop_scope') or mark.kwargs.get('scope') or default}"
    session: CustomerSession[Any] = request.getfixturevalue(opener)
    return session


@pytest.fixture
def wonder_session(_base_session: "CustomerSession[Any]", _session_target: _SessionTarget) -> "CustomerSession[Wonder]":
    """Return an open session for Wonder. It uses the mock or cassette that the test requests, or the simulator."""
    return _base_session.for_account(_session_target.account("wonder"))


@pytest.fixture
def paydock_session(
    _base_session: "CustomerSession[Any]", _session_target: _SessionTarget
) -> "CustomerSession[Paydock]":
    """Return an open session for Paydock. It uses the mock or cassette that the test requests, or the simulator."""
    return _base_session.for_account(_session_target.account("paydock"))


@pytest.fixture
def monri_session(_base_session: "CustomerSession[Any]", _session_target: _SessionTarget) -> "CustomerSession[Monri]":
    """Return an open session for Monri. It uses the mock or cassette that the test requests, or the simulator."""
    return _base_session.for_account(_session_target.account("monri"))


def _argnames(mark: pytest.Mark) -> list[str]:
    """Return the names of the arguments that a `parametrize` marker sets."""
    names = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that uses `customer_session` once for each gateway."""
    if "_each_gateway" not in metafunc.fixturenames:  # a fixture of the user may replace `customer_gateway`
        return
    if any("customer_gateway" in _argnames(mark) for mark in metafunc.definition.iter_markers("parametrize")):
        return
    mark = metafunc.definition.get_closest_marker("gateways")
    if mark is None or not mark.args:
        from wonder_customers import dialects  # noqa: PLC0415 - see the module's docstring

        metafunc.parametrize("_each_gateway", dialects.names(), indirect=True)
    else:
        metafunc.parametrize("_each_gateway", mark.args, indirect=True)


@pytest.fixture
def _each_gateway(request: pytest.FixtureRequest) -> str | None:
    """Return the gateway of this run; None if the test has a parameter `customer_gateway`."""
    return getattr(request, "param", None)


@pytest.fixture
def customer_gateway(request: pytest.FixtureRequest, _each_gateway: str | None) -> str:
    """Return the gateway name of `customer_session` in this run of the test."""
    return str(getattr(request, "param", _each_gateway))


@pytest.fixture
def customer_session(
    customer_gateway: str, _base_session: "CustomerSession[Any]", _session_target: _SessionTarget
) -> "CustomerSession[Any]":
    """Return an open session. The test runs once per gateway, or per name in ``@pytest.mark.gateways("monri", …)``."""
    return _base_session.for_account(_session_target.account(customer_gateway))
