"""Events of calls and sessions, and errors of observers."""

import logging
import subprocess
import sys
from asyncio import CancelledError
from collections import defaultdict
from contextlib import suppress
from contextvars import ContextVar

import anyio
import pytest
from gateway_responses import HEX24, UUID
from mock_gateway import MockGateway, paydock

from scripted_transport import CREATED, NO_RESPONSE, NOT_FOUND, draft, make_harness
from wonder_customers import ConfigurationError, CustomerSession, InvalidRecordError
from wonder_customers._core.observers import ObserverGroup
from wonder_customers.events import AttemptEnded, CallStarted, Event, SessionEnded, SessionStarted, WaitEnded

CUSTOMER = {"status": 200, "error": None, "resource": {"type": "customer", "data": {"_id": HEX24, "reference": "35"}}}


class TestSessions:
    async def test_session_events_occur_once_and_not_for_views(self) -> None:
        events: list[Event] = []
        wire = MockGateway(CUSTOMER)
        it = CustomerSession(paydock(), transport=wire.transport(), observers=[events.append])
        async with it, it.for_account(paydock()) as view:
            await view.get(HEX24)
        assert [event.name for event in events] == [
            "session_started",
            "call_started",
            "attempt_started",
            "attempt_ended",
            "call_ended",
            "session_ended",
        ]
        opened, closed = events[0], events[-1]
        assert isinstance(opened, SessionStarted)
        assert isinstance(closed, SessionEnded)
        assert closed.session is opened
        assert opened.stats() == it.stats()

    async def test_refused_arguments_create_no_events(self) -> None:
        events: list[Event] = []
        async with CustomerSession(paydock(), transport=MockGateway().transport(), observers=[events.append]) as it:
            with pytest.raises(InvalidRecordError):
                await it.get("..")
        assert [event.name for event in events] == ["session_started", "session_ended"]
        assert it.stats().started == 0


class TestObservers:
    @pytest.mark.parametrize("kind", [ValueError, CancelledError])
    async def test_observer_errors_are_logged_once_and_do_not_affect_calls(
        self, caplog: pytest.LogCaptureFixture, kind: type[BaseException]
    ) -> None:
        events: list[Event] = []

        def broken(event: Event) -> None:
            raise kind("4111 1111 1111 1111")

        it = make_harness(NO_RESPONSE, NOT_FOUND, CREATED)
        it.executor.observers = observers = ObserverGroup([broken, events.append])
        with caplog.at_level(logging.DEBUG, "wonder_customers"):
            json_response = await it.create(draft())
        assert json_response.recovered
        assert (len(events), observers.failures) == (16, 16)
        (record,) = caplog.records
        assert (record.levelno, record.getMessage()) == (
            logging.ERROR,
            f"observer_failed observer={broken.__qualname__} error={kind.__name__}",
        )
        assert record.exc_info is None
        assert "4111 1111" not in repr(vars(record))

    @pytest.mark.parametrize("kind", [AttemptEnded, WaitEnded])
    async def test_base_exceptions_of_observers_propagate(self, kind: type[Event]) -> None:
        class Stop(BaseException):
            pass

        def stop(event: Event) -> None:
            if isinstance(event, kind):
                raise Stop

        it = make_harness(CREATED, endless=True)
        it.executor.observers = ObserverGroup([stop])

        async def create() -> None:
            with suppress(Stop):
                await it.create(draft())
                ended.append("returned")

        ended: list[str] = []
        async with anyio.create_task_group() as group:
            group.start_soon(create)
            group.start_soon(create)
        assert len(ended) < 2
        assert it.account_context.account.counts.waiting_for_lock == 0
        assert it.executor.order.locks.acquire_nowait((1, "reference", "r-1"))

    async def test_observers_run_in_the_context_of_the_caller(self) -> None:
        who: ContextVar[str] = ContextVar("who")
        seen: defaultdict[CallStarted, set[str]] = defaultdict(set)

        def observer(event: Event) -> None:
            assert not isinstance(event, (SessionStarted, SessionEnded))
            seen[event if isinstance(event, CallStarted) else event.call].add(who.get())

        it = make_harness(CREATED, endless=True)
        it.executor.observers = observers = ObserverGroup([observer])

        async def caller(name: str) -> None:
            who.set(name)
            await it.get(UUID)

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(caller, str(number))
        assert observers.failures == 0
        assert sorted(seen.values(), key=min) == sorted(({str(number)} for number in range(20)), key=min)

    async def test_invalid_observers_are_refused(self) -> None:
        async def late(event: Event) -> None:
            """Return a coroutine that would never be awaited."""

        class Late:
            async def __call__(self, event: Event) -> None:
                """Return a coroutine that would never be awaited."""

        for wrong, reason in (
            ([late], "must be a regular function.*late is a coroutine function"),
            ([Late()], "must be a regular function"),
            ([Late], "must be callable with one event, but .*Late is a class"),
            (["print"], "must be callable with one event, but str is not callable"),
            (5, "must be a list"),
        ):
            with pytest.raises(ConfigurationError, match=reason):
                CustomerSession(paydock(), observers=wrong)  # type: ignore[arg-type]

    def test_observer_module_is_not_imported_without_observers(self) -> None:
        code = (
            "import sys, anyio, wonder_customers as w\n"
            "async def main():\n"
            "    async with w.CustomerSession(w.Paydock('k'), observers=[]): pass\n"
            "anyio.run(main)\n"
            "print(*sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        loaded = set(done.stdout.split())
        assert "wonder_customers.session" in loaded
        assert loaded.isdisjoint({"wonder_customers.events", "wonder_customers._core.observers", "opentelemetry"})
