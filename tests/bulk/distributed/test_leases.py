"""Leases: one holder at a time, in a file that survives a restart."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from bulk.customers import write_csv

from wonder_customers.bulk import Index, Source
from wonder_customers.bulk.distributed.leases import Leases
from wonder_customers.bulk.distributed.partition import Partition
from wonder_customers.testing import no_waits


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def leases_file(tmp_path: Path) -> Path:
    index = Index(Source(str(write_csv(tmp_path / "c.csv", 30))), 10)
    Leases.create(tmp_path / "p", index, {"resume": False})
    return tmp_path / "p"


def result(number: int = 0) -> dict[str, Any]:
    return {"number": number}


def take(leases: Leases) -> tuple[int, int] | None:
    """Lease a partition and return the lease's key."""
    taken = leases.take()
    return taken and (Partition.from_json(taken[0]).place, taken[1])


def test_each_partition_has_one_holder_and_one_result(leases_file: Path) -> None:
    with closing(Leases(leases_file)) as leases:
        assert [take(leases) for _ in range(4)] == [(0, 1), (1, 1), (2, 1), None]
        assert leases.left == 3
        assert leases.finish((1, 1), result(1), complete=True)
        assert not leases.finish((1, 1), result(2), complete=True)
        assert not leases.renew((1, 1))
        assert leases.finish((0, 1), result(3), complete=True)
        assert (leases.results(0), leases.results(1), leases.left, leases.done) == (
            [result(1), result(3)], [result(3)], 1, 2,
        )  # fmt: skip
        held = [leases.any_held, leases.finish((2, 1), result(4), complete=False), leases.any_held]
        assert held == [True, True, False]
        assert take(leases) == (2, 2)


def test_leases_end_on_the_clock_that_replaces_the_clock_of_the_process(leases_file: Path) -> None:
    with closing(Leases(leases_file, duration=10.0)) as leases, no_waits() as skipped:
        held = take(leases)
        assert held is not None
        assert leases.renew(held)
        skipped.waits.append(11.0)
        assert not leases.renew(held)


def test_lease_is_valid_while_it_is_renewed(leases_file: Path) -> None:
    clock = Clock()
    with closing(Leases(leases_file, clock, 10.0)) as leases:
        leases.take()
        for _ in range(5):
            clock.now += 9
            assert leases.renew((0, 1))
        clock.now += 11
        assert not leases.renew((0, 1))
        assert take(leases) == (0, 2)
        assert not leases.renew((0, 1))
        assert not leases.finish((0, 1), result(), complete=True)
        assert leases.holds((0, 2))


def test_restart_keeps_leases_and_results(leases_file: Path) -> None:
    clock = Clock()
    with closing(Leases(leases_file, clock, 10.0)) as leases:
        leases.take()
        leases.take()
        leases.finish((1, 1), result(1), complete=True)
        leases.remember("run", 7)
    clock.now += 1000
    with closing(Leases(leases_file, clock, 10.0)) as leases:
        assert (leases.fact("run"), leases.fact("resume"), leases.fact("x")) == (7, False, None)
        assert (leases.left, leases.done, leases.results(0)) == (2, 1, [result(1)])
        assert leases.renew((0, 1))
        assert take(leases) == (2, 1)
        clock.now += 11
        assert not leases.holds((0, 1))
        assert leases.partition(0).place == 0
