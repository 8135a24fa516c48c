"""Random sequences of creates, upserts, updates and deletes over a network with faults, with cancelled calls.

After each step, and after all late requests were applied: each reference was created at most once, the gateway has a
state that the outcomes of the calls allow, no call exceeded its attempts, and the retry budget is within its bounds.
"""

from functools import partial
from itertools import count
from typing import Any, ClassVar

import anyio
import pytest
from attrs import define, field
from fault_injection.virtual_network import CANCELLED, KINDS, POLICY, World, new_world
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from wonder_customers import CallError, CustomerDraft, CustomerPatch, Phone, WonderCustomersError

PHONE = Phone("+44", "7911123456")
NAME_FIELD = {"wonder": "name", "paydock": "first_name", "monri": "name"}
# Late requests are the most frequent cause of errors, so they occur more often.
PLANS = st.lists(st.tuples(st.sampled_from([*KINDS, "late", "late", "cancelled_late"]), st.floats(0.2, 1)), max_size=4)
_numbers = count()


@define(eq=False)
class Known:
    """The states that a reference may have according to the outcomes of the calls.

    Attributes:
        reference: The reference.
        states: The names that the gateway may have; None for no customer or a deleted customer.
        id: The gateway's id; None until a call has returned it.
        closed: Whether the customer was or may have been deleted, so that nothing more is written.
    """

    reference: str
    states: set[str | None] = field(factory=lambda: {None})
    id: str | None = None
    closed: bool = False


class Machine(RuleBasedStateMachine):
    """Runs the operations; a subclass sets the gateway and the event loop."""

    world: ClassVar[World]
    backend: ClassVar[str]
    steps: ClassVar[int] = 0
    known = Bundle("known")

    def __init__(self) -> None:
        super().__init__()
        self.references: list[Known] = []
        self.most_attempts = 0

    def _run(self, function: Any, *arguments: Any) -> Any:
        type(self).steps += 1
        return anyio.run(partial(function, *arguments), backend=self.backend)

    async def _write(self, it: Known, operation: str, name: str | None) -> None:
        """Write a customer, and update the possible states of its reference."""
        draft = CustomerDraft(reference=it.reference, name=name, phone=PHONE)
        arguments: tuple[Any, ...] = (draft,)
        subject = ("reference", it.reference)
        if operation in {"update", "delete"}:
            assert it.id is not None
            subject = ("id", it.id)
            arguments = (it.id,) if operation == "delete" else (it.id, CustomerPatch(name=name))
        try:
            result = await self.world.run(operation, *arguments, subject=subject)
        except CallError as error:
            # A request refused with 429 was not processed and does not count against the attempts of the policy.
            throttled = sum(it.outcome == "HTTP 429" for it in error.history)
            self.most_attempts = max(self.most_attempts, error.attempts - throttled)
            self._learn(it, name, error.applied)
        else:
            self._learn(it, name, "unknown" if result == CANCELLED else "yes")
            it.id = getattr(result, "id", it.id)

    def _learn(self, it: Known, name: str | None, applied: str) -> None:
        if applied == "yes":
            it.states = {name}
        elif applied == "unknown":
            it.states = it.states | {name}

    @rule(target=known, plan=PLANS, operation=st.sampled_from(["create", "upsert"]))
    def create(self, plan: list[tuple[str, float]], operation: str) -> Any:
        """Create a customer with a new reference."""
        it = Known(f"r-{next(_numbers)}")
        self.references.append(it)
        self.world.network.plan = plan
        self._run(self._write, it, operation, f"Name {next(_numbers)}")
        self.world.network.plan = []
        return it

    @rule(it=known, plan=PLANS, operation=st.sampled_from(["upsert", "upsert", "update"]))
    def write(self, it: Known, plan: list[tuple[str, float]], operation: str) -> None:
        """Write a new name of a customer."""
        if it.closed or (operation == "update" and it.id is None):
            return
        self.world.network.plan = plan
        self._run(self._write, it, operation, f"Name {next(_numbers)}")
        self.world.network.plan = []

    @rule(it=known, plan=PLANS)
    def write_concurrently(self, it: Known, plan: list[tuple[str, float]]) -> None:
        """Write the same customer in two tasks at the same time."""
        if it.closed:
            return
        before = set(it.states)
        names = [f"Name {next(_numbers)}", f"Name {next(_numbers)}"]

        async def both() -> None:
            async with anyio.create_task_group() as group:
                for name in names:
                    group.start_soon(self._write, it, "upsert", name)

        self.world.network.plan = plan
        self._run(both)
        self.world.network.plan = []
        # The order of the two writes is unknown, and a failed write may have left the previous state.
        it.states = it.states | set(names) | before

    @rule(it=known, plan=PLANS)
    def delete(self, it: Known, plan: list[tuple[str, float]]) -> None:
        """Delete a customer."""
        if it.closed or it.id is None or self.world.gateway == "wonder":
            return
        it.closed = True
        self.world.network.plan = plan
        self._run(self._write, it, "delete", None)
        self.world.network.plan = []

    @rule(it=known, plan=PLANS)
    def read(self, it: Known, plan: list[tuple[str, float]]) -> None:
        """Read a customer, which must have one of the possible states."""
        self.world.network.plan = plan

        async def look_up() -> None:
            try:
                found = await self.world.run("get_by_reference", it.reference, subject=("reference", it.reference))
            except WonderCustomersError:
                return
            if found != CANCELLED and not found.deleted:
                assert (found.name or found.first_name) in it.states

        self._run(look_up)
        self.world.network.plan = []

    @rule(seconds=st.floats(0, 15))
    def wait(self, seconds: float) -> None:
        """Let time pass, and apply the late requests that are due."""
        self._run(self.world.network.sleep, seconds)

    @invariant()
    def check_created_once_and_possible_states(self) -> None:
        for it in self.references:
            history = self.world.store.history(self.world.gateway, it.reference)
            assert sum(entry["action"] == "created" for entry in history) <= 1, it.reference
            body = history[-1]["body"] if history else {}
            gone = not body or body.get("deleted") or body.get("archived")
            held = None if gone else body[NAME_FIELD[self.world.gateway]]
            assert held in it.states, f"{it.reference}: {held} is not among {it.states}"
        assert self.most_attempts <= POLICY.attempts
        assert 0 <= self.world.account_context.account.budget.tokens <= POLICY.budget
        assert self.world.executor.order.locks._locks == {}, "a lock was not released"

    def teardown(self) -> None:
        """Apply all late requests, which must not change a known state."""
        self._run(self.world.network.sleep, 60.0)
        self.check_created_once_and_possible_states()


@pytest.mark.parametrize("backend", ["asyncio", pytest.param("trio", marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "steps", [75, pytest.param(8_000, marks=pytest.mark.long), pytest.param(17_000, marks=pytest.mark.nightly)]
)
def test_random_operations_lose_no_customer(gateway: str, backend: str, steps: int) -> None:
    machine: type[Machine] = type("WithGateway", (Machine,), {"world": new_world(gateway), "backend": backend})
    rules = 50
    # Hypothesis ends many examples before the fiftieth step, so more examples than `steps / rules` are needed.
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=3 * steps // (2 * rules) + 4,
            stateful_step_count=rules,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert machine.steps >= steps
