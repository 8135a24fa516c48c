"""A source that changes while it is read is never reported as finished."""

from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve
from bulk.customers import OPTIONS, Jobs, collect, line, write_csv

from wonder_customers import BulkError, ConfigurationError
from wonder_customers.bulk import sources, sync
from wonder_customers.dialects import names

pytestmark = pytest.mark.anyio


def append(path: Path) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line(9000)}\n")


def replace(path: Path) -> None:
    write_csv(path.with_name("new.csv"), 7).replace(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "appended": append,
    "rewritten": lambda path: write_csv(path, 5, version="2"),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:150]),
    "replaced": replace,
}


@pytest.mark.nightly
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("jobs", names(), indirect=True)
async def test_source_of_six_thousand_rows_that_changes_during_the_job(change: str, jobs: Jobs) -> None:
    """The job ends with its outcome in the journal, deletes nothing, and the next one completes the new contents."""
    source = write_csv(jobs.source, 6000)
    options = evolve(OPTIONS, removed="report" if jobs.gateway == "wonder" else "delete")
    async with jobs.session() as session:
        job = sync(session, jobs.rows(), journal=jobs.journal, options=options)
        ended = 0
        with pytest.raises(BulkError, match=r"changed while it was read.*resume"):  # noqa: PT012 - changed meanwhile
            async with job:
                async for _ in job:
                    ended += 1
                    if ended == 1000:
                        CHANGES[change](source)
        assert (job.exit_status, job.missing_from_source.counted) == ("source", False)
        assert jobs.last_run().exit_status == "source"
        rows = len(jobs.rows().take(7000))
        again = sync(session, jobs.rows(), journal=jobs.journal, options=evolve(OPTIONS, resume=True))
        outcomes = await collect(again)
    assert (again.exit_status, len(outcomes)) == ("finished", rows)
    assert again.unfinished == 0


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("jobs", names(), indirect=True)
async def test_source_that_changes_while_it_is_read_stops_the_job(change: str, jobs: Jobs) -> None:
    source = write_csv(jobs.source, 5)
    rows = jobs.rows()
    async with jobs.session() as session:
        CHANGES[change](source)
        job = sync(session, rows, journal=jobs.journal, options=OPTIONS)
        with pytest.raises(BulkError, match=r"changed while it was read.*resume"):
            await collect(job)
    assert job.exit_status == "source"
    assert jobs.last_run().exit_status == "source"


def test_file_of_a_folder_that_changes_after_it_was_read_is_reported(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        write_csv(tmp_path / name, 3)
    rows = sources.read(tmp_path)
    assert len(rows.take(4)) == 4  # the first row of b.csv
    append(tmp_path / "a.csv")
    with pytest.raises(ConfigurationError, match=r"a\.csv changed while it was read"):
        rows.take(10)


def test_file_of_a_query_that_changes_while_it_is_read_is_reported(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    rows = sources.read(write_csv(tmp_path / "c.csv", 3), query="SELECT * FROM source")
    append(tmp_path / "c.csv")
    with pytest.raises(ConfigurationError, match=r"c\.csv changed while it was read"):
        rows.take(10)
