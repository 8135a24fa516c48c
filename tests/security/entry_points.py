"""The entry points of untrusted bytes, one function each, for all kinds of fuzzing.

Each function must accept any input: the library returns a result or raises one of its own errors, and both are checked.
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
from bulk.sources.spreadsheet import write_xlsx
from examples import CARD, DRAFT
from gateway_responses import HEX24, UUID
from mock_gateway import ACCOUNTS, monri_oauth

from wonder_customers import (
    ConfigurationError,
    Customer,
    CustomerPatch,
    Page,
    PaydockFilter,
    PaymentToken,
    Phone,
    VaultToken,
    Wonder,
    WonderCustomersError,
    WonderFilter,
    dialects,
)
from wonder_customers._core.redaction import Redactor
from wonder_customers._support.printable import printable
from wonder_customers.bulk.sources import ColumnMapping, read
from wonder_customers.dialects.accounts import check_credential, parse_base_url
from wonder_customers.dialects.base import Call, Dialect, LockCustomer, path_segment
from wonder_customers.dialects.json import DEPTH, UnreadableJsonError, deeper_than, parse_json
from wonder_customers.dialects.pagination import parse_offset, query_string
from wonder_customers.errors import CallError
from wonder_customers.records import Response
from wonder_customers.retry import retry_after
from wonder_customers.testing.cassettes import ReplayTransport, to_har
from wonder_customers.transports.asyncio import AsyncioTransport
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
    lambda it, _: it.page(50, None),
    lambda it, _: it.list_payment_tokens(UUID),
    lambda it, gateway: it.create_payment_token(HEX24, CARD if gateway == "wonder" else VaultToken(UUID)),
    lambda it, _: it.check_payment_token(UUID, TOKEN),
    lambda it, _: it.delete_payment_token(HEX24, TOKEN),
    lambda it, _: _token(it),
)
STATUSES: Final = (200, 200, 200, 201, 202, 204, 301, 400, 401, 403, 404, 408, 409, 410, 418, 422, 429, 500, 503, 599)
_STEPS: Final = 6


@cache
def account_contexts() -> tuple[tuple[str, Dialect], ...]:
    contexts = [(gateway, make().dialect()) for gateway, make in ACCOUNTS.items()]
    return (*contexts, ("monri", monri_oauth().dialect()))


def _token(dialect: Dialect) -> Generator[Any, Any, Any]:
    call = dialect.token_call()
    return (yield call) if call is not None else None


def _first(data: bytes, count: int) -> tuple[int, bytes]:
    return (data[0] % count if data else 0), data[1:]


# Response bodies


def response_bodies(data: bytes) -> None:
    """Use any body and status as the response to every request of one operation of one gateway."""
    which, data = _first(data, len(account_contexts()))
    operation, data = _first(data, len(OPERATIONS))
    status, data = _first(data, len(STATUSES))
    run_operation(account_contexts()[which], operation, STATUSES[status], data)


def run_operation(account_context: tuple[str, Dialect], operation: int, status: int, body: bytes) -> None:
    """Run an operation that receives the same response to each of its requests."""
    gateway, dialect = account_context
    response = HttpResponse(status, {}, body)
    try:
        steps = OPERATIONS[operation](dialect, gateway)
        step = next(steps)
    except (WonderCustomersError, StopIteration):
        return  # the gateway does not support the operation
    try:
        for _ in range(_STEPS):
            if isinstance(step, LockCustomer):
                step = steps.send(True)
                continue
            try:
                record = step.decode(response)
            except CallError as error:
                _check_error(error, step)
                step = steps.throw(error)
            else:
                _check_record(gateway, dialect, record)
                step = steps.send(Response(record, status, {}))
    except (WonderCustomersError, StopIteration) as end:
        str(end)


def _check_error(error: CallError, call: Call[Any]) -> None:
    Redactor(call.request).redact_error(error)
    assert error.applied in {"no", "yes", "unknown"}
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert len(str(error)) < 5000, "error messages must stay short"


def _check_record(gateway: str, dialect: Dialect, record: Any) -> None:
    repr(record)
    items = record.items if isinstance(record, Page) else record if isinstance(record, (list, tuple)) else [record]
    for item in items:
        if isinstance(item, (Customer, PaymentToken)):
            printable(orjson.dumps(asdict(item), default=str))
        if isinstance(item, Customer):
            assert isinstance(item.id, str)
            assert not deeper_than(DEPTH + 10, dict(item.extra))
            dialect.compare(DRAFT, item)
            dialects.package(gateway).codec.write_customer(item)


def json_bodies(data: bytes) -> None:
    """Compare the JSON parser with a strict configuration of the standard library's."""
    try:
        value = parse_json(data)
    except UnreadableJsonError:
        return
    assert same(value, json.loads(data.decode(), object_pairs_hook=_strict_object, parse_constant=_no_constant))


def _strict_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs), "duplicate key"
    return dict(pairs)


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not valid JSON")


def same(first: Any, second: Any) -> bool:
    """Return whether two values are equal and of equal types."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same, first, second))
    return type(first) is type(second) and bool(first == second)


def retry_after_headers(data: bytes) -> None:
    """Parse the bytes as ``Retry-After`` headers."""
    text = data.decode("latin-1")
    for name in ("retry-after", "retry-after-ms"):
        seconds = retry_after({name: text}, 1_700_000_000.0)
        assert seconds is None or (isfinite(seconds) and seconds >= 0)


def gateway_messages(data: bytes) -> None:
    """Check that values of the request are removed from a gateway's message."""
    sent = {"name": "Ada Lovelace", "phone": "+85212345678", "cvv": "737", "meta": {"note": "née Byron"}}
    request = HttpRequest("POST", "/customers?search=Lovelace", "/customers", orjson.dumps(sent))
    message = Redactor(request).redact(data.decode("utf-8", "replace"))
    assert len(message) <= 1000
    for value in ("ada lovelace", "12345678", "née byron"):
        assert value not in message.casefold()


# Bytes on a connection

_ORIGIN = Origin("http", "127.0.0.1", 1)
_OUTGOING = SignedRequest(_ORIGIN, "GET", "/v2/customers/1", ((b"Host", b"127.0.0.1"),), b"", Timeouts(1, 1, 1))


def _pieces(data: bytes) -> list[bytes]:
    """Return the bytes in one or two pieces."""
    cut, data = _first(data, 256)
    return [piece for piece in (data[:cut], data[cut:]) if piece]


class _OpenTransport(asyncio.Transport):
    """A connection that stays open."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Do nothing."""

    def is_closing(self) -> bool:
        return False


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def connection(data: bytes) -> None:
    """Receive any bytes on a connection of the default transport."""

    async def receive() -> None:
        transport = AsyncioTransport()
        transport._check_loop()
        connection, transmission = transport._new(_ORIGIN), Transmission()
        connection.connection_made(_OpenTransport())
        sending = asyncio.ensure_future(connection.send(_OUTGOING, transmission, inf))
        await asyncio.sleep(0)
        for piece in _pieces(data):
            connection.data_received(piece)
        connection.connection_lost(None)
        try:
            _check_transmission(transmission, StopIteration(await sending))
        except TransportError:
            return

    _loop().run_until_complete(receive())


def _check_transmission(transmission: Transmission, end: Exception) -> None:
    if isinstance(end, StopIteration):
        assert isinstance(end.value, HttpResponse)
        assert end.value.status == transmission.status
        retry_after_headers(end.value.headers.get("retry-after", "").encode("latin-1"))


# Files and settings

_MAX_BYTES: Final = 600
"""Enough bytes for a few rows; more would only take longer."""


@cache
def _file() -> Path:
    return Path(mkdtemp(prefix="wonder-customers-fuzz-")) / "source"


def csv_file(data: bytes) -> None:
    """Read any bytes as a CSV file, compressed or not."""
    _rows(data[:_MAX_BYTES], "csv", {})


def csv_rows(data: bytes) -> None:
    """Read any bytes as the rows of a CSV file with a valid header."""
    _rows(b"reference,name,email,phone,metadata,address.city,metadata.tier\n" + data[:_MAX_BYTES], "csv", {})


def json_lines(data: bytes) -> None:
    """Read any bytes as JSON lines, compressed or not, with mapped columns."""
    _rows(
        data[:_MAX_BYTES],
        "jsonl",
        {"id": "reference", "Stadt": "address.city", "card": "payment_source.number", "junk": ""},
    )


def _rows(data: bytes, form: Any, mapping: Any) -> None:
    _file().write_bytes(data)
    _read(form, mapping)


def _read(form: Any, mapping: Any) -> None:
    try:
        for row in read(_file(), form=form, mapping=mapping):
            assert (row.draft is None) != (row.problem is None)
            if row.draft is not None:
                for _, dialect in account_contexts()[:3]:
                    with suppress(WonderCustomersError):
                        dialect.validate(row.draft)
                        dialect.payload(row.draft)
    except WonderCustomersError as error:
        str(error)


def spreadsheet(data: bytes) -> None:
    """Read any bytes as the XML of a sheet, and after a null byte, as the number format of its cells with ``s="2"``."""
    sheet, _, code = data[:_MAX_BYTES].partition(b"\0")
    write_xlsx(_file(), {"A": []}, sheet, number_format=code.decode("utf-8", "replace") or "General")
    _read("excel", {})


def mapping_file(data: bytes) -> None:
    """Read any bytes as a mapping file, and a row with it."""
    _file().write_bytes(data[:_MAX_BYTES])
    with suppress(ConfigurationError):
        mapping = ColumnMapping.load(_file())
        assert ColumnMapping.from_dict(mapping.as_dict()) == mapping
        _rows(b"reference,name,Phone,City\n1,Ada,+385 91 234 5678,Zagreb\n", "csv", mapping)


def cassette(data: bytes) -> None:
    """Read any bytes as a cassette, and replay it."""
    _file().write_bytes(data)
    with suppress(ConfigurationError):
        to_har(_file())
        replay = ReplayTransport(_file())
        assert all(" " in it for it in replay.unused)
        with suppress(TransportError):
            _loop().run_until_complete(replay.send(_OUTGOING, Transmission()))


def settings(data: bytes) -> None:
    """Use any text as a URL, key, id, cursor or filter."""
    text = data.decode("utf-8", "surrogateescape")
    uses: tuple[Callable[[], object], ...] = (
        lambda: parse_base_url(text),
        lambda: parse_base_url(f"https://{text}"),
        lambda: check_credential("key", text),
        lambda: path_segment("monri", "id", text),
        lambda: parse_offset("monri", text),
        lambda: query_string({"limit": 1}, WonderFilter.parse({"name": text}).query()),
        lambda: PaydockFilter.parse({text: text}),
        lambda: Phone.parse(text).e164(),
        lambda: Wonder("app", text),
        lambda: Wonder("app", f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----"),
    )
    for use in uses:
        with suppress(WonderCustomersError):
            use()


ENTRY_POINTS: Final[tuple[Callable[[bytes], None], ...]] = (
    response_bodies,
    response_bodies,
    response_bodies,
    json_bodies,
    retry_after_headers,
    gateway_messages,
    connection,
    csv_file,
    csv_rows,
    json_lines,
    spreadsheet,
    mapping_file,
    cassette,
    settings,
)
"""The entry points, selected by the first byte of an input; response bodies are the most frequent input."""


def fuzz_one(data: bytes) -> None:
    """Pass an input to its entry point."""
    number, rest = _first(data, len(ENTRY_POINTS))
    ENTRY_POINTS[number](rest)


__all__ = [
    "ENTRY_POINTS",
    "OPERATIONS",
    "STATUSES",
    "account_contexts",
    "fuzz_one",
    "response_bodies",
    "run_operation",
    "same",
]
