"""`probe`: check the library's assumptions about a gateway against a real account."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import uuid4

import anyio
from attrs import define, field, frozen

from wonder_customers.bulk.migrate import adapted
from wonder_customers.dialects import package
from wonder_customers.dialects.accounts import environment
from wonder_customers.dialects.base import Operation
from wonder_customers.dialects.checks import COMMON, Check, GatewayChecks, Observations
from wonder_customers.dialects.drift import Drift
from wonder_customers.dialects.json import UnreadableJsonError, parse_json
from wonder_customers.errors import CallError, ConfigurationError, NotFoundError, UnsupportedOperationError
from wonder_customers.events import Event, ResponseDrift
from wonder_customers.records import Address, Customer, CustomerDraft, CustomerPatch, PaymentToken, Phone
from wonder_customers.retry import RetryPolicy
from wonder_customers.session import CustomerSession
from wonder_customers.wire import HttpResponse, SignedRequest, Transmission, Transport

__all__ = ["CheckedFact", "ProbeReport", "probe"]

_POLICY: Final = RetryPolicy(attempts=3, deadline=20.0, confirmation_window=2.0)
_LATE: Final = 5.0
"""Maximum time in seconds until a new customer appears in a search."""
_PAGE: Final = 3
_CHECKED: Final = {"duplicate", "create_token", "check_token", "delete_token", "unknown", "wrong_key", "get_deleted"}
"""The steps whose errors the checks report."""

_GENERIC: Final = (
    Check(
        "smaller-pages",
        "paging",
        f"a list with limit {_PAGE} has {_PAGE} customers",
        lambda seen: (
            None if seen.listed is None or seen.listed >= _PAGE else "the list has fewer customers than requested"
        ),
    ),
    Check(
        "stale-index",
        "",
        "a new customer is immediately found by its reference",
        lambda seen: "a new customer is found only after a delay" if seen.late else None,
        "Set RetryPolicy(confirmation_window=…) to more than the delay. Otherwise, a retried create can create a"
        " duplicate.",
    ),
    Check(
        "extra-fields",
        "",
        "customers have only the documented fields",
        lambda seen: ", ".join(sorted(seen.extra - {it.field for it in seen.drift})) or None,
        "The undocumented fields are in Customer.extra.",
    ),
)


@frozen
class CheckedFact:
    """The result of one check.

    Attributes:
        name: The name of the deviation.
        fact: The name of the fact on the gateway's page; may be empty.
        believed: The assumption of the library.
        seen: What was observed instead; None if no response contradicts the assumption.
        advice: What to do about the difference.
    """

    name: str
    fact: str
    believed: str
    seen: str | None
    advice: str


@define
class ProbeReport:
    """The result of a probe.

    Attributes:
        gateway: The gateway's name.
        findings: The results of the checks, in order.
        steps: For each step, its responses: status, header names, and types and lengths of the values in the body.
        failed: The errors of steps that should have succeeded, by step.
        left_behind: What could not be deleted: the references of customers, and descriptions of payment tokens.
    """

    gateway: str
    findings: list[CheckedFact] = field(factory=list)
    steps: dict[str, list[dict[str, Any]]] = field(factory=dict)
    failed: dict[str, str] = field(factory=dict)
    left_behind: list[str] = field(factory=list)

    @property
    def differences(self) -> tuple[CheckedFact, ...]:
        """The findings that differ from the library's assumptions."""
        return tuple(it for it in self.findings if it.seen is not None)


async def probe(session: CustomerSession[Any], *, production: bool = False) -> ProbeReport:
    """Check the library's assumptions about a gateway against the account of `session`.

    Unless `production` is true, test customers are created, read, changed, listed and deleted. Wonder does not offer
    deletion, so the same three references are used in every probe. If the checks of the gateway contain a payment
    source, a payment token is created, checked and deleted.

    Args:
        session: An open session.
        production: Whether to send only reads. Required unless the account is for a sandbox or a simulator.

    Raises:
        ConfigurationError: The account is not a sandbox account, and `production` is false; or the session is not open.
            Nothing was sent.
        CallError: The first request failed.
    """
    if not (production or environment(session.account) in {"sandbox", "simulator"}):
        raise ConfigurationError(
            "the account is not a sandbox account. Nothing was sent. To send only reads, use --production"
            " (production=True)."
        )
    run = _ProbeRun(session)
    async with run.opened():
        await run.read() if production else await run.run()
    return run.report()


class _RecordingTransport:
    """A transport that records the responses of the current step."""

    def __init__(self, inner: Transport, seen: Observations) -> None:
        self.inner, self.seen, self.step = inner, seen, ""

    async def send(self, signed_request: SignedRequest, transmission: Transmission) -> HttpResponse:
        response = await self.inner.send(signed_request, transmission)
        self.seen.responses.setdefault(self.step, []).append(response)
        return response

    async def aclose(self) -> None:
        """Do nothing."""  # the connections belong to the caller's session


class _ProbeRun:
    """The steps of a probe."""

    def __init__(self, session: CustomerSession[Any]) -> None:
        transport = session._shared.transport  # noqa: SLF001 - the same connections, observed
        if transport is None:
            raise ConfigurationError(
                "the session is not open. Nothing was sent. Open it with `async with CustomerSession(…) as session:`."
            )
        self._seen = Observations()
        self._recorder = _RecordingTransport(transport, self._seen)
        self._session: CustomerSession[Any] = CustomerSession(
            session.account,
            retry=_POLICY,
            rate_limit=session.rate_limit,
            transport=self._recorder,
            observers=[self._observe],
        )
        self._checks = GatewayChecks.of(package(session.gateway).__name__)
        self._made: dict[str, str] = {}
        self._token: tuple[str, PaymentToken] | None = None
        self._left: list[str] = []
        self._unsupported = session.account.dialect().unsupported_operations
        self._deletes = Operation.DELETE not in self._unsupported

    def _observe(self, event: Event) -> None:
        if isinstance(event, ResponseDrift):
            self._seen.drift.add(Drift(event.field, event.expected, event.found))

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open the session of the probe, and clean up at the end."""
        async with self._session:
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await self._clean_up()

    @asynccontextmanager
    async def _step(self, name: str) -> AsyncIterator[None]:
        """Run the block as one step, and record its `CallError`."""
        self._recorder.step = name
        try:
            yield
        except CallError as error:
            self._seen.errors[name] = error

    async def read(self) -> None:
        """Send only the reads."""
        self._recorder.step = "list"
        page = (await self._session.raw.page(limit=_PAGE)).record
        for customer in page.items[:1]:
            self._seen.extra |= customer.extra.keys() - self._checks.not_in_extra
            async with self._step("get"):
                await self._session.get(customer.id)
        await self._refusals(page.items[0].id if page.items else "0" * 24)

    async def run(self) -> None:
        """Run all steps."""
        names = [f"probe-{number}" if not self._deletes else f"probe-{uuid4().hex[:12]}" for number in range(_PAGE)]
        drafts = [self._draft(name) for name in names]
        self._recorder.step = "create"
        made = await self._create(drafts[0])
        self._compare(drafts[0], made)
        self._seen.extra |= made.extra.keys() - self._checks.not_in_extra
        async with self._step("get"):
            self._compare(drafts[0], await self._session.get(made.id))
        async with self._step("by_reference"):
            self._compare(drafts[0], await self._find_by_reference(names[0]))
        async with self._step("duplicate"):
            await self._create(drafts[0])
        async with self._step("update"):
            changed = await self._session.update(made.id, CustomerPatch(email="Probe.Changed@Example.COM"))
            self._compare(self._draft(names[0], email="Probe.Changed@Example.COM"), changed)
        async with self._step("create_more"):
            for draft in drafts[1:]:
                await self._create(draft)
            await self._find_by_reference(names[-1])
        async with self._step("list"):
            page = (await self._session.raw.page(limit=_PAGE)).record
            self._seen.listed = len(page.items) + page.unreadable
        if Operation.LIST_PAYMENT_TOKENS not in self._unsupported:
            async with self._step("tokens"):
                await self._session.list_payment_tokens(made.id)
            await self._tokens(made.id)
        await self._refusals(made.id)
        if self._deletes:
            async with self._step("delete"):
                await self._session.raw.delete(made.id)
                self._made.pop(made.id)
            async with self._step("get_deleted"):
                await self._session.get(made.id)

    async def _tokens(self, customer: str) -> None:
        """Create, check and delete a payment token."""
        source = self._checks.source
        if source is None:
            return
        async with self._step("create_token"):
            made = await self._session.create_payment_token(customer, source)
            self._token = customer, made
        if "create_token" in self._seen.errors:
            return
        async with self._step("check_token"):
            await self._session.check_payment_token(customer, made)
        async with self._step("delete_token"):
            await self._session.delete_payment_token(customer, made)
            left = [it.token for it in await self._session.list_payment_tokens(customer)]
            self._token = self._token if made.token in left else None

    async def _refusals(self, id: str) -> None:
        async with self._step("unknown"):
            await self._session.get(re.sub(r"[0-9a-f](?=[0-9a-f-]{0,7}$)", "0", id))
        wrong = self._checks.wrong_account(self._session.account)
        if wrong is not None:
            async with self._step("wrong_key"):
                await self._session.for_account(wrong).check()

    def _draft(self, reference: str, email: str = "Probe.Original@Example.COM") -> CustomerDraft:
        """Return a test customer with unusual characters in its values."""
        draft = CustomerDraft(
            reference,
            name="Zoë  Probe",
            email=email,
            phone=Phone("+44", "7700900123"),
            description="A  customer of a probe",
            metadata={"probe": "true"},
            address=Address(line1="1  Probe Street", city="Zagreb", postcode="10000", country="HR"),
        )
        return adapted(self._session, draft)[0]

    async def _create(self, draft: CustomerDraft) -> Customer:
        customer = await self._session.create(draft)
        self._made[customer.id] = draft.reference or ""
        return customer

    def _compare(self, draft: CustomerDraft, customer: Customer) -> None:
        found = self._session.compare(draft, customer)
        self._seen.normalized |= set(found.normalized)
        self._seen.different |= set(found.different)

    async def _find_by_reference(self, reference: str) -> Customer:
        with anyio.move_on_after(_LATE):
            while True:
                try:
                    return await self._session.get_by_reference(reference)
                except NotFoundError:
                    self._seen.late = True
                    await anyio.sleep(0.1)
        return await self._session.get_by_reference(reference)

    async def _clean_up(self) -> None:
        self._recorder.step = "clean_up"
        if self._token is not None:
            customer, token = self._token
            try:
                await self._session.delete_payment_token(customer, token)
            except CallError:
                self._left.append(f"a payment token of {self._made.get(customer, customer)}")
        for customer, reference in self._made.items():
            try:
                await self._session.raw.delete(customer)
            except (CallError, UnsupportedOperationError):
                self._left.append(reference)

    def report(self) -> ProbeReport:
        """Return the results of all checks."""
        findings = [
            CheckedFact(it.name, it.fact, it.believed, it.see(self._seen), it.advice)
            for it in (*COMMON, *_GENERIC, *self._checks.checks)
        ]
        steps = {name: [_response_types(it) for it in found] for name, found in self._seen.responses.items()}
        errors = {name: it for name, it in self._seen.errors.items() if name not in _CHECKED}
        failed = {name: f"{type(it).__name__}: {it.reason}" for name, it in errors.items()}
        return ProbeReport(self._session.gateway, findings, steps, failed, sorted(set(self._left)))


def _response_types(response: HttpResponse) -> dict[str, Any]:
    try:
        body = _types_of(parse_json(response.body))
    except UnreadableJsonError:
        body = f"{len(response.body)} bytes that are not JSON"
    return {"status": response.status, "headers": sorted(response.headers), "body": body}


def _types_of(value: Any) -> Any:
    """Return a JSON value with types instead of values."""
    if isinstance(value, dict):
        return {key: _types_of(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_types_of(item) for item in value[:3]]
    if isinstance(value, str):
        return f"text({len(value)})"
    return "null" if value is None else "boolean" if isinstance(value, bool) else "number"
