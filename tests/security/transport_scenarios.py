"""Calls that are cancelled or broken by the network: their errors and traces could reveal a canary."""

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any
from uuid import uuid4

import anyio
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from security.canary_values import CARD_SOURCE, EMAIL, NAME, WONDER_CARD, canary_draft
from security.captured_output import CapturedOutput
from security.scenario_context import GATEWAYS, KEY, SHORT_TIMEOUTS, ScenarioContext

from wonder_customers import CustomerPatch, CustomerSession, Monri, Paydock, RetryPolicy, Secret
from wonder_customers.contrib.logs import log_events
from wonder_customers.contrib.otel import Spans
from wonder_customers.events import Event, Observer
from wonder_customers.transports.asyncio import AsyncioTransport
from wonder_customers.transports.httpx import HttpxTransport


def cancelled(context: ScenarioContext) -> None:
    """Cancel calls that wait for a response: the frames below hold the request."""
    for backend, kind in (("asyncio", HttpxTransport), ("asyncio", AsyncioTransport), ("trio", HttpxTransport)):
        anyio.run(_cancelled, context, kind, backend=backend)


async def _cancelled(context: ScenarioContext, kind: type[Any]) -> None:
    for gateway in GATEWAYS:
        context.simulator.faults.add("read_hang", gateway=gateway, times=1, applied=False)
        async with _session(context, gateway, kind, RetryPolicy()) as session:
            with anyio.move_on_after(0.05):
                try:
                    await session.create(canary_draft(gateway, "r-cancelled"))
                except anyio.get_cancelled_exc_class() as error:
                    context.output.error(error)
                    raise
        context.simulator.faults.clear()


def _traces(output: CapturedOutput) -> TracerProvider:
    """Return a tracer provider that records every span in the output."""

    class Recorder(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            output.add(span.to_json())

    provider = TracerProvider()
    provider.add_span_processor(Recorder())
    return provider


def _session(
    context: ScenarioContext, gateway: str, transport: Any, policy: RetryPolicy = SHORT_TIMEOUTS
) -> CustomerSession[Any]:
    def record(event: Event) -> None:
        context.output.add(repr(event))

    observers: list[Observer] = [log_events, Spans(_traces(context.output)), record]
    return CustomerSession(context.account(gateway), retry=policy, transport=transport, observers=observers)


def broken(context: ScenarioContext) -> None:
    """Stop requests inside the transport with an error other than a connection failure."""
    anyio.run(_broken, context)


async def _broken(context: ScenarioContext) -> None:
    before = os.environ.get("WONDER_CUSTOMERS_LOOPBACK_ONLY")
    os.environ["WONDER_CUSTOMERS_LOOPBACK_ONLY"] = "1"
    try:
        for account in (
            Paydock(KEY, base_url="https://gateway.example/v1/"),
            Monri(KEY, "t", base_url="https://gateway.example"),
        ):
            for kind in (HttpxTransport, AsyncioTransport):
                async with CustomerSession(account, transport=kind) as session:
                    await context.attempt(lambda it=session: it.create(canary_draft("paydock", "r-1")))  # type: ignore[misc]
    finally:
        if before is None:
            del os.environ["WONDER_CUSTOMERS_LOOPBACK_ONLY"]
        from wonder_customers.transports import loopback_guard

        loopback_guard.refused.clear()


def illegal_header(context: ScenarioContext) -> None:
    """Send an invalid header value that the account did not check; HTTP libraries quote the value."""
    anyio.run(_illegal_header, context)


async def _illegal_header(context: ScenarioContext) -> None:
    for kind in (HttpxTransport, AsyncioTransport):
        account = Paydock("k", base_url=f"{context.simulator.origin}/v1/")
        object.__setattr__(account, "secret_key", Secret(f"{KEY}\n"))
        async with CustomerSession(account, transport=kind, retry=SHORT_TIMEOUTS) as session:
            await context.attempt(lambda it=session: it.create(canary_draft("paydock", "r-1")))  # type: ignore[misc]


async def faulty(context: ScenarioContext, gateway: str, transport: Any, fault: str, more: Mapping[str, Any]) -> None:
    """Run every operation of a gateway with one network fault, on customers with canary values."""
    reference = f"r-{uuid4().hex[:8]}"
    async with _session(context, gateway, transport, RetryPolicy()) as setup:
        created = await setup.create(canary_draft(gateway, reference))
    async with _session(context, gateway, transport) as session:
        target = {} if fault in {"refuse", "accept_rst"} else {"gateway": gateway}
        faults = context.simulator.faults
        for call in _faulty_calls(gateway, created.id, reference):
            faults.add(fault, **(target | dict(more)))
            await context.attempt(partial(call, session))
            faults.clear()


def _faulty_calls(gateway: str, id: str, reference: str) -> Iterable[Callable[[CustomerSession[Any]], Any]]:
    yield lambda it: it.create(canary_draft(gateway, f"{reference}-new"))
    yield lambda it: it.upsert(canary_draft(gateway, reference))
    yield lambda it: it.update(id, CustomerPatch(email=EMAIL, name=f"{NAME} II"))
    yield lambda it: it.get(id)
    yield lambda it: it.list_payment_tokens(id)
    if gateway != "monri":
        yield lambda it: it.create_payment_token(id, WONDER_CARD if gateway == "wonder" else CARD_SOURCE)
