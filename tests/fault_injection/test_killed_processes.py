"""Processes that are killed and restarted: random sequences, and all interleavings of a small model.

Invariants: at most one customer is created per reference; the gateway has the last confirmed write; the journal never
confirms a row that the gateway does not have; no process exceeds its rate in any second. At Paydock, the first two
require that processes without a common journal do not write the same customer within one confirmation window, so
`_lives` waits between them.
"""

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import anyio
import pytest
from fault_injection.virtual_processes import WINDOW, Gateway, Machine
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

GATEWAYS = ["wonder", "paydock", "monri"]


async def _lives(machine: Machine) -> None:
    """Run one process after the other."""
    before, name = "", machine.new_name()
    for number in range(1, 6):
        kinds = ["bulk", "bulk with a changed row", "resumed bulk", "application", "two sessions", "end"]
        kind = machine.decide([f"process {number} is {it}" for it in kinds]).rpartition(" is ")[2]
        if kind == "end":
            break
        if not (kind.endswith(("bulk", "row")) and before.endswith(("bulk", "row"))):
            await machine.pass_time(WINDOW)  # they have no journal in common
        machine.wall += (0, 3600, -3600)[machine.choose(["clock kept", "clock set forward", "clock set back"])]
        before = kind
        if kind.endswith(("bulk", "row")):
            name = machine.new_name() if kind.endswith("row") else name
            await machine.live(f"process {number}", machine.bulk(name, resume=kind.startswith("resumed")))
            continue
        operations = ["upsert"] if machine.id is None else ["upsert", "update", "delete"]
        if machine.states == {None}:
            operations.append("create")  # Paydock accepts a second customer with the reference
        if machine.gateway.name == "wonder" and "delete" in operations:
            operations.remove("delete")
        operation = machine.decide(operations)
        tasks = [machine.application(operation)]
        if kind == "two sessions":
            tasks.append(machine.application("upsert"))
        await machine.live(f"process {number}", *tasks)
    await machine.check()


@pytest.mark.parametrize(
    "least", [100, pytest.param(2000, marks=pytest.mark.long), pytest.param(100_000, marks=pytest.mark.nightly)]
)
def test_random_walk_of_killed_processes_keeps_the_promises(gateway: str, least: int, tmp_path: Path) -> None:
    numbers, done, simulated = count(), 0, Gateway(gateway)

    @settings(max_examples=least // 8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.integers(0, 63), min_size=20, max_size=60))
    def walk(choices: list[int]) -> None:
        nonlocal done
        if done >= least:
            return
        left = iter(choices)

        def choose(options: Sequence[str]) -> int:
            usual = len(options) - 1 if options[-1].endswith("end") else 0  # without further faults
            return next(left, usual) % len(options)

        number = next(numbers)
        machine = Machine(simulated, f"r-{number}", choose, tmp_path / f"j-{number}", faults=4, kills=2)
        try:
            anyio.run(_lives, machine)
        finally:
            done += machine.steps
            note("\n".join(machine.trace))

    walk()
    assert done >= least


def _all_choices() -> Iterator["Enumeration"]:
    """Yield an `Enumeration` for each sequence of decisions."""
    prefix: list[int] | None = []
    while prefix is not None:
        it = Enumeration(prefix)
        yield it
        prefix = it.next_prefix()


class Enumeration:
    """Repeats a prefix of decisions, and takes the first option afterwards."""

    def __init__(self, prefix: list[int]) -> None:
        self._prefix, self._made = prefix, list[tuple[int, int]]()

    def __call__(self, options: Sequence[str]) -> int:
        place = len(self._made)
        chosen = self._prefix[place] if place < len(self._prefix) else 0
        self._made.append((chosen, len(options)))
        return chosen

    def next_prefix(self) -> list[int] | None:
        made = list(self._made)
        while made:
            chosen, of = made.pop()
            if chosen + 1 < of:
                return [*(it[0] for it in made), chosen + 1]
        return None


SMALL = {
    "a killed run that is resumed": ["bulk A", "bulk A"],
    "a killed run, then the row is changed": ["bulk A", "bulk B"],
    "a row that is changed back": ["bulk A", "bulk B", "bulk A"],
    "a resumed run, then the row is changed": ["bulk A", "bulk A", "bulk B"],
    "two sessions of one process": ["upsert, upsert"],
    "a deletion while another session writes": ["upsert", "upsert, delete"],
}


@pytest.mark.parametrize("world", SMALL)
@pytest.mark.parametrize(
    # At Paydock, a repeated create makes a second customer.
    "gateway",
    [pytest.param(it, marks=[pytest.mark.long] * (it != "paydock")) for it in GATEWAYS],
)
@pytest.mark.parametrize("faults", [0, pytest.param(1, marks=pytest.mark.nightly)])
def test_all_interleavings_of_a_small_model(world: str, gateway: str, faults: int, tmp_path: Path) -> None:
    """One customer, two writers and one kill; in the nightly test also one fault."""
    runs, simulated = 0, Gateway(gateway)

    async def live(machine: Machine) -> None:
        for number, kind in enumerate(SMALL[world]):
            if not kind.startswith("bulk"):
                operations = kind.split(", ")
                if "delete" in operations and (machine.id is None or gateway == "wonder"):
                    break
                await machine.live(f"sessions {number}", *map(machine.application, operations))
            else:
                await machine.live(f"run {number}", machine.bulk(f"Name {kind[-1]}", resume=number % 2 == 1))
        await machine.check()

    for choose in _all_choices():
        machine = Machine(simulated, f"r-{runs}", choose, tmp_path / f"j-{runs}", faults=faults, kills=1)
        runs += 1
        try:
            anyio.run(live, machine)
        except AssertionError as error:
            raise AssertionError("\n".join([*machine.trace, str(error)])) from None
    assert runs > 2


async def test_second_attempt_of_a_killed_run_does_not_undo_a_later_run(gateway: str, tmp_path: Path) -> None:
    """A lookup confirms one attempt of the killed run. The other one is applied after the row was changed."""
    decisions = ["run 1: POST late", "kill after sending", "land 0"]

    def choose(options: Sequence[str]) -> int:
        return options.index(decisions.pop(0)) if decisions and decisions[0] in options else 0

    machine = Machine(Gateway(gateway), "r-1", choose, tmp_path / "j", faults=1, kills=1)
    for number, name in enumerate(["Name 0", "Name A", "Name A", "Name B"]):
        await machine.live(f"run {number}", machine.bulk(name, resume=number == 2))
    await machine.check()
    assert not decisions
