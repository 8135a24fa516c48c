"""Events of concurrent calls with faults and cancellations: complete sequences and correct statistics."""

from collections import defaultdict
from itertools import pairwise

import anyio
import attrs
from backends import TRIO_IN_LONG_TESTS
from fault_injection.sessions import POLICY, fresh, session

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

FAULTS = ("read_close", "read_hang", "truncated_body", "server_error", "rate_limited", "headers_rst")


@TRIO_IN_LONG_TESTS
async def test_event_sequences_are_complete_with_faults_and_cancellations(simulator: SimulatorServer) -> None:
    events: list[Event] = []
    for number, name in enumerate(FAULTS):
        simulator.faults.add(name, times=None, probability=0.04, seed=number)
    policy = attrs.evolve(POLICY, read_timeout=0.5, deadline=10.0, confirmation_window=0.1)
    drafts = []
    async with session(simulator, "monri", policy, observers=[events.append]) as it:

        async def work(number: int) -> None:
            drafts.append(draft := fresh("monri"))
            with anyio.move_on_after(0.02 if number % 5 == 0 else None):
                try:
                    await it.upsert(draft)
                    await it.get_by_reference(str(draft.reference))
                except CallError:
                    return

        async with anyio.create_task_group() as group:
            for number in range(150):
                group.start_soon(work, number)
        stats = it.stats()
    sequences: defaultdict[CallStarted, list[Event]] = defaultdict(list)
    for event in events[1:-1]:
        assert not isinstance(event, (SessionStarted, SessionEnded))
        sequences[event if isinstance(event, CallStarted) else event.call].append(event)
    for call, sequence in sequences.items():
        _check_sequence(call, sequence)
    ended = [event for event in events if isinstance(event, CallEnded)]
    assert len(ended) == len(sequences) == stats.started
    assert stats.in_progress == stats.observer_failures == 0
    assert stats.succeeded == sum(event.error is None for event in ended)
    assert stats.attempts == sum(event.requests for event in ended)
    assert stats.lookups == sum(isinstance(event, LookupStarted) for event in events)
    assert {event.error for event in ended} >= {None, "Cancelled"}
    assert stats.lookups > 0 < stats.retries
    text = repr(events)
    for draft in drafts:
        assert str(draft.reference) not in text
        assert "7911123456" not in text


def _check_sequence(call: CallStarted, sequence: list[Event]) -> None:
    """Check that the call starts and ends once and that each attempt and lookup has an end event."""
    names = [event.name for event in sequence]
    assert names[0] == "call_started"
    assert names[-1] == "call_ended"
    assert names.count("call_started") == names.count("call_ended") == 1
    for before, after in pairwise(sequence):
        assert isinstance(before, AttemptStarted) == isinstance(after, AttemptEnded)
        if isinstance(after, AttemptEnded):
            assert after.attempt is before
    lookups = [event for event in sequence if isinstance(event, (LookupStarted, LookupEnded))]
    for begun, done in zip(lookups[::2], lookups[1::2], strict=True):
        assert isinstance(done, LookupEnded)
        assert done.lookup is begun
