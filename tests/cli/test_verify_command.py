"""``verify``: sources that changed, migrations, removed customers."""

import json

import pytest
from bulk.customers import write_csv
from cli.conftest import Terminal

from wonder_customers.cli.exit_codes import FAILED, SUCCESS, USAGE
from wonder_customers.dialects import names


@pytest.mark.parametrize("gateway", names())
def test_verify_reports_that_the_source_changed(gateway: str, terminal: Terminal) -> None:
    journal = terminal.sync(gateway)
    assert "has changed" not in terminal.ends(SUCCESS, "verify", journal)
    write_csv(terminal.folder / "c.csv", 4)
    terminal.change("ada.1@example.com", "eve@example.org")
    text = terminal.ends(FAILED, "verify", journal)
    assert "c.csv differs from the source of run 1 (the names, sizes, times of change," in text
    assert "Rows that have changed in the source since they were sent: 1. `sync` sends the rows again." in text
    assert "row 2, c-1: different: email (the row changed in the source after it was sent)" in text
    assert "not confirmed, so not compared │ 1" in text
    assert "To send all customers again, including missing and different customers, run `sync` with --full." in text


def test_verify_of_an_unfinished_run_advises_to_continue_it(terminal: Terminal) -> None:
    changed = write_csv(terminal.folder / "c.csv", 3).read_text().replace("ada.1@example.com", "eve@example.org")
    (terminal.folder / "changed.csv").write_text(changed)
    terminal.ends(SUCCESS, "sync", "c.csv", "--to", "monri", "--first", "2")
    terminal.ends(SUCCESS, "sync", "changed.csv", "--to", "monri")
    text = terminal.ends(FAILED, "verify", "c.csv.monri.journal")
    continued = "The last run is not finished. To continue, run: wonder-customers resume c.csv.monri.journal"
    assert (continued in text, "--full" in text) == (True, False)
    terminal.ends(SUCCESS, "resume", "c.csv.monri.journal")
    assert "run `sync` with --full." in terminal.ends(FAILED, "verify", "c.csv.monri.journal")


@pytest.mark.parametrize(("origin", "target"), [("paydock", "monri"), ("monri", "paydock"), ("monri", "wonder")])
def test_verify_compares_a_migration(origin: str, target: str, terminal: Terminal) -> None:
    terminal.sync(origin)
    journal = f"migrate.{origin}.{target}.journal"
    terminal.ends(SUCCESS, "migrate", "--from", origin, "--to", target, "--accept-losses")
    assert "3 of 3 rows were read back" in terminal.ends(SUCCESS, "verify", journal)
    text = terminal.ends(USAGE, "verify", journal, "--source", "c.csv")
    assert f"--source has no effect, because {journal} is the journal of a migration" in text
    terminal.change("ada.1@example.com", "eve@example.org")
    terminal.ends(SUCCESS, "sync", "c.csv", "--to", target)
    text = terminal.ends(FAILED, "verify", journal)
    assert "c-1: different: email" in text
    assert "run `migrate` with a new journal." in text


def test_migration_with_failed_rows_names_the_command_that_sends_them(terminal: Terminal) -> None:
    terminal.sync("paydock", 1)
    terminal.server.faults.add("server_error", gateway="monri", method="POST", status=400)
    migrate = ("migrate", "--from", "paydock", "--to", "monri")
    text = terminal.ends(FAILED, *migrate, "--accept-losses")
    command = f"wonder-customers {' '.join(migrate)} --journal migrate.paydock.monri.journal --accept-losses"
    assert text.endswith(f"To send the failed rows again, run: {command}")
    terminal.ends(SUCCESS, *command.split()[1:])


def test_verify_needs_the_credentials_of_the_migrated_gateway(terminal: Terminal) -> None:
    terminal.sync("paydock")
    terminal.ends(SUCCESS, "migrate", "--from", "paydock", "--to", "monri")
    terminal.variables = {name: value for name, value in terminal.variables.items() if name.startswith("MONRI")}
    assert "paydock" in terminal.ends(USAGE, "verify", "migrate.paydock.monri.journal")


@pytest.mark.parametrize("gateway", ["paydock", "monri"])
def test_verify_shows_removed_customers(gateway: str, terminal: Terminal) -> None:
    journal = terminal.sync(gateway)
    write_csv(terminal.folder / "c.csv", 2)
    terminal.ends(SUCCESS, "sync", "c.csv", "--to", gateway, "--removed", "delete", "--max-removed", "1")
    text = terminal.ends(SUCCESS, "verify", journal)
    assert "removed, as expected │ 1" in text
    assert "2 of 2 rows were read back" in text


def test_verify_names_fields_that_are_equal_after_normalisation(terminal: Terminal) -> None:
    journal = terminal.sync("monri")
    terminal.change("ada.1@example.com", "Ada.1@example.com")
    assert "Equal after normalisation: email (1)" in terminal.ends(SUCCESS, "verify", journal)


def test_verify_shows_why_a_row_cannot_be_read(terminal: Terminal) -> None:
    source = write_csv(terminal.folder / "c.csv", 2)
    source.write_text(f"{source.read_text()},Ada,ada@example.org,\nc-3,Ada,none,\n")
    terminal.ends(FAILED, "sync", "c.csv", "--to", "monri")
    text = terminal.ends(FAILED, "verify", "c.csv.monri.journal")
    assert "row 3, without a reference: invalid: line 4: the row has no reference" in text
    assert "row 4, c-3: invalid: line 5, column email: the value is not an e-mail address" in text


@pytest.mark.parametrize("gateway", names())
def test_verify_fails_if_emptied_cells_cannot_be_sent(gateway: str, terminal: Terminal) -> None:
    journal, faults = terminal.sync(gateway, 2), terminal.server.faults
    source = terminal.folder / "c.csv"
    head, first, _ = source.read_text().splitlines()
    source.write_text(f"{head}\n{first}\nc-1{',' * head.count(',')}\n")
    faults.add("server_error", times=None, gateway=gateway, status=400)  # Monri and Paydock: no invalid row
    terminal.ends(FAILED, "sync", "c.csv", "--to", gateway)
    faults.clear()
    code, out, _ = terminal.run("verify", journal, "--json")
    found, expected = json.loads(out), "invalid" if gateway == "wonder" else "failed"
    assert (code, found["counts"], found["wrong"]) == (FAILED, {"equal": 1, expected: 1}, 0)
    assert [(it["number"], it["result"]) for it in found["findings"]] == [(2, expected)]


@pytest.mark.parametrize(("gateway", "keeps"), [("monri", True), ("paydock", False)])
def test_verify_says_that_a_deleted_customer_may_keep_its_reference(
    gateway: str, keeps: bool, terminal: Terminal
) -> None:
    journal = terminal.sync(gateway, 2)
    terminal.ends(SUCCESS, "delete", gateway, "--reference", "c-1")
    assert ("give it another reference" in terminal.ends(FAILED, "verify", journal)) is keeps
