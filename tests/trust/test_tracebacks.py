"""Which frames stay in a traceback, and that what is taken away is nobody's own code."""

import asyncio
import json
import traceback
from typing import Any

import anyio
import httpx
import pytest
from gateway_responses import HEX24, UUID
from mock_gateway import ACCOUNTS, MockGateway, json_response
from trust.canary_values import CARD_SOURCE, EMAIL, PAYMENT_TOKEN, WONDER_CARD, Canaries, canary_draft

from chaos.gateways import session as opened
from wonder_customers import CustomerSession, NotFoundError, Paydock, PaymentToken, RetryPolicy, Secret
from wonder_customers.secret import concealed, secrets_of, without_frames
from wonder_customers.simulator import SimulatorServer

pytestmark = pytest.mark.anyio


def _files(error: BaseException) -> list[str]:
    return [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]


async def test_a_fault_in_a_mock_of_ones_own_can_be_found() -> None:
    def answered(request: httpx.Request) -> httpx.Response:
        answers: dict[str, httpx.Response] = {}
        return answers["no such answer"]

    transport = httpx.MockTransport(answered)
    async with CustomerSession(ACCOUNTS["paydock"](), transport=transport) as session:
        with pytest.raises(KeyError) as caught:
            await session.create(canary_draft("paydock", "r", CARD_SOURCE))
    assert caught.traceback[-1].name == "answered"
    assert not any("httpx" in file for file in _files(caught.value))


async def test_an_error_of_the_librarys_own_starts_where_it_is_raised_for_good() -> None:
    async with MockGateway(json_response(404, {"message": "x"})).session(ACCOUNTS["monri"]()) as session:
        with pytest.raises(NotFoundError) as caught:
            await session.get(UUID)
    names = [frame.f_code.co_name for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert names[1:3] == ["get", "get"], "the session's verb and the raw one"
    assert "decode" not in names
    assert caught.value.__context__ is None


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_time_limit_of_the_callers_own_works_and_shows_no_request(simulator: SimulatorServer) -> None:
    simulator.faults.add("read_hang", gateway="paydock", applied=False)
    key = simulator.environment()["PAYDOCK_SECRET_KEY"]
    account = Paydock(key, base_url=f"{simulator.origin}/v1/")
    birds = Canaries({"key": key})
    async with CustomerSession(account, retry=RetryPolicy()) as session:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.05):
                await session.create(canary_draft("paydock", "r", CARD_SOURCE))
    assert caught.value.__cause__ is not None
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "session.create(" in shown
    assert birds.found(shown.replace(f"key = '{key}'", "")) == set(), "but for this test's own variable"


async def test_a_cancellation_is_still_one(simulator: SimulatorServer) -> None:
    simulator.faults.add("read_hang", gateway="monri", applied=False)
    async with opened(simulator, "monri", RetryPolicy()) as session:
        with anyio.move_on_after(0.05) as scope:
            await session.get(UUID)
    assert scope.cancelled_caught


def test_errors_behind_an_error_keep_their_words_and_lose_their_frames_where_others_are_kept() -> None:
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


def test_neither_of_two_errors_behind_an_error_keeps_its_frames() -> None:
    def failed() -> ValueError:
        with pytest.raises(ValueError, match="Expecting value") as caught:
            json.loads("")
        return caught.value

    error = KeyError("x")
    error.__cause__, error.__context__ = failed(), failed()
    without_frames(error, keep_others=True)
    for behind in (error.__cause__, error.__context__):
        assert behind is not None
        assert _files(behind) == [__file__]


def test_what_is_concealed_keeps_its_result_and_its_name() -> None:
    @concealed
    def half(number: int, *, doubled: bool = False) -> int:
        """Half of it."""
        if number % 2:
            raise ValueError("odd")
        return number if doubled else number // 2

    assert (half(4), half(4, doubled=True), half.__name__, half.__doc__) == (2, 4, "half", "Half of it.")
    with pytest.raises(ValueError, match="odd") as caught:
        half(3)
    assert [frame.f_code.co_name for frame, _ in traceback.walk_tb(caught.value.__traceback__)][1:] in (
        [],
        ["concealing"],
    )


def test_the_secrets_of_an_account_are_found_whatever_it_is_made_of() -> None:
    class Plain:
        def __init__(self) -> None:
            self.key, self.name = Secret("k"), "n"

    assert secrets_of(Plain()) == (Secret("k"),)
    assert secrets_of(object()) == ()
    assert [it.reveal() for it in secrets_of(ACCOUNTS["monri"]())] == [
        "qwert1234",
        "7db11ea5d4a1af32421b564c79b946d1ead3daf0",
    ]


async def test_the_verbs_take_searches_and_tokens_into_no_frame_that_waits() -> None:
    calls: list[Any] = [
        lambda it: it.raw.page(10, None, {"search": EMAIL}),
        lambda it: it.check_payment_token(HEX24, PaymentToken(PAYMENT_TOKEN)),
        lambda it: it.create_payment_token(HEX24, CARD_SOURCE),
    ]
    for call in calls:
        async with MockGateway(json_response(500, None)).session(ACCOUNTS["paydock"]()) as session:
            with pytest.raises(Exception, match="HTTP 500") as caught:
                await call(session)
        trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        shown = [str(frame.locals) for frame in trace.stack if frame.filename != __file__]
        assert Canaries().found(*shown) == set()
    assert WONDER_CARD.number
