"""Every door through which bytes of others come in, one function each, for every kind of fuzzing.

Whatever goes in, a result or an error of the library's own tree must come out; each door looks at both.
"""

import asyncio
import json
import pickle
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import cache
from math import inf, isfinite
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

import orjson
from attrs import asdict
from examples import CARD, DRAFT
from gateway_responses import HEX24, UUID
from mock_gateway import ACCOUNTS, monri_oauth

from wonder_customers import (
    Customer,
    CustomerPatch,
    Page,
    PaymentToken,
    Phone,
    VaultToken,
    Wonder,
    WonderCustomersError,
    dialects,
)
from wonder_customers._core.redaction import Redactor
from wonder_customers.bulk.sources import read
from wonder_customers.cli.output import printable
from wonder_customers.dialects.base import Call, Dialect, LockReference, credential, endpoint, segment
from wonder_customers.dialects.json import DEPTH, UnreadableJson, deeper_than, parsed
from wonder_customers.dialects.pagination import offset_of, query
from wonder_customers.errors import CallError
from wonder_customers.records import Response
from wonder_customers.retry import retry_after
from wonder_customers.transports import aiohttp as by_aiohttp
from wonder_customers.transports import httpx as by_httpx
from wonder_customers.transports._line import Line
from wonder_customers.wire import (
    HttpRequest,
    HttpResponse,
    Origin,
    SignedRequest,
    Timeouts,
    Transmission,
    TransportError,
)

PATCH = CustomerPatch(email="ada@example.org")
TOKEN = PaymentToken("4b281da4-d145-4233-b957-2018cf9aa0fb", verify_uuid=UUID)

OPERATIONS: Final[tuple[Callable[[Dialect, str], Any], ...]] = (
    lambda it, _: it.create(DRAFT),
    lambda it, _: it.upsert(DRAFT),
    lambda it, _: it.get(HEX24),
    lambda it, _: it.get(UUID),
    lambda it, _: it.get_by_reference("35"),
    lambda it, _: it.update(UUID, PATCH),
    lambda it, _: it.delete(HEX24),
    lambda it, _: it.page(50, None, {}),
    lambda it, _: it.list_payment_tokens(UUID),
    lambda it, gateway: it.create_payment_token(HEX24, CARD if gateway == "wonder" else VaultToken(UUID)),
    lambda it, _: it.check_payment_token(UUID, TOKEN),
    lambda it, _: it.delete_payment_token(HEX24, TOKEN),
    lambda it, _: _token(it),
)
STATUSES: Final = (200, 200, 200, 201, 202, 204, 301, 400, 401, 403, 404, 408, 409, 410, 418, 422, 429, 500, 503, 599)
_STEPS: Final = 6


@cache
def speakers() -> tuple[tuple[str, Dialect], ...]:
    made = [(gateway, make().dialect()) for gateway, make in ACCOUNTS.items()]
    return (*made, ("monri", monri_oauth().dialect()))


def _token(dialect: Dialect) -> Generator[Any, Any, Any]:
    call = dialect.token_call()
    return (yield call) if call is not None else None


def _first(data: bytes, among: int) -> tuple[int, bytes]:
    return (data[0] % among if data else 0), data[1:]


# What a gateway answers


def answers(data: bytes) -> None:
    """Any body, with any status, as the answer to every request of any operation of any gateway."""
    which, data = _first(data, len(speakers()))
    operation, data = _first(data, len(OPERATIONS))
    status, data = _first(data, len(STATUSES))
    answered(speakers()[which], operation, STATUSES[status], data)


def answered(account_context: tuple[str, Dialect], operation: int, status: int, body: bytes) -> None:
    """Walk through an operation whose requests are all answered alike."""
    gateway, dialect = account_context
    reply = HttpResponse(status, {}, body)
    try:
        steps = OPERATIONS[operation](dialect, gateway)
        step = next(steps)
    except (WonderCustomersError, StopIteration):
        return  # the gateway has no such operation
    try:
        for _ in range(_STEPS):
            if isinstance(step, LockReference):
                step = steps.send(True)
                continue
            try:
                record = step.decode(reply)
            except CallError as error:
                _sound_error(error, step)
                step = steps.throw(error)
            else:
                _sound_record(gateway, dialect, record)
                step = steps.send(Response(record, status, {}))
    except (WonderCustomersError, StopIteration) as end:
        str(end)


def _sound_error(error: CallError, call: Call[Any]) -> None:
    Redactor(call.request).out_of_error(error)
    assert error.applied in {"no", "yes", "unknown"}
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert len(str(error)) < 5000, "a gateway fills no log"


def _sound_record(gateway: str, dialect: Dialect, record: Any) -> None:
    repr(record)
    items = record.items if isinstance(record, Page) else record if isinstance(record, (list, tuple)) else [record]
    for item in items:
        if isinstance(item, (Customer, PaymentToken)):
            printable(orjson.dumps(asdict(item), default=str))
        if isinstance(item, Customer):
            assert isinstance(item.id, str)
            assert not deeper_than(DEPTH + 10, dict(item.extra))
            dialect.differences(DRAFT, item)
            dialects.package(gateway).codec.customer_reply(item)


def json_bodies(data: bytes) -> None:
    """What is read as JSON here is read alike by the standard library, told to be strict."""
    try:
        value = parsed(data)
    except UnreadableJson:
        return
    assert same(value, json.loads(data.decode(), object_pairs_hook=_strict_object, parse_constant=_no_constant))


def _strict_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs), "a key comes twice"
    return dict(pairs)


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def same(mine: Any, theirs: Any) -> bool:
    """Whether two values are the same, whole numbers to the last digit."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return mine.keys() == theirs.keys() and all(same(mine[key], theirs[key]) for key in mine)
    if isinstance(mine, list) and isinstance(theirs, list):
        return len(mine) == len(theirs) and all(map(same, mine, theirs))
    return type(mine) is type(theirs) and bool(mine == theirs)


def waits(data: bytes) -> None:
    """How long a gateway asks to wait."""
    text = data.decode("latin-1")
    for name in ("retry-after", "retry-after-ms"):
        seconds = retry_after({name: text}, 1_700_000_000.0)
        assert seconds is None or (isfinite(seconds) and seconds >= 0)


def words(data: bytes) -> None:
    """A gateway's words about what it was sent: none of it comes through."""
    sent = {"name": "Ada Lovelace", "phone": "+85212345678", "cvv": "737", "meta": {"note": "née Byron"}}
    request = HttpRequest("POST", "/customers?search=Lovelace", "/customers", orjson.dumps(sent))
    said = Redactor(request).out_of(data.decode("utf-8", "replace"))
    assert len(said) <= 1000
    for value in ("ada lovelace", "12345678", "née byron"):
        assert value not in said.casefold()


# The bytes before they are an answer

_ORIGIN = Origin("http", "127.0.0.1", 1)
_OUTGOING = SignedRequest(_ORIGIN, "GET", "/v2/customers/1", ((b"Host", b"127.0.0.1"),), b"", Timeouts(1, 1, 1))


class _Said:
    """A socket on which a gateway says `pieces` and goes."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    async def write(self, buffer: bytes, patience: float | None = None) -> None:
        """Nobody listens."""

    async def read(self, max_bytes: int, patience: float | None = None) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    async def aclose(self) -> None:
        """There is nothing to close."""

    def readable(self) -> bool:
        return False


def _pieces(data: bytes) -> list[bytes]:
    """The bytes in one piece, or cut somewhere."""
    cut, data = _first(data, 256)
    return [piece for piece in (data[:cut], data[cut:]) if piece]


def wire(data: bytes) -> None:
    """Any bytes as the answer on the default transport's connection."""
    transport, line, transmission = by_httpx.HttpxTransport(), Line(_ORIGIN, by_httpx._plain()), Transmission()
    line._socket = _Said(_pieces(data))  # type: ignore[assignment]
    walk = transport._roundtrip(by_httpx._Lane(line, _ORIGIN), _OUTGOING, transmission, inf)
    try:
        walk.send(None)
    except (StopIteration, TransportError) as end:
        _sound_flight(transmission, end)


class _Open(asyncio.Transport):
    """A connection that is there until somebody closes it."""

    def close(self) -> None:
        """Nothing goes out."""

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        """All is said already."""

    def resume_reading(self) -> None:
        """All is said already."""


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def aiohttp_wire(data: bytes) -> None:
    """The same on the aiohttp transport's."""

    async def hear() -> None:
        heard = by_aiohttp._Wire(loop=asyncio.get_running_loop())
        heard.connection_made(_Open())
        heard.set_response_params(
            read_until_eof=True, auto_decompress=False, max_line_size=65_536, max_field_size=65_536
        )
        for piece in _pieces(data):
            heard.data_received(piece)
        heard.connection_lost(None)
        transmission = Transmission()
        with suppress(*by_aiohttp._BROKEN):
            _sound_flight(transmission, StopIteration(await by_aiohttp._reply(heard, transmission)))

    _loop().run_until_complete(hear())


def _sound_flight(transmission: Transmission, end: Exception) -> None:
    if isinstance(end, StopIteration):
        assert isinstance(end.value, HttpResponse)
        assert end.value.status == transmission.status
        waits(end.value.headers.get("retry-after", "").encode("latin-1"))


# What a person feeds in

_MOST: Final = 600
"""Bytes that are enough for a few rows; more of them only take time."""


@cache
def _file() -> Path:
    return Path(mkdtemp(prefix="wonder-customers-fuzz-")) / "source"


def csv_file(data: bytes) -> None:
    """Any bytes as a CSV file, packed or not."""
    _rows(data[:_MOST], "csv", {})


def csv_rows(data: bytes) -> None:
    """Any bytes as the rows of a CSV file whose first line is right."""
    _rows(b"reference,name,email,phone,metadata,address.city,metadata.tier\n" + data[:_MOST], "csv", {})


def json_lines(data: bytes) -> None:
    """Any bytes as JSON lines, packed or not, with some columns mapped."""
    _rows(
        data[:_MOST], "jsonl", {"id": "reference", "Stadt": "address.city", "card": "payment_source.number", "junk": ""}
    )


def _rows(data: bytes, form: Any, mapping: dict[str, str]) -> None:
    _file().write_bytes(data)
    try:
        for row in read(_file(), form=form, mapping=mapping):
            assert (row.draft is None) != (row.problem is None)
            if row.draft is not None:
                for _, dialect in speakers()[:3]:
                    with suppress(WonderCustomersError):
                        dialect.validate(row.draft)
                        dialect.payload(row.draft)
    except WonderCustomersError as error:
        str(error)


def settings(data: bytes) -> None:
    """Any text where an address, a key, an id, a cursor or a filter belongs."""
    text = data.decode("utf-8", "surrogateescape")
    doors: tuple[Callable[[], object], ...] = (
        lambda: endpoint(text),
        lambda: endpoint(f"https://{text}"),
        lambda: credential("key", text),
        lambda: segment("monri", "id", text),
        lambda: offset_of("monri", text),
        lambda: query("monri", {"limit": 1}, {text: text}),
        lambda: Phone.parse(text).e164(),
        lambda: Wonder("app", text),
        lambda: Wonder("app", f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----"),
    )
    for door in doors:
        with suppress(WonderCustomersError):
            door()


DOORS: Final[tuple[Callable[[bytes], None], ...]] = (
    answers,
    answers,
    answers,
    json_bodies,
    waits,
    words,
    wire,
    aiohttp_wire,
    csv_file,
    csv_rows,
    json_lines,
    settings,
)
"""The doors by the first byte of an input; answers are most of what comes in."""


def knock(data: bytes) -> None:
    """Put an input to its door."""
    door, rest = _first(data, len(DOORS))
    DOORS[door](rest)


__all__ = ["DOORS", "OPERATIONS", "STATUSES", "answered", "answers", "knock", "same", "speakers"]
