"""A transport with scripted results, and a clock that advances only when the executor waits."""

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any

import anyio
import orjson
from attrs import define, field
from gateway_responses import monri_customer

from wonder_customers import CustomerDraft, Monri, Paydock, Phone, RetryPolicy
from wonder_customers._core.account_state import AccountState
from wonder_customers._core.attempt import AttemptRunner
from wonder_customers._core.context import AccountContext
from wonder_customers._core.credentials import AccountCredentials
from wonder_customers._core.executor import Executor
from wonder_customers._core.write_locks import WriteLocks, WriteOrder
from wonder_customers._support.clock import replaced_by
from wonder_customers.dialects.base import Account
from wonder_customers.dialects.provided_secrets import provided_secrets
from wonder_customers.retry import RetryBudget
from wonder_customers.wire import HttpResponse, SignedRequest, Transmission, TransportError

Step = Callable[[SignedRequest, Transmission], HttpResponse | Awaitable[HttpResponse]]


def respond(status: int, body: object = None, **headers: str) -> Step:
    """Return a step in which the gateway responds; underscores in header names become hyphens."""

    def step(signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        transmission.sent, transmission.status = True, status
        transmission.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        return HttpResponse(status, transmission.headers, raw)

    return step


def no_response(*, sent: bool, status: int | None = None, stale: bool = False, **headers: str) -> Step:
    """Return a step in which the connection breaks before the response is complete."""

    def step(signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        transmission.sent, transmission.status, transmission.stale = sent, status, stale
        transmission.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        raise TransportError("the connection broke")

    return step


CONNECTION_REFUSED = no_response(sent=False)
NO_RESPONSE = no_response(sent=True)
STALE_CONNECTION = no_response(sent=True, stale=True)


class WithoutConnections:
    """A transport that has nothing to close. A subclass defines `send`."""

    async def aclose(self) -> None:
        """Do nothing."""


@define(eq=False, slots=False)
class Script(WithoutConnections):
    """A transport that runs its steps in order, and repeats the last one when `endless` is true.

    Each request takes `takes` seconds of `clock`.
    """

    steps: list[Step]
    clock: "Clock"
    endless: bool = False
    takes: float = 0.0
    sent: list[SignedRequest] = field(factory=list)
    concurrent: int = 0
    most_concurrent: int = 0
    ends_in_time: bool = False

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        self.sent.append(signed_request)
        self.concurrent += 1
        self.most_concurrent = max(self.most_concurrent, self.concurrent)
        try:
            await anyio.lowlevel.checkpoint()
            step = self.steps[0] if self.endless and len(self.steps) == 1 else self.steps.pop(0)
            self.clock.now += self.takes
            response = step(signed_request, transmission)
            return response if isinstance(response, HttpResponse) else await response
        finally:
            self.concurrent -= 1

    def lines(self) -> list[str]:
        """Return the lines of the requests that were sent."""
        return [f"{it.method} {it.target}" for it in self.sent]


@define(eq=False)
class Clock:
    """A clock that advances only when the executor waits."""

    now: float = 1000.0
    waits: list[float] = field(factory=list)

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
        await anyio.lowlevel.checkpoint()


def hang(*, sent: bool, status: int | None = None) -> Step:
    """Return a step that never ends."""

    async def wait(signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        transmission.sent, transmission.status = sent, status
        await anyio.sleep_forever()
        raise AssertionError

    return wait


@define(eq=False)
class Harness:
    """An executor on a scripted transport, with fixed time and random numbers."""

    script: Script
    executor: Executor
    account_context: AccountContext
    clock: Clock

    @property
    def dialect(self) -> Any:
        return self.account_context.dialect

    async def create(self, draft: CustomerDraft) -> Any:
        subject = ("reference", draft.reference) if draft.reference else None
        return await self.executor.run(self.account_context, "create", self.dialect.create(draft), subject)

    async def upsert(self, draft: CustomerDraft) -> Any:
        subject = ("reference", draft.reference) if draft.reference else None
        return await self.executor.run(self.account_context, "upsert", self.dialect.upsert(draft), subject)

    async def get(self, id: str) -> Any:
        return await self.executor.run(self.account_context, "get", self.dialect.get(id), None)

    async def update(self, id: str, patch: Any) -> Any:
        return await self.executor.run(self.account_context, "update", self.dialect.update(id, patch), ("id", id))

    async def delete(self, id: str) -> Any:
        return await self.executor.run(self.account_context, "delete", self.dialect.delete(id), ("id", id))


MONRI = Monri("key-of-the-merchant", "token-of-the-merchant")
PAYDOCK = Paydock("secret-key-of-the-merchant")


replacement = ExitStack()
"""The replacement of the clock by that of the last harness. `conftest` closes it after each test."""


def make_harness(
    *steps: Step, account: Account = MONRI, policy: RetryPolicy | None = None, endless: bool = False
) -> Harness:
    policy = policy or RetryPolicy()
    clock = Clock()
    script = Script(list(steps), clock, endless=endless)
    replacement.close()
    replacement.enter_context(replaced_by(clock))
    order = WriteOrder(WriteLocks())
    runner = AttemptRunner(script, order, wall=lambda: 1_700_000_000.0)
    executor = Executor(runner, order, draw=lambda: 0.5)
    dialect = account.dialect()
    fetched = provided_secrets(account) or dialect.token_call() is not None
    state = AccountState(RetryBudget(policy.budget), AccountCredentials() if fetched else None)
    return Harness(script, executor, AccountContext(dialect, 1, state, policy, source=account), clock)


def use_real_time(it: Harness) -> Harness:
    """Switch from the clock of the harness to the real clock."""
    replacement.close()
    return it


CREATED = respond(200, monri_customer(merchant_customer_id="r-1", name="Ada", phone="+447911123456"))
"""Monri has created the customer of `draft`."""
NOT_FOUND = respond(404, {"status": "invalid-request", "message": "Customer not found"})
"""Monri does not know the customer."""


def draft(**changes: Any) -> CustomerDraft:
    """Return a draft that every gateway accepts."""
    usual: dict[str, Any] = {"reference": "r-1", "name": "Ada", "phone": Phone("+44", "7911123456")}
    return CustomerDraft(**(usual | changes))
