"""How much CPU does a call cost above a transport that does nothing?"""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import cycle, islice
from time import process_time
from typing import Any

import httpx
import orjson

from benchmarks._canned import answer
from benchmarks._contenders import FIELDS, TOKEN, account, draft
from benchmarks._findings import ROUNDS, Findings, Target, summed_up
from benchmarks._loop import run
from wonder_customers import CustomerSession
from wonder_customers.wire import HttpResponse, SignedRequest, Transmission

_REFERENCES = [f"00000000-0000-4000-8000-{number:012d}" for number in range(5000)]
"""More than the size of any cache, so that every call is about another customer."""

_BODIES = {it: answer(b"m", it.encode()).partition(b"\r\n\r\n")[2] for it in _REFERENCES}
_HEADERS = {"content-type": "application/json"}


OURS, HTTPX = "wonder_customers", "httpx.AsyncClient"


class Idle:
    """A transport with a prepared response; it needs no time limit."""

    ends_in_time = True

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        """Return the response."""
        transmission.sent, transmission.status, transmission.headers = True, 200, _HEADERS
        return HttpResponse(200, _HEADERS, _body(signed_request.target, signed_request.body))

    async def aclose(self) -> None:
        """Do nothing."""


class _IdleHttpx(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        target = request.url.raw_path.decode()
        return httpx.Response(200, headers=_HEADERS, content=_body(target, request.content))


def _body(target: str, sent: bytes) -> bytes:
    name = target.rpartition("/")[2]
    return _BODIES[orjson.loads(sent)["merchant_customer_id"] if name == "customers" else name]


async def _cost(call: Callable[[Any], Awaitable[Any]], make: Callable[[str], Any], times: int) -> float:
    # New records each time, because a record may cache values.
    made = [make(reference) for reference in islice(cycle(_REFERENCES), times)]
    began = process_time()
    for one in made:
        await call(one)
    return (process_time() - began) / times * 1e6


def _fields(reference: str) -> dict[str, Any]:
    return {"merchant_customer_id": reference, **FIELDS}


async def _rounds(times: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    client = httpx.AsyncClient(transport=_IdleHttpx(), headers={"Authorization": f"WP3-v2.1 {TOKEN}"})
    url = "http://127.0.0.1:1/v2/customers"
    async with CustomerSession(account(1), transport=Idle()) as session, client:
        cases: dict[str, dict[str, tuple[Callable[[Any], Awaitable[Any]], Callable[[str], Any]]]] = {
            "one read": {
                OURS: (session.get, str),
                HTTPX: (lambda reference: client.get(f"{url}/{reference}"), str),
            },
            "one write": {
                OURS: (session.create, draft),
                HTTPX: (lambda fields: client.post(url, json=fields), _fields),
            },
            "a read and a write": {OURS: (session.upsert, draft)},
        }
        seen: dict[str, dict[str, list[float]]] = {}
        for case, contenders in cases.items():
            seen[case] = {name: [] for name in contenders}
            for _ in range(rounds + 1):
                for name, (call, make) in contenders.items():
                    seen[case][name].append(await _cost(call, make, times))
            for values in seen[case].values():
                del values[0]
            await asyncio.sleep(0)
        return seen


def measure(*, quick: bool) -> Findings:
    """Measure CPU time. No call waits."""
    seen = run(_rounds(*((50, 1) if quick else (3000, ROUNDS))))
    figures = [figure for case, rounds in seen.items() for figure in summed_up(case, "µs", rounds)]
    found = Findings(__doc__ or "", tuple(figures))
    read = found.value("one read", OURS) / found.value("one read", HTTPX)
    upsert = found.value("a read and a write", OURS)
    post = found.value("one write", HTTPX)
    create = found.value("one write", OURS)
    return Findings(
        found.question,
        found.figures,
        (
            Target("one read ≤ 0.27 × httpx's get", read, most=0.27),
            Target("create ≤ 0.4 × httpx's post", create / post, most=0.4),
            Target("upsert, per request ≤ 0.4 × httpx's post", upsert / 2 / post, most=0.4),
        ),
        ("CPU time. Ours includes validation, signing, retries and typed records; httpx's does not.",),
    )
