"""Log records: stable names, allowed fields, levels, no output by default, no customer data."""

import base64
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from attrs import evolve
from fault_injection.sessions import POLICY, session
from gateway_responses import UUID

from scripted_transport import CREATED, NO_RESPONSE, NOT_FOUND, draft, make_harness, respond
from wonder_customers import (
    AuthenticationError,
    CallError,
    CardSource,
    CustomerDraft,
    CustomerPatch,
    InvalidRequestError,
    OutcomeUnknownError,
    Phone,
    UnsupportedOperationError,
    Wonder,
)
from wonder_customers._core.observers import ObserverGroup
from wonder_customers.contrib.logs import log_events
from wonder_customers.simulator import SimulatorServer
from wonder_customers.transports.httpx import HttpxTransport

USUAL = {"message", "taskName"}
CALL = {"event", "call", "gateway", "operation"}
ATTEMPT = CALL | {"method", "route", "number", "request"}
FIELDS = {
    "session_started": {"event"},
    "call_started": CALL | {"host", "port"},
    "attempt_started": ATTEMPT,
    "attempt_ended": ATTEMPT | {"outcome", "status", "applied", "error", "elapsed", "request_id"},
    "waiting": CALL | {"reason", "seconds", "tokens"},
    "wait_ended": CALL | {"reason", "elapsed"},
    "lookup_started": CALL,
    "lookup_ended": CALL | {"found", "error"},
    "call_ended": CALL | {"error", "applied", "requests", "recovered", "elapsed", "request_id"},
    "session_ended": {
        "event",
        *("started", "succeeded", "failures", "attempts", "retries", "lookups", "observer_failures"),
    },
}


def fields(record: logging.LogRecord) -> dict[str, Any]:
    # Other libraries may add attributes to all records of the process.
    usual = (
        vars(logging.makeLogRecord({})).keys() | vars(logging.getLogRecordFactory()("", 0, "", 0, "", (), None)).keys()
    )
    return {key: value for key, value in vars(record).items() if key not in usual | USUAL}


@pytest.fixture
def everything() -> Iterator[list[logging.LogRecord]]:
    """All records of all loggers of the process, at all levels."""
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    root, handler = logging.getLogger(), Keep(level=1)
    named = [logging.getLogger(name) for name in ("httpx", "httpcore", "h11", "asyncio", "anyio", "wonder_customers")]
    before = [(logger, logger.level) for logger in (root, *named)]
    root.addHandler(handler)
    for logger, _ in before:
        logger.setLevel(1)
    yield records
    root.removeHandler(handler)
    for logger, level in before:
        logger.setLevel(level)


async def test_each_event_is_a_log_record_with_attributes(everything: list[logging.LogRecord]) -> None:
    it = make_harness(NO_RESPONSE, NOT_FOUND, CREATED)
    it.executor.observers = ObserverGroup([log_events])
    await it.create(draft())
    ours = [record for record in everything if record.name == "wonder_customers"]
    ids = {fields(record)["request_id"] for record in ours if "request_id" in fields(record)}
    lines = [re.sub(r" request_id=\S+", "", f"{record.levelname} {record.getMessage()}") for record in ours]
    assert len(ids) == 3
    assert fields(ours[-1])["request_id"] == fields(ours[-3])["request_id"]
    call = f"call={fields(ours[0])['call']} gateway=monri operation=create"
    post = f"{call} method=POST route=/v2/customers number=1 request=1"
    find = f"{call} method=GET route=/v2/merchants/customers/{{merchant_customer_id}} number=1"
    assert lines == [
        f"DEBUG call_started {call} host={it.dialect.origin.host} port=443",
        f"DEBUG attempt_started {post}",
        f'DEBUG attempt_ended {post} outcome="no response" applied=unknown error=NoResponseError elapsed=0.0',
        f"INFO waiting {call} reason=confirmation seconds=0.5 tokens=500",
        f"DEBUG wait_ended {call} reason=confirmation elapsed=0.5",
        f"INFO lookup_started {call}",
        f"DEBUG attempt_started {find} request=2",
        f"DEBUG attempt_ended {find} request=2 outcome=response status=404 applied=no error=NotFoundError elapsed=0.0",
        f"INFO lookup_ended {call} found=False",
        f"INFO waiting {call} reason=confirmation seconds=1.0 tokens=500",
        f"DEBUG wait_ended {call} reason=confirmation elapsed=1.0",
        f"INFO lookup_started {call}",
        f"DEBUG attempt_started {find} request=3",
        f"DEBUG attempt_ended {find} request=3 outcome=response status=200 applied=no elapsed=0.0",
        f"INFO lookup_ended {call} found=True",
        f"DEBUG call_ended {call} applied=yes requests=3 recovered=True elapsed=1.5",
    ]
    for record in ours:
        assert fields(record).keys() == FIELDS[fields(record)["event"]]


async def test_attributes_of_the_programs_own_record_factory_are_kept(
    everything: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(*arguments: Any, **more: Any) -> logging.LogRecord:
        record = logging.LogRecord(*arguments, **more)
        record.request_id, record.event = "of the program", None
        return record

    monkeypatch.setattr(logging, "_logRecordFactory", made)

    def failing(event: object) -> None:
        raise ValueError

    it = make_harness(CREATED)
    it.executor.observers = ObserverGroup([log_events, failing])
    await it.create(draft())
    ours = [record for record in everything if record.name == "wonder_customers"]
    names = [record.getMessage().partition(" ")[0] for record in ours]
    assert names == ["call_started", "observer_failed", "attempt_started", "attempt_ended", "call_ended"]
    assert {vars(record)["request_id"] for record in ours} == {"of the program"}
    assert vars(ours[-1])["operation"] == "create"


@pytest.mark.parametrize(
    ("steps", "error", "level"),
    [
        ([respond(401, {})], AuthenticationError, "INFO"),
        ([respond(400, {"message": "no"})], InvalidRequestError, "INFO"),
        ([NO_RESPONSE, *[respond(502, b"")] * 3], OutcomeUnknownError, "WARNING"),
    ],
)
async def test_level_of_call_ended(
    everything: list[logging.LogRecord], steps: list[Any], error: type[CallError], level: str
) -> None:
    it = make_harness(*steps)
    it.executor.observers = ObserverGroup([log_events])
    with pytest.raises(error):
        await it.create(draft())
    (ended,) = (record for record in everything if getattr(record, "event", "") == "call_ended")
    assert (ended.levelname, fields(ended)["error"]) == (level, error.__name__)


async def test_request_id_cannot_forge_other_keys(everything: list[logging.LogRecord]) -> None:
    it = make_harness(respond(404, {"message": "Customer not found"}, x_request_id='a" applied=yes x="'))
    it.executor.observers = ObserverGroup([log_events])
    with pytest.raises(CallError):
        await it.get(UUID)
    assert everything[-1].getMessage().endswith(r' request_id="a\" applied=yes x=\""')


async def test_disabled_levels_are_not_formatted(everything: list[logging.LogRecord]) -> None:
    logging.getLogger("wonder_customers").setLevel(logging.INFO)
    it = make_harness(CREATED)
    it.executor.observers = ObserverGroup([log_events])
    await it.get(UUID)
    assert [record for record in everything if record.name == "wonder_customers"] == []


def test_no_output_without_logging_configuration() -> None:
    code = (
        "import anyio, httpx, wonder_customers as w\n"
        "from wonder_customers.contrib.logs import log_events\n"
        "def broken(event): raise ValueError\n"
        "async def main():\n"
        "    silent = httpx.MockTransport(lambda request: httpx.Response(502))\n"
        "    policy = w.RetryPolicy(attempts=1)\n"
        "    options = {'retry': policy, 'transport': silent, 'observers': [log_events, broken]}\n"
        "    async with w.CustomerSession(w.Paydock('k'), **options) as it:\n"
        "        try: await it.create(w.CustomerDraft(name='Ada'))\n"
        "        except w.OutcomeUnknownError: print(it.stats().observer_failures)\n"
        "anyio.run(main)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("5\n", "")


CANARY = CustomerDraft(
    reference="canary-reference-7c1f",
    first_name="Canaria",
    last_name="Birdsworth",
    email="canaria.birdsworth@canary.example",
    phone=Phone("+44", "7911998877"),
)
PATCH = CustomerPatch(first_name="Canaria", last_name="Featherstone")
CARD = CardSource(
    "4111111111111111", "12", "2031", holder_name="CANARIA BIRDSWORTH", cvv="917", gateway_id="5cb4a0e7b1c2d3e4f5a6b7c8"
)
RETURN = "https://shop.example/canary-ref"
WONDER_CARD = evolve(
    CARD, gateway_id=None, transaction_type="no_show", success_return_url=RETURN, fail_return_url=RETURN
)
PERSONAL = ("canary-ref", "Canaria", "Birdsworth", "Featherstone", "canary.example", "7911998877", "4111111111111111")
HASTY = evolve(POLICY, confirmation_window=0.02)
FAULTS = ("read_close", "truncated_body", "server_error", "rate_limited", "huge_headers", "bad_chunk", "stale_rst")


def forms(value: str) -> set[str]:
    """Return a value's plain, URL and base64 forms, the latter at every offset."""
    parts = {base64.b64encode(b" " * pad + value.encode()).decode().rstrip("=")[4:-2] for pad in range(3)}
    return {value, quote(value, safe=""), *(part for part in parts if len(part) >= 8)}


async def every_operation(it: Any) -> None:
    """Run all operations that send customer data and ignore their errors."""
    operations: list[Any] = [lambda: it.upsert(CANARY), lambda: it.get_by_reference(CANARY.reference)]
    made = None
    for operation in operations:
        try:
            made = await operation()
        except CallError:
            continue
    if made is None:
        return
    for operation in (
        lambda: it.update(made.id, PATCH),
        lambda: it.get(made.id),
        lambda: it.raw.page(limit=3),
        lambda: it.create_payment_token(made.id, WONDER_CARD if isinstance(it.account, Wonder) else CARD),
    ):
        try:
            await operation()
        except (CallError, UnsupportedOperationError):
            continue


@pytest.mark.parametrize(
    "gateway", ["monri", *(pytest.param(it, marks=pytest.mark.long) for it in ("paydock", "wonder"))]
)
async def test_no_logger_writes_customer_data_or_keys(
    gateway: str, simulator: SimulatorServer, everything: list[logging.LogRecord], anyio_backend: str
) -> None:
    for transport in (None, HttpxTransport()):
        async with session(simulator, gateway, HASTY, transport=transport, observers=[log_events]) as it:
            await every_operation(it)
            for fault in FAULTS if transport is None else FAULTS[:2]:
                simulator.faults.clear()
                simulator.faults.add(fault, times=2)
                await every_operation(it)
        if transport is not None:
            await transport.aclose()
    assert any(record.name.startswith("httpcore.") for record in everything)
    assert {getattr(record, "event", "") for record in everything} > FIELDS.keys() - {
        "waiting",
        "wait_ended",
        "lookup_started",
        "lookup_ended",
    }
    written = "\n".join(f"{record.getMessage()} {vars(record)}" for record in everything)
    keys = [value for name, value in simulator.environment().items() if not name.endswith("_URL")]
    for value in (*PERSONAL, *(line for key in keys for line in key.splitlines() if len(line) > 12)):
        assert not [form for form in forms(value) if form in written], value


def test_all_events_are_logged() -> None:
    assert FIELDS.keys() == {
        *("session_started", "session_ended", "call_started", "call_ended", "attempt_started", "attempt_ended"),
        *("waiting", "wait_ended", "lookup_started", "lookup_ended"),
    }
