"""The events of a crowd of calls, under faults and cancellations: every story has its end, and the figures add up."""

from collections import defaultdict
from itertools import pairwise

import anyio
import attrs
import pytest

from chaos.gateways import POLICY, fresh, session
from wonder_customers import CallError
from wonder_customers.events import (
    AttemptEnded,
    AttemptStarted,
    CallEnded,
    CallStarted,
    Event,
    LookupEnded,
    LookupStarted,
    SessionEnded,
    SessionStarted,
)
from wonder_customers.simulator import SimulatorServer

pytestmark = pytest.mark.anyio

FAULTS = ("read_close", "read_hang", "truncated_body", "server_error", "rate_limited", "headers_rst")


async def test_stories_are_whole_in_a_crowd_under_faults_and_cancellations(simulator: SimulatorServer) -> None:
    told: list[Event] = []
    for number, name in enumerate(FAULTS):
        simulator.faults.add(name, times=None, probability=0.04, seed=number)
    policy = attrs.evolve(POLICY, read_timeout=0.5, deadline=10.0, confirmation_window=0.1)
    drafts = []
    async with session(simulator, "monri", policy, observers=[told.append]) as it:

        async def work(number: int) -> None:
            drafts.append(made := fresh("monri"))
            with anyio.move_on_after(0.02 if number % 5 == 0 else None):
                try:
                    await it.upsert(made)
                    await it.get_by_reference(str(made.reference))
                except CallError:
                    return

        async with anyio.create_task_group() as group:
            for number in range(150):
                group.start_soon(work, number)
        stats = it.stats()
    stories: defaultdict[CallStarted, list[Event]] = defaultdict(list)
    for event in told[1:-1]:
        assert not isinstance(event, (SessionStarted, SessionEnded))
        stories[event if isinstance(event, CallStarted) else event.call].append(event)
    for call, story in stories.items():
        _is_whole(call, story)
    ended = [event for event in told if isinstance(event, CallEnded)]
    assert len(ended) == len(stories) == stats.started
    assert stats.in_progress == stats.observer_failures == 0
    assert stats.succeeded == sum(event.error is None for event in ended)
    assert stats.attempts == sum(event.requests for event in ended)
    assert stats.lookups == sum(isinstance(event, LookupStarted) for event in told)
    assert {event.error for event in ended} >= {None, "Cancelled"}
    assert stats.lookups > 0 < stats.retries
    written = repr(told)
    for made in drafts:
        assert str(made.reference) not in written
        assert "7911123456" not in written


def _is_whole(call: CallStarted, story: list[Event]) -> None:
    """It begins and ends once; attempts and looks are closed, attempts before the next event of the call."""
    names = [event.name for event in story]
    assert names[0] == "call_started"
    assert names[-1] == "call_ended"
    assert names.count("call_started") == names.count("call_ended") == 1
    for before, after in pairwise(story):
        assert isinstance(before, AttemptStarted) == isinstance(after, AttemptEnded)
        if isinstance(after, AttemptEnded):
            assert after.attempt is before
    lookups = [event for event in story if isinstance(event, (LookupStarted, LookupEnded))]
    for begun, done in zip(lookups[::2], lookups[1::2], strict=True):
        assert isinstance(done, LookupEnded)
        assert done.lookup is begun
