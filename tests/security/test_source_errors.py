"""Errors of sources and of bulk jobs do not lead to the values of rows."""

import sqlite3
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream
from mock_gateway import ACCOUNTS, MockGateway, json_response
from security.canary_values import EMAIL, NAME, Canaries, canary_draft
from security.captured_output import CapturedOutput

from wonder_customers import ConfigurationError, CustomerSession, WonderCustomersError
from wonder_customers.bulk import Index, Options, Source, plan, sources, sync, verify
from wonder_customers.bulk.shared_limit import SharedLimit
from wonder_customers.rate_limit import RequestResult
from wonder_customers.wire import Transmission

CANARIES = Canaries({"password": "Pqzxwv-database"})
FILES = {
    "broken.json": f'[{{"reference": "r-1", "name": "{NAME}"}}, {{"email": "{EMAIL}'.encode(),
    "latin.csv": f"reference,name,email\nr-1,{NAME}\xf6,{EMAIL}\n".encode("latin-1"),
    "headless.csv": f"r-1,{NAME},{EMAIL}\nr-2,{NAME},{EMAIL}\n".encode(),
}


def found_in(error: BaseException) -> set[str]:
    """Return the canaries in an error, in its causes and in the local variables of their frames."""
    output = CapturedOutput()
    output.error(error)
    return CANARIES.found(*output.pieces)


@pytest.mark.parametrize("name", FILES)
def test_unreadable_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FILES[name])
    with pytest.raises(WonderCustomersError) as caught:
        list(sources.read(tmp_path / name))
    assert found_in(caught.value) == set()


def test_encoding_of_a_divided_file(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(FILES["latin.csv"])
    with pytest.raises(WonderCustomersError) as caught:
        list(Index(Source(str(tmp_path / "latin.csv"))))
    assert found_in(caught.value) == set()


def test_failed_query_of_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sqlalchemy", reason="needs the extra sql")
    monkeypatch.setenv("WONDER_CUSTOMERS_DATABASE_PASSWORD", CANARIES.known["password"])
    sqlite3.connect(tmp_path / "people.db").close()
    with pytest.raises(WonderCustomersError) as caught:
        list(sources.read("-", database=f"sqlite:///{tmp_path}/people.db", query="SELECT * FROM missing"))
    assert found_in(caught.value) == set()


@pytest.mark.parametrize("response", [b"-WRONGPASS invalid: %b\r\n", b"$5\r\nhello\r\n", b""])
async def test_refused_password_of_a_shared_limit(monkeypatch: pytest.MonkeyPatch, response: bytes) -> None:
    pytest.importorskip("redis", reason="needs the extra shared-limit")
    password = CANARIES.known["password"]
    monkeypatch.setenv("WONDER_CUSTOMERS_LIMIT_PASSWORD", password)

    async def respond(client: SocketStream) -> None:
        async with client:
            await client.receive()
            await client.send(response.replace(b"%b", password.encode()))

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, respond)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        with pytest.raises(ConfigurationError, match="cannot be reached") as caught:
            await SharedLimit(f"redis://127.0.0.1:{port}", 10.0).check()
        group.cancel_scope.cancel()
    assert found_in(caught.value) == set()


@pytest.mark.parametrize("function", [plan, verify])
async def test_failed_lookup(function: Any) -> None:
    refusal = json_response(422, {"status": "invalid-request", "message": "no"})
    async with MockGateway(refusal, refusal).session("monri") as session:
        with pytest.raises(WonderCustomersError) as caught:
            await function(session, [canary_draft("monri", f"r-{number}") for number in (1, 2)])
    assert found_in(caught.value) == set()


async def test_failed_row() -> None:
    refusal = json_response(422, {"status": "invalid-request", "message": "no"})
    session = MockGateway(refusal).session("monri")
    async with session, sync(session, [canary_draft("monri", "r-1")]) as job:
        (outcome,) = [it async for it in job]
    assert outcome.error is not None
    assert found_in(outcome.error) == set()


class FailsForTwo:
    """A rate limit whose server fails while two requests wait."""

    def __init__(self) -> None:
        self._requests, self._failed = 0, anyio.Event()

    async def acquire(self, transmission: Transmission, /) -> None:
        self._requests += 1
        if self._requests == 2:
            self._failed.set()
        else:
            await self._failed.wait()
        raise RuntimeError("the server failed")

    def release(self, transmission: Transmission, result: RequestResult, /) -> None:
        raise AssertionError


@pytest.mark.parametrize("function", [plan, verify, sync])
async def test_errors_of_several_rows(function: Any) -> None:
    drafts = [canary_draft("monri", f"r-{number}") for number in range(2)]

    async def run(session: CustomerSession[Any]) -> None:
        if function is sync:
            async with sync(session, iter(drafts)) as job:
                [_ async for _ in job]
        await function(session, drafts)

    transport = MockGateway().transport
    async with CustomerSession(ACCOUNTS["monri"](), rate_limit=FailsForTwo(), transport=transport) as session:
        with pytest.raises(ExceptionGroup) as caught:
            await run(session)
    assert found_in(caught.value) == set()


@pytest.mark.parametrize("function", [plan, sync])
async def test_error_of_the_caller_keeps_its_frames_only(function: Any) -> None:
    def inspect(outcomes: Any, pending: Any) -> None:
        del outcomes, pending
        raise RuntimeError("inspect")

    async def run() -> None:
        drafts = [canary_draft("monri", "r-1")]
        async with MockGateway().session("monri") as session:
            if function is plan:
                await plan(session, drafts, options=Options(inspect=inspect))
            async with sync(session, drafts, options=Options(inspect=inspect)) as job:
                [_ async for _ in job]

    with pytest.raises(RuntimeError, match="inspect") as caught:
        await run()
    assert caught.traceback[-1].name == "inspect"
    assert found_in(caught.value) == set()
