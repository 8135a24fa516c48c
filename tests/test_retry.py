"""The retry decision, the retry budget, backoff, lookup waits and ``Retry-After``."""

from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import accumulate

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from wonder_customers import ConfigurationError, RetryPolicy
from wonder_customers.retry import (
    Evidence,
    Raise,
    Resolve,
    Retry,
    RetryBudget,
    RetryState,
    backoff,
    decide,
    lookup_schedule,
    retry_after,
    with_deadline,
)
from wonder_customers.wire import Replay

POLICY = RetryPolicy()
READ, IDEMPOTENT, UPSERT, LOOKUP, NONE = Replay
EVERY = tuple(Replay)


def retry_state(evidence: Evidence, replay: Replay = READ, attempts: int = 1, **facts: object) -> RetryState:
    usual: dict[str, object] = {"remaining": 60.0, "tokens": 500, "draw": 0.5, "findable": True}
    return RetryState(evidence, replay, attempts, **(usual | facts))  # type: ignore[arg-type]


TRANSIENT, FREE, THROTTLED = Retry(0.25, 14), Retry(0.25, 0), Retry(0.5, 5)
TABLE: list[tuple[Evidence, dict[Replay, object]]] = [
    (Evidence.NOT_SENT, dict.fromkeys(EVERY, FREE)),
    (Evidence.UNKNOWN, {READ: TRANSIENT, IDEMPOTENT: TRANSIENT, UPSERT: TRANSIENT, LOOKUP: Resolve(), NONE: Raise()}),
    (Evidence.STALE, {READ: Retry(0.0, 0), IDEMPOTENT: TRANSIENT, UPSERT: TRANSIENT, LOOKUP: Resolve(), NONE: Raise()}),
    (Evidence.THROTTLED, dict.fromkeys(EVERY, THROTTLED)),
    (Evidence.BODY_LOST, {READ: TRANSIENT, IDEMPOTENT: Resolve(), UPSERT: Resolve(), LOOKUP: Resolve(), NONE: Raise()}),
    (Evidence.UNREADABLE, dict.fromkeys(EVERY, Raise()) | {LOOKUP: Resolve()}),
    (Evidence.REJECTED, dict.fromkeys(EVERY, Raise())),
    (Evidence.ABSENT, {LOOKUP: Retry(0.0, 14)}),
    (Evidence.RESPONSE, dict.fromkeys(EVERY, Raise())),
]
ROWS = [(evidence, replay, decision) for evidence, row in TABLE for replay, decision in row.items()]


@pytest.mark.parametrize(("evidence", "replay", "decision"), ROWS)
def test_decision_table(evidence: Evidence, replay: Replay, decision: object) -> None:
    assert decide(POLICY, retry_state(evidence, replay)) == decision


def test_taken_reference_is_looked_up_only_after_an_unconfirmed_attempt() -> None:
    assert decide(POLICY, retry_state(Evidence.REJECTED, LOOKUP, unconfirmed=True)) == Resolve()
    assert decide(POLICY, retry_state(Evidence.REJECTED, LOOKUP)) == Raise()
    assert decide(POLICY, retry_state(Evidence.REJECTED, NONE, unconfirmed=True)) == Raise()
    assert decide(POLICY, retry_state(Evidence.REJECTED, UPSERT, unconfirmed=True)) == Raise()


def test_absent_customer_is_resent_once() -> None:
    assert decide(POLICY, retry_state(Evidence.ABSENT, LOOKUP, attempts=2, resent=True)) == Raise()
    assert decide(POLICY, retry_state(Evidence.ABSENT, LOOKUP, attempts=3)) == Raise()


@pytest.mark.parametrize("evidence", [Evidence.UNKNOWN, Evidence.BODY_LOST, Evidence.UNREADABLE])
def test_unconfirmed_write_without_lookup_is_raised(evidence: Evidence) -> None:
    assert decide(POLICY, retry_state(evidence, LOOKUP, findable=False)) == Raise()


@pytest.mark.parametrize("evidence", [Evidence.NOT_SENT, Evidence.UNKNOWN, Evidence.THROTTLED, Evidence.STALE])
def test_retries_end_at_the_attempt_limit(evidence: Evidence) -> None:
    assert isinstance(decide(POLICY, retry_state(evidence, attempts=2)), Retry)
    assert decide(POLICY, retry_state(evidence, attempts=3)) == Raise()
    assert decide(RetryPolicy(attempts=1), retry_state(evidence)) == Raise()


def test_retry_wait_must_end_before_the_deadline() -> None:
    assert decide(POLICY, retry_state(Evidence.UNKNOWN, remaining=0.25)) == Raise()
    assert decide(POLICY, retry_state(Evidence.UNKNOWN, remaining=0.2501)) == TRANSIENT
    assert decide(POLICY, retry_state(Evidence.NOT_SENT, remaining=0.0, draw=0.0)) == Raise()


def test_empty_budget_stops_retries_except_of_unsent_requests() -> None:
    assert decide(POLICY, retry_state(Evidence.UNKNOWN, tokens=13)) == Raise()
    assert decide(POLICY, retry_state(Evidence.UNKNOWN, tokens=14)) == TRANSIENT
    assert decide(POLICY, retry_state(Evidence.THROTTLED, tokens=4)) == Raise()
    assert decide(POLICY, retry_state(Evidence.THROTTLED, tokens=5)) == THROTTLED
    assert decide(POLICY, retry_state(Evidence.NOT_SENT, tokens=0)) == FREE


def test_retry_after_is_the_minimum_wait() -> None:
    for asked in (0.1, 3.0, 20.0):
        waits = []
        for draw in (0.0, 0.5, 0.999):
            decision = decide(POLICY, evolve(retry_state(Evidence.THROTTLED, retry_after=asked), draw=draw))
            assert isinstance(decision, Retry)
            waits.append(decision.after)
        assert waits[0] == asked
        assert waits[0] < waits[1] < waits[2] <= asked + POLICY.cap
    assert decide(POLICY, evolve(retry_state(Evidence.UNKNOWN, retry_after=3.0), draw=0.0)) == Retry(3.0, 14)
    assert decide(POLICY, retry_state(Evidence.THROTTLED, retry_after=1e9)) == Raise()


def test_retry_after_costs_no_tokens_of_a_throttled_call() -> None:
    decision = decide(POLICY, retry_state(Evidence.THROTTLED, retry_after=1.0, tokens=0))
    assert isinstance(decision, Retry)
    assert decision.cost == 0


def test_throttled_attempts_are_not_counted() -> None:
    many = evolve(retry_state(Evidence.THROTTLED), attempts=20, throttled=20)
    assert isinstance(decide(POLICY, many), Retry)
    assert decide(evolve(POLICY, attempts=1), evolve(many, attempts=1, throttled=1)) == Raise()


def test_throttled_attempts_lengthen_only_the_waits_after_throttled_attempts() -> None:
    assert decide(POLICY, retry_state(Evidence.THROTTLED, attempts=3, throttled=2)) == Retry(1.0, 5)
    assert decide(POLICY, retry_state(Evidence.UNKNOWN, attempts=3, throttled=2)) == TRANSIENT
    two = evolve(POLICY, attempts=2)
    assert decide(two, retry_state(Evidence.UNKNOWN, attempts=2, throttled=1)) == TRANSIENT
    assert decide(two, retry_state(Evidence.UNKNOWN, attempts=2)) == Raise()


def test_spread_after_retry_after_leaves_a_tenth_of_the_remaining_time() -> None:
    for remaining, longest in ((12.0, 11.8), (10.5, 10.45)):
        decision = decide(POLICY, retry_state(Evidence.UNKNOWN, retry_after=10.0, remaining=remaining, draw=0.999999))
        assert isinstance(decision, Retry)
        assert decision.after == pytest.approx(longest, abs=0.001)


def test_decision_names_the_exhausted_limit() -> None:
    exhausted = {
        "attempts": retry_state(Evidence.UNKNOWN, attempts=3),
        "deadline": retry_state(Evidence.UNKNOWN, retry_after=1e9),
        "budget": retry_state(Evidence.UNKNOWN, tokens=0),
        "final": retry_state(Evidence.RESPONSE),
    }
    for because, state in exhausted.items():
        decision = decide(POLICY, state)
        assert isinstance(decision, Raise)
        assert decision.because == because


def test_backoff_doubles_from_base_to_cap() -> None:
    bounds = [backoff(POLICY, attempts, base=0.5, draw=1.0) for attempts in range(1, 8)]
    assert bounds == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert backoff(POLICY, 1, base=0.5, draw=0.0) == 0.0
    assert backoff(RetryPolicy(factor=10, cap=30), 1000, base=0.5, draw=1.0) == 30
    assert backoff(RetryPolicy(factor=1.01), 1000, base=0.5, draw=1.0) == 0.5 * 1.01**64


@given(
    st.builds(
        RetryState,
        st.sampled_from(Evidence),
        st.sampled_from(Replay),
        st.integers(1, 12),
        st.floats(0, 100),
        st.integers(0, 600),
        retry_after=st.none() | st.floats(0, 1e10),
        draw=st.floats(0, 1, exclude_max=True),
        findable=st.booleans(),
        unconfirmed=st.booleans(),
        resent=st.booleans(),
    ),
    st.builds(RetryPolicy, attempts=st.integers(1, 10)),
)
def test_decision_is_safe_in_every_state(now: RetryState, policy: RetryPolicy) -> None:
    decision = decide(policy, now)
    if isinstance(decision, Retry):
        assert now.attempts < policy.attempts
        assert 0 <= decision.after < now.remaining
        assert decision.after >= (now.retry_after or 0)
        assert decision.cost <= now.tokens
        assert now.evidence not in {Evidence.RESPONSE, Evidence.UNREADABLE, Evidence.REJECTED}
        if now.evidence in {Evidence.UNKNOWN, Evidence.STALE, Evidence.BODY_LOST}:
            assert now.replay not in {LOOKUP, NONE}, "an unconfirmed create is never resent without a lookup"
        assert decide(policy, evolve(now, attempts=policy.attempts)) == Raise()
    if isinstance(decision, Resolve):
        assert now.findable
        assert now.replay not in {READ, NONE}


def test_budget_returns_taken_tokens() -> None:
    budget = RetryBudget(30)
    assert budget.take(14)
    assert budget.take(14)
    assert budget.take(14) is False
    assert budget.tokens == 2
    budget.give_back(28)
    assert budget.tokens == 30
    assert budget.take(30)
    assert budget.tokens == 0


def test_call_without_retry_adds_one_token_up_to_the_budget_size() -> None:
    budget = RetryBudget(10)
    budget.take(5)
    budget.give_back(0)
    assert budget.tokens == 6
    budget.give_back(100)
    assert budget.tokens == 10


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40))))
def test_budget_stays_between_zero_and_its_size(moves: list[tuple[bool, int]]) -> None:
    budget = RetryBudget(100)
    for take, cost in moves:
        budget.take(cost) if take else budget.give_back(cost)
        assert 0 <= budget.tokens <= 100


@pytest.mark.parametrize("confirmation_window", [0.0, 0.3, 0.5, 1.0, 5.0, 10.0, 30.0])
def test_last_lookup_is_at_the_end_of_the_confirmation_window(confirmation_window: float) -> None:
    lookups = list(accumulate(lookup_schedule(confirmation_window)))
    assert lookups[-1] == pytest.approx(confirmation_window)
    assert lookups == sorted(lookups)
    assert lookups[: len(lookups) - 1] == [0.5, 1.5, 3.5, 7.5, 15.5][: len(lookups) - 1]


def test_lookups_are_spread_over_the_confirmation_window() -> None:
    assert list(lookup_schedule(10.0)) == [0.5, 1.0, 2.0, 4.0, 2.5]
    assert list(lookup_schedule(0.5)) == [0.5]
    assert list(lookup_schedule(0.0)) == [0.0]


NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": " 2.5 "}, 2.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "-1", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "nan", "retry-after": "Tue, 14 Nov 2023 22:13:27 -0000"}, 7.0),
        ({"retry-after": "1e9"}, 1e9),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 99 Foo 2026 99:99:99 GMT"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": format_datetime(datetime.fromtimestamp(NOW + 7, UTC), usegmt=True)}, 7.0),
        ({"retry-after": format_datetime(datetime.fromtimestamp(NOW - 7, UTC), usegmt=True)}, 0.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:27 -0000"}, 7.0),
        ({"retry-after": "Tue, 14 Nov 2023 23:13:27 +0100"}, 7.0),
    ],
)
def test_retry_after_header_formats(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


@given(st.text())
def test_any_retry_after_text_gives_none_or_a_positive_number(text: str) -> None:
    seconds = retry_after({"retry-after": text}, NOW)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": 1.5},
        {"attempts": 2.0},
        {"attempts": "3"},
        {"attempts": True},
        {"deadline": 0},
        {"deadline": -1},
        {"deadline": None},
        {"deadline": float("nan")},
        {"deadline": float("inf")},
        {"deadline": "60"},
        {"read_timeout": -1},
        {"read_timeout": 0},
        {"base": -0.1},
        {"factor": 0.5},
        {"factor": 10.5},
        {"cap": True},
        {"budget": -1},
        {"budget": 1.5},
        {"transient_cost": 1.5},
        {"throttle_cost": 1.5},
        {"confirmation_window": None},
    ],
)
def test_invalid_policy_setting_is_named(wrong: dict[str, object]) -> None:
    name = next(iter(wrong))
    limits = {"attempts": "an integer from 1 to 1000", "cap": "a number from 0 to 86400.0"}
    wanted = limits.get(name, "an? (integer|number) from [0-9.]+ to [0-9.]+")
    with pytest.raises(ConfigurationError, match=rf"^RetryPolicy\({name}=…\) must be {wanted}, not .+$"):
        RetryPolicy(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "limits",
    [
        {"attempts": 1},
        {"attempts": 1000},
        {"deadline": 0.001, "confirmation_window": 0},
        {"deadline": 86_400},
        {"base": 0},
        {"factor": 1},
        {"factor": 10},
        {"confirmation_window": 0},
        {"budget": 0},
        {"budget": 1_000_000},
    ],
)
def test_policy_accepts_its_limits(limits: dict[str, float]) -> None:
    assert evolve(POLICY, **limits) == RetryPolicy(**limits)  # type: ignore[arg-type]


def test_policy_defaults() -> None:
    assert repr(POLICY) == (
        "RetryPolicy(attempts=3, deadline=60.0, connect_timeout=5.0, read_timeout=30.0, write_timeout=10.0, base=0.5, "
        "throttle_base=1.0, factor=2.0, cap=8.0, confirmation_window=10.0, budget=500, transient_cost=14, "
        "throttle_cost=5)"
    )


def test_confirmation_window_fits_into_the_deadline() -> None:
    assert RetryPolicy(deadline=5).confirmation_window == 2.5
    assert with_deadline(POLICY, 5).confirmation_window == 2.5
    assert with_deadline(RetryPolicy(deadline=5), 60) == POLICY
    assert with_deadline(RetryPolicy(confirmation_window=3), 5).confirmation_window == 3
    with pytest.raises(ConfigurationError, match="must be shorter than the deadline"):
        RetryPolicy(deadline=5, confirmation_window=5)
    with pytest.raises(ConfigurationError, match="must be shorter than the deadline"):
        with_deadline(RetryPolicy(confirmation_window=7), 5)
