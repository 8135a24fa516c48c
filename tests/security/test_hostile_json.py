"""Invalid, ambiguous or oversized JSON in responses is rejected, with an error that describes the call."""

import json
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import product
from typing import Any

import orjson
import pytest
from backends import ASYNCIO_ONLY
from gateway_responses import HEX24, UUID
from hypothesis import given
from hypothesis import strategies as st
from mock_gateway import ACCOUNTS, MockGateway, golden, json_response
from strategies import JSON

from wonder_customers import (
    CustomerDraft,
    CustomerPatch,
    CustomerSession,
    GatewayError,
    InvalidRecordError,
    InvalidRequestError,
    InvalidResponseError,
    OutcomeUnknownError,
    PaymentToken,
    Phone,
    RateLimitError,
)
from wonder_customers.dialects import drift
from wonder_customers.dialects.json import DEPTH, UnreadableJsonError, deeper_than, parse_json


def nested(levels: int, kind: str = "[]") -> bytes:
    opening = b"[" if kind == "[]" else b'{"a":'
    return opening * (levels - 1) + (b"[]" if kind == "[]" else b"{}") + kind[1].encode() * (levels - 1)


HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "an empty body"),
    "blanks": (b" \n", "an empty body"),
    "HTML": (b"<html></html>", "not JSON"),
    "truncated": (b'{"a":', "not JSON"),
    "two documents": (b'{"a":1}{"a":1}', "not JSON"),
    "trailing text": (b'{"a":1} x', "not JSON"),
    "trailing comma": (b'{"a":1,}', "not JSON"),
    "a comment": (b'{"a":1/**/}', "not JSON"),
    "two byte order marks": (b'\xef\xbb\xbf\xef\xbb\xbf{"a":1}', "not JSON"),
    "UTF-16": ('{"a":1}'.encode("utf-16"), "not JSON"),
    "not UTF-8": (b'{"a":"\xff"}', "not JSON"),
    "a control character": (b'{"a":"\x00"}', "not JSON"),
    "a lone surrogate": (b'{"a":"\\ud800"}', "not JSON"),
    "NaN": (b'{"a":NaN}', "not JSON"),
    "Infinity": (b'{"a":Infinity}', "not JSON"),
    "a float that is infinite": (b'{"a":1e999}', "not JSON"),
    "a leading zero": (b'{"a":01}', "not JSON"),
    "a key twice": (b'{"a":1,"a":2}', "JSON with a repeated key"),
    "a key twice, alike": (b'{"a":1,"a":1}', "JSON with a repeated key"),
    "a key twice, spaced": (b'{"a" :1,\n"a"\t: 2}', "JSON with a repeated key"),
    "a key twice, escaped": (b'{"a":1,"\\u0061":2}', "JSON with a repeated key"),
    "a key twice, deep down": (b'{"a":[{"b":{"c":1,"d":2,"c":3}}]}', "JSON with a repeated key"),
    "a key twice, with escaped quotes": (b'{"a":1,"a":"\\u0022\\u0022","b":"\\u0022"}', "JSON with a repeated key"),
    "a key twice, empty": (b'{"":1,"":2}', "JSON with a repeated key"),
    "a key twice, quotes in it": (b'{"\\"":1,"\\"":2}', "JSON with a repeated key"),
    "a whole number of 65 bits": (b'{"a":18446744073709551616}', "more than 64 bits"),
    "a negative number of 65 bits": (b'{"a":-9223372036854775809}', "more than 64 bits"),
    "a hundred digits": (b'{"a":[' + b"9" * 100 + b"]}", "more than 64 bits"),
    "nested lists": (nested(DEPTH + 1), f"more than {DEPTH} nested levels"),
    "nested objects": (nested(DEPTH + 1, "{}"), f"more than {DEPTH} nested levels"),
    "a thousand levels": (nested(1000), f"more than {DEPTH} nested levels"),
    "a million levels": (b"[" * 1_000_000, "commas and opening brackets"),
    "a wide list": (b"[" + b"[]," * 400_000 + b"0]", "commas and opening brackets"),
    "a wide object": (b"{" + b",".join(b'"%d":1' % it for it in range(300_000)) + b"}", "commas and opening brackets"),
    "many numbers": (b"[" + b"1," * 300_000 + b"1]", "commas and opening brackets"),
}
VALID: dict[str, tuple[bytes, Any]] = {
    "the same key in two objects": (b'[{"a":1},{"a":1}]', [{"a": 1}, {"a": 1}]),
    "the same key further down": (b'{"a":{"a":1}}', {"a": {"a": 1}}),
    "keys that differ in case": (b'{"a":1,"A":2}', {"a": 1, "A": 2}),
    "a quote in a text": (b'{"a":"say \\"b\\":","b":1}', {"a": 'say "b":', "b": 1}),
    "a quote by its number": (b'{"a":"\\u0022:","b":1}', {"a": '":', "b": 1}),
    "the letters u0022": (b'{"a":"\\\\u0022"}', {"a": "\\u0022"}),
    "braces in a text": (b'{"a":"' + b"{[" * 100 + b'"}', {"a": "{[" * 100}),
    "the largest integers": (b"[18446744073709551615,-9223372036854775808]", [2**64 - 1, -(2**63)]),
    "a long number in a text": (b'{"a":"' + b"1" * 40 + b'"}', {"a": "1" * 40}),
    "a long fraction": (b"[0.12345678901234567890123]", [0.12345678901234568]),
    "the maximum depth": (nested(DEPTH), None),
    "a pair of surrogates": (b'["\\ud83d\\ude00"]', ["\U0001f600"]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_untrusted_json_is_rejected(name: str) -> None:
    body, reason = HOSTILE[name]
    with pytest.raises(UnreadableJsonError, match=reason):
        parse_json(body)


@pytest.mark.parametrize("name", VALID)
def test_unusual_but_valid_json_is_accepted(name: str) -> None:
    body, value = VALID[name]
    assert parse_json(body) == (json.loads(body) if value is None else value)


REPAIRED: dict[str, tuple[bytes, Any]] = {
    "half of a pair": (b'{"a":"A\\ud83d"}', {"a": "A\ufffd"}),
    "the second half": (b'{"a":"\\uDE00A","b":"\\ud83d\\ude00"}', {"a": "\ufffdA", "b": "\U0001f600"}),
    "two first halves": (b'["\\ud83d\\ud83d\\ude00"]', ["\ufffd\U0001f600"]),
    "after an escaped backslash": (b'["\\\\ud83d","\\ud83d"]', ["\\ud83d", "\ufffd"]),
    "65 bits": (b'{"a":18446744073709551616,"b":1.5}', {"a": "18446744073709551616", "b": 1.5}),
    "a long negative integer": (b"[-" + b"9" * 100 + b"]", ["-" + "9" * 100]),
    "half of a pair and 65 bits": (b'["\\ud83d",18446744073709551616]', ["\ufffd", "18446744073709551616"]),
}


@pytest.mark.parametrize("name", REPAIRED)
def test_single_values_that_cannot_be_represented_are_replaced_and_reported(name: str) -> None:
    body, value = REPAIRED[name]
    with pytest.raises(UnreadableJsonError):
        parse_json(body)
    drift.start()
    assert parse_json(body, repair=True) == value
    assert {it.field for it in drift.stop()} == {"(body)"}


@pytest.mark.parametrize("name", [it for it in HOSTILE if "bits" not in HOSTILE[it][1] and "surrogate" not in it])
def test_other_json_is_rejected_with_and_without_repairs(name: str) -> None:
    with pytest.raises(UnreadableJsonError, match=HOSTILE[name][1]):
        parse_json(HOSTILE[name][0], repair=True)


def _strict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise UnreadableJsonError("duplicate key")
    return dict(pairs)


PIECES = st.lists(
    st.sampled_from([
        "{", "}", "[", "]", ",", ":", '"', "\\", '"a"', '"a":', '"b":1', '\\"', "\\u0022", "u0022", "\\u0061", "1",
        "0.5", " ", "18446744073709551615", "18446744073709551616", '"\\""', "null", "{}", '{"a":1}', '"":',
    ]),
    max_size=14,
).map("".join)  # fmt: skip


@given(text=PIECES | JSON.map(json.dumps) | JSON.map(lambda it: json.dumps(it, ensure_ascii=False, indent=1)))
def test_parser_agrees_with_a_strict_standard_library(text: str) -> None:
    body = text.encode("utf-8", "surrogatepass")
    try:
        expected = json.loads(text, object_pairs_hook=_strict)
        if any(not -(2**63) <= number < 2**64 for number in _integers(expected)):
            raise UnreadableJsonError
        orjson.loads(body)
    except ValueError:
        with pytest.raises(UnreadableJsonError):
            parse_json(body)
    else:
        assert parse_json(body) == expected


def _integers(value: Any) -> list[int]:
    if isinstance(value, (dict, list)):
        return [it for item in (value.values() if isinstance(value, dict) else value) for it in _integers(item)]
    return [value] if type(value) is int else []


@given(value=JSON, levels=st.integers(0, 6))
def test_nesting_depth_is_limited_exactly(value: Any, levels: int) -> None:
    def depth(it: Any) -> int:
        if not isinstance(it, (dict, list)):
            return 0
        return 1 + max(map(depth, it.values() if isinstance(it, dict) else it), default=0)

    assert deeper_than(levels, [value]) == (depth([value]) > levels)


# Responses

DRAFT = CustomerDraft(reference="35", name="Ada Lovelace", phone=Phone("+44", "7911123456"))
READS: dict[str, Callable[[CustomerSession[Any]], Awaitable[Any]]] = {
    "get": lambda it: it.get(UUID),
    "get_by_reference": lambda it: it.get_by_reference("35"),
    "list": lambda it: it.raw.page(10),
    "list_payment_tokens": lambda it: it.list_payment_tokens(UUID),
}
WRITES: dict[str, Callable[[CustomerSession[Any]], Awaitable[Any]]] = {
    "create": lambda it: it.create(DRAFT),
    "create without a reference": lambda it: it.create(CustomerDraft(name="Ada")),
    "update": lambda it: it.update(UUID, CustomerPatch(email="ada@example.org")),
    "delete": lambda it: it.delete(UUID),
    "delete_payment_token": lambda it: it.delete_payment_token(UUID, PaymentToken(UUID)),
}
UNSUPPORTED = {("wonder", "delete"), ("wonder", "create without a reference"), ("monri", "delete_payment_token")}
INVALID = ("a key twice", "a float that is infinite", "nested lists", "NaN", "truncated")


def invalid_body(gateway: str, name: str) -> bytes:
    """Return a valid response with an additional hostile field."""
    valid = orjson.dumps(golden(gateway, {"paydock": "customer_response"}.get(gateway, "create_response")))
    hostile = HOSTILE[name][0]
    return valid[:20] if name == "truncated" else valid[:-1] + b',"later":' + hostile + b"}"


_MEGABYTES = 8_300_000


@pytest.mark.parametrize(
    "unit",
    [
        "[],",
        "1,",
        *(pytest.param(it, marks=pytest.mark.long) for it in ('{"a":1},', '"",', "[[[[]]]],", '{"":[{}]},', '"\\",')),
    ],
)
def test_memory_for_hostile_json_is_bounded(unit: str) -> None:
    tracemalloc.start()
    for size in (249_000 // sum(map(unit.count, ",[{")), _MEGABYTES // len(unit)):
        body = ("[" + unit * size + "0]").encode()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        with suppress(UnreadableJsonError):
            parse_json(body)
        assert tracemalloc.get_traced_memory()[1] - before < 100_000_000
    tracemalloc.stop()


@ASYNCIO_ONLY
@pytest.mark.parametrize(
    ("gateway", "operation"), [it for it in product(ACCOUNTS, [*READS, *WRITES]) if it not in UNSUPPORTED]
)
async def test_response_with_hostile_json_raises_invalid_response_error(gateway: str, operation: str) -> None:
    for name in INVALID:
        first = []
        if (gateway, operation) == ("wonder", "update"):  # the update reads the customer first
            customer = {"uuid": UUID, "reference_number": "35", "name": "Ada", "phone": "1", "dial_code": "+44"}
            first = [json_response(200, {"code": 200, "data": {"customer": customer}})]
        # Creates at Paydock and Monri are looked up. The response to the lookup cannot be read either.
        responses = 2 if operation == "create" and gateway != "wonder" else 1
        wire = MockGateway(*first, *[invalid_body(gateway, name)] * responses)
        async with wire.session(gateway, attempts=3) as session:
            with pytest.raises(InvalidResponseError) as caught:
                await (READS | WRITES)[operation](session)
        assert caught.value.applied == ("no" if operation in READS else "unknown")
        assert caught.value.status == 200
        assert wire.responses == []


@ASYNCIO_ONLY
async def test_error_response_with_hostile_json_keeps_only_its_status(gateway: str) -> None:
    body = b'{"message":"taken","message":"not found","code":1e5,"status":"x","error":{"message":"a","message":"b"}}'
    for status, kind, applied in (
        (400, InvalidRequestError, "no"),
        (429, RateLimitError, "no"),
        (503, OutcomeUnknownError, "unknown"),
    ):
        async with MockGateway(json_response(status, body)).session(gateway) as session:
            with pytest.raises(kind) as caught:
                await session.update(UUID, CustomerPatch(name="Ada")) if gateway != "wonder" else await session.create(
                    DRAFT
                )
        refusal = caught.value.__cause__ if kind is OutcomeUnknownError else caught.value
        assert isinstance(refusal, GatewayError)
        assert (refusal.message, refusal.code) == (None, None)
        assert caught.value.applied == applied


@ASYNCIO_ONLY
async def test_reports_on_a_huge_list_are_few() -> None:
    huge: tuple[Any, ...] = ("x" * 100_000, {str(number): {} for number in range(1000)}, [5] * 50_000)
    for sources in huge:
        body = {"status": 200, "resource": {"data": {"_id": HEX24, "payment_sources": sources}}}
        async with MockGateway(body).session("paydock") as session:
            customer = await session.get(HEX24)
            assert customer.payment_tokens == ()
            assert list(session.stats().drift) == ["paydock.payment_sources"]


def test_metadata_that_could_not_be_read_back_is_rejected() -> None:
    monri = ACCOUNTS["monri"]().dialect()
    deep: Any = "x"
    for _ in range(DEPTH // 2 - 1):
        deep = [deep]
    monri.validate(CustomerDraft(name="Ada", metadata={"a": deep}))
    with pytest.raises(InvalidRecordError, match=f"at most {DEPTH // 2} nested levels"):
        monri.validate(CustomerDraft(name="Ada", metadata={"a": [deep]}))
