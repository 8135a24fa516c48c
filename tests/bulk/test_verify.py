"""Verification: differences between rows and the gateway's customers."""

import random

import pytest
from attrs import evolve
from bulk.customers import QUICK, Jobs, draft, line, send, write_csv

from wonder_customers import CallError, CustomerDraft
from wonder_customers.bulk import Options, Verification, verify
from wonder_customers.bulk.verify import MOST_FINDINGS, wilson
from wonder_customers.dialects import names
from wonder_customers.records import Phone

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("jobs", names(), indirect=True)
async def test_verify_reports_differences(jobs: Jobs) -> None:
    write_csv(jobs.source, 15)
    async with jobs.session() as session:
        await send(session, [draft(number, version="old" if number == 3 else "1") for number in range(14)])
        found = await verify(session, jobs.rows(), options=Options(retry=QUICK))
        sampled = await verify(session, jobs.rows(), sample=10, rng=random.Random(1))
    assert (found.rows, found.checked, found.wrong) == (15, 15, 2)
    assert {(it.reference, it.result) for it in found.findings} == {("c-3", "different"), ("c-14", "missing")}
    assert (sampled.rows, sampled.checked) == (15, 10)
    low, high = sampled.interval
    assert 0 <= low <= high <= 1


async def test_verify_skips_invalid_rows(jobs: Jobs) -> None:
    async with jobs.session() as session:
        found = await verify(session, [CustomerDraft(), CustomerDraft("c-1", "x", phone=Phone(None, "1"))])
    assert found.counts == {"invalid": 2}
    missing, invalid = (it.reason or "" for it in found.findings)
    assert missing == "row 1: the row has no reference"
    assert invalid.startswith("row 2: phone")
    assert found.checked == 0
    assert jobs.requests() == 0


async def test_error_names_the_row_at_which_the_verification_ended(jobs: Jobs) -> None:
    async with jobs.session() as session:
        with pytest.raises(CallError) as caught:
            await verify(session, [evolve(draft(1), reference="fail-422-1")], options=Options(retry=QUICK))
    assert caught.value.__notes__ == ["The verification ended at row 1, whose customer could not be read."]


def test_wilson_interval() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(5, 100)
    assert (round(low, 4), round(high, 4)) == (0.0215, 0.1118)
    assert wilson(0, 50)[0] == 0.0
    assert wilson(50, 50)[1] == pytest.approx(1.0)


async def test_verify_reports_ambiguous_reference(jobs: Jobs) -> None:
    async with jobs.session() as session:
        jobs.server.faults.add("duplicate", gateway="paydock", method="POST")
        await session.create(draft(1))
        await session.create(draft(2))
        found = await verify(session, [draft(1), draft(2)])
    assert [(it.reference, it.result) for it in found.findings] == [("c-1", "ambiguous")]
    assert (found.checked, found.wrong) == (2, 1)


def counts_of(found: Verification) -> dict[str, int]:
    return dict(found.counts)


@pytest.mark.parametrize("jobs", names(), indirect=True)
async def test_verify_leaves_out_rows_that_were_never_confirmed(jobs: Jobs) -> None:
    write_csv(jobs.source, 4)
    jobs.source.write_text(f"{jobs.source.read_text()}{line(1, '2')}\n,Ada,ada@example.org,+385 91 234 5678\n")
    jobs.server.faults.add("server_error", gateway=jobs.gateway, method="POST", status=400)
    await jobs.run(workers=1)
    jobs.source.write_text(f"{jobs.source.read_text()}{line(100)}\n")
    async with jobs.session() as session:
        found = await verify(session, jobs.rows(), journal=jobs.journal)
    # Never confirmed: the refused row, the repeated reference, and the row that was added after the run.
    assert counts_of(found) == {"equal": 3, "failed": 1, "unsent": 2, "invalid": 1}
    assert (found.rows, found.checked, found.wrong, found.changed) == (7, 3, 0, 0)


@pytest.mark.parametrize("jobs", names(), indirect=True)
async def test_verify_names_rows_that_changed_since_they_were_sent(jobs: Jobs) -> None:
    write_csv(jobs.source, 3)
    await jobs.run()
    jobs.source.write_text(jobs.source.read_text().replace("ada.1@example.com", "eve@example.org"))
    async with jobs.session() as session:
        found = await verify(session, jobs.rows(), journal=jobs.journal)
    assert counts_of(found) == {"equal": 2, "different": 1}
    (finding,) = found.findings
    assert (finding.number, finding.fields, finding.changed, found.changed) == (2, ("email",), True, 1)


async def test_verify_tells_equal_from_equal_after_normalisation(jobs: Jobs) -> None:
    sent = [draft(1), evolve(draft(2), email="Ada.2@example.com")]
    async with jobs.session() as session:
        await send(session, [draft(1), draft(2)])
        found = await verify(session, sent)
    assert counts_of(found) == {"equal": 1, "normalized": 1}
    assert (dict(found.normalized), found.wrong) == ({"email": 1}, 0)


@pytest.mark.parametrize("jobs", ["paydock", "monri"], indirect=True)
async def test_verify_expects_removed_customers_to_be_absent(jobs: Jobs) -> None:
    write_csv(jobs.source, 4)
    await jobs.run()
    write_csv(jobs.source, 2)
    await jobs.run(removed="delete", max_removed=2)
    async with jobs.session() as session:
        found = await verify(session, jobs.rows(), journal=jobs.journal)
        assert (counts_of(found), found.checked, found.wrong) == ({"equal": 2, "removed": 2}, 4, 0)
        jobs.journal._execute("UPDATE rows SET state = 'removed' WHERE reference = ?", ["c-1"])
        write_csv(jobs.source, 1)
        found = await verify(session, jobs.rows(), journal=jobs.journal)
        sampled = await verify(session, jobs.rows(), journal=jobs.journal, sample=1, rng=random.Random(1))
    assert counts_of(found) == {"equal": 1, "removed": 2, "present": 1}
    assert [(it.number, it.reference, it.result) for it in found.findings] == [(0, "c-1", "present")]
    assert sampled.checked == 2


async def test_differences_are_listed_before_rows_that_were_not_compared(jobs: Jobs) -> None:
    rows = [*[CustomerDraft() for _ in range(MOST_FINDINGS)], draft(1), CustomerDraft(), draft(2)]
    async with jobs.session() as session:
        found = await verify(session, rows)
    assert [it.reference for it in found.findings[:3]] == ["c-1", "c-2", None]
    assert (len(found.findings), found.wrong) == (MOST_FINDINGS, 2)


async def test_verify_compares_the_first_valid_row_of_a_reference_only(jobs: Jobs) -> None:
    equal = "c-1,Ada,ada@example.org\n"
    jobs.source.write_text(f"reference,name,email\nc-1,Ada,none\n{equal}{equal}c-2,Eve,\nc-2,Eve,\n")
    await jobs.run()
    async with jobs.session() as session:
        found = await verify(session, jobs.rows(), journal=jobs.journal)
    assert counts_of(found) == {"equal": 2, "unsent": 2, "invalid": 1}
    assert [(it.number, it.result) for it in found.findings] == [(1, "invalid"), (3, "unsent"), (5, "unsent")]


async def test_sample_contains_a_row_whose_reference_only_invalid_rows_had_before(jobs: Jobs) -> None:
    jobs.source.write_text("reference,name,email\nc-1,Ada,none\nc-1,Ada,ada@example.org\n")
    await jobs.run()
    async with jobs.session() as session:
        found = [
            await verify(session, jobs.rows(), journal=jobs.journal, sample=1, rng=random.Random(seed))
            for seed in range(10)
        ]
    assert {tuple(counts_of(it).items()) for it in found} == {(("invalid", 1),), (("equal", 1),)}
