"""Leases: one holder at a time, in a file that survives a restart."""

from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from bulk.customers import write_csv

from wonder_customers.bulk import Index, Journal, Source
from wonder_customers.bulk.distributed.leases import Leases
from wonder_customers.bulk.distributed.worker import LeasedPartition
from wonder_customers.bulk.journal.entries import Entry


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    index = Index(Source(str(write_csv(tmp_path / "c.csv", 30))), 10)
    assert Leases.create(tmp_path / "p", index, {"resume": False}) == 3
    return tmp_path / "p"


def result(number: int = 0) -> dict[str, Any]:
    return {"number": number}


def test_each_partition_has_one_holder_and_one_result(path: Path) -> None:
    with closing(Leases(path)) as leases:
        taken = [leases.take(holder) for holder in "abca"]
        assert [it and it.key for it in taken] == [(0, 1), (1, 1), (2, 1), None]
        assert leases.left == 3
        assert taken[1] is not None
        assert taken[1].partition == leases.partition(1)
        assert leases.finish((1, 1), result(1))
        assert not leases.finish((1, 1), result(2))
        assert not leases.renew((1, 1))
        assert leases.finish((0, 1), result(3))
        assert (leases.results(0), leases.results(1), leases.left, leases.done) == (
            [result(1), result(3)], [result(3)], 1, 2,
        )  # fmt: skip


def test_dead_holder_loses_its_lease(path: Path) -> None:
    with closing(Leases(path)) as leases:
        leases.take("a")
        leases.release("a")
        assert not leases.holds((0, 1))
        again = leases.take("b")
        assert again is not None
        assert again.key == (0, 2)
        assert not leases.renew((0, 1))
        assert not leases.finish((0, 1), result())
        leases.return_partition((0, 1))
        assert leases.holds((0, 2))
        leases.return_partition((0, 2))
        assert not leases.holds((0, 2))


def test_lease_is_valid_while_it_is_renewed(path: Path) -> None:
    clock = Clock()
    with closing(Leases(path, clock, 10.0)) as leases:
        leases.take("a")
        for _ in range(5):
            clock.now += 9
            assert leases.renew((0, 1))
        clock.now += 11
        assert not leases.renew((0, 1))
        again = leases.take("b")
        assert again is not None
        assert again.key == (0, 2)


def test_restart_keeps_leases_and_results(path: Path) -> None:
    clock = Clock()
    with closing(Leases(path, clock, 10.0)) as leases:
        leases.take("a")
        leases.take("b")
        leases.finish((1, 1), result(1))
        leases.remember("run", 7)
    clock.now += 1000
    with closing(Leases(path, clock, 10.0)) as leases:
        assert (leases.fact("run"), leases.fact("resume"), leases.fact("x")) == (7, False, None)
        assert (leases.left, leases.done, leases.results(0)) == (2, 1, [result(1)])
        assert leases.renew((0, 1))
        third = leases.take("c")
        assert third is not None
        assert third.key == (2, 1)
        clock.now += 11
        assert not leases.holds((0, 1))


class Journalled:
    """The part of a coordinator that needs no lease."""

    def __init__(self, path: Path) -> None:
        self.journal = Journal.open(path, gateway="monri", endpoint="https://example.org")

    async def find(self, references: list[str]) -> list[Entry]:
        with self.journal.reader() as find:
            return list(find(references).values())


@pytest.mark.anyio
async def test_journal_query_does_not_renew_the_lease(tmp_path: Path) -> None:
    index = Index(Source(str(write_csv(tmp_path / "c.csv", 3))), 10)
    assert Leases.create(tmp_path / "p", index, {"resume": False}) == 1
    with closing(Leases(tmp_path / "p")) as leases:
        partition = leases.partition(0)
    view: Any = Journalled(tmp_path / "j")
    ended = LeasedPartition(view, partition, 1, 30.0, until=monotonic() - 1, margin=1.0)
    assert await ended.ask(["c-1"]) == []
    assert not ended.may_send()
