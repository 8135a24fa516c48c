"""How close is signing to the limit of OpenSSL, and does it block the event loop?"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha512
from statistics import quantiles
from time import perf_counter
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from benchmarks._canned import canned_server
from benchmarks._contenders import account
from benchmarks._findings import ROUNDS, Findings, Target, alternate, microseconds, summed_up
from benchmarks._loop import on_any_core, run
from wonder_customers import CustomerDraft, CustomerSession, Phone, Wonder
from wonder_customers.wire import HttpRequest

_KEY = generate_private_key(public_exponent=65537, key_size=2048)
_PEM = _KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
_REQUEST = HttpRequest("POST", "/v2/customers", "/v2/customers", b"x" * 300)
_CROWD = 32


def _signing(seconds: float, rounds: int) -> dict[str, dict[str, list[float]]]:
    wonder = Wonder("d900da8b-6e16-4a85-8a66-05d29ac53f24", _PEM, base_url="http://127.0.0.1:1").dialect()
    monri = account(1).dialect()
    cases: dict[str, dict[str, Callable[[], object]]] = {
        "Wonder, RSA-2048": {
            "wonder_customers": lambda: wonder.headers(_REQUEST, 1.8e9, "0123456789abcdef", None),
            "OpenSSL": lambda: _KEY.sign(b"0" * 64, PKCS1v15(), SHA256()),
        },
        "Monri, SHA-512": {
            "wonder_customers": lambda: monri.headers(_REQUEST, 1.8e9, "0123456789abcdef", None),
            "OpenSSL": lambda: sha512(b"0" * 360).hexdigest(),
        },
    }
    return {
        case: alternate({name: microseconds(it, seconds) for name, it in contenders.items()}, rounds)
        for case, contenders in cases.items()
    }


@asynccontextmanager
async def _lag(lags: list[float]) -> AsyncIterator[None]:
    """Collect the delays of a timer of 1 ms, in ms."""

    async def watch() -> None:
        while True:
            asked = perf_counter()
            await asyncio.sleep(0.001)
            lags.append((perf_counter() - asked - 0.001) * 1000)

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()


async def _calls(port: int, transport: Any, seconds: float) -> tuple[float, float]:
    """Return Wonder upserts per second, and the 99th percentile of the delay of the event loop in ms."""
    wonder = Wonder("d900da8b-6e16-4a85-8a66-05d29ac53f24", _PEM, base_url=f"http://127.0.0.1:{port}")
    done, lags = 0, [0.0, 0.0]
    async with CustomerSession(wonder, transport=transport) as session, _lag(lags):
        began = perf_counter()

        async def work(number: int) -> None:
            nonlocal done
            while perf_counter() < began + seconds:
                record = CustomerDraft(reference=f"r-{number}", name="Ada Lovelace", phone=Phone("+852", "61234567"))
                await session.upsert(record)
                done += 1

        await asyncio.gather(*(work(number) for number in range(_CROWD)))
        spent = perf_counter() - began
    if transport is not None:
        await transport.aclose()
    return done / spent, quantiles(lags, n=100)[98]


async def _both(port: int, seconds: float, rounds: int) -> dict[str, list[tuple[float, float]]]:
    from wonder_customers.transports.httpx import HttpxTransport  # noqa: PLC0415 - the default does not load it

    seen: dict[str, list[tuple[float, float]]] = {"wonder_customers": [], "wonder_customers on httpx": []}
    for _ in range(rounds):
        seen["wonder_customers"].append(await _calls(port, None, seconds))
        seen["wonder_customers on httpx"].append(await _calls(port, HttpxTransport(), seconds))
    return seen


def measure(*, quick: bool) -> Findings:
    """Measure single signatures, then Wonder calls with 32 in progress."""
    seconds, rounds = (0.02, 1) if quick else (0.3, ROUNDS)
    signing = _signing(seconds, rounds)
    figures = [figure for case, seen in signing.items() for figure in summed_up(case, "µs", seen)]
    with canned_server() as port, on_any_core():
        calls = run(_both(port, max(seconds, 0.1), rounds))
    rates = {it: [rate for rate, _ in kept] for it, kept in calls.items()}
    lags = {it: [lag for _, lag in kept] for it, kept in calls.items()}
    figures += summed_up("Wonder upserts, 32 at a time", "calls/s", rates)
    figures += summed_up("… the loop's lag, p99", "ms", lags)
    found = Findings(__doc__ or "", tuple(figures))
    limit = 1e6 / found.value("Wonder, RSA-2048", "OpenSSL")
    on_httpx = "wonder_customers on httpx"
    return Findings(
        found.question,
        found.figures,
        (
            Target(
                "Wonder calls at 32 ≥ 0.6 of one core's RSA limit",
                found.value("Wonder upserts, 32 at a time", on_httpx) / limit,
                least=0.6,
            ),
            *(
                Target(f"the loop's lag p99 < 5 ms, {name}", found.value("… the loop's lag, p99", name), most=5.0)
                for name in ("wonder_customers", on_httpx)
            ),
        ),
        (f"OpenSSL makes {limit:,.0f} signatures a second on one core. The calls may use all cores.",),
    )
