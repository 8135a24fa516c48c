"""The options for customers missing from the source: ``plan``, ``sync`` and ``resume``."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import orjson
import pytest
from bulk.customers import write_csv
from bulk.sources.spreadsheet import write_xlsx

from wonder_customers.cli.exit_codes import FAILED, STOPPED, SUCCESS, USAGE
from wonder_customers.dialects import names
from wonder_customers.simulator.server import SimulatorServer

Run = Callable[..., tuple[int, str, str]]


def requests(server: SimulatorServer) -> int:
    return sum(count for key, count in server.store.requests.items() if key[1] == "DELETE")


@pytest.mark.parametrize("gateway", names())
def test_customers_that_left_are_planned_and_reported(
    gateway: str, at_simulator: Run, server: SimulatorServer, folder: Path
) -> None:
    write_csv(folder / "c.csv", 4)
    assert at_simulator("sync", "c.csv", "--to", gateway)[0] == SUCCESS
    write_csv(folder / "c.csv", 3)
    code, out, _ = at_simulator("plan", "c.csv", "--to", gateway)
    assert code == SUCCESS
    assert "The source no longer contains 1 customer (25.0%), which will stay at the gateway" in out
    assert "missing from the source: c-3 (" in out
    code, _, err = at_simulator("sync", "c.csv", "--to", gateway, "--report", "r.json", "--html", "r.html")
    assert code == SUCCESS
    assert "The source no longer contains 1 customer (25.0%), which will stay at the gateway." in err
    left = orjson.loads((folder / "r.json").read_bytes())["missing_from_source"]
    assert (left["customers"], left["removed"], len(left["ids"])) == (1, 0, 1)
    assert "The source no longer contains 1 customer (25.0%)" in (folder / "r.html").read_text(encoding="utf-8")
    assert requests(server) == 0


@pytest.mark.parametrize("gateway", ["paydock", "monri"])
def test_limit_stops_the_job_and_the_printed_command_removes(
    gateway: str, at_simulator: Run, server: SimulatorServer, folder: Path
) -> None:
    write_csv(folder / "c.csv", 4)
    assert at_simulator("sync", "c.csv", "--to", gateway)[0] == SUCCESS
    write_csv(folder / "c.csv", 3)
    delete, journal = ("--removed", "delete"), f"c.csv.{gateway}.journal"
    code, _, err = at_simulator("plan", "c.csv", "--to", gateway, *delete)
    assert (code, "would not remove any customer: the source no longer contains 1 customer (25.0%)" in err) == (
        FAILED,
        True,
    )
    code, out, err = at_simulator("sync", "c.csv", "--to", gateway, *delete)
    assert (code, requests(server)) == (STOPPED, 0)
    assert "stopped before removing customers" in " ".join(out.split())
    assert f"run: wonder-customers resume {journal}" not in err
    assert err.rstrip().endswith(f"with: wonder-customers resume {journal} --removed delete --max-removed 1")
    code, _, err = at_simulator("resume", journal)
    assert (code, "started with --removed" in err, "pass --removed report" in err) == (USAGE, True, True)
    assert at_simulator("resume", journal, "--removed", "report")[0] == SUCCESS
    assert requests(server) == 0
    code, _, err = at_simulator("resume", journal, *delete, "--max-removed", "1")
    assert (code, requests(server)) == (SUCCESS, 1)
    assert "The source no longer contains 1 customer (25.0%). Removed: 1. Not removed: 0." in err
    code, out, _ = at_simulator("ids", journal)
    assert [line.split(",")[2] for line in out.splitlines()[1:]] == ["done", "done", "done", "removed"]


@pytest.mark.parametrize("empty", ["header.csv", "blank.csv", "header.xlsx", "utf16.xlsx", "empty.json", "total.csv"])
def test_source_that_is_read_as_empty_deletes_no_customer(
    empty: str, at_simulator: Run, server: SimulatorServer, folder: Path
) -> None:
    write_csv(folder / "c.csv", 4)
    journal = ("--to", "paydock", "--journal", "j")
    assert at_simulator("sync", "c.csv", *journal)[0] == SUCCESS
    texts = {"header.csv": "reference,name\n", "blank.csv": "\n\n", "empty.json": "[]"}
    (folder / empty).write_text(texts.get(empty, "reference,name\nTotal,4\n"), encoding="utf-8")
    if empty.endswith("xlsx"):
        sheet = "<worksheet><sheetData><row><c><v>1</v></c></row></sheetData></worksheet>".encode("utf-16")
        write_xlsx(folder / empty, {"A": [["reference", "name"]]}, sheet if empty == "utf16.xlsx" else None)
    delete = ("--removed", "delete", "--max-removed", "100%")
    code, _, err = at_simulator("plan", empty, *journal, *delete)
    refused = "utf16" in empty
    assert code == (USAGE if refused else FAILED)
    code, _, err = at_simulator("sync", empty, *journal, *delete)
    assert (code, requests(server)) == (USAGE if refused else STOPPED, 0)
    assert ("XML that is not UTF-8" if refused else "the source has no rows; 4 customers (100.0%) would be") in err


def test_removal_is_refused_at_wonder_and_on_ray(at_simulator: Run, server: SimulatorServer, folder: Path) -> None:
    write_csv(folder / "c.csv", 4)
    cases: list[tuple[str, tuple[str, ...], str]] = [("wonder", (), "wonder cannot delete customers")]
    cases += [("paydock", ("--on", "ray"), "cannot be deleted on Ray")] if find_spec("ray") else []
    for gateway, more, message in cases:
        code, _, err = at_simulator("sync", "c.csv", "--to", gateway, "--removed", "delete", *more)
        assert (code, message in err) == (USAGE, True), err
        assert server.store.ledger(gateway) == {}
    invalid = ("--removed", "delete", "--max-removed", "many")
    code, _, err = at_simulator("plan", "c.csv", "--to", "paydock", *invalid)
    assert (code, "the maximum number of customers to delete must be a whole number" in err) == (USAGE, True)


def test_failed_removal_ends_with_exit_code_2_and_is_listed(
    at_simulator: Run, server: SimulatorServer, folder: Path
) -> None:
    write_csv(folder / "c.csv", 4)
    assert at_simulator("sync", "c.csv", "--to", "paydock")[0] == SUCCESS
    write_csv(folder / "c.csv", 3)
    server.faults.add("server_error", gateway="paydock", method="DELETE", status=400)
    delete = ("--removed", "delete", "--max-removed", "1")
    code, _, err = at_simulator("sync", "c.csv", "--to", "paydock", *delete)
    assert (code, "Removed: 0. Not removed: 1." in err) == (FAILED, True)
    (letter,) = [orjson.loads(line) for line in (folder / "c.csv.paydock.failed.jsonl").read_bytes().splitlines()]
    assert (letter["status"], letter["reference"], letter["row"]) == ("kept", "c-3", 0)


def test_command_for_failed_rows_has_no_option_for_removals(at_simulator: Run, folder: Path) -> None:
    (folder / "c.csv").write_text("reference,name\nfail-422-1,Ada\nc-2,Grace\n")
    code, _, err = at_simulator("sync", "c.csv", "--to", "monri", "--removed", "delete")
    assert (code, err.splitlines()[-1]) == (
        FAILED,
        "To send the failed rows again, run: wonder-customers retry-failed c.csv.monri.journal",
    )
    reason = orjson.loads((folder / "c.csv.monri.failed.jsonl").read_bytes())["reason"]
    assert reason.endswith("Refused because of the magic reference. Nothing was applied.")
    assert at_simulator("retry-failed", "c.csv.monri.journal")[0] == FAILED


@pytest.mark.parametrize("gateway", ["paydock", "monri"])
def test_failed_row_that_left_the_source_leaves_the_list_when_customers_are_deleted(
    gateway: str, at_simulator: Run, folder: Path
) -> None:
    source, letters = write_csv(folder / "c.csv", 3), folder / f"c.csv.{gateway}.failed.jsonl"
    source.write_text(f"{source.read_text()}c-9,Ada,none,\n,Ada,ada@example.org,\n")
    assert at_simulator("sync", "c.csv", "--to", gateway)[0] == FAILED
    write_csv(source, 3)
    code, _, err = at_simulator("sync", "c.csv", "--to", gateway)
    assert (code, "still contains 2 failed rows from earlier runs" in err, letters.exists()) == (SUCCESS, True, True)
    code, _, err = at_simulator("sync", "c.csv", "--to", gateway, "--removed", "delete")
    assert (code, "from earlier runs" in err, letters.exists()) == (SUCCESS, False, False)
