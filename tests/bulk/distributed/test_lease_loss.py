"""Loss of a lease."""

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

pytestmark = pytest.mark.anyio


class Journalled:
    """The part of a coordinator that needs no lease."""

    def __init__(self, path: Path) -> None:
        self.journal = Journal.open(path, gateway="monri", endpoint="https://example.org")

    async def find(self, references: list[str]) -> list[Entry]:
        with self.journal.reader() as find:
            return list(find(references).values())


async def test_journal_query_does_not_renew_the_lease(tmp_path: Path) -> None:
    index = Index(Source(str(write_csv(tmp_path / "c.csv", 3))), 10)
    assert Leases.create(tmp_path / "p", index, {"resume": False}) == 1
    with closing(Leases(tmp_path / "p")) as leases:
        partition = leases.partition(0)
    view: Any = Journalled(tmp_path / "j")
    ended = LeasedPartition(view, partition, 1, 30.0, until=monotonic() - 1, margin=1.0)
    assert await ended.ask(["c-1"]) == []
    assert not ended.may_send()
