"""Tracebacks: frames of the library that contain secrets are removed, and frames of user code are kept."""

import asyncio
import json
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import FrameType, FunctionType, ModuleType
from typing import Any

import anyio
import httpx
import pytest
from backends import ASYNCIO_ONLY
from fault_injection.sessions import session as opened
from gateway_responses import HEX24, UUID
from mock_gateway import ACCOUNTS, MockGateway, json_response
from security.canary_values import CARD_SOURCE, EMAIL, PAYMENT_TOKEN, WONDER_CARD, Canaries, canary_draft, canary_filter
from security.scenario_context import keys

from wonder_customers import (
    CallError,
    Customer,
    CustomerPatch,
    CustomerSession,
    NotFoundError,
    Paydock,
    PaymentToken,
    Phone,
    RetryPolicy,
    Secret,
)
from wonder_customers.dialects import package
from wonder_customers.dialects.codec import make_converter, make_reader, register_reader
from wonder_customers.secret import concealed, secrets_of, without_frames
from wonder_customers.simulator import SimulatorServer


def _files(error: BaseException) -> list[str]:
    return [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]


async def test_error_in_a_mock_transport_keeps_its_frame() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        responses: dict[str, httpx.Response] = {}
        return responses["missing"]

    transport = httpx.MockTransport(respond)
    async with CustomerSession(ACCOUNTS["paydock"](), transport=transport) as session:
        with pytest.raises(KeyError) as caught:
            await session.create(canary_draft("paydock", "r", CARD_SOURCE))
    assert caught.traceback[-1].name == "respond"
    assert not any("httpx" in file for file in _files(caught.value))


async def test_traceback_of_a_library_error_has_only_public_frames() -> None:
    async with MockGateway(json_response(404, {"message": "x"})).session("monri") as session:
        with pytest.raises(NotFoundError) as caught:
            await session.get(UUID)
    names = [frame.f_code.co_name for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert names[1:3] == ["get", "get"], "the method of the session and of its raw operations"
    assert "decode" not in names
    assert caught.value.__context__ is None


@ASYNCIO_ONLY
async def test_caller_timeout_shows_no_request(simulator: SimulatorServer) -> None:
    simulator.faults.add("read_hang", gateway="paydock", applied=False)
    key = simulator.environment()["PAYDOCK_SECRET_KEY"]
    account = Paydock(key, base_url=f"{simulator.origin}/v1/")
    canaries = Canaries({"key": key})
    async with CustomerSession(account, retry=RetryPolicy()) as session:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.05):
                await session.create(canary_draft("paydock", "r", CARD_SOURCE))
    assert caught.value.__cause__ is not None
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "session.create(" in shown
    assert canaries.found(shown.replace(f"key = '{key}'", "")) == set(), "only the variable of this test may be shown"


async def test_cancellation_is_propagated(simulator: SimulatorServer) -> None:
    simulator.faults.add("read_hang", gateway="monri", applied=False)
    async with opened(simulator, "monri", RetryPolicy()) as session:
        with anyio.move_on_after(0.05) as scope:
            await session.get(UUID)
    assert scope.cancelled_caught


def test_without_frames_keeps_or_removes_chained_errors() -> None:
    def fail() -> None:
        try:
            int("first")
        except ValueError as first:
            raise KeyError("second") from first

    with pytest.raises(KeyError) as caught:
        fail()
    without_frames(caught.value, keep_others=True)
    assert isinstance(caught.value.__cause__, ValueError)
    assert _files(caught.value) == [__file__] * 2
    without_frames(caught.value)
    left: list[Any] = [caught.value.__cause__, caught.value.__context__, caught.value.__traceback__]
    assert left == [None] * 3
    circular = ValueError("round")
    circular.__context__, other = KeyError("and"), circular
    circular.__context__.__context__ = other
    without_frames(circular, keep_others=True)


def test_without_frames_removes_frames_of_all_errors() -> None:
    def failed() -> ValueError:
        with pytest.raises(ValueError, match="Expecting value") as caught:
            json.loads("")
        return caught.value

    error = KeyError("x")
    found = [failed(), failed(), failed(), failed()]
    error.__cause__, error.__context__ = found[0], ExceptionGroup("x", [found[1], ExceptionGroup("y", found[2:])])
    without_frames(error, keep_others=True)
    for chained in found:
        assert _files(chained) == [__file__]


def test_frames_of_record_readers_are_removed() -> None:
    def broken(_: str) -> Phone:
        raise RuntimeError("unexpected")

    converter = make_converter()
    register_reader(converter, Phone, broken)
    reader = make_reader(converter, Customer, {"id": "id", "phone": "phone"})
    with pytest.raises(RuntimeError, match="unexpected") as caught:
        reader.read({"id": UUID, "phone": "+38761000111"})
    without_frames(caught.value, keep_others=True)
    assert _files(caught.value) == [__file__] * 2


def test_concealed_function_keeps_its_result_and_name() -> None:
    @concealed
    def half(number: int, *, doubled: bool = False) -> int:
        """Return half of the number."""
        if number % 2:
            raise ValueError("odd")
        return number if doubled else number // 2

    assert (half(4), half(4, doubled=True), half.__name__, half.__doc__) == (2, 4, "half", "Return half of the number.")
    with pytest.raises(ValueError, match="odd") as caught:
        half(3)
    assert [frame.f_code.co_name for frame, _ in traceback.walk_tb(caught.value.__traceback__)][1:] in (
        [],
        ["concealing"],
    )


def test_secrets_of_finds_the_secrets_of_any_object() -> None:
    class Plain:
        def __init__(self) -> None:
            self.key, self.name = Secret("k"), "n"

    assert secrets_of(Plain()) == (Secret("k"),)
    assert secrets_of(object()) == ()
    assert [it.reveal() for it in secrets_of(ACCOUNTS["monri"]())] == [
        "qwert1234",
        "7db11ea5d4a1af32421b564c79b946d1ead3daf0",
    ]


async def test_traceback_locals_hide_filters_and_tokens() -> None:
    calls: list[Any] = [
        lambda it: it.raw.page(10, None, canary_filter("paydock")),
        lambda it: it.check_payment_token(HEX24, PaymentToken(PAYMENT_TOKEN)),
        lambda it: it.create_payment_token(HEX24, CARD_SOURCE),
    ]
    for call in calls:
        async with MockGateway(json_response(500, None)).session("paydock") as session:
            with pytest.raises(Exception, match="HTTP 500") as caught:
                await call(session)
        trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        shown = [str(frame.locals) for frame in trace.stack if frame.filename != __file__]
        assert Canaries().found(*shown) == set()
    assert WONDER_CARD.number


def _reachable(value: Any, seen: dict[int, Any], levels: int = 12) -> Iterator[str | bytes]:
    """Yield the text that attributes, containers and suspended functions lead to, as a debugger follows them."""
    if id(value) in seen or not levels or isinstance(value, (type, ModuleType, FunctionType, Secret, asyncio.Task)):
        return
    seen[id(value)] = value  # keeps it alive, so that no other value gets its id
    if isinstance(value, (str, bytes, bytearray)):
        yield value if isinstance(value, str) else bytes(value)
        return
    inner: list[Any] = []
    if isinstance(value, Mapping):
        inner += [*value, *value.values()]
    elif isinstance(value, (list, tuple, set, frozenset, deque)):
        inner += value
    names = {*getattr(value, "__dict__", ()), *(it for kind in type(value).__mro__ for it in _slots(kind))}
    inner += [getattr(value, name, None) for name in names]
    inner += [getattr(value, name, None) for name in ("__self__", "cr_frame", "gi_frame", "ag_frame")]
    for frame in [it for it in inner if isinstance(it, FrameType)]:
        inner += dict(frame.f_locals).values()
    for item in inner:
        yield from _reachable(item, seen, levels - 1)


def _slots(kind: type) -> tuple[str, ...]:
    found = kind.__dict__.get("__slots__", ())
    return (found,) if isinstance(found, str) else tuple(found)


@pytest.mark.parametrize("status", [404, 500])
@ASYNCIO_ONLY
async def test_attributes_of_frames_do_not_lead_to_requests(
    simulator: SimulatorServer, gateway: str, status: int, kind: Any
) -> None:
    simulator.faults.add("server_error", gateway=gateway, status=status, times=100)
    variables = simulator.environment()
    account = package(gateway).ACCOUNT.from_environment(variables)
    canaries = Canaries(keys(variables))
    calls: list[Callable[[CustomerSession[Any]], Any]] = [
        lambda it: it.get(HEX24 if gateway == "paydock" else UUID),
        lambda it: it.create(canary_draft(gateway, "r")),
        lambda it: it.upsert(canary_draft(gateway, "r")),
        lambda it: it.update(HEX24 if gateway == "paydock" else UUID, CustomerPatch(email=EMAIL)),
    ]
    card = WONDER_CARD if gateway == "wonder" else CARD_SOURCE
    if gateway != "monri":
        calls.append(lambda it: it.create_payment_token(HEX24 if gateway == "paydock" else UUID, card))
        calls.append(lambda it: anext(it.list(filter=canary_filter(gateway))))
    retry = RetryPolicy(attempts=1, confirmation_window=0.01)
    async with CustomerSession(account, transport=kind, retry=retry) as session:
        for call in calls:
            with pytest.raises(CallError) as caught:
                await call(session)
            assert_frames_hold_no_request(caught.value, canaries)
    simulator.faults.clear()


def assert_frames_hold_no_request(error: BaseException | None, canaries: Canaries) -> None:
    """Check the variables of all frames of an error and its causes, and what their attributes lead to."""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename != __file__:
                found = {name: it for name, it in frame.f_locals.items() if name not in ARGUMENTS}
                assert canaries.found(*_reachable(found, {})) == set(), frame.f_code.co_qualname
        error = error.__cause__ or error.__context__


@ASYNCIO_ONLY
async def test_frames_of_interrupted_calls_do_not_lead_to_requests(
    simulator: SimulatorServer, gateway: str, kind: Any
) -> None:
    simulator.faults.add("read_hang", gateway=gateway, applied=False, times=100)
    variables = simulator.environment()
    account, canaries = package(gateway).ACCOUNT.from_environment(variables), Canaries(keys(variables))
    draft = canary_draft(gateway, "r")
    calls: list[Callable[[CustomerSession[Any]], Any]] = [
        lambda it: it.create(draft),
        lambda it: it.request("POST", "/v1/other", json={"email": EMAIL}),
        lambda it: it.raw.page(10, None, canary_filter(gateway)),
    ]
    short = RetryPolicy(deadline=0.06, confirmation_window=0.01, attempts=1)
    for policy, seconds in ((RetryPolicy(), 0.05), (short, 60)):
        async with CustomerSession(account, transport=kind, retry=policy) as session:
            for call in calls:
                with pytest.raises((TimeoutError, CallError)) as caught:
                    async with asyncio.timeout(seconds):
                        await call(session)
                assert_frames_hold_no_request(caught.value, canaries)
    simulator.faults.clear()


ARGUMENTS = {"draft", "patch", "source"}
"""The caller's records, which are arguments of the public methods."""
