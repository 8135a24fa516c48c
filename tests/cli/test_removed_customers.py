"""The options for customers missing from the source: ``plan``, ``sync`` and ``resume``."""

from importlib.util import find_spec

import pytest
from bulk.customers import write_csv
from bulk.sources.spreadsheet import write_xlsx
from cli.conftest import Terminal

from wonder_customers.cli.exit_codes import FAILED, STOPPED, SUCCESS, USAGE
from wonder_customers.dialects import names

DELETE = ("--removed", "delete")


def deletions(terminal: Terminal) -> int:
    return sum(count for key, count in terminal.server.store.requests.items() if key[1] == "DELETE")


def sync_and_remove(terminal: Terminal, gateway: str, rows: int = 4) -> str:
    """Send customers, remove the last of them from the source, and return the name of the journal."""
    journal = terminal.sync(gateway, rows)
    write_csv(terminal.folder / "c.csv", rows - 1)
    return journal


@pytest.mark.parametrize("gateway", names())
def test_customers_that_left_are_planned_and_reported(gateway: str, terminal: Terminal) -> None:
    sync_and_remove(terminal, gateway)
    left = "The source no longer contains 1 customer (25.0%)"
    text = terminal.ends(SUCCESS, "plan", "c.csv", "--to", gateway)
    assert f"{left}, which will stay at the gateway" in text
    assert "missing from the source: c-3 (" in text
    text = terminal.ends(SUCCESS, "sync", "c.csv", "--to", gateway, "--report", "r.json", "--html", "r.html")
    assert f"{left}, which will stay at the gateway." in text
    found = terminal.json("r.json")["missing_from_source"]
    assert (found["customers"], found["removed"], len(found["ids"])) == (1, 0, 1)
    assert left in (terminal.folder / "r.html").read_text(encoding="utf-8")
    assert deletions(terminal) == 0


@pytest.mark.parametrize("gateway", ["paydock", "monri"])
def test_limit_stops_the_job_and_the_printed_command_removes(gateway: str, terminal: Terminal) -> None:
    journal, to = sync_and_remove(terminal, gateway), ("c.csv", "--to", gateway, *DELETE)
    left = "the source no longer contains 1 customer (25.0%)"
    assert f"would not remove any customer: {left}" in terminal.ends(FAILED, "plan", *to)
    text = terminal.ends(STOPPED, "sync", *to)
    assert deletions(terminal) == 0
    assert "stopped before removing customers" in text
    assert f"run: wonder-customers resume {journal}" not in text
    assert text.endswith(f"with: wonder-customers resume {journal} --removed delete --max-removed 1")
    text = terminal.ends(USAGE, "resume", journal)
    assert ("started with --removed" in text, "pass --removed report" in text) == (True, True)
    terminal.ends(SUCCESS, "resume", journal, "--removed", "report")
    assert deletions(terminal) == 0
    text = terminal.ends(SUCCESS, "resume", journal, *DELETE, "--max-removed", "1")
    assert deletions(terminal) == 1
    assert "The source no longer contains 1 customer (25.0%). Removed: 1. Not removed: 0." in text
    _, out, _ = terminal.run("ids", journal)
    assert [line.split(",")[2] for line in out.splitlines()[1:]] == ["done", "done", "done", "removed"]


@pytest.mark.parametrize("empty", ["header.csv", "blank.csv", "header.xlsx", "utf16.xlsx", "empty.json", "total.csv"])
def test_source_that_is_read_as_empty_deletes_no_customer(empty: str, terminal: Terminal) -> None:
    journal, refused = terminal.sync("paydock", 4), "utf16" in empty
    texts = {"header.csv": "reference,name\n", "blank.csv": "\n\n", "empty.json": "[]"}
    path = terminal.folder / empty
    path.write_text(texts.get(empty, "reference,name\nTotal,4\n"), encoding="utf-8")
    if empty.endswith("xlsx"):
        sheet = "<worksheet><sheetData><row><c><v>1</v></c></row></sheetData></worksheet>".encode("utf-16")
        write_xlsx(path, {"A": [["reference", "name"]]}, sheet if refused else None)
    words = (empty, "--to", "paydock", "--journal", journal, *DELETE, "--max-removed", "100%")
    terminal.ends(USAGE if refused else FAILED, "plan", *words)
    text = terminal.ends(USAGE if refused else STOPPED, "sync", *words)
    assert ("XML that is not UTF-8" if refused else "the source has no rows; 4 customers (100.0%) would be") in text
    assert deletions(terminal) == 0


def test_removal_is_refused_at_wonder_and_on_ray(terminal: Terminal) -> None:
    write_csv(terminal.folder / "c.csv", 4)
    cases = [("sync", "wonder", "", "wonder cannot delete customers")]
    cases += [("sync", "paydock", "--on ray", "cannot be deleted on Ray")] if find_spec("ray") else []
    number = "the maximum number of customers to delete must be a whole number"
    for name, gateway, more, message in (*cases, ("plan", "paydock", "--max-removed many", number)):
        assert message in terminal.ends(USAGE, name, "c.csv", "--to", gateway, *DELETE, *more.split())
        assert terminal.server.store.ledger(gateway) == {}


def test_failed_removal_ends_with_exit_code_2_and_is_listed(terminal: Terminal) -> None:
    sync_and_remove(terminal, "paydock")
    terminal.server.faults.add("server_error", gateway="paydock", method="DELETE", status=400)
    text = terminal.ends(FAILED, "sync", "c.csv", "--to", "paydock", *DELETE, "--max-removed", "1")
    assert "Removed: 0. Not removed: 1." in text
    (letter,) = terminal.lines("c.csv.paydock.failed.jsonl")
    assert (letter["status"], letter["reference"], letter["row"]) == ("kept", "c-3", 0)


def test_command_for_failed_rows_has_no_option_for_removals(terminal: Terminal) -> None:
    (terminal.folder / "c.csv").write_text("reference,name\nfail-422-1,Ada\nc-2,Grace\n")
    text = terminal.ends(FAILED, "sync", "c.csv", "--to", "monri", *DELETE)
    assert text.endswith("To send the failed rows again, run: wonder-customers retry-failed c.csv.monri.journal")
    reason = terminal.json("c.csv.monri.failed.jsonl")["reason"]
    assert reason.endswith("Refused because of the magic reference. Nothing was applied.")
    terminal.ends(FAILED, "retry-failed", "c.csv.monri.journal")


@pytest.mark.parametrize("gateway", ["paydock", "monri"])
def test_failed_row_that_left_the_source_leaves_the_list_when_customers_are_deleted(
    gateway: str, terminal: Terminal
) -> None:
    source, letters = write_csv(terminal.folder / "c.csv", 3), terminal.folder / f"c.csv.{gateway}.failed.jsonl"
    source.write_text(f"{source.read_text()}c-9,Ada,none,\n,Ada,ada@example.org,\n")
    sync = ("sync", "c.csv", "--to", gateway)
    terminal.ends(FAILED, *sync)
    write_csv(source, 3)
    assert "still contains 2 failed rows from earlier runs" in terminal.ends(SUCCESS, *sync)
    assert letters.exists()
    assert "from earlier runs" not in terminal.ends(SUCCESS, *sync, *DELETE)
    assert not letters.exists()
